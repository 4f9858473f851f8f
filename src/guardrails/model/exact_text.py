"""JSON text that is read exactly: what one reader sees in it every reader sees.

It reads what :mod:`guardrails.model.canonical` writes, and nothing that this would refuse for
the size of its numbers: whoever reads a number can write it again.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_FARTHEST: Final = 8_192
"""Powers of ten that a number may be away from one; what is written stays far below."""

_BEYOND: Final = Decimal("Infinity")


def read_exact(text: str | bytes) -> Any:
    """The value that `text` writes: a number with all its digits, each name once.

    Raises:
        ValueError: it is no JSON (bytes: in UTF-8), says a thing twice, is nested too deeply,
            or holds a number that is too large or too small to work with.
    """
    try:
        # As text: of bytes the reader would guess the encoding.
        return _decode(text if isinstance(text, str) else text.decode())
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


def _number(text: str) -> Decimal:
    # Python's decimals have a range, too. By its context a thread may have chosen to get a NaN
    # for what is beyond it, which no comparison holds back.
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = _BEYOND
    if not number.is_finite() or abs(number.adjusted()) > _FARTHEST:
        msg = f"the number `{text[:40]}` is out of range"
        raise ValueError(msg)
    return number


def _no_number(text: str) -> Any:
    msg = f"`{text}` is no number"
    raise ValueError(msg)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # Readers differ in which of the two they take.
        msg = "it says a thing twice"
        raise ValueError(msg)
    return document


_decode: Final = json.JSONDecoder(
    parse_float=_number, parse_constant=_no_number, object_pairs_hook=_each_once
).decode


__all__ = ["read_exact"]
