"""Deleting what is old: whole sealed segments, each with a line in the list that says so.

The line comes first, so that a segment that is gone without one was taken away by somebody else.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from guardrails.audit.layout import SegmentName
from guardrails.audit.manifest import manifest_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def prune_sealed(
    directory: Path, tell: Callable[[Mapping[str, Any]], None], *, before_ns: int, by: str
) -> list[SegmentName]:
    """The segments that were deleted: those that ended before `before_ns`, UTC nanoseconds.

    Args:
        directory: The record's directory.
        tell: Appends to the list of streams, whose lock is held.
        before_ns: What ended later stays.
        by: Who wants it.

    Raises:
        OSError: the list cannot be written, or a file not be deleted.
    """
    ended: dict[SegmentName, dict[str, Any]] = {}
    for _, _, line in manifest_lines(directory):
        if line is None:
            continue
        facts = line.facts
        if line.kind in {"record.sealed", "record.ended"}:
            ended[SegmentName(facts["stream"], facts["segment"])] = facts
        elif line.kind == "record.pruned":
            ended.pop(SegmentName(facts["stream"], facts["segment"]), None)
    deleted = []
    for name, facts in sorted(ended.items()):
        if facts["time"] >= before_ns:
            continue
        tell(
            {
                "kind": "record.pruned",
                "stream": name.stream,
                "segment": name.number,
                "n": facts["n"],
                "total": facts["total"],
                "head": facts["head"],
                "ended": facts["time"],
                "by": by,
                "time": time.time_ns(),
            }
        )
        with contextlib.suppress(FileNotFoundError):
            (directory / str(name)).unlink()
        deleted.append(name)
    return deleted
