"""Text encodings: base64, hexadecimal, and URL queries."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import from_utf8, string, utf8, wrong_type
from guardrails.rego.values import RegoSet, key_text, sorted_keys

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_STANDARD: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_URL_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_GROUP: Final = 4
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")


def _decoded(text: str, alphabet: frozenset[int]) -> bytes:
    """Padded base64 as Go reads it: line ends are skipped, all else must fit."""
    data = utf8(text).replace(b"\r", b"").replace(b"\n", b"")
    body = data.rstrip(b"=")
    padding = len(data) - len(body)
    bad = next((at for at, byte in enumerate(body) if byte not in alphabet), None)
    if bad is None and (len(data) % _GROUP or padding >= _GROUP - 1):
        bad = max(len(body) - len(body) % _GROUP, 0)
    if bad is not None:
        message = f"illegal base64 data at input byte {bad}"
        raise BuiltinError(message)
    try:
        return base64.b64decode(data, b"-_" if alphabet is _URL_SAFE else b"+/")
    except binascii.Error:
        message = f"illegal base64 data at input byte {len(body)}"
        raise BuiltinError(message) from None


def from_base64(text: str) -> bytes:
    """The bytes behind padded base64.

    Raises:
        BuiltinError: it is none.
    """
    return _decoded(text, _STANDARD)


def from_base64url(text: str) -> bytes:
    """The bytes behind URL-safe base64, padded or not.

    Raises:
        BuiltinError: it is none.
    """
    if not text.endswith("="):
        missing = -len(utf8(text)) % _GROUP
        if missing == _GROUP - 1:
            message = f"illegal base64url string: {text}"
            raise BuiltinError(message)
        text += "=" * missing
    return _decoded(text, _URL_SAFE)


@builtin("base64.encode", arity=1)
def base64_encode(text: Value) -> Value:
    """The text's UTF-8 bytes in base64."""
    return base64.b64encode(utf8(string(text, 1))).decode("ascii")


@builtin("base64.decode", arity=1)
def base64_decode(text: Value) -> Value:
    """The text behind base64."""
    return from_utf8(from_base64(string(text, 1)))


@builtin("base64.is_valid", arity=1)
def base64_is_valid(text: Value) -> Value:
    """Whether the value is base64."""
    if type(text) is not str:
        return False
    try:
        _decoded(text, _STANDARD)
    except BuiltinError:
        return False
    return True


@builtin("base64url.encode", arity=1)
def base64url_encode(text: Value) -> Value:
    """The text's UTF-8 bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(utf8(string(text, 1))).decode("ascii")


@builtin("base64url.encode_no_pad", arity=1)
def base64url_encode_no_pad(text: Value) -> Value:
    """The text's UTF-8 bytes in URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(utf8(string(text, 1))).decode("ascii").rstrip("=")


@builtin("base64url.decode", arity=1)
def base64url_decode(text: Value) -> Value:
    """The text behind URL-safe base64, padded or not."""
    return from_utf8(from_base64url(string(text, 1)))


@builtin("hex.encode", arity=1)
def hex_encode(text: Value) -> Value:
    """The text's UTF-8 bytes in hexadecimal."""
    return utf8(string(text, 1)).hex()


@builtin("hex.decode", arity=1)
def hex_decode(text: Value) -> Value:
    """The text behind hexadecimal."""
    source = string(text, 1)
    for byte in utf8(source):
        if chr(byte) not in _HEX_DIGITS:
            shown = f" '{chr(byte)}'" if chr(byte).isprintable() else ""
            message = f"encoding/hex: invalid byte: U+{byte:04X}{shown}"
            raise BuiltinError(message)
    if len(source) % 2:
        message = "encoding/hex: odd length hex string"
        raise BuiltinError(message)
    return from_utf8(bytes.fromhex(source))


def _quoted(text: str) -> str:
    return quote_plus(utf8(text), safe="-_.~")


def _unquoted(text: str) -> str:
    pieces = utf8(text).replace(b"+", b" ").split(b"%")
    out = [pieces[0]]
    for piece in pieces[1:]:
        digits = piece[:2].decode("latin-1")
        if len(digits) != 2 or not _HEX_DIGITS.issuperset(digits):  # noqa: PLR2004  # one byte in hexadecimal
            message = f'invalid URL escape "%{digits}"'
            raise BuiltinError(message)
        out.append(bytes.fromhex(digits) + piece[2:])
    return from_utf8(b"".join(out))


@builtin("urlquery.encode", arity=1)
def urlquery_encode(text: Value) -> Value:
    """The text as it stands in a URL's query."""
    return _quoted(string(text, 1))


@builtin("urlquery.decode", arity=1)
def urlquery_decode(text: Value) -> Value:
    """The text behind its form in a URL's query."""
    return _unquoted(string(text, 1))


@builtin("urlquery.encode_object", arity=1)
def urlquery_encode_object(whole: Value) -> Value:
    """The object as a URL's query, its keys in order; a collection gives a key several times."""
    if type(whole) is not dict:
        raise wrong_type(1, whole, "object")
    pairs: list[str] = []
    for key in sorted_keys(whole):
        value = whole[key]
        values = list(value) if type(value) in (list, RegoSet) else [value]
        for item in values:
            if type(item) is not str:
                message = "operand 1 values must be string, array[string], or set[string]"
                raise BuiltinTypeError(message)
            pairs.append(f"{_quoted(key_text(key))}={_quoted(item)}")
    return "&".join(pairs)


@builtin("urlquery.decode_object", arity=1)
def urlquery_decode_object(text: Value) -> Value:
    """The keys of a URL's query, each with the array of its values."""
    result: dict[str, list[str]] = {}
    for pair in string(text, 1).split("&"):
        if ";" in pair:
            message = "invalid semicolon separator in query"
            raise BuiltinError(message)
        if pair:
            key, _, value = pair.partition("=")
            result.setdefault(_unquoted(key), []).append(_unquoted(value))
    return result
