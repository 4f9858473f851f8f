"""How far a stream is, said in a file beside it and, if wanted, elsewhere.

A head is a closing line of its own, ``record.head``, that names a stream's newest closing line.
It is written after what it names is on the disk; a segment that ends before it was cut off.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from guardrails.audit.layout import HEAD, open_ours
from guardrails.audit.segment_file import sync_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def write_head(directory: Path, stream: str, line: bytes) -> None:
    """Put `line` in the place of the stream's head, whole or not at all.

    Raises:
        OSError: it cannot be written; the old one stands.
    """
    path = directory / (stream + HEAD)
    new = path.with_suffix(".new")
    fd = open_ours(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        if os.write(fd, line) != len(line):
            raise OSError(0, "the disk took only a part of a line")
    finally:
        os.close(fd)
    new.replace(path)


def remove_head(directory: Path, stream: str) -> None:
    """Take away the head of a stream that has ended and stands in the list with its end."""
    with contextlib.suppress(FileNotFoundError):
        (directory / (stream + HEAD)).unlink()


def anchor_file(path: Path) -> Callable[[bytes], None]:
    """What appends anchored heads to the file at `path`, which may be on another machine's disk.

    It is only ever appended to, opened anew for each line.
    """

    def anchor(line: bytes) -> None:
        fd = open_ours(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            if os.write(fd, line) != len(line):
                raise OSError(0, f"the anchor `{path}` took only a part of a line")
            sync_data(fd)
        finally:
            os.close(fd)

    return anchor
