"""The streams of a directory, read: lines between closing lines, a piece at a time.

No file stays open between two pieces, so that a directory may have any number of streams.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.audit.chain import MARK
from guardrails.audit.layout import SegmentName, segments_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PIECE: Final = 256 << 10


class Block(NamedTuple):
    """The lines before one closing line.

    Attributes:
        segment: Where it is.
        end: The first byte after it, its closing line included.
        lines: The events, each with its newline.
        closing: The closing line; empty for what stands after the last one.
    """

    segment: SegmentName
    end: int
    lines: list[bytes]
    closing: bytes


def streams_in(directory: Path) -> dict[str, list[SegmentName]]:
    """The segments of each stream, in order.

    Raises:
        OSError: the directory cannot be read.
    """
    streams: dict[str, list[SegmentName]] = {}
    for name in segments_in(directory):
        streams.setdefault(name.stream, []).append(name)
    return streams


def blocks_of(directory: Path, name: SegmentName, begin: int = 0) -> Iterator[Block]:
    """The blocks of one segment from the byte `begin` on.

    The last one has no closing line where something stands after the last closing line.

    Raises:
        OSError: the file cannot be read.
    """
    lines: list[bytes] = []
    place = begin
    for line in _lines(directory / str(name), begin):
        place += len(line)
        if line.startswith(MARK) and line.endswith(b"\n"):
            yield Block(name, place, lines, line)
            lines = []
        else:
            lines.append(line)
    if lines:
        yield Block(name, place, lines, b"")


def _lines(path: Path, begin: int) -> Iterator[bytes]:
    rest = b""
    while True:
        with path.open("rb") as file:
            file.seek(begin)
            piece = file.read(_PIECE)
        if not piece:
            break
        begin += len(piece)
        # By newlines alone: `splitlines` knows other ends, too.
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest


def size_of(directory: Path, name: SegmentName) -> int:
    """The bytes of a segment; 0 where it is gone."""
    try:
        return os.stat(directory / str(name)).st_size  # noqa: PTH116  # as fast as it gets
    except FileNotFoundError:
        return 0
