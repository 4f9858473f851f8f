"""The parts of a URI, as Go's ``net/url`` reads them (``uri``)."""

from __future__ import annotations

import ipaddress
import re
import string as characters
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.operands import from_utf8, string, utf8

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_SCHEME: Final = re.compile(rb"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL: Final = re.compile(rb"[\x00-\x1f\x7f]")
_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")
_PORT: Final = re.compile(rb"(?::[0-9]*)?")
_WEB: Final = frozenset({b"http", b"https"})
_ZONE: Final = b"%25"

_UNRESERVED: Final = frozenset((characters.ascii_letters + characters.digits + "-_.~").encode())
_IN_PATH: Final = _UNRESERVED | frozenset(b"$&+,/:;=@")
_IN_USER: Final = _UNRESERVED | frozenset(b":!$&'()*+,;=%@")
_IN_HOST: Final = _UNRESERVED | frozenset(b"!$&'()*+,;=:[]<>\"")
_ASCII: Final = 0x80


class _Parts(NamedTuple):
    scheme: bytes
    host: bytes
    path: bytes
    raw_path: bytes
    query: bytes
    fragment: bytes


@builtin("uri.parse", arity=1)
def uri_parse(text: Value) -> Value:
    """An object of the parts that the URI has; user names and passwords are left out."""
    parts = _parse(utf8(string(text, 1)))
    host, port = _host_and_port(parts.host)
    found = {
        "scheme": parts.scheme,
        "hostname": host,
        "port": port,
        "path": parts.path,
        "raw_path": parts.raw_path,
        "raw_query": parts.query,
        "fragment": parts.fragment,
    }
    return {name: from_utf8(part) for name, part in found.items() if part}


@builtin("uri.is_valid", arity=1)
def uri_is_valid(text: Value) -> Value:
    """Whether the text is a URI; an empty one is none, nor is what is no text."""
    if type(text) is not str or not text:
        return False
    try:
        _parse(utf8(text))
    except BuiltinError:
        return False
    return True


def _parse(whole: bytes) -> _Parts:
    rest, _, fragment = whole.partition(b"#")
    if _CONTROL.search(rest):
        raise BuiltinError("invalid control character in URL")
    if rest.startswith(b":"):
        raise BuiltinError("missing protocol scheme")
    found = _SCHEME.match(rest)
    scheme = found[1].lower() if found else b""
    rest, _, query = (rest[found.end() :] if found else rest).partition(b"?")
    host = path = raw_path = b""
    if rest.startswith(b"/") or not scheme:
        if b":" in rest.partition(b"/")[0]:
            raise BuiltinError("first path segment in URL cannot contain colon")
        if rest.startswith(b"//") and (scheme or not rest.startswith(b"///")):
            authority, slash, below = rest[2:].partition(b"/")
            host, rest = _authority(scheme, authority), slash + below
        path = _unescaped(rest)
        # Where the path says no more than its usual escaping would, Go keeps no raw one.
        raw_path = path if rest in {b"*", _escaped(path)} else rest
    return _Parts(scheme, host, path, raw_path, query, _unescaped(fragment))


def _authority(scheme: bytes, authority: bytes) -> bytes:
    """The host with its port, unescaped; who the user is must only be well-formed."""
    user, at, host = authority.rpartition(b"@")
    found = _host(scheme, host)
    if at:
        if not _IN_USER.issuperset(user):
            raise BuiltinError("invalid userinfo")
        for part in user.split(b":", 1):
            _unescaped(part)
    return found


def _host(scheme: bytes, host: bytes) -> bytes:
    bracket = host.rfind(b"[")
    if bracket > 0:
        raise BuiltinError("invalid IP-literal")
    if bracket == 0:
        return _ip_literal(host)
    if b":" in host:
        # Some databases list hosts with ports; the web has one of each.
        colon = host.index(b":") if scheme in _WEB else host.rindex(b":")
        _check_port(host[colon:])
    return _unescaped_host(host)


def _ip_literal(host: bytes) -> bytes:
    name, bracket, port = host[1:].rpartition(b"]")
    if not bracket:
        raise BuiltinError("missing ']' in host")
    _check_port(port)
    address, marker, zone = name.partition(_ZONE)
    found = _unescaped_host(address) + (_unescaped_zone(marker + zone) if marker else b"")
    plain, percent, scope = found.partition(b"%")
    try:
        ipaddress.IPv6Address(plain.decode("ascii"))
    except ValueError as error:
        raise BuiltinError(f"invalid host: {error}") from error
    if percent and not scope:
        raise BuiltinError("invalid host: zone must be a non-empty string")
    return b"[" + found + b"]" + port


def _check_port(text: bytes) -> None:
    if not _PORT.fullmatch(text):
        raise BuiltinError(f"invalid port {from_utf8(text)!r} after host")


def _host_and_port(host: bytes) -> tuple[bytes, bytes]:
    name, colon, port = host.rpartition(b":")
    if not colon or not _PORT.fullmatch(colon + port):
        name, port = host, b""
    if name.startswith(b"[") and name.endswith(b"]"):
        name = name[1:-1]
    return name, port


def _unescaped(text: bytes) -> bytes:
    return _PERCENT.sub(_byte, text)


def _byte(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise BuiltinError(f"invalid URL escape {from_utf8(found.string[found.start() :][:3])!r}")
    return bytes([int(found[1], 16)])


def _unescaped_host(text: bytes) -> bytes:
    """A host, in which only a percent sign and what is not ASCII may be escaped."""

    def byte(found: re.Match[bytes]) -> bytes:
        made = _byte(found)
        if made[0] < _ASCII and made != b"%":
            raise BuiltinError(f"invalid URL escape {from_utf8(found[0])!r}")
        return made

    _check_host(text)
    return _PERCENT.sub(byte, text)


def _unescaped_zone(text: bytes) -> bytes:
    """A zone, in which only what a host may hold, a percent sign and a space may be escaped."""

    def byte(found: re.Match[bytes]) -> bytes:
        made = _byte(found)
        if made[0] not in _IN_HOST and made not in {b"%", b" "}:
            raise BuiltinError(f"invalid URL escape {from_utf8(found[0])!r}")
        return made

    _check_host(text)
    return _PERCENT.sub(byte, text)


def _check_host(text: bytes) -> None:
    for char in text:
        if char < _ASCII and char not in _IN_HOST and char != ord("%"):
            raise BuiltinError(f"invalid character {chr(char)!r} in host name")


def _escaped(path: bytes) -> bytes:
    return b"".join(bytes([char]) if char in _IN_PATH else b"%%%02X" % char for char in path)
