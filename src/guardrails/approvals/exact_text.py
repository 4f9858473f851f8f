"""JSON text that is read exactly: what one reader sees in it every reader sees."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final


def read_exact(text: str) -> Any:
    """The value that `text` writes: a number with all its digits, each name once.

    Raises:
        ValueError: it is no JSON, says a thing twice, or is nested too deeply.
    """
    try:
        return _decode(text)
    except ArithmeticError:
        msg = "a number is out of every range"
        raise ValueError(msg) from None
    except RecursionError:
        msg = "it is nested too deeply"
        raise ValueError(msg) from None


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
    parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_each_once
).decode
