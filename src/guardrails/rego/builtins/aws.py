"""Requests signed for Amazon Web Services: ``providers.aws.sign_req`` (Signature Version 4)."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import int64, number, object_, utf8, wrong_type
from guardrails.rego.values import RegoSet, dumps

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

    from guardrails.rego.values import Key, Value

_REQUEST_KEYS: Final = frozenset({"method", "url"})
_CONFIG_KEYS: Final = frozenset({"aws_access_key", "aws_region", "aws_secret_access_key"})
_SERVICE_KEYS: Final = _CONFIG_KEYS | {"aws_service"}

_UNSIGNED_HEADERS: Final = frozenset({"authorization", "user-agent", "x-amzn-trace-id"})
"""What a proxy may change on the way, and so is not signed."""

_CONTENT_HASHED: Final = frozenset({"s3", "glacier"})
"""Services that want the hash of the content in a header, too."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NOT_IN_HOST: Final = frozenset(' %"<>\\^`{|}')

_SAFE_IN_PATH: Final = "!$&'()*+,/:;=@[]"
"""What Go leaves unescaped in a path that holds nothing else to escape."""


@builtin("providers.aws.sign_req", arity=3)
def sign_req(request: Value, config: Value, time_ns: Value) -> Value:
    """The request with the headers that sign it, by AWS Signature Version 4.

    Source: "Signature Version 4 signing process" of the AWS documentation, in the form that
    OPA gives it: the query stands in the canonical request as it is.
    """
    asked = object_(request, 1)
    settings = object_(config, 1)
    _check(settings, _SERVICE_KEYS, 2, "AWS config")
    moment = _moment(time_ns)
    missing = _REQUEST_KEYS - asked.keys()
    if missing:
        raise _refusal(1, "missing", "request", missing)
    headers = asked.get("headers", {})
    if type(headers) is not dict:
        raise wrong_type(0, headers, "object")
    _check(asked, _REQUEST_KEYS, 1, "request")
    unsigned = settings.get("disable_payload_signing", False)
    if type(unsigned) is not bool:
        message = "operand 2 invalid value for 'disable_payload_signing' in AWS config"
        raise BuiltinTypeError(message)
    content = "UNSIGNED-PAYLOAD" if unsigned else hashlib.sha256(_body(asked)).hexdigest()
    given = {_text(name): _text(value) for name, value in headers.items()}
    added = _signed(asked, given, settings, moment, content)
    return {**asked, "headers": {**given, **added}}


def _text(value: Value) -> str:
    return value if type(value) is str else ""


def _check(given: Mapping[Key, Value], wanted: frozenset[str], place: int, what: str) -> None:
    missing = wanted - given.keys()
    if missing:
        raise _refusal(place, "missing", what, missing)
    invalid = frozenset(name for name in wanted if type(given[name]) is not str)
    if invalid:
        raise _refusal(place, "invalid values for", what, invalid)


def _refusal(place: int, fault: str, what: str, names: frozenset[str]) -> BuiltinTypeError:
    listed = ", ".join(dumps(name) for name in RegoSet(names))
    return BuiltinTypeError(f"operand {place} {fault} required {what} parameters(s): {{{listed}}}")


def _moment(time_ns: Value) -> datetime:
    number(time_ns, 1)
    try:
        nanoseconds = int64(time_ns, 3)
        return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
    except BuiltinTypeError:
        message = "operand 3 could not convert time_ns value into a unix timestamp"
        raise BuiltinTypeError(message) from None


def _body(request: Mapping[Key, Value]) -> bytes:
    if "raw_body" in request:
        return utf8(_text(request["raw_body"]))
    if "body" not in request:
        return b""
    # Go escapes these in the JSON that it makes of the body.
    text = dumps(request["body"])
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return utf8(text)


def _signed(
    request: Mapping[Key, Value],
    given: Mapping[str, str],
    settings: Mapping[Key, Value],
    moment: datetime,
    content: str,
) -> dict[str, Value]:
    """The headers that sign the request."""
    parts = _url(request["url"])
    host = parts.netloc.rpartition("@")[2]
    service = settings["aws_service"]
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    added = {"host": host, "x-amz-date": stamp}
    if service in _CONTENT_HASHED:
        added["x-amz-content-sha256"] = content
    token = _text(settings.get("aws_session_token"))
    if token:
        added["x-amz-security-token"] = token
    signed = dict(added)
    for name, value in sorted(given.items()):
        if name.lower() not in _UNSIGNED_HEADERS:
            signed[name.lower()] = value
    names = sorted(signed)
    listed = ";".join(names)
    lines = [request["method"], _escaped(parts.path), parts.query]
    lines += [f"{name}:{signed[name]}" for name in names]
    lines += ["", listed, content]
    day = stamp[:8]
    scope = f"{day}/{settings['aws_region']}/{service}/aws4_request"
    digest = hashlib.sha256(utf8("\n".join(lines))).hexdigest()
    key = utf8("AWS4" + settings["aws_secret_access_key"])
    for step in (day, settings["aws_region"], service, "aws4_request"):
        key = _mac(key, step)
    signature = _mac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    return {
        "Authorization": (
            f"AWS4-HMAC-SHA256 Credential={settings['aws_access_key']}/{scope},"
            f"SignedHeaders={listed},Signature={signature}"
        ),
        **added,
    }


def _url(text: str) -> SplitResult:
    """The parts of a URL; what Go's parser refuses and Python's would repair is an error."""
    parts = urlsplit(text)
    if _CONTROL.search(text) or text != text.strip() or _BAD_ESCAPE.search(parts.path):
        message = f"the URL `{text}` has characters or escapes that no URL has"
        raise BuiltinError(message)
    if set(parts.netloc) & _NOT_IN_HOST or (parts.scheme and not parts.netloc):
        message = f"the URL `{text}` has no host, or one with characters that no host has"
        raise BuiltinError(message)
    _ = parts.port  # asks for a number; the error says so
    return parts


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, utf8(text), "sha256")


def _escaped(path: str) -> str:
    """`path` as Go writes it: as it came if it is well escaped, else escaped anew."""
    if quote(path, safe=_SAFE_IN_PATH + "%") == path:
        return path
    return quote(unquote(path), safe="$&+,/:;=@")
