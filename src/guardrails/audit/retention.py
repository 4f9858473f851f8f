"""Deleting what is old: whole sealed segments, each with a line in the list that says so.

The line comes first, so that a segment that is gone without one was taken away by somebody else.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from guardrails.audit.layout import SegmentName
from guardrails.audit.manifest import Manifest, manifest_lines
from guardrails.audit.recovery import end_dead_streams
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guardrails.audit.keys import RecordKey


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
                "wanted_by": by,
                "time": time.time_ns(),
            }
        )
        with contextlib.suppress(FileNotFoundError):
            (directory / str(name)).unlink()
        deleted.append(name)
    return deleted


def prune(directory: Path, key: RecordKey | None, *, before_ns: int, by: str) -> list[SegmentName]:
    """The same, from outside of the processes that write.

    Raises:
        StateUnavailable: it could not be done.
    """
    try:
        with Manifest(directory, key).open() as tell:
            end_dead_streams(directory, tell)
            return prune_sealed(directory, tell, before_ns=before_ns, by=by)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StateUnavailable(f"the record `{directory}` cannot be pruned: {reason}") from error
