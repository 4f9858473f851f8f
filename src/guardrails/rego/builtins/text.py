"""The Rego text of a value, as ``%v`` and template strings show it."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.rego.values import RegoSet, from_key, number_text, sorted_keys

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}

_ASCII_END: Final = 0x7F
_BASIC_PLANE_END: Final = 0xFFFF


def text_of(value: Value) -> str:
    """The text of a value within Rego source, but for a string at the top: quoted."""
    parts: list[str] = []
    _write(value, parts)
    return "".join(parts)


def display(value: Value) -> str:
    """The text of a value for people: a string as it is, all else as :func:`text_of`."""
    return value if type(value) is str else text_of(value)


def number_as_text(number: int | Decimal) -> str:
    """The digits of a number as they were read."""
    return number_text(number)


def _write(value: Value, parts: list[str]) -> None:
    kind = type(value)
    if kind is str:
        parts.append(quoted(value))
    elif value is None:
        parts.append("null")
    elif kind is bool:
        parts.append("true" if value else "false")
    elif kind is int or kind is Decimal:
        parts.append(number_as_text(value))
    elif kind is list:
        _write_all(value, "[]", parts)
    elif kind is RegoSet:
        if value.keys:
            _write_all(list(value), "{}", parts)
        else:
            parts.append("set()")
    else:
        parts.append("{")
        for place, key in enumerate(sorted_keys(value)):
            parts.append(", " if place else "")
            _write(from_key(key), parts)
            parts.append(": ")
            _write(value[key], parts)
        parts.append("}")


def _write_all(items: list[Value], brackets: str, parts: list[str]) -> None:
    parts.append(brackets[0])
    for place, item in enumerate(items):
        parts.append(", " if place else "")
        _write(item, parts)
    parts.append(brackets[1])


def quoted(text: str, *, ascii_only: bool = False, quote: str = '"') -> str:
    """A string literal as Go's ``strconv.Quote`` writes it.

    Args:
        text: The characters.
        ascii_only: Escape everything outside of ASCII.
        quote: The quotation mark around it.
    """
    out = [quote]
    for char in text:
        code = ord(char)
        if char == quote:
            out.append("\\" + char)
        elif char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char.isprintable() and not (ascii_only and code > _ASCII_END):
            out.append(char)
        elif code < ord(" ") or code == _ASCII_END:
            out.append(f"\\x{code:02x}")
        elif code <= _BASIC_PLANE_END:
            out.append(f"\\u{code:04x}")
        else:
            out.append(f"\\U{code:08x}")
    out.append(quote)
    return "".join(out)
