"""Where the members of a tar stand, and that it holds nothing but plain files.

:mod:`tarfile` reads what it can: it ends in silence at a damaged header, follows sizes below
zero, and looks for patterns in extended headers of any size. So the blocks are walked here
first: their checksums, types and sizes, the end marker, and the zeros behind it. What passes
is small and regular, and :mod:`tarfile` must then find exactly the same members in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.errors import PolicyLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK: Final = 512
"""Bytes of a block."""

_END: Final = 2 * BLOCK
_EXTENDED_LIMIT: Final = 16 << 10
_MOST_EXTENDED: Final = 4
_LONG_NUMBER: Final = re.compile(rb"[0-9]{100}")
_SIZE: Final = slice(124, 136)
_CHECKSUM: Final = slice(148, 156)
_TYPE: Final = slice(156, 157)
_FILE: Final = (b"0", b"\0")
_DIRECTORY: Final = b"5"
_EXTENDED: Final = {b"x": "an extended header", b"g": "a global header", b"L": "a long name"}
_REFUSED: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"7": "a contiguous file",
    b"K": "a link with a long name",
    b"S": "a sparse file",
    b"D": "a dumped directory",
    b"M": "a part of a file",
    b"V": "a volume header",
    b"X": "an extended header of another kind",
}


class Member(NamedTuple):
    """One file or directory.

    Attributes:
        content: Where its content starts, in bytes.
        size: How long that is.
        is_file: Whether it is a file; else it is a directory.
    """

    content: int
    size: int
    is_file: bool


def members(tar: bytes, name: str) -> Iterator[Member]:
    """The files and directories of `tar`, in order.

    Args:
        tar: The whole archive.
        name: What errors call it.

    Raises:
        PolicyLoadError: It is damaged, cut off, goes on after its end, or holds something else.
    """
    at = 0
    extended = 0
    while True:
        header = tar[at : at + BLOCK]
        if len(header) < BLOCK:
            raise _refused(name, at, "the archive ends within a header, or without its end marker")
        if not any(header):
            break
        _check(header, name, at)
        kind = header[_TYPE]
        size = _octal(header[_SIZE], name, at)
        start = at + BLOCK
        at = start + (size + BLOCK - 1) // BLOCK * BLOCK
        if at > len(tar):
            raise _refused(name, start - BLOCK, f"{size} bytes are announced, and fewer are there")
        if kind in _EXTENDED:
            extended += 1
            _check_extended(tar[start : start + size], _EXTENDED[kind], extended, name, at)
            continue
        extended = 0
        if kind == _DIRECTORY and size == 0:
            yield Member(start, 0, is_file=False)
        elif kind in _FILE:
            yield Member(start, size, is_file=True)
        else:
            what = _REFUSED.get(kind, f"a member of the unknown type {kind!r}")
            raise _refused(name, start - BLOCK, f"{what} is not read; only files and directories")
    if extended:
        raise _refused(name, at, "an extended header stands before nothing")
    rest = tar[at:]
    if len(rest) < _END or rest.count(0) != len(rest):
        raise _refused(name, at, "the end marker is cut off, or something stands behind it")


def _check_extended(content: bytes, what: str, number: int, name: str, at: int) -> None:
    """Refuses what takes long to be looked through: the time grows with the square of digits."""
    if len(content) > _EXTENDED_LIMIT:
        told = f"{what} has {len(content)} bytes, more than {_EXTENDED_LIMIT}"
    elif number > _MOST_EXTENDED:
        told = f"more than {_MOST_EXTENDED} headers stand before one member"
    elif _LONG_NUMBER.search(content):
        told = f"{what} has a number of 100 digits or more"
    else:
        return
    raise _refused(name, at, told)


def _check(header: bytes, name: str, at: int) -> None:
    """Refuses a header whose bytes do not have the sum that it gives."""
    told = _octal(header[_CHECKSUM], name, at)
    blank = header[: _CHECKSUM.start] + b" " * 8 + header[_CHECKSUM.stop :]
    if told != sum(blank):
        raise _refused(name, at, "the header is damaged: its checksum is wrong")


def _octal(field: bytes, name: str, at: int) -> int:
    """A number in octal digits. Larger ones, and those below zero, have another form."""
    digits = field.strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise _refused(name, at, "the header is damaged: a number is not in octal digits")
    return int(digits, 8)


def _refused(name: str, at: int, what: str) -> PolicyLoadError:
    return PolicyLoadError(f"the bundle is refused at byte {at} of its tar: {what}", file=name)
