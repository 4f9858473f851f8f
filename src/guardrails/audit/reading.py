"""Reading a record back: a directory of segments or a file of JSON lines, damage included.

============== ==================================================================================
:func:`read`    Every event that is there, merged over the streams of all processes.
:func:`batches` The same as raw lines, for whoever wants to look before parsing.
:func:`follow`  What is closed from a cursor on, and what comes; survives restarts of the reader.
:func:`verify`  Whether all of that is what was written (:mod:`.verification`).
============== ==================================================================================
"""

from __future__ import annotations

import heapq
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.following import Cursor, follow_blocks
from guardrails.audit.layout import MANIFEST, segments_in
from guardrails.audit.lines import event_of_line, time_of
from guardrails.audit.streams import Block, blocks_of, streams_in
from guardrails.audit.verification import verify
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from guardrails.audit.layout import SegmentName

__all__ = [
    "TORN",
    "Cursor",
    "batches",
    "event_of_line",
    "follow",
    "raw_lines",
    "read",
    "verify",
]

TORN: Final = "record.torn"
"""The kind of what stands for a line that is no event."""

_LINES: Final = 512
"""Lines of a plain file that make a batch."""


def read(path: str | Path) -> Iterator[dict[str, Any]]:
    """The events of a record, numbers exact; the streams of a directory merged by time.

    A stream's own order is kept. A line that is no whole event (cut short by a crash, still being
    written, or tampered with) comes as ``{"kind": "record.torn", "line": N, "bytes": B}``, in a
    directory with the ``file`` it stands in. A file of JSON lines is read as it is.

    Raises:
        StateUnavailable: it cannot be read.
    """
    path = Path(path)
    try:
        if not _is_directory(path):
            yield from _plain(path)
            return
        streams = [_events(path, segments) for segments in streams_in(path).values()]
        for _, _, event in heapq.merge(*map(_timed, range(len(streams)), streams)):
            yield event
    except OSError as error:
        raise _unreadable(path, error) from error


def batches(path: str | Path, *, last: int | None = None) -> Iterator[list[bytes]]:
    """The lines of the events, as they were written together, each with its newline.

    The batches of a directory's streams are merged by the time of their first events.

    Args:
        path: A directory of segments, or a file of JSON lines.
        last: Bytes from the end of each stream that are enough; None for all.

    Raises:
        StateUnavailable: it cannot be read.
    """
    path = Path(path)
    try:
        if not _is_directory(path):
            yield from _plain_batches(path, last)
            return
        streams = [
            _timed_batches(number, path, segments, last)
            for number, segments in enumerate(streams_in(path).values())
        ]
        for _, _, lines in heapq.merge(*streams):
            yield lines
    except OSError as error:
        raise _unreadable(path, error) from error


def follow(
    directory: str | Path,
    cursor: Cursor | None = None,
    *,
    go_on: Callable[[], bool] = lambda: True,
    poll: float = 0.2,
) -> Iterator[tuple[Cursor, dict[str, Any]]]:
    """Each closed event after `cursor`, with the cursor behind it; and those to come.

    Keep the cursor once its event is dealt with: whoever begins from a kept cursor misses nothing,
    and sees again what came after it alone. Streams that begin meanwhile are found. Each stream is
    in its order; what one look finds in several is merged by time, batch by batch.

    Args:
        directory: The record's directory.
        cursor: Where to begin; None for the beginning.
        go_on: Asked before each look; what is there by then is still given.
        poll: Seconds between two looks.

    Raises:
        StateUnavailable: it cannot be read.
    """
    path = Path(directory)
    try:
        _is_directory(path)
        for behind, block in follow_blocks(path, cursor or Cursor(), go_on=go_on, poll=poll):
            last = len(block.lines)
            done = behind.before.done_of(block.segment)
            for number, line in enumerate(block.lines[done:], done + 1):
                event = event_of_line(line) or _torn(0, line, str(block.segment))
                here = behind.before.inside(block.segment, number)
                yield (here if number < last else behind.after), event
    except OSError as error:
        raise _unreadable(path, error) from error


