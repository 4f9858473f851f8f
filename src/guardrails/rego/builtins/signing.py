"""Keys and signatures of JSON Web Tokens (RFC 7515, 7517, 7518), through `cryptography`.

An algorithm takes keys of its own kind only: a public key never serves as the secret of a keyed
digest, whatever a token's header says.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.builtins import pem
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.encoding import from_base64url
from guardrails.rego.builtins.jsontext import read_json

if TYPE_CHECKING:
    from guardrails.rego.values import Key, Value

ALGORITHMS: Final = frozenset(
    {f"{kind}{bits}" for kind in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)} | {"EdDSA"}
)
"""The algorithms of RFC 7518 and RFC 8037 that sign."""

_CURVES: Final = {"P-256": "SECP256R1", "P-384": "SECP384R1", "P-521": "SECP521R1"}


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that tokens are signed or verified with.

    Attributes:
        raw: The secret, or the key as `cryptography` has it, private or public.
        algorithm: The only algorithm that it is for; empty for any of its kind.
        name: Its ``kid``; empty where it has none.
    """

    raw: Any
    algorithm: str = ""
    name: str = ""

    def public(self) -> SigningKey:
        """The public half of a private key; any other key as it is."""
        half = getattr(self.raw, "public_key", None)
        return self if half is None else replace(self, raw=half())


def public_keys(text: str) -> list[SigningKey]:
    """The keys in a PEM certificate, a PEM public key, a JWK or a JWK set.

    Raises:
        BuiltinError: `text` is none of them, or goes on after its PEM block.
    """
    block = next(pem.blocks(text), None)
    if block is None:
        known = jwk_keys(text)
        return [key for key in known if not key.algorithm or key.algorithm in ALGORITHMS]
    if block.end != len(text):
        raise BuiltinError("extra data after a PEM certificate block")
    if block.label == "CERTIFICATE":
        from cryptography.x509 import load_der_x509_certificate  # noqa: PLC0415  # an extra

        kind = "certificate"

        def read(data: bytes) -> Any:
            return load_der_x509_certificate(data).public_key()

    elif block.label == "PUBLIC KEY":
        from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # an extra
            load_der_public_key,
        )

        kind, read = "public key", load_der_public_key
    else:
        raise BuiltinError("failed to extract a Key from the PEM certificate")
    try:
        return [SigningKey(read(block.data))]
    except Exception as error:
        # `cryptography` has no one error for what it cannot read; none of them may pass as a key.
        raise BuiltinError(f"failed to parse a PEM {kind}: {error}") from error


def jwk_keys(text: str) -> list[SigningKey]:
    """The keys of a JWK or a JWK set, private or public.

    Raises:
        BuiltinError: `text` is neither, or one of its keys cannot be used.
    """
    try:
        document = read_json(text)
    except (BuiltinError, ValueError, ArithmeticError) as error:
        raise BuiltinError(f"failed to parse a JWK key (set): {error}") from error
    if type(document) is not dict:
        raise BuiltinError("failed to parse a JWK key (set): it is no object")
    if "keys" not in document:
        return [_jwk_key(document)]
    if type(document["keys"]) is not list:
        raise BuiltinError("failed to parse a JWK key (set): `keys` is no array")
    return [_jwk_key(key) for key in document["keys"]]


def _jwk_key(jwk: Value) -> SigningKey:
    if type(jwk) is not dict:
        raise BuiltinError("failed to parse a JWK key (set): a key is no object")
    readers = {"oct": _secret, "RSA": _rsa, "EC": _elliptic, "OKP": _edwards}
    reader = readers.get(_text(jwk, "kty"))
    if reader is None:
        raise BuiltinError(f"failed to parse a JWK key (set): invalid key type {jwk['kty']}")
    try:
        raw = reader(jwk)
    except BuiltinError:
        raise
    except Exception as error:
        # As above: whatever `cryptography` says, it is no key.
        raise BuiltinError(f"failed to parse a JWK key (set): {error}") from error
    name = _text(jwk, "kid") if "kid" in jwk else ""
    return SigningKey(raw, _text(jwk, "alg") if "alg" in jwk else "", name)


def _text(jwk: dict[Key, Value], field: str) -> str:
    value = jwk.get(field)
    if type(value) is not str:
        raise BuiltinError(f"failed to parse a JWK key (set): `{field}` is no string")
    return value


def _number(jwk: dict[Key, Value], field: str) -> int:
    return int.from_bytes(from_base64url(_text(jwk, field)), "big")


def _secret(jwk: dict[Key, Value]) -> bytes:
    return from_base64url(_text(jwk, "k"))


