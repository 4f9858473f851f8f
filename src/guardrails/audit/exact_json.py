"""JSON text for records: one line, exact numbers, no way for a text to leave its quotes.

Everything outside printable ASCII is written as an escape, so that no argument can
end a line, forge one, or steer a terminal. What JSON cannot hold is named, never
shown and never asked for its own text: ``{"$unrecordable": "float"}``. Writing
therefore never fails because of a value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import Final

MAX_DEPTH: Final = 100
"""Deepest nesting that is written; what lies deeper is named only."""

_MAX_BITS: Final = 8192
"""Longest whole number that is written, in bits; Python refuses some longer ones."""

_MAX_EXPONENT: Final = 4096


def exact_json(value: object) -> str:
    """`value` as JSON on one line, in printable ASCII."""
    return _text_of(value, MAX_DEPTH)


def _text_of(value: object, depth: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return _quoted(value)
        case int() if int.bit_length(value) <= _MAX_BITS:
            return int.__repr__(value)
        case float() if math.isfinite(value):
            return float.__repr__(value)
        case Decimal() if _is_writable(value):
            return Decimal.__str__(value)
        case Mapping() if depth:
            return _object(value, depth - 1)
        case list() | tuple() if depth:
            return f"[{','.join(_text_of(item, depth - 1) for item in value)}]"
        case _:
            return f'{{"$unrecordable":{_quoted(type(value).__name__)}}}'


def _object(value: Mapping[object, object], depth: int) -> str:
    members = []
    for key, item in value.items():
        if not isinstance(key, str):
            return '{"$unrecordable":"mapping with a key that is no text"}'
        members.append(f"{_quoted(key)}:{_text_of(item, depth)}")
    return f"{{{','.join(members)}}}"


def _quoted(text: str) -> str:
    # DEL is the one control character that JSON's escapes leave alone.
    return encode_basestring_ascii(text).replace("\x7f", "\\u007f")


def _is_writable(number: Decimal) -> bool:
    if not number.is_finite():
        return False
    _, digits, exponent = number.as_tuple()
    return len(digits) <= _MAX_EXPONENT and abs(int(exponent)) <= _MAX_EXPONENT
