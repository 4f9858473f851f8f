"""JSON to and from OPA with exact numbers: no digit is rounded, and none is added.

Python's own encoder knows no exact decimals. Here it puts a mark in their place, and the
numbers are set in afterwards, in the order in which it met them. The mark is drawn at random
for each process, and a text in which it occurs more often than there are numbers is refused:
no argument can pose as a number.
"""

from __future__ import annotations

import json
import secrets
from decimal import Decimal
from typing import Any, Final, NoReturn

_MARK: Final = f"guardrails:{secrets.token_hex(16)}"
_QUOTED: Final = f'"{_MARK}"'


class NotExactJSONError(ValueError):
    """A document has no exact JSON text, or a text is no JSON."""


def encode(document: object) -> bytes:
    """`document` as JSON in UTF-8.

    Raises:
        NotExactJSONError: it holds a value of another type, a number that is not finite, a
            lone surrogate, or is nested too deeply.
    """
    numbers: list[str] = []

    def exact(value: object) -> str:
        if type(value) is Decimal and value.is_finite():
            numbers.append(str(value))
            return _MARK
        msg = f"a value of type `{type(value).__name__}` has no exact JSON form"
        raise NotExactJSONError(msg)

    try:
        text = json.JSONEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=exact
        ).encode(document)
        if numbers:
            text = _set_in(text, numbers)
        return text.encode()
    except UnicodeEncodeError:
        msg = "a string holds a lone surrogate"
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, NotExactJSONError):
            raise
        msg = f"the document has no JSON form: {error}"
    raise NotExactJSONError(msg) from None


def _set_in(text: str, numbers: list[str]) -> str:
    parts = text.split(_QUOTED)
    if len(parts) != len(numbers) + 1:
        msg = "a string of the document is the mark of this process's numbers"
        raise NotExactJSONError(msg)
    woven = [""] * (2 * len(numbers) + 1)
    woven[::2] = parts
    woven[1::2] = numbers
    return "".join(woven)


def decode(text: bytes) -> Any:
    """The JSON value in `text`: whole numbers as ``int``, all others as ``Decimal``.

    Raises:
        NotExactJSONError: it is no JSON in UTF-8, is nested too deeply, or holds a number
            that Python cannot.
    """
    try:
        return _DECODER.decode(text.decode())
    except (ValueError, ArithmeticError, RecursionError) as error:
        msg = "it is no JSON" if isinstance(error, ValueError) else type(error).__name__
        raise NotExactJSONError(msg) from None


def _decimal(written: str) -> Decimal:
    found = Decimal(written)
    if not found.is_finite():
        msg = "a number is not finite"
        raise NotExactJSONError(msg)
    return found


def _refuse(written: str) -> NoReturn:
    msg = f"`{written}` is no number"
    raise NotExactJSONError(msg)


_DECODER: Final = json.JSONDecoder(parse_float=_decimal, parse_constant=_refuse)
