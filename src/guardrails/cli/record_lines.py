"""The lines of the record about one run, as they come; and the calls that have not ended yet."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.reading import batches, event_of_line, raw_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

_TAIL: Final = 16 << 20
"""Bytes from the end of a record, or of each process's, that are looked through for such calls."""


def lines_of(
    path: Path, run_id: str, *, go_on: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """The events of a run in the record, and, as long as `go_on` says so, those to come.

    Raises:
        StateUnavailable: the record cannot be read.
    """
    # Most lines are about other runs; they are not parsed.
    mark = json.dumps(run_id).encode()
    for line in raw_lines(path, go_on=go_on):
        event = event_of_line(line) if mark in line else None
        if event is not None and event.get("run_id") == run_id:
            yield event


def at_work(path: Path, run_ids: Collection[str]) -> Counter[tuple[str, str]]:
    """How many calls of each run and tool have started and not ended, by the record's last lines.

    Exact but for calls that started before the last 16 MiB of it.

    Raises:
        StateUnavailable: the record cannot be read.
    """
    started: dict[str, tuple[str, str]] = {}
    if not path.exists():
        return Counter()
    for lines in batches(path, last=_TAIL):
        for line in lines:
            event = event_of_line(line) if b'"call.' in line else None
            if event is None or event.get("run_id") not in run_ids:
                continue
            if event["kind"] == "call.started":
                started[event["decision_id"]] = (event["run_id"], event["tool"])
            elif event["kind"] == "call.finished":
                started.pop(event.get("decision_id", ""), None)
    return Counter(started.values())
