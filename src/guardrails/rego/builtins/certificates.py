"""X.509 certificates, requests for them, and private keys, read (``crypto.x509``)."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar

from guardrails.rego.builtins import certforms, chains, pem, verifyoptions
from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.der import elements
from guardrails.rego.builtins.encoding import from_base64
from guardrails.rego.builtins.operands import object_, string

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography import x509

    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.values import Value

_PRIVATE: Final = frozenset({"RSA PRIVATE KEY", "PRIVATE KEY", "EC PRIVATE KEY"})

_MALFORMED: Final = "x509: malformed certificate"

_Source = TypeVar("_Source")
_Read = TypeVar("_Read")


def _read(what: str, reader: Callable[[_Source], _Read], source: _Source) -> _Read:
    """What `reader` makes of `source`, every refusal of it as a :class:`BuiltinError`."""
    try:
        return reader(source)
    except Exception as error:
        # `cryptography` has no one error for what it cannot read.
        raise BuiltinError(f"{what}: {error}") from error


def _pem_or_base64(text: str) -> str | bytes:
    """PEM text, in base64 or not, as text; anything else in base64 as bytes."""
    if text.startswith(pem.BEGIN):
        return text
    data = from_base64(text)
    return data.decode("latin-1") if data.startswith(pem.BEGIN.encode()) else data


def _certificates(text: str) -> list[bytes]:
    source = _pem_or_base64(text)
    if isinstance(source, bytes):
        return _split(source)
    found: list[bytes] = []
    for block in pem.blocks(source):
        if block.label != "CERTIFICATE":
            raise BuiltinError(f"PEM block type is '{block.label}', expected CERTIFICATE")
        found += _split(block.data)
    return found


def _split(data: bytes) -> list[bytes]:
    try:
        return elements(data)
    except BuiltinError as error:
        raise BuiltinError(f"x509: malformed certificate: {error.message}") from error


def _load(data: bytes) -> x509.Certificate:
    from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415  # an extra

    return load_der_x509_certificate(data)


def _certificate(cert: x509.Certificate) -> dict[Any, Value]:
    return {**certforms.certificate(cert), "URIStrings": certforms.uri_texts(cert.extensions)}


@builtin("crypto.x509.parse_certificates", arity=1, extra="jwt")
def parse_certificates(text: Value) -> Value:
    """The certificates in PEM, or in base64 of PEM or of DER; nothing vouches for them."""
    found = _certificates(string(text, 1))
    return [_read(_MALFORMED, lambda der: _certificate(_load(der)), data) for data in found]


@builtin("crypto.x509.parse_and_verify_certificates", arity=1, needs_context=True, extra="jwt")
def parse_and_verify_certificates(context: EvaluationContext, text: Value) -> Value:
    """Whether the certificates are a chain from the first, its root, to the last; the chain."""
    source = string(text, 1)
    try:
        found = [_read(_MALFORMED, _load, data) for data in _certificates(source)]
        chain = chains.verified(found, context.now_ns)
        shown = [_read(_MALFORMED, _certificate, cert) for cert in chain or ()]
    except BuiltinError:
        return [False, []]
    return [bool(chain), shown]


@builtin(
    "crypto.x509.parse_and_verify_certificates_with_options",
    arity=2,
    needs_context=True,
    extra="jwt",
)
def parse_and_verify_certificates_with_options(
    context: EvaluationContext, text: Value, options: Value
) -> Value:
    """As without options, at another time, for other uses, and for one host."""
    source, wanted = string(text, 1), object_(options, 2)
    try:
        found = [_read(_MALFORMED, _load, data) for data in _certificates(source)]
    except BuiltinError:
        return [False, []]
    asked = verifyoptions.read(wanted)
    now = context.now_ns if asked.now_ns is None else asked.now_ns
    chain = chains.verified(found, now, asked.uses, asked.host)
    try:
        shown = [_read(_MALFORMED, certforms.certificate, cert) for cert in chain or ()]
    except BuiltinError:
        return [False, []]
    return [bool(chain), shown]


@builtin("crypto.x509.parse_certificate_request", arity=1, extra="jwt")
def parse_certificate_request(text: Value) -> Value:
    """The request for a certificate in PEM, or in base64 of PEM or of DER."""
    from cryptography.x509 import load_der_x509_csr  # noqa: PLC0415  # an extra

    source = _pem_or_base64(string(text, 1))
    if isinstance(source, str):
        block = next(pem.blocks(source), None)
        if block is None or block.label != "CERTIFICATE REQUEST":
            raise BuiltinError("invalid PEM-encoded certificate signing request")
        source = block.data
    return _read(
        "asn1: structure error", lambda data: certforms.request(load_der_x509_csr(data)), source
    )


@builtin("crypto.x509.parse_keypair", arity=2, extra="jwt")
def parse_keypair(certificate: Value, key: Value) -> Value:
    """A chain of certificates with the private key of its first."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # an extra
        Encoding,
        PublicFormat,
    )

    # OPA numbers both operands 1.
    chain_text, key_text = string(certificate, 1), string(key, 1)
    source = _pem_or_base64(chain_text)
    chain = (
        [source]
        if isinstance(source, bytes)
        else [block.data for block in pem.blocks(source) if block.label == "CERTIFICATE"]
    )
    secret = _pem_or_base64(key_text)
    keys = [_private_key(secret)] if isinstance(secret, bytes) else _private_keys(secret)
    if not chain or not keys:
        raise BuiltinError("tls: failed to find any PEM data in certificate or key input")
    leaf = _read(_MALFORMED, _load, chain[0])
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    certified, own = (
        _read(_MALFORMED, lambda whole: whole.public_key().public_bytes(*form), holder)
        for holder in (leaf, keys[0])
    )
    if certified != own:
        raise BuiltinError("tls: private key does not match public key")
    return {
        "Certificate": [base64.b64encode(data).decode("ascii") for data in chain],
        "PrivateKey": certforms.private_key(keys[0]),
        "Leaf": _read(_MALFORMED, certforms.certificate, leaf),
        "OCSPStaple": None,
        "SignedCertificateTimestamps": None,
        "SupportedSignatureAlgorithms": None,
    }


