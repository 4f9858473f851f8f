"""JSON Web Tokens: decoded, verified and signed (``io.jwt``, RFC 7515 and RFC 7519)."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins.base import Builtin, BuiltinError, builtin
from guardrails.rego.builtins.encoding import from_base64url
from guardrails.rego.builtins.jsontext import read_json
from guardrails.rego.builtins.operands import from_utf8, object_, string, utf8
from guardrails.rego.builtins.signing import (
    ALGORITHMS,
    SigningKey,
    jwk_keys,
    public_keys,
    sign,
    verifies,
)
from guardrails.rego.values import compare, dumps, is_number, key_text, sorted_keys

if TYPE_CHECKING:
    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.values import Key, Value

_PARTS: Final = 3
_NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Token:
    """A token's three parts, as they stand in it."""

    header: str
    payload: str
    signature: str

    @property
    def signed(self) -> bytes:
        """What the signature is of."""
        return utf8(f"{self.header}.{self.payload}")


@dataclass(frozen=True, slots=True)
class _Header:
    """The header's fields that decide how a token is verified."""

    alg: str = ""
    kid: str = ""
    typ: str = ""
    cty: str = ""
    understood: bool = True


@dataclass(frozen=True, slots=True)
class _Constraints:
    """What a token must fulfil.

    Attributes:
        keys: The keys to trust.
        alg: The only algorithm; empty for any.
        iss: The issuer; empty for any.
        aud: The audience; empty for none.
        time_s: Seconds since 1970.
    """

    keys: list[SigningKey]
    alg: str
    iss: str
    aud: str
    time_s: Decimal


def _split(value: Value) -> _Token:
    text = string(value, 1)
    if "." not in text:
        raise BuiltinError("encoded JWT had no period separators")
    parts = text.split(".")
    if len(parts) != _PARTS:
        raise BuiltinError(f"encoded JWT must have 3 sections, found {len(parts)}")
    return _Token(*parts)


def _part(name: str, text: str) -> bytes:
    try:
        return from_base64url(text)
    except BuiltinError as error:
        raise BuiltinError(f"JWT {name} had invalid encoding: {error.message}") from error


def _json_object(text: str) -> dict[Key, Value]:
    try:
        value = read_json(text)
    except (BuiltinError, ValueError, ArithmeticError) as error:
        raise BuiltinError(f"invalid JSON: {error}") from error
    if type(value) is not dict:
        raise BuiltinError("decoded JSON type was not an Object")
    return value


def _header_object(token: _Token) -> dict[Key, Value]:
    text = from_utf8(_part("header", token.header))
    try:
        header = _json_object(text)
    except BuiltinError as error:
        raise BuiltinError(f"bad JWT header: {error.message}") from error
    if "enc" in header:
        raise BuiltinError("JWT is a JWE object, which is not supported")
    return header


def _read_header(fields: dict[Key, Value]) -> _Header:
    texts: dict[str, str] = {}
    for name in ("alg", "cty", "kid", "typ"):
        value = fields.get(name, "")
        if type(value) is not str:
            raise BuiltinError(f"{name}: must be a string")
        texts[name] = value
    critical: set[str] = set()
    if "crit" in fields:
        listed = fields["crit"]
        if type(listed) is not list:
            raise BuiltinError("crit: must be a list")
        # OPA reads them up to the first that is no string.
        critical = set(takewhile(lambda name: type(name) is str, listed))
        if not critical:
            raise BuiltinError("crit: must be a nonempty list")
    unknown = {key for key in fields if key not in (*texts, "crit")}
    return _Header(**texts, understood=not critical & unknown)


@builtin("io.jwt.decode", arity=1, extra="jwt")
def decode(token: Value) -> Value:
    """The header, payload and signature (in hexadecimal) of a token that nothing vouches for."""
    while True:
        parts = _split(token)
        header = _header_object(parts)
        payload = from_utf8(_part("payload", parts.payload))
        kind = header.get("cty", "")
        if type(kind) is not str:
            raise BuiltinError("cty: must be a string")
        if kind != "JWT":
            break
        # A token within the token, quoted by some that make them.
        token = payload.strip("\"'")
    return [header, _json_object(payload), _part("signature", parts.signature).hex()]


def _trusted(keys: list[SigningKey], header: _Header) -> list[SigningKey]:
    """The keys that may have signed: the one that the header names, or all that fit it."""
    for key in keys:
        if header.kid and key.name == header.kid:
            return [key]
    return [key for key in keys if key.algorithm in ("", header.alg)]


def _verifier(name: str, algorithm: str) -> Builtin:
    def verify(token: Value, certificate: Value) -> Value:
        parts = _split(token)
        keys = public_keys(string(certificate, 2))
        signature = from_base64url(parts.signature)
        header = _read_header(_header_object(parts))
        trusted = _trusted(keys, header)
        return any(verifies(key, algorithm, parts.signed, signature) for key in trusted)

    return builtin(name, arity=2, extra="jwt")(verify)


def _secret_verifier(name: str, algorithm: str) -> Builtin:
    def verify(token: Value, secret: Value) -> Value:
        text = string(token, 1)
        key = SigningKey(utf8(string(secret, 2)))
        parts = _split(text)
        return verifies(key, algorithm, parts.signed, from_base64url(parts.signature))

    return builtin(name, arity=2, extra="jwt")(verify)


