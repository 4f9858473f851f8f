"""The kill page: one number that all processes of a machine read, in nanoseconds.

The page is a small file that every process maps into its memory. It holds a number
that changes with every kill and resume, so that a call which finds the number that
it knows need not look any further. What was killed stands in the kill table
(:mod:`guardrails.runs.kill_store`); the page only says that it has to be read again.

**The number.** Even: the table is settled, and holds what it held when this number was
stored. Odd: a change may have been made since. It only grows, and only under the
table's write lock: to the next odd number before a change is committed, and to the
even one above it after. So whatever dies in between leaves an odd number behind, and
an odd number is remembered by nobody: each call then reads the table itself.

**The number is stored in one piece** where a machine word has eight bytes. Where it has
four, a reader may see one half of the old number and one of the new, and that does no
harm: even to odd changes the lower half alone, and a mix on the way from odd to even is
odd, or smaller than every number to come. No mix is even and is ever stored later.

**The file** is made whole, for its user alone (0600), then written in place, and never
replaced, resized or truncated by guardrails. Its length, owner and mode are looked at
before it is mapped. Whoever truncates it under those who map it (only its user can)
has the system end them with SIGBUS: they do not go on unkilled, but they do not refuse
politely either. Every byte of it is written at the start, so that a full disk cannot
do the same.
"""

from __future__ import annotations

import mmap
import os
import stat
import struct
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE: Final = 4096
ID_LENGTH: Final = 16

_MAGIC: Final = b"GRKILL\r\n"
_VERSION: Final = 1
_CONSTANT: Final = struct.Struct(f"<8sI{ID_LENGTH}sQ")
"""Magic, version, the id of the table that it belongs to, when it was made (UTC ns)."""
_CHECKSUM: Final = struct.Struct("<I")
_WORD: Final = 8
"""The number's place, in words of eight bytes: aligned, and on a cache line of its own."""

_FLAGS: Final = (
    os.O_RDWR
    # Not every system has these; Windows knows neither such links nor fork.
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class KillPage:
    """A mapping of the page at `path`.

    Args:
        path: The file; it has to be there.

    Attributes:
        id: The id of the kill table that the page belongs to.
        made_ns: When it was made, UTC nanoseconds.
        place: Which file it is, as long as that exists: its device and inode.
        read: Gives the number, as ``read[0]``: no lock, no system call.

    Raises:
        StateUnavailable: there is none, or it is none of ours.
    """

    __slots__ = ("_map", "id", "made_ns", "path", "place", "read")

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with _faults(self.path):
            fd = os.open(self.path, _FLAGS)
            try:
                found = os.fstat(fd)
                _check(found, self.path)
                # Read only: nothing in this process can change it by mistake.
                self._map = mmap.mmap(fd, SIZE, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
        self.place = place_of(found)
        magic, version, self.id, self.made_ns = _CONSTANT.unpack_from(self._map)
        (checksum,) = _CHECKSUM.unpack_from(self._map, _CONSTANT.size)
        if magic != _MAGIC or checksum != zlib.crc32(self._map[: _CONSTANT.size]):
            raise _refusal(self.path, "is no kill page, or was damaged")
        if version != _VERSION:
            raise _refusal(
                self.path, f"has version {version}, this release knows {_VERSION}: another made it"
            )
        self.read = memoryview(self._map).cast("Q")[_WORD : _WORD + 1]

    @classmethod
    def make(cls, path: str | Path, id: bytes, number: int, now_ns: int) -> Self:
        """A new page that begins with `number`; only for who holds the table's write lock.

        Raises:
            StateUnavailable: it cannot be made; so where something is there already.
        """
        path = Path(path)
        constant = _CONSTANT.pack(_MAGIC, _VERSION, id, now_ns)
        content = bytearray(SIZE)
        content[: len(constant)] = constant
        _CHECKSUM.pack_into(content, len(constant), zlib.crc32(constant))
        memoryview(content).cast("Q")[_WORD] = number
        # Whole before it has its name: who finds the name finds a page.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        with _faults(path):
            with suppress(FileNotFoundError):
                draft.unlink()
            fd = os.open(draft, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                if os.write(fd, content) != SIZE:
                    raise _refusal(path, "cannot be written whole")
                os.fsync(fd)
                os.link(draft, path)
            finally:
                os.close(fd)
                draft.unlink()
        return cls(path)

    @property
    def number(self) -> int:
        """The number as it is now."""
        return int(self.read[0])

    def store(self, number: int) -> None:
        """Put `number` in the place of the old one; only for who holds the table's write lock.

        Raises:
            StateUnavailable: the path does not lead to this page any more.
        """
        with _faults(self.path):
            fd = os.open(self.path, _FLAGS)
            try:
                self._compare(os.fstat(fd))
                with mmap.mmap(fd, SIZE, access=mmap.ACCESS_WRITE) as writable:
                    words = memoryview(writable).cast("Q")
                    words[_WORD] = number
                    words.release()
            finally:
                os.close(fd)

    def check(self) -> None:
        """Nothing, if the path still leads to this page.

        Raises:
            StateUnavailable: it was deleted, replaced, resized or opened to others.
        """
        with _faults(self.path):
            self._compare(os.lstat(self.path))

    def _compare(self, found: os.stat_result) -> None:
        if place_of(found) != self.place:
            raise _refusal(
                self.path, "was replaced while it was in use; start this process again to map it"
            )
        _check(found, self.path)


def place_of(found: os.stat_result) -> str:
    """Which file it is, on this machine, since the last start of it."""
    return f"{found.st_dev}:{found.st_ino}"


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(path, "is no regular file")
    if found.st_size != SIZE:
        raise _refusal(path, f"has {found.st_size} bytes, not {SIZE}: it was damaged")
    if os.name == "posix" and found.st_uid != os.geteuid():
        raise _refusal(path, "belongs to another user than this process's")
    if os.name == "posix" and found.st_mode & 0o022:
        raise _refusal(path, "may be written by others; take that away with `chmod go-w`")


def _refusal(path: Path, what: str) -> StateUnavailable:
    return StateUnavailable(f"the kill page `{path}` {what}")


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise _refusal(path, "is not there; it was deleted") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refusal(path, f"cannot be used: {reason}") from error


__all__ = ["ID_LENGTH", "SIZE", "KillPage", "place_of"]
