"""Rego values as JSON text and back, exactly: digits, sets, keys of any type, lone surrogates.

:func:`guardrails.rego.values.dumps` writes what Rego's own ``json.marshal`` gives, in which a set
is an array. Here nothing is lost: what JSON has no form for is an object whose only name is the
empty one, ``{"": [tag, content]}``. Different values never have the same text, so its digest
stands for the value.

The text is written in pieces by Python itself. The encoder of :mod:`json` would hold up all
other threads until the whole document is written.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.rego.numerals import parse_decimal
from guardrails.rego.values import RegoSet, from_key, sorted_keys, to_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.rego.values import Value

_PIECE: Final = 1 << 12
"""Parts of text that are joined at a time."""

_NUMBER: Final = "number"
_OBJECT: Final = "object"
_SET: Final = "set"


def write(value: Value, sink: Callable[[bytes], object]) -> None:
    """Give the text of `value` to `sink`, piece by piece, on one line of ASCII.

    Raises:
        TypeError: Something in it is no Rego value.
        ValueError: A number has more digits than Python writes.
        RecursionError: It is nested too deeply.
    """
    parts: list[str] = []

    def put(part: str) -> None:
        parts.append(part)
        if len(parts) >= _PIECE:
            sink("".join(parts).encode("ascii"))
            parts.clear()

    _write(value, put)
    sink("".join(parts).encode("ascii"))


def text(value: Value) -> str:
    """The text of `value`, on one line of ASCII. Errors as :func:`write`."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


def digest(value: Value) -> str:
    """The SHA-256 of the text of `value`, in hex. Errors as :func:`write`."""
    found = hashlib.sha256()
    write(value, found.update)
    return found.hexdigest()


def _write(value: Value, put: Callable[[str], object]) -> None:
    kind = type(value)
    if kind is str:
        put(_quoted(value))
    elif kind is int:
        put(int.__repr__(value))
    elif kind is bool:
        put("true" if value else "false")
    elif value is None:
        put("null")
    elif kind is dict:
        _write_object(value, put)
    elif kind is list:
        _write_items("[", value, put)
        put("]")
    elif kind is Decimal:
        put(_number(value))
    elif kind is RegoSet:
        # In order, for the digest's sake: a set of Python has another order in each process.
        _write_items(f'{{"":["{_SET}",[', list(value), put)
        put("]]}")
    else:
        msg = f"{kind.__name__} is no Rego value"
        raise TypeError(msg)


def _write_items(start: str, items: list[Value], put: Callable[[str], object]) -> None:
    separator = start
    for item in items:
        put(separator)
        _write(item, put)
        separator = ","
    if separator is start:
        put(start)


def _write_object(value: dict[Any, Value], put: Callable[[str], object]) -> None:
    named = "" not in value
    if named:
        for key in value:
            if type(key) is not str:
                named = False
                break
    put("{" if named else f'{{"":["{_OBJECT}",[')
    separator = ""
    for key in sorted_keys(value):
        put(separator)
        if named:
            put(_quoted(key))
            put(":")
            _write(value[key], put)
        else:
            _write([from_key(key), value[key]], put)
        separator = ","
    put("}" if named else "]]}")


def _number(number: Decimal) -> str:
    if not number.is_finite():
        msg = f"{number} is no Rego value"
        raise TypeError(msg)
    written = str(number)
    if "." in written or "E" in written:
        return written
    return f'{{"":["{_NUMBER}","{written}"]}}'  # JSON would read an int


def read(written: str | bytes) -> Value:
    """The value that a text of :func:`write` stands for; its collections are new.

    Raises:
        ValueError: It is no such text.
        RecursionError: It is nested too deeply.
    """
    return _read(_DECODER.decode(written if isinstance(written, str) else written.decode("ascii")))


def _read(value: Any) -> Value:
    kind = type(value)
    if kind is list:
        for place, item in enumerate(value):
            if type(item) is dict or type(item) is list:
                value[place] = _read(item)
    elif kind is dict:
        if "" in value:
            return _tagged(value)
        for name, item in value.items():
            if type(item) is dict or type(item) is list:
                value[name] = _read(item)
    return value


def _tagged(value: dict[str, Any]) -> Value:
    match value:
        case {"": ["number", str(written)]} if len(value) == 1 and _is_whole(written):
            return Decimal(written)
        case {"": ["set", list(items)]} if len(value) == 1:
            return RegoSet.of_keys({to_key(_read(item)) for item in items})
        case {"": ["object", list(items)]} if len(value) == 1:
            pairs = [(to_key(_read(key)), _read(item)) for key, item in map(_pair, items)]
            return dict(pairs)
    msg = "an object has an unknown tag"
    raise ValueError(msg)


def _pair(item: Any) -> tuple[Any, Any]:
    if type(item) is not list or len(item) != 2:  # noqa: PLR2004  # a key and its value
        msg = "an entry of an object is no pair"
        raise ValueError(msg)
    return item[0], item[1]


def _is_whole(written: str) -> bool:
    return written.isascii() and written.removeprefix("-").isdigit()


def _refuse(written: str) -> NoReturn:
    msg = f"`{written}` is no number"
    raise ValueError(msg)


_DECODER: Final = json.JSONDecoder(parse_float=parse_decimal, parse_constant=_refuse)
