"""PEM text (RFC 7468) taken apart: its blocks, their labels and bytes."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGIN: Final = "-----BEGIN"
"""What PEM text starts with."""

_BLOCK: Final = re.compile(
    r"^-----BEGIN ([^\n-]+)-----[ \t\r]*\n([A-Za-z0-9+/=\s]*)\n-----END \1-----[ \t\r]*(?:\n|\Z)",
    re.MULTILINE,
)


class Block(NamedTuple):
    """One block.

    Attributes:
        label: What stands behind ``BEGIN``.
        data: Its bytes.
        end: Where the text behind it starts.
    """

    label: str
    data: bytes
    end: int


def blocks(text: str) -> Iterator[Block]:
    """The blocks of `text`, in order; what is none is passed over."""
    for match in _BLOCK.finditer(text):
        try:
            data = base64.b64decode("".join(match[2].split()), validate=True)
        except binascii.Error:
            continue
        yield Block(match[1], data, match.end())
