"""One segment, open for writing: blocks that are on the disk whole, or not in it at all."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from guardrails.audit.layout import open_ours
from guardrails.audit.locking import hold

if TYPE_CHECKING:
    from pathlib import Path


class SegmentFile:
    """A new file, locked for as long as it is open, so that others see that its process lives.

    Args:
        path: Where it is made.

    Raises:
        OSError: it is there already, or cannot be made; also from :meth:`append`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._fd = open_ours(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        hold(self._fd)

    def append(self, content: bytes) -> None:
        """Write `content` at the end, and have it on the disk; else nothing of it is there."""
        found = os.fstat(self._fd)
        if found.st_nlink == 0:
            raise OSError(0, f"`{self.path.name}` was deleted while it was in use")
        if found.st_size < self.size:
            raise OSError(0, f"`{self.path.name}` was cut while it was in use")
        if found.st_size > self.size:  # left from a write that failed
            os.ftruncate(self._fd, self.size)
        place, rest = self.size, memoryview(content)
        try:
            while rest:
                written = write_at(self._fd, rest, place)
                place += written
                rest = rest[written:]
            sync_data(self._fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size = place

    def close(self) -> None:
        """Close it; closing twice does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def read_at(fd: int, size: int, place: int) -> bytes:
    """At most `size` bytes from `place` on."""
    os.lseek(fd, place, os.SEEK_SET)
    return os.read(fd, size)


def write_at(fd: int, content: bytes | memoryview, place: int) -> int:
    """How much of `content` the disk took, at `place`."""
    os.lseek(fd, place, os.SEEK_SET)
    return os.write(fd, content)


def sync_data(fd: int) -> None:
    """Have what was written to the file of `fd` on the disk."""
    if hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        os.fsync(fd)
