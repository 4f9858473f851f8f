"""JSON Web Tokens of the configured issuer: who somebody is, and in which groups (RFC 7519, 8725).

The file of keys is read anew when it has changed, so that an issuer's new keys are a file put in
the old one's place. Nothing is fetched over the network at a stranger's request.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt
from jwt.algorithms import get_default_algorithms

from guardrails.errors import ConfigError
from guardrails.register.current_file import CurrentFile
from guardrails.register.source import read_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from guardrails.config.server import JwtConfig

LEEWAY: Final = 30
"""Seconds by which the issuer's clock may differ from this one."""

_PUBLIC: Final = frozenset({"RSA", "EC", "OKP"})
_REQUIRED: Final = ("exp", "iss", "aud")


class Claimed(NamedTuple):
    """What a token says that is rightly signed and in force.

    Attributes:
        person: Who.
        groups: The approver groups; empty where they are not read from tokens.
    """

    person: str
    groups: frozenset[str]


class TokenRefused(Exception):  # noqa: N818  # named for what happened; it never leaves the server
    """The token says nothing that counts; the text says why, without the token."""


class JwtTokens:
    """Reads tokens by the keys in a file.

    Args:
        config: Whose, for whom, and what they say.

    Raises:
        ConfigError: the keys cannot be used.
    """

    def __init__(self, config: JwtConfig) -> None:
        self._config = config
        self._reader = jwt.PyJWT({"enforce_minimum_key_length": True})
        self._keys = CurrentFile(config.keys, partial(_read_keys, config))

    def claimed(self, token: str) -> Claimed:
        """What `token` says.

        Raises:
            TokenRefused: it does not count.
            ConfigError: the keys cannot be used any more.
        """
        config = self._config
        try:
            header = jwt.get_unverified_header(token)
            claims = self._reader.decode(
                token,
                self._key(header),
                algorithms=list(config.algorithms),
                audience=config.audience,
                issuer=config.issuer,
                leeway=LEEWAY,
                options={"require": [*_REQUIRED]},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused("the token has expired") from None
        except jwt.PyJWTError as error:
            raise TokenRefused(f"the token does not count: {error}") from None
        return Claimed(self._person(claims), self._groups(claims))

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        algorithm = header.get("alg")
        if algorithm not in self._config.algorithms:
            raise TokenRefused("the token's algorithm is not one that is allowed")
        fitting = [
            key
            for key in self._keys.now()
            if header.get("kid") in (None, key.get("kid"))
            and key.get("alg") in (None, algorithm)
            and key.get("use") in (None, "sig")
        ]
        if len(fitting) != 1:
            raise TokenRefused("the token does not say by which of the known keys it is signed")
        # The key is bound to the one algorithm: what the header says chooses no other.
        return jwt.PyJWK(fitting[0], algorithm=algorithm)

    def _person(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._config.person)
        if not isinstance(name, str):
            raise TokenRefused(f"the token has no text as `{self._config.person}`")
        if self._config.person == "email" and claims.get("email_verified", True) is not True:
            raise TokenRefused("the token's issuer has not verified the address")
        return name

    def _groups(self, claims: Mapping[str, Any]) -> frozenset[str]:
        claim = self._config.groups
        if claim is None:
            return frozenset()
        groups = claims.get(claim, [])
        if not isinstance(groups, list) or not all(isinstance(each, str) for each in groups):
            raise TokenRefused(f"the token's `{claim}` is no list of texts")
        return frozenset(groups)


def _read_keys(config: JwtConfig, file: Path) -> list[dict[str, Any]]:
    """The public keys in the file, as JSON Web Keys.

    Raises:
        ConfigError: they cannot be used.
    """
    text = read_text(file)
    try:
        if text.lstrip().startswith("-----BEGIN"):
            keys = [_jwk_of(text, config.algorithms[0])]
        else:
            keys = [dict(key) for key in json.loads(text)["keys"]]
        for key in keys:
            jwt.PyJWK(key, algorithm=key.get("alg") or _usual_algorithm(key))
    except (ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError) as error:
        raise ConfigError(
            f"{file}: is neither a JSON Web Key Set nor a public key in PEM: {error}"
        ) from error
    if not keys or any(key["kty"] not in _PUBLIC or "d" in key for key in keys):
        raise ConfigError(f"{file}: public keys are wanted, and nothing else")
    return keys


def _jwk_of(pem: str, algorithm: str) -> dict[str, Any]:
    reader = get_default_algorithms()[algorithm]
    document: dict[str, Any] = reader.to_jwk(reader.prepare_key(pem), as_dict=True)
    document.pop("key_ops", None)
    return document


def _usual_algorithm(key: Mapping[str, Any]) -> str:
    curves = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
    return {"RSA": "RS256", "OKP": "EdDSA"}.get(key["kty"]) or curves[key["crv"]]
