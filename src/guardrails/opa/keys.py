"""The keys that bundles may be signed with, as OPA's configuration gives them.

What makes sure of a signature is `cryptography`, by way of the builtins for JSON Web Tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import ConfigError
from guardrails.rego.builtins.extras import is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

ALGORITHMS: Final = tuple(
    f"{kind}{bits}" for kind in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)
)
"""The algorithms that a key can be for."""

_SECRET_LEAST: Final = 16
_CURVES: Final = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_RSA_LEAST: Final = 2048


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key that bundles may be signed with.

    Attributes:
        key: A public key or a certificate in PEM; for ``HS…`` the secret.
        algorithm: One of :data:`ALGORITHMS`.
        scope: The scope that a signature must have, where the bundle's configuration has none.
    """

    key: str = field(repr=False)
    algorithm: str = "RS256"
    scope: str = ""

    def usable(self, keyid: str) -> Any:
        """The secret, or the public key as `cryptography` has it.

        Raises:
            ConfigError: The key is not one of its algorithm, or `cryptography` is not installed.
        """
        if self.algorithm not in ALGORITHMS:
            known = ", ".join(f"`{each}`" for each in ALGORITHMS)
            msg = (
                f"the key `{keyid}` is for the unknown algorithm `{self.algorithm}`;"
                f" there are {known}"
            )
            raise ConfigError(msg)
        if self.algorithm.startswith("HS"):
            secret = self.key.encode()
            if len(secret) < _SECRET_LEAST or b"-----BEGIN" in secret:
                msg = f"the key `{keyid}` is no secret of at least {_SECRET_LEAST} bytes"
                raise ConfigError(msg)
            return secret
        if not is_installed("jwt"):
            msg = (
                f"the key `{keyid}` is for `{self.algorithm}`, which needs the extra `jwt`:"
                " pip install 'guardrails-opa[jwt]'"
            )
            raise ConfigError(msg)
        return _public_key(keyid, self)


@dataclass(frozen=True, slots=True)
class Verification:
    """How bundles are verified. Where there is one, a bundle must be signed.

    Attributes:
        keys: The keys by their ids.
        keyid: The key that must have signed; empty for the one that the signature names.
        scope: The scope that the signature must have; empty for the key's own.
        exclude: Patterns of paths that the signature need not name.

    Raises:
        ConfigError: A key cannot be used, or `keyid` names none.
    """

    keys: Mapping[str, VerificationKey]
    keyid: str = ""
    scope: str = ""
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.keys:
            msg = "there is no key to verify bundles with"
            raise ConfigError(msg)
        if self.keyid and self.keyid not in self.keys:
            known = ", ".join(f"`{name}`" for name in sorted(self.keys))
            msg = f"there is no key `{self.keyid}`; there are {known}"
            raise ConfigError(msg)
        for name, key in self.keys.items():
            key.usable(name)


def _public_key(keyid: str, key: VerificationKey) -> Any:
    from cryptography import x509  # noqa: PLC0415  # an extra
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415  # as above
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # as above
        load_pem_public_key,
    )

    pem = key.key.strip().encode()
    try:
        found: Any = (
            x509.load_pem_x509_certificate(pem).public_key()
            if pem.startswith(b"-----BEGIN CERTIFICATE-----")
            else load_pem_public_key(pem)
        )
    except Exception as error:
        # `cryptography` has no one error for what it cannot read; none of it may be a key. Its
        # words may repeat parts of the key.
        msg = f"the key `{keyid}` is no public key and no certificate in PEM"
        raise ConfigError(msg) from error
    curve = _CURVES.get(key.algorithm)
    if curve is not None:
        fits = isinstance(found, ec.EllipticCurvePublicKey) and found.curve.name == curve
        what = f"on the curve {curve}"
    else:
        fits = isinstance(found, rsa.RSAPublicKey) and found.key_size >= _RSA_LEAST
        what = f"of RSA with at least {_RSA_LEAST} bits"
    if not fits:
        msg = f"the key `{keyid}` is no public key {what}, as `{key.algorithm}` needs"
        raise ConfigError(msg)
    return found


__all__ = ["ALGORITHMS", "Verification", "VerificationKey"]