def raw_lines(
    path: str | Path, *, go_on: Callable[[], bool] = lambda: False, poll: float = 0.2
) -> Iterator[bytes]:
    """The lines of the events, and, as long as `go_on` says so, those to come.

    Of a directory those that are closed, merged by time as :func:`follow` does.

    Raises:
        StateUnavailable: it cannot be read.
    """
    path = Path(path)
    try:
        if not _is_directory(path):
            yield from _plain_lines(path, go_on, poll)
            return
        for _, block in follow_blocks(path, Cursor(), go_on=go_on, poll=poll):
            yield from block.lines
    except OSError as error:
        raise _unreadable(path, error) from error


def _plain_lines(path: Path, go_on: Callable[[], bool], poll: float) -> Iterator[bytes]:
    with path.open("rb") as file:
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
                time.sleep(poll)


def _is_directory(path: Path) -> bool:
    """Whether `path` is a directory of segments; an error where it is one of something else."""
    if not path.is_dir():
        return False
    if not (path / MANIFEST).exists() and not segments_in(path):
        raise OSError(0, "it is no directory of segments")
    return True


def _plain(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line != b"\n":
                yield event_of_line(line) or {"kind": TORN, "line": number, "bytes": len(line)}


def _plain_batches(path: Path, last: int | None) -> Iterator[list[bytes]]:
    with path.open("rb") as file:
        if last is not None:
            size = file.seek(0, 2)
            file.seek(max(0, size - last))
            if size > last:
                file.readline()  # the rest of a line
        lines: list[bytes] = []
        for line in file:
            lines.append(line)
            if len(lines) == _LINES:
                yield lines
                lines = []
        if lines:
            yield lines


def _events(directory: Path, segments: Iterable[SegmentName]) -> Iterator[dict[str, Any]]:
    for name in segments:
        number = 0
        for block in _blocks(directory, name):
            for line in block.lines:
                number += 1
                yield event_of_line(line) or _torn(number, line, str(name))
            number += 1


def _timed(
    stream: int, events: Iterator[dict[str, Any]]
) -> Iterator[tuple[int, tuple[int, int], dict[str, Any]]]:
    # A time never goes back within a stream here: its own order is what is kept.
    latest = 0
    for index, event in enumerate(events):
        at = event.get("time")
        if isinstance(at, int):
            latest = max(latest, at)
        yield latest, (stream, index), event


def _timed_batches(
    stream: int, directory: Path, segments: list[SegmentName], last: int | None
) -> Iterator[tuple[int, tuple[int, int], list[bytes]]]:
    latest = index = 0
    for name, begin in _from(directory, segments, last):
        skip = begin > 0
        for block in _blocks(directory, name, begin):
            lines = block.lines
            if skip:  # the rest of a line
                lines, skip = lines[1:], False
            latest = max(latest, time_of(lines))
            if lines:
                yield latest, (stream, index), lines
            index += 1


def _from(
    directory: Path, segments: list[SegmentName], last: int | None
) -> Iterator[tuple[SegmentName, int]]:
    """Where to begin in each segment that is needed for the last bytes of the stream."""
    if last is None:
        yield from ((name, 0) for name in segments)
        return
    needed: list[tuple[SegmentName, int]] = []
    for name in reversed(segments):
        size = (directory / str(name)).stat().st_size
        needed.append((name, max(0, size - last)))
        last -= size
        if last <= 0:
            break
    yield from reversed(needed)


def _blocks(directory: Path, name: SegmentName, begin: int = 0) -> Iterator[Block]:
    try:
        yield from blocks_of(directory, name, begin)
    except FileNotFoundError:  # deleted meanwhile, as retention wants it
        return


def _torn(number: int, line: bytes, file: str) -> dict[str, Any]:
    return {"kind": TORN, "line": number, "bytes": len(line), "file": file}


def _unreadable(path: Path, error: OSError) -> StateUnavailable:
    reason = error.strerror or str(error) or type(error).__name__
    return StateUnavailable(f"the record `{path}` cannot be read: {reason}")