def _private_key(data: bytes) -> Any:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # an extra
        load_der_private_key,
    )

    return _read(
        "x509: failed to parse private key", lambda der: load_der_private_key(der, None), data
    )


def _private_keys(text: str) -> list[Any]:
    return [_private_key(block.data) for block in pem.blocks(text) if block.label in _PRIVATE]


@builtin("crypto.parse_private_keys", arity=1, extra="jwt")
def parse_private_keys(text: Value) -> Value:
    """The private keys in PEM or in base64 of PEM; null for empty text."""
    source = string(text, 1)
    if not source:
        return None
    # What is not in base64 is PEM as it is.
    with contextlib.suppress(BuiltinError):
        source = from_base64(source).decode("latin-1")
    return [certforms.private_key(key) for key in _private_keys(source)]


@builtin("crypto.x509.parse_rsa_private_key", arity=1, extra="jwt")
def parse_rsa_private_key(text: Value) -> Value:
    """The first private key in PEM, or in base64 of PEM, as a JWK; of any kind that tokens use."""
    source = string(text, 1)
    if not source:
        raise BuiltinError("input PEM data was empty")
    if not source.startswith(pem.BEGIN):
        source = from_base64(source).decode("latin-1")
    keys = _private_keys(source)
    return _jwk(keys[0]) if keys else None


def _jwk(key: Any) -> dict[Any, Value]:
    from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415  # an extra
        ec,
        ed25519,
        rsa,
    )

    if isinstance(key, ed25519.Ed25519PrivateKey):
        public, secret = key.public_key().public_bytes_raw(), key.private_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": _url(public), "d": _url(secret)}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.key_size + 7) // 8
        numbers = {"x": point.x, "y": point.y, "d": key.private_numbers().private_value}
        texts = {field: _url(number.to_bytes(size, "big")) for field, number in numbers.items()}
        return {"kty": "EC", "crv": f"P-{key.key_size}", **texts}
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BuiltinError(f"a {type(key).__name__} is not supported")
    parts = key.private_numbers()
    public_parts = parts.public_numbers
    fields = {
        "n": public_parts.n,
        "e": public_parts.e,
        "d": parts.d,
        "p": parts.p,
        "q": parts.q,
        "dp": parts.dmp1,
        "dq": parts.dmq1,
        "qi": parts.iqmp,
    }
    shown = {
        field: _url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        for field, number in fields.items()
    }
    return {"kty": "RSA", **shown}


def _url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
