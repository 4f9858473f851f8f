"""The list of all streams of a record: what was opened, rotated, ended and deleted, in order.

``streams.jsonl`` holds closing lines alone, each chained to the one before it, written by every
process under the file's lock. A stream or a segment that is taken away is missed because it
stands here; a line that is taken out of here, because the next one does not follow.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.chain import GENESIS, Closing, closing_line, read_closing
from guardrails.audit.layout import MANIFEST, open_ours
from guardrails.audit.locking import locked
from guardrails.audit.segment_file import read_at, sync_data, write_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from guardrails.audit.keys import RecordKey

_BLOCK: Final = 64 << 10
"""Bytes from the end in which the last line is looked for; a line has some hundred."""


class Manifest:
    """The list in a directory, as one process writes it.

    Args:
        directory: The record's directory.
        key: Signs its lines; None for lines without signatures.
    """

    def __init__(self, directory: Path, key: RecordKey | None) -> None:
        self._path = directory / MANIFEST
        self._sign = None if key is None else key.sign
        self._by = None if key is None else key.public.id
        self._own: tuple[int, bytes] | None = None  # where our last line is, and what it says
        self.head = GENESIS

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """What appends a line, as long as the context lasts; no other process does meanwhile.

        A line is on the disk when it returns.

        Raises:
            OSError: it cannot be written, or was changed behind this process's back.
        """
        fd = open_ours(self._path, os.O_RDWR | os.O_CREAT)
        try:
            with locked(fd):
                end = self._check(fd)

                def append(facts: Mapping[str, Any]) -> None:
                    nonlocal end
                    line, head = closing_line({**facts, "by": self._by}, self.head, sign=self._sign)
                    _write(fd, line, end)
                    sync_data(fd)
                    self._own = (end, line)
                    self.head = head
                    end += len(line)

                yield append
        finally:
            os.close(fd)

    def _check(self, fd: int) -> int:
        """Where the next line goes; the head is then that of the last one."""
        size = os.fstat(fd).st_size
        if self._own is not None:
            place, line = self._own
            if read_at(fd, len(line), place) != line:
                raise OSError(0, f"`{MANIFEST}` was changed: a line of this process is gone")
        begin = max(0, size - _BLOCK)
        tail = read_at(fd, size - begin, begin)
        whole = tail.rfind(b"\n") + 1
        if begin + whole < size:  # cut short as its process died; nobody relies on it
            os.ftruncate(fd, begin + whole)
        if not whole:
            self.head = GENESIS
            return begin
        last = read_closing(tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole])
        if last is None or not last.follows(last.prev):
            what = "its last line is damaged; `guardrails audit verify` says more"
            raise OSError(0, f"`{MANIFEST}` was changed: {what}")
        self.head = last.hash
        return begin + whole


def manifest_lines(directory: Path) -> Iterator[tuple[int, bytes, Closing | None]]:
    """Each line with its number; the closing line is None where it is none.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with (directory / MANIFEST).open("rb") as file:
            for number, line in enumerate(file, 1):
                yield number, line, read_closing(line)
    except FileNotFoundError:
        return


def _write(fd: int, line: bytes, place: int) -> None:
    if write_at(fd, line, place) != len(line):
        os.ftruncate(fd, place)
        raise OSError(0, "the disk took only a part of a line")