def _rsa(jwk: dict[Key, Value]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  # an extra

    public = rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n"))
    if "d" not in jwk:
        return public.public_key()
    p, q, d = (_number(jwk, field) for field in ("p", "q", "d"))
    dp = _number(jwk, "dp") if "dp" in jwk else rsa.rsa_crt_dmp1(d, p)
    dq = _number(jwk, "dq") if "dq" in jwk else rsa.rsa_crt_dmq1(d, q)
    qi = _number(jwk, "qi") if "qi" in jwk else rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


def _elliptic(jwk: dict[Key, Value]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # an extra

    curve = _CURVES.get(_text(jwk, "crv"))
    if curve is None:
        raise BuiltinError(f"failed to parse a JWK key (set): invalid curve {jwk['crv']}")
    public = ec.EllipticCurvePublicNumbers(
        _number(jwk, "x"), _number(jwk, "y"), getattr(ec, curve)()
    )
    if "d" not in jwk:
        return public.public_key()
    return ec.EllipticCurvePrivateNumbers(_number(jwk, "d"), public).private_key()


def _edwards(jwk: dict[Key, Value]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # an extra

    if _text(jwk, "crv") != "Ed25519":
        raise BuiltinError(f"failed to parse a JWK key (set): invalid curve {jwk['crv']}")
    public = from_base64url(_text(jwk, "x"))
    if "d" not in jwk:
        return ed25519.Ed25519PublicKey.from_public_bytes(public)
    return ed25519.Ed25519PrivateKey.from_private_bytes(from_base64url(_text(jwk, "d")))


def verifies(key: SigningKey, algorithm: str, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `message`; False too for a key of another kind."""
    if algorithm not in ALGORITHMS:
        return False
    if algorithm.startswith("HS"):
        if type(key.raw) is not bytes:
            return False
        return hmac.compare_digest(_keyed_digest(key.raw, algorithm, message), signature)
    from cryptography.exceptions import (  # noqa: PLC0415  # an extra
        InvalidSignature,
        UnsupportedAlgorithm,
    )

    try:
        _check(key.raw, algorithm, message, signature)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, BuiltinError):
        return False
    return True


def _check(raw: Any, algorithm: str, message: bytes, signature: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415  # an extra
        ec,
        ed25519,
        rsa,
    )
    from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: PLC0415  # an extra
        encode_dss_signature,
    )

    if algorithm == "EdDSA" and isinstance(raw, ed25519.Ed25519PublicKey):
        raw.verify(signature, message)
    elif algorithm.startswith("ES") and isinstance(raw, ec.EllipticCurvePublicKey):
        size = (raw.key_size + 7) // 8
        if len(signature) != 2 * size:
            raise BuiltinError("invalid ECDSA signature size")
        r, s = (int.from_bytes(half, "big") for half in (signature[:size], signature[size:]))
        raw.verify(encode_dss_signature(r, s), message, ec.ECDSA(_hash(algorithm)))
    elif algorithm[0] in "RP" and isinstance(raw, rsa.RSAPublicKey):
        raw.verify(signature, message, _rsa_padding(algorithm), _hash(algorithm))
    else:
        raise BuiltinError("incorrect public key type")


def sign(key: SigningKey, algorithm: str, message: bytes) -> bytes:
    """The signature of `message`.

    Raises:
        BuiltinError: `key` is not a secret or private key of the algorithm's kind.
    """
    raw = key.raw
    if algorithm.startswith("HS"):
        if type(raw) is not bytes or not raw:
            raise BuiltinError(f"invalid key type for {algorithm}: a secret is required")
        return _keyed_digest(raw, algorithm, message)
    from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415  # an extra
        ec,
        ed25519,
        rsa,
    )
    from cryptography.hazmat.primitives.asymmetric.utils import (  # noqa: PLC0415  # an extra
        decode_dss_signature,
    )

    if algorithm == "EdDSA" and isinstance(raw, ed25519.Ed25519PrivateKey):
        return raw.sign(message)
    if algorithm.startswith("ES") and isinstance(raw, ec.EllipticCurvePrivateKey):
        size = (raw.key_size + 7) // 8
        r, s = decode_dss_signature(raw.sign(message, ec.ECDSA(_hash(algorithm))))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if algorithm[0] in "RP" and isinstance(raw, rsa.RSAPrivateKey):
        return raw.sign(message, _rsa_padding(algorithm), _hash(algorithm))
    raise BuiltinError(f"invalid key type for {algorithm}: its private key is required")


def _keyed_digest(secret: bytes, algorithm: str, message: bytes) -> bytes:
    return hmac.digest(secret, message, getattr(hashlib, f"sha{algorithm[2:]}"))


def _hash(algorithm: str) -> Any:
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415  # an extra

    return getattr(hashes, f"SHA{algorithm[2:]}")()


def _rsa_padding(algorithm: str) -> Any:
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415  # an extra

    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(_hash(algorithm)), padding.PSS.DIGEST_LENGTH)
