"""The lines of the record about one run, as they come; and the calls that have not ended yet."""

from __future__ import annotations

import json
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_TAIL: Final = 16 << 20
"""Bytes from the end of a record that are looked through for calls at work."""

_POLL: Final = 0.2


def lines_of(
    path: Path, run_id: str, *, go_on: Callable[[], bool] = lambda: False
) -> Iterator[dict[str, Any]]:
    """The events of a run in the record, and, as long as `go_on` says so, those to come.

    Raises:
        StateUnavailable: the record cannot be read.
    """
    # Most lines are about other runs; they are not parsed.
    mark = json.dumps(run_id).encode()
    for line in _lines(path, 0, go_on):
        event = _event(line) if mark in line else None
        if event is not None and event.get("run_id") == run_id:
            yield event


def at_work(path: Path, run_ids: Collection[str]) -> Counter[tuple[str, str]]:
    """How many calls of each run and tool have started and not ended, by the record's last lines.

    Exact but for calls that started before the last 16 MiB of it.

    Raises:
        StateUnavailable: the record cannot be read.
    """
    started: dict[str, tuple[str, str]] = {}
    try:
        begin = max(0, path.stat().st_size - _TAIL)
    except FileNotFoundError:
        return Counter()
    except OSError as error:
        raise _unreadable(path, error) from error
    for line in _lines(path, begin, lambda: False):
        if b'"call.' not in line:
            continue
        event = _event(line)
        if event is None or event.get("run_id") not in run_ids:
            continue
        if event["kind"] == "call.started":
            started[event["decision_id"]] = (event["run_id"], event["tool"])
        elif event["kind"] == "call.finished":
            started.pop(event.get("decision_id", ""), None)
    return Counter(started.values())


def _lines(path: Path, begin: int, go_on: Callable[[], bool]) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            if begin:
                file.seek(begin)
                file.readline()  # the rest of a line
            whole = b""
            while True:
                more = go_on()  # before reading: what was written until then is still read
                part = file.readline()
                if part:
                    whole += part
                    if whole.endswith(b"\n"):
                        yield whole
                        whole = b""
                elif not more:
                    return
                else:
                    time.sleep(_POLL)
    except OSError as error:
        raise _unreadable(path, error) from error


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line, parse_float=Decimal)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None


def _unreadable(path: Path, error: OSError) -> StateUnavailable:
    return StateUnavailable(
        f"the record `{path}` cannot be read: {error.strerror or type(error).__name__}"
    )
