"""What one process writes: a chain of segments, its head, and its lines in the list of streams.

Not for use by several threads at a time.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.chain import GENESIS, closing_line
from guardrails.audit.heads import remove_head, write_head
from guardrails.audit.layout import SegmentName, new_stream, sync_directory
from guardrails.audit.manifest import Manifest
from guardrails.audit.recovery import end_dead_streams
from guardrails.audit.retention import prune_sealed
from guardrails.audit.segment_file import SegmentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guardrails.audit.keys import RecordKey

FORMAT: Final = 1
"""The version of the format, in each segment's first line."""

SEGMENT_AGE: Final = 24 * 3600.0
"""Seconds after which a segment is rotated whatever its size, so that it can be deleted."""

_HEAD_EVERY: Final = 1.0
"""Seconds between two heads of a stream that goes on."""

_ANCHOR_EVERY: Final = 60.0
"""Seconds between two anchors of a stream that goes on."""


class Stream:
    """A chain of segments in a directory. Its files are made by the first :meth:`append`.

    Args:
        directory: The record's directory; it must be there.
        key: Signs; None for an unsigned chain.
        segment_size: Bytes after which the next segment begins.
        retention: Seconds after which a sealed segment is deleted; None to keep all.
        anchor: Is given each anchored head, a line; None for none.
    """

    def __init__(
        self,
        directory: Path,
        *,
        key: RecordKey | None,
        segment_size: int,
        retention: float | None = None,
        anchor: Callable[[bytes], None] | None = None,
    ) -> None:
        self.id = new_stream()
        self._directory = directory
        self._key = key
        self._sign = None if key is None else key.sign
        self._segment_size = segment_size
        self._retention = retention
        self._anchor = anchor
        self._manifest = Manifest(directory, key)
        self._file: SegmentFile | None = None
        self._is_sealed = False
        self._number = self._n = self._total = 0
        self._hash = GENESIS
        self._to_list: list[Mapping[str, Any]] = []  # what the list of streams is still to be told
        self._head_n = self._anchored_n = 0  # how far the newest of each says that the stream is
        self._began = self._head_at = self._anchored_at = 0.0

    def append(self, lines: bytes, count: int) -> None:
        """Close `lines`, which are `count` events, and have them on the disk.

        Raises:
            OSError: they are not; the same may be appended again.
        """
        if self._file is None or self._is_sealed:
            self._begin_segment()
        self._close("record.chain", lines, count)

    def tend(self) -> None:
        """Do what is due besides: rotate, write the head, anchor it.

        Raises:
            OSError: something of it failed, and will be due again.
        """
        file = self._file
        if file is None:
            return
        now = time.monotonic()
        if file.size >= self._segment_size or now - self._began > SEGMENT_AGE:
            self._rotate()
        if self._head_n != self._n and now - self._head_at >= _HEAD_EVERY:
            self._write_head()
        if self._must_anchor and now - self._anchored_at >= _ANCHOR_EVERY:
            self._write_anchor()

    @property
    def due(self) -> float | None:
        """Seconds until :meth:`tend` has something to do; None where it has not."""
        times = []
        if self._file is not None and self._head_n != self._n:
            times.append(self._head_at + _HEAD_EVERY)
        if self._must_anchor:
            times.append(self._anchored_at + _ANCHOR_EVERY)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def end(self) -> None:
        """Seal the stream: nothing comes after this.

        Raises:
            OSError: it could not be sealed, and stays as a crash would leave it.
        """
        if self._file is None:
            return
        try:
            if not self._is_sealed:
                self._seal("closed")
            with self._manifest.open() as tell:
                self._tell_sealed(tell)
            remove_head(self._directory, self.id)
            if self._anchor is not None:
                self._write_anchor()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Let go of the files as they are."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin_segment(self) -> None:
        number = self._number + 1
        path = self._directory / str(SegmentName(self.id, number))
        with self._manifest.open() as tell:
            self._tell_sealed(tell)
            if self._file is None:
                end_dead_streams(self._directory, tell)
            if self._retention is not None:
                before = time.time_ns() - int(self._retention * 1e9)
                prune_sealed(self._directory, tell, before_ns=before, by="retention")
            file = SegmentFile(path)
            state = (self._hash, self._n, self._file, self._is_sealed, self._number)
            try:
                self._file, self._is_sealed, self._number = file, False, number
                self._close(
                    "record.segment",
                    format=FORMAT,
                    stream=self.id,
                    segment=number,
                    pid=os.getpid(),
                    key=None if self._key is None else self._key.public.id,
                    manifest=self._manifest.head.hex(),
                )
                self._write_head()
                tell(
                    {
                        "kind": "record.opened",
                        "stream": self.id,
                        "segment": number,
                        "n": self._n,
                        "head": self._hash.hex(),
                        "pid": os.getpid(),
                        "key": None if self._key is None else str(self._key.public),
                        "time": time.time_ns(),
                    }
                )
            except BaseException:
                self._hash, self._n, self._file, self._is_sealed, self._number = state
                file.close()
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
        if state[2] is not None:
            state[2].close()
        self._began = time.monotonic()
        sync_directory(self._directory)
        if self._anchor is not None:
            self._write_anchor()

    def _rotate(self) -> None:
        if not self._is_sealed:
            self._seal("rotated")
        self._begin_segment()

    def _seal(self, why: str) -> None:
        self._close("record.seal", why=why)
        self._is_sealed = True
        self._to_list.append(
            {
                "kind": "record.sealed",
                "stream": self.id,
                "segment": self._number,
                "n": self._n,
                "total": self._total,
                "head": self._hash.hex(),
                "why": why,
                "time": time.time_ns(),
            }
        )

    def _tell_sealed(self, tell: Callable[[Mapping[str, Any]], None]) -> None:
        while self._to_list:
            tell(self._to_list[0])
            del self._to_list[0]

    def _close(self, kind: str, lines: bytes = b"", count: int = 0, **more: Any) -> None:
        """Append a closing line, after `lines`."""
        file = self._file
        if file is None:
            raise OSError(0, "no segment is open")
        facts = {
            "kind": kind,
            "n": self._n + 1,
            "events": count,
            "total": self._total + count,
            "time": time.time_ns(),
            **more,
        }
        line, head = closing_line(facts, self._hash, lines, self._sign)
        file.append(lines + line)
        self._hash = head
        self._n += 1
        self._total += count

    def _head_line(self) -> bytes:
        facts = {
            "kind": "record.head",
            "stream": self.id,
            "segment": self._number,
            "n": self._n,
            "total": self._total,
            "head": self._hash.hex(),
            "manifest": self._manifest.head.hex(),
            "key": None if self._key is None else self._key.public.id,
            "time": time.time_ns(),
        }
        return closing_line(facts, GENESIS, sign=self._sign)[0]

    def _write_head(self) -> None:
        write_head(self._directory, self.id, self._head_line())
        self._head_n, self._head_at = self._n, time.monotonic()

    @property
    def _must_anchor(self) -> bool:
        return self._anchor is not None and self._anchored_n != self._n

    def _write_anchor(self) -> None:
        if self._anchor is None:
            return
        self._anchor(self._head_line())
        self._anchored_n, self._anchored_at = self._n, time.monotonic()
