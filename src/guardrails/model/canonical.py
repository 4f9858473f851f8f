"""Canonical JSON: one text for each value, so that a digest stands for exactly one document.

It is RFC 8785 (keys in the order of their UTF-16 code units, its string
escapes, no white space), but for numbers: RFC 8785 rounds them to IEEE doubles,
and here they keep their exact value. An integer is written in full, a decimal in
plain notation without trailing zeros. Equal numbers are equal text, different
ones never are. ``bool`` is no number.

Only exact JSON is written: ``None``, ``bool``, ``int``, :class:`~decimal.Decimal`,
``str``, ``list``, ``dict`` with ``str`` keys, each of exactly that type.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.model.approval import CallKey

_DEEPEST: Final = 500
_LONGEST_NUMBER: Final = 4_000
_NO_LONG_NUMBER: Final = _LONGEST_NUMBER * 3 // 4
"""Characters of a text in which no integer can be too long: ten bits are more than three digits."""

_STR: Final = frozenset({str})
_SIMPLE: Final = frozenset({str, int, bool, type(None)})
_encode: Final = msgspec.json.Encoder(order="sorted").encode

# Its string escapes are those of RFC 8785, section 3.2.2.2; a test compares them.
_quote: Final[Callable[[Any], str]] = encode_basestring


class NotExactJSON(ValueError):  # noqa: N818  # named for what the document is, as InvalidArguments
    """A document holds what has no canonical JSON text."""


def canonical(document: object) -> bytes:
    """The canonical text of `document`, in UTF-8.

    Raises:
        NotExactJSON: it holds a value of another type, a number that is not finite or
            needs more than 4,000 characters, a lone surrogate, or is nested too deeply.
    """
    if type(document) is dict:  # as most arguments are: a few simple values by their names
        simple = _simple(document)
        if simple is not None:
            return simple
    parts: list[str] = []
    _write(document, parts.append, 0)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError:
        msg = "a string holds a lone surrogate"
        raise NotExactJSON(msg) from None


def digest(document: object) -> str:
    """``sha256:`` and 64 hex digits over the canonical text of `document`.

    Raises:
        NotExactJSON: see :func:`canonical`.
    """
    return "sha256:" + hashlib.sha256(canonical(document)).hexdigest()


def call_key(
    tool: str, args: Mapping[str, Any], agent: str, principal: str | None, run: str
) -> CallKey:
    """The digest that stands for exactly this call in this run.

    Args:
        tool: The tool's name.
        args: Its arguments as exact JSON.
        agent: The agent's id.
        principal: On whose behalf, or None.
        run: The run's id.

    Raises:
        NotExactJSON: see :func:`canonical`.
    """
    return digest({"agent": agent, "args": args, "principal": principal, "run": run, "tool": tool})


def number_text(number: int | Decimal) -> str:
    """The one plain text of a number: no exponent, no trailing zeros, no negative zero.

    Raises:
        NotExactJSON: it is not finite, or needs more than 4,000 characters.
    """
    if isinstance(number, int):
        if number.bit_length() > _LONGEST_NUMBER * 3:
            msg = "an integer is too long"
            raise NotExactJSON(msg)
        return int.__repr__(number)
    sign, digits, exponent = Decimal.as_tuple(number)
    if not isinstance(exponent, int):
        msg = "a number is not finite"
        raise NotExactJSON(msg)
    whole = "".join(map(str, digits)).lstrip("0")
    kept = whole.rstrip("0")
    if not kept:
        return "0"
    exponent += len(whole) - len(kept)
    if len(kept) + abs(exponent) > _LONGEST_NUMBER:
        msg = "a decimal is too long"
        raise NotExactJSON(msg)
    minus = "-" if sign else ""
    if exponent >= 0:
        return f"{minus}{kept}{'0' * exponent}"
    kept = kept.rjust(1 - exponent, "0")
    return f"{minus}{kept[:exponent]}.{kept[exponent:]}"


def _simple(document: dict[Any, Any]) -> bytes | None:
    """The canonical text of what another writer writes just so, much faster; None of all else.

    Those are texts, whole numbers that are not very long, booleans and null by ASCII names.
    """
    if not (
        _STR.issuperset(map(type, document))
        and _SIMPLE.issuperset(map(type, document.values()))
        and "".join(document).isascii()
    ):
        return None
    try:
        text = _encode(document)
    except ValueError:  # a lone surrogate; what is wrong is said by the other way
        return None
    return text if len(text) < _NO_LONG_NUMBER else None


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _write(value: object, put: Callable[[str], None], depth: int) -> None:
    kind = type(value)
    if kind is str:
        put(_quote(value))
    elif value is None:
        put("null")
    elif kind is bool:
        put("true" if value else "false")
    elif isinstance(value, int | Decimal) and kind in (int, Decimal):
        put(number_text(value))
    elif depth > _DEEPEST:
        msg = f"it is nested deeper than {_DEEPEST} levels"
        raise NotExactJSON(msg)
    elif isinstance(value, list) and kind is list:
        put("[")
        for index, item in enumerate(value):
            if index:
                put(",")
            _write(item, put, depth + 1)
        put("]")
    elif isinstance(value, dict) and kind is dict:
        _write_object(value, put, depth)
    else:
        msg = f"a value of type `{kind.__name__}` is no exact JSON"
        raise NotExactJSON(msg)


def _write_object(value: dict[Any, Any], put: Callable[[str], None], depth: int) -> None:
    is_ascii = True
    for key in value:
        if type(key) is not str:
            msg = f"a key of type `{type(key).__name__}` is no exact JSON"
            raise NotExactJSON(msg)
        is_ascii = is_ascii and key.isascii()
    separator = "{"
    # Of ASCII keys Python's own order is that of their UTF-16 code units.
    for key in sorted(value) if is_ascii else sorted(value, key=_utf16):
        put(separator)
        put(_quote(key))
        put(":")
        _write(value[key], put, depth + 1)
        separator = ","
    put("}" if value else "{}")