verify_hs256 = _secret_verifier("io.jwt.verify_hs256", "HS256")
verify_hs384 = _secret_verifier("io.jwt.verify_hs384", "HS384")
verify_hs512 = _secret_verifier("io.jwt.verify_hs512", "HS512")
verify_rs256 = _verifier("io.jwt.verify_rs256", "RS256")
verify_rs384 = _verifier("io.jwt.verify_rs384", "RS384")
verify_rs512 = _verifier("io.jwt.verify_rs512", "RS512")
verify_ps256 = _verifier("io.jwt.verify_ps256", "PS256")
verify_ps384 = _verifier("io.jwt.verify_ps384", "PS384")
verify_ps512 = _verifier("io.jwt.verify_ps512", "PS512")
verify_es256 = _verifier("io.jwt.verify_es256", "ES256")
verify_es384 = _verifier("io.jwt.verify_es384", "ES384")
verify_es512 = _verifier("io.jwt.verify_es512", "ES512")
verify_eddsa = _verifier("io.jwt.verify_eddsa", "EdDSA")


def _constraints(context: EvaluationContext, value: Value) -> _Constraints:
    fields = object_(value, 2)
    texts = {"alg": "", "aud": "", "iss": "", "secret": ""}
    keys: list[SigningKey] | None = None
    time_s = _seconds(context.now_ns)
    for name in sorted_keys(fields):
        item = fields[name]
        if name == "time":
            time_s = _seconds(item)
        elif name not in ("cert", *texts):
            raise BuiltinError(f"unknown token validation constraint: {key_text(name)}")
        elif type(item) is not str:
            raise BuiltinError(f"{name} constraint: must be a string")
        elif name == "cert":
            keys = [key.public() for key in public_keys(item)]
        else:
            texts[name] = item
    secret = texts.pop("secret")
    if secret and keys is not None:
        raise BuiltinError("duplicate key constraints")
    if secret:
        keys = [SigningKey(utf8(secret))]
    if keys is None:
        raise BuiltinError("no key constraint")
    return _Constraints(keys, **texts, time_s=time_s)


def _seconds(nanoseconds: Value) -> Decimal:
    """Seconds with the precision of a double, which is OPA's."""
    if not is_number(nanoseconds):
        raise BuiltinError("token time constraint: must be a number")
    value = float(nanoseconds)
    if not math.isfinite(value):
        raise BuiltinError("token time constraint: unvalid float64")
    if value < 0:
        raise BuiltinError("token time constraint: must not be negative")
    return Decimal(repr(value / _NS_PER_S))


@builtin("io.jwt.decode_verify", arity=2, needs_context=True, extra="jwt")
def decode_verify(context: EvaluationContext, token: Value, constraints: Value) -> Value:
    """Whether a token is signed and fulfils `constraints`; its header and payload if so."""
    wanted = _constraints(context, constraints)
    while True:
        parts = _split(token)
        fields = _header_object(parts)
        header = _read_header(fields)
        if not header.alg or not header.understood or wanted.alg not in ("", header.alg):
            return [False, {}, {}]
        signature = from_base64url(parts.signature)
        trusted = _trusted(wanted.keys, header)
        if not any(verifies(key, header.alg, parts.signed, signature) for key in trusted):
            return [False, {}, {}]
        payload = from_utf8(_part("payload", parts.payload))
        if header.cty.casefold() != "jwt":
            break
        token = payload
    claims = _json_object(payload)
    if _fulfilled(claims, wanted):
        return [True, fields, claims]
    return [False, {}, {}]


def _fulfilled(claims: dict[Key, Value], wanted: _Constraints) -> bool:
    if wanted.iss and "iss" not in claims:
        return False
    if wanted.iss and type(claims["iss"]) is not str:
        raise BuiltinError("iss value must be a string")
    if wanted.iss and claims["iss"] != wanted.iss:
        return False
    # A token for an audience is for nobody who names none.
    audience = claims.get("aud", "")
    listed = audience if type(audience) is list else [audience]
    if not any(type(name) is str and name == wanted.aud for name in listed):
        return False
    if "exp" in claims and compare(wanted.time_s, _time(claims, "exp")) >= 0:
        return False
    return not ("nbf" in claims and compare(wanted.time_s, _time(claims, "nbf")) < 0)


def _time(claims: dict[Key, Value], name: str) -> Value:
    if not is_number(claims[name]):
        raise BuiltinError(f"{name} value must be a number")
    return claims[name]


@builtin("io.jwt.encode_sign", arity=3, extra="jwt")
def encode_sign(headers: Value, payload: Value, key: Value) -> Value:
    """A token of `headers` and `payload`, signed with the JWK `key`."""
    return _signed(dumps(headers), dumps(payload), dumps(key))


@builtin("io.jwt.encode_sign_raw", arity=3, extra="jwt")
def encode_sign_raw(headers: Value, payload: Value, key: Value) -> Value:
    """As ``io.jwt.encode_sign``, from JSON texts that stand in the token as they are."""
    jwk = string(key, 3)
    return _signed(string(headers, 1), string(payload, 2), jwk)


def _signed(headers: str, payload: str, jwk: str) -> str:
    keys = jwk_keys(jwk)
    if not keys:
        raise BuiltinError("no keys found in JWK set")
    try:
        fields = _json_object(headers)
    except BuiltinError:
        fields = {}
    algorithm = fields.get("alg")
    if type(algorithm) is not str:
        raise BuiltinError("missing or invalid 'alg' header: jwsbb: header \"alg\" not found")
    if algorithm not in ALGORITHMS:
        raise BuiltinError(f"unknown JWS algorithm: {algorithm}")
    kind = fields.get("typ")
    if (type(kind) is not str or kind == "JWT") and not _is_json(payload):
        raise BuiltinError("type is JWT but payload is not JSON")
    message = f"{_base64url(utf8(headers))}.{_base64url(utf8(payload))}"
    return f"{message}.{_base64url(sign(keys[0], algorithm, message.encode()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _is_json(text: str) -> bool:
    try:
        read_json(text)
    except (BuiltinError, ValueError, ArithmeticError):
        return False
    return True
