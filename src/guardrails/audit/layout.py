"""Where a record's files are in its directory, and how they are opened: ours alone, no links.

::

    record/
      streams.jsonl                                   every stream, segment by segment
      20261128T013021Z-9f3a6c21d0b4-000001.jsonl      a stream's first segment
      20261128T013021Z-9f3a6c21d0b4.head              how far that stream is, while it is open

Directories are 0700 and files 0600. What belongs to another user, is no regular file, or may be
written by others is refused.
"""

from __future__ import annotations

import os
import re
import stat
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST: Final = "streams.jsonl"
"""The file that lists the streams."""

HEAD: Final = ".head"
"""How the name of a head ends."""

_SEGMENT: Final = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{12})-(\d{6,})\.jsonl")
_HEAD: Final = re.compile(r"(\d{8}T\d{6}Z-[0-9a-f]{12})\.head")

_GUARDED: Final = (
    # Not every system has these; Windows knows neither links of this kind nor fork.
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
)


class SegmentName(NamedTuple):
    """A segment, by its name; they sort by stream and number.

    Attributes:
        stream: The stream's id.
        number: Its place in the stream; the first is 1.
    """

    stream: str
    number: int

    def __str__(self) -> str:
        return f"{self.stream}-{self.number:06}.jsonl"


def new_stream() -> str:
    """The id of a new stream: when it began, and what tells it from any other."""
    return time.strftime("%Y%m%dT%H%M%SZ-", time.gmtime()) + os.urandom(6).hex()


def segments_in(directory: Path) -> list[SegmentName]:
    """The segments that are there, stream by stream.

    Raises:
        OSError: the directory cannot be read.
    """
    found = (_SEGMENT.fullmatch(file.name) for file in directory.iterdir())
    return sorted(SegmentName(each[1], int(each[2])) for each in found if each is not None)


def heads_in(directory: Path) -> Iterator[str]:
    """The streams of which there is a head."""
    for file in sorted(directory.iterdir()):
        found = _HEAD.fullmatch(file.name)
        if found is not None:
            yield found[1]


def make_directory(path: Path) -> None:
    """Make `path` and what is missing above it, for their owner alone; refuse what others own.

    Raises:
        OSError: it cannot be made, or is not to be used.
    """
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(0, "it is no directory")
    _require_ours(found)


def open_ours(path: Path, flags: int) -> int:
    """A descriptor of the file at `path`, a regular one that is its owner's alone.

    Raises:
        OSError: it cannot be opened, or is not to be used.
    """
    fd = os.open(path, flags | _GUARDED, 0o600)
    try:
        _require_ours_and_regular(os.fstat(fd), path.name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def sync_directory(path: Path) -> None:
    """Have the names in `path` on the disk, where the system can be asked for that."""
    if os.name != "posix":
        return
    fd = os.open(path, os.O_RDONLY | _GUARDED)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _require_ours_and_regular(found: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, f"`{name}` is no regular file")
    _require_ours(found)


def _require_ours(found: os.stat_result) -> None:
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise OSError(0, f"it belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o022:
        raise OSError(0, "others may write to it; take that away with `chmod go-w`")
