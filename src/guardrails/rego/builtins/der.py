"""DER (X.690) cut into its elements, for what `cryptography` does not give byte for byte."""

from __future__ import annotations

from typing import Final

from guardrails.rego.builtins.base import BuiltinError

_LONG_FORM: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4
_HIGH_TAG: Final = 0x1F
_HEADER: Final = 2


def elements(data: bytes) -> list[bytes]:
    """The elements that stand one after the other in `data`, each with its tag and length.

    Raises:
        BuiltinError: `data` ends within an element, or has a form that certificates do not use.
    """
    found: list[bytes] = []
    at = 0
    while at < len(data):
        start, length = _extent(data, at)
        found.append(data[at : start + length])
        at = start + length
    return found


def inside(element: bytes) -> list[bytes]:
    """The elements within an element, which is a sequence or a set.

    Raises:
        BuiltinError: as :func:`elements`.
    """
    start, length = _extent(element, 0)
    return elements(element[start : start + length])


def _extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at `at` starts, and how long it is."""
    if at + _HEADER > len(data) or data[at] & _HIGH_TAG == _HIGH_TAG:
        raise BuiltinError("asn1: syntax error: malformed element")
    start, length = at + _HEADER, data[at + 1]
    if length >= _LONG_FORM:
        size = length - _LONG_FORM
        if not 0 < size <= _MOST_LENGTH_BYTES:
            raise BuiltinError("asn1: syntax error: unsupported length")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise BuiltinError("asn1: syntax error: data truncated")
    return start, length
