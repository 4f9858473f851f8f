"""Whether a bundle was signed with a configured key, and holds exactly what was signed.

``.signatures.json`` holds one JSON Web Token whose payload names each file with its digest. The
algorithm comes from the configured key and never from the token; a token that names another one
is refused. Data and manifest are hashed as OPA does it: as JSON without white space, names in
order, digits as they stand; all other files as their bytes.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.rego.archive import place_in, shown
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.extras import is_installed
from guardrails.rego.builtins.signing import SigningKey, verifies
from guardrails.rego.bundle import MANIFEST, SIGNATURES
from guardrails.rego.bundle_documents import json_document, text_of, yaml_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ALGORITHMS: Final = tuple(
    f"{kind}{bits}" for kind in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)
)
"""The algorithms that a key can be for."""

_DIGESTS: Final[Mapping[str, Callable[[], Any]]] = {
    "SHA-256": hashlib.sha256,
    "SHA-384": hashlib.sha384,
    "SHA-512": hashlib.sha512,
    "SHA-512-256": lambda: hashlib.new("sha512_256"),
}
# OPA also takes MD5, SHA-1 and SHA-224; two files with one such digest can be made.
_STRUCTURED: Final = frozenset({"data.json", "data.yaml", MANIFEST})
_TOKEN_PARTS: Final = 3
_TOKEN_LIMIT: Final = 16 << 20
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
            _usable(name, key)


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature that was found to be right.

    Attributes:
        keyid: The key that signed.
        algorithm: Its algorithm.
        scope: What it is for.
        issuer: Who says that it signed; nothing vouches for it but the key.
    """

    keyid: str
    algorithm: str
    scope: str
    issuer: str = ""


def is_signed(files: Mapping[str, bytes]) -> bool:
    """Whether the bundle says that it is signed."""
    return SIGNATURES in files


def verify(
    files: Mapping[str, bytes], verification: Verification | None, name: str
) -> Signature | None:
    """The signature of a bundle; None where it has none and none is asked for.

    Args:
        files: The bundle's files by path.
        verification: How it is verified; None where no key is configured.
        name: What errors call it.

    Raises:
        PolicyLoadError: It is signed and no key is configured, it is not signed and one is, or
            the signature is not right.
    """
    if not is_signed(files):
        if verification is None:
            return None
        raise _refused(name, "it is not signed, and a key is configured")
    if verification is None:
        raise _refused(name, "it is signed, and no key is configured to verify it with")
    token = _token(files[SIGNATURES], name)
    signature, claims = _verified(token, verification, name)
    _check_files(files, claims, verification, name)
    return signature


def told_signature(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    """What an unverified signature says of itself: ``keyid``, ``algorithm``, ``scope``, ``files``.

    Raises:
        PolicyLoadError: It cannot be read.
    """
    header, claims = _parts(_token(files[SIGNATURES], name), name)
    return {
        "keyid": str(header.get("kid") or claims.get("keyid") or ""),
        "algorithm": str(header.get("alg", "")),
        "scope": str(claims.get("scope", "")),
        "issuer": str(claims.get("iss", "")),
        "files": len(claims["files"]),
    }


def _token(content: bytes, name: str) -> str:
    document = json_document(content, place_in(name, SIGNATURES))
    match document:
        case {"plugin": plugin} if plugin not in ("", "_default"):
            what = f"its signature is for the plugin `{shown(str(plugin))}`"
        case {"signatures": [_, _, *_]}:
            what = "it has several signatures; exactly one is read"
        case {"signatures": [str(token)]} if len(token) <= _TOKEN_LIMIT:
            return token
        case _:
            what = "its `.signatures.json` holds no signature"
    raise _refused(name, what)


def _parts(token: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload of a token that nothing vouches for yet."""
    parts = token.split(".")
    if len(parts) != _TOKEN_PARTS:
        raise _refused(name, "its signature is no JSON Web Token")
    place = place_in(name, SIGNATURES)
    header, claims = (json_document(_base64url(part, name), place) for part in parts[:2])
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise _refused(name, "its signature is no JSON Web Token")
    if not isinstance(claims.get("files"), list):
        raise _refused(name, "its signature names no files")
    return header, claims


def _verified(
    token: str, verification: Verification, name: str
) -> tuple[Signature, dict[str, Any]]:
    header, claims = _parts(token, name)
    keyid = verification.keyid or header.get("kid") or claims.get("keyid")
    if not isinstance(keyid, str) or keyid not in verification.keys:
        known = ", ".join(f"`{each}`" for each in sorted(verification.keys))
        raise _refused(
            name, f"its signature is by the key `{shown(str(keyid))}`; there are {known}"
        )
    key = verification.keys[keyid]
    if header.get("alg") != key.algorithm:
        told = shown(str(header.get("alg")))
        what = f"its signature says `{told}`, and the key `{keyid}` is for `{key.algorithm}`"
        raise _refused(name, what)
    if "crit" in header or header.get("b64") is False:
        raise _refused(name, "its signature asks for an extension that is not known")
    message, _, signature = token.rpartition(".")
    if not _holds(_usable(keyid, key), key, message, _base64url(signature, name)):
        raise _refused(name, f"its signature is not right for the key `{keyid}`")
    scope = verification.scope or key.scope
    found = claims.get("scope", "")
    if found != scope:
        raise _refused(name, f"its signature has the scope `{shown(str(found))}`, not `{scope}`")
    issuer = claims.get("iss", "")
    return Signature(keyid, key.algorithm, scope, issuer if isinstance(issuer, str) else ""), claims


def _holds(raw: Any, key: VerificationKey, message: str, signature: bytes) -> bool:
    try:
        return verifies(SigningKey(raw), key.algorithm, message.encode("ascii"), signature)
    except (BuiltinError, UnicodeEncodeError):
        return False


def _check_files(
    files: Mapping[str, bytes], claims: dict[str, Any], verification: Verification, name: str
) -> None:
    """Refuses unless the signature names exactly the files that are there, with their digests."""
    signed: dict[str, dict[str, Any]] = {}
    for entry in claims["files"]:
        match entry:
            case {"name": str(path), "hash": str(_), "algorithm": str(_)} if path not in signed:
                signed[path] = entry
            case _:
                raise _refused(name, "its signature names a file twice, or without its digest")
    for path, content in files.items():
        entry = signed.pop(path, None)
        if path == SIGNATURES or any(
            fnmatch.fnmatchcase(path, each) and path.count("/") == each.count("/")
            for each in verification.exclude
        ):
            continue
        if entry is None:
            raise _refused(name, f"the file `{shown(path)}` is not in its signature")
        digest = _digest(path, content, entry["algorithm"], name)
        if not hmac.compare_digest(digest.encode(), entry["hash"].lower().encode()):
            raise _refused(name, f"the file `{shown(path)}` is not the one that was signed")
    if signed:
        raise _refused(
            name, f"the file `{shown(min(signed))}` is in its signature and is not there"
        )


def _digest(path: str, content: bytes, algorithm: str, name: str) -> str:
    make = _DIGESTS.get(algorithm)
    if make is None:
        known = ", ".join(f"`{each}`" for each in _DIGESTS)
        what = f"the file `{shown(path)}` is hashed with `{shown(algorithm)}`; known are {known}"
        raise _refused(name, what)
    last = path.rpartition("/")[2]
    if last in _STRUCTURED:
        content = _canonical(path, content, name)
    found = make()
    found.update(content)
    return str(found.hexdigest())


def _canonical(path: str, content: bytes, name: str) -> bytes:
    """A document as OPA hashes it."""
    place = place_in(name, path)
    text = text_of(content, place).removeprefix("\ufeff")
    parts: list[str] = []
    try:
        try:
            value = _VERBATIM.decode(text)
        except json.JSONDecodeError:
            value = yaml_document(content, place)
        _write(value, parts.append)
        return "".join(parts).encode()
    except (ValueError, RecursionError) as error:
        raise PolicyLoadError(f"cannot be hashed: {error}", file=place) from error


def _write(value: Any, put: Callable[[str], object]) -> None:
    if isinstance(value, dict):
        separator = "{"
        for key in sorted(value):
            put(separator)
            put(_quoted(key))
            put(":")
            _write(value[key], put)
            separator = ","
        put("}" if value else "{}")
    elif isinstance(value, list):
        separator = "["
        for item in value:
            put(separator)
            _write(item, put)
            separator = ","
        put("]" if value else "[]")
    elif isinstance(value, _Digits):
        put(value)
    elif isinstance(value, str):
        put(_quoted(value))
    elif value is None or isinstance(value, bool):
        put({None: "null", True: "true", False: "false"}[value])
    else:
        put(str(value).lower())  # what YAML gives: whole numbers, and decimals in Go's digits


def _quoted(text: str) -> str:
    """A text as Go's encoder writes it: these two would end a line in JavaScript."""
    written = json.dumps(text, ensure_ascii=False)
    return written.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


class _Digits(str):
    """A number of a JSON text, digit for digit."""

    __slots__ = ()


def _no_constant(text: str) -> NoReturn:
    msg = f"`{text}` is no JSON number"
    raise ValueError(msg)


_VERBATIM: Final = json.JSONDecoder(
    parse_float=_Digits, parse_int=_Digits, parse_constant=_no_constant
)


def _base64url(text: str, name: str) -> bytes:
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        found = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError, ValueError):
        raise _refused(name, "its signature is no JSON Web Token") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != text.encode("ascii"):
        raise _refused(name, "its signature is no JSON Web Token")
    return found


def _usable(keyid: str, key: VerificationKey) -> Any:
    """The secret, or the public key as `cryptography` has it.

    Raises:
        ConfigError: The key is not one of its algorithm, or `cryptography` is not installed.
    """
    if key.algorithm not in ALGORITHMS:
        known = ", ".join(f"`{each}`" for each in ALGORITHMS)
        msg = f"the key `{keyid}` is for the unknown algorithm `{key.algorithm}`; there are {known}"
        raise ConfigError(msg)
    if key.algorithm.startswith("HS"):
        secret = key.key.encode()
        if len(secret) < _SECRET_LEAST or b"-----BEGIN" in secret:
            msg = f"the key `{keyid}` is no secret of at least {_SECRET_LEAST} bytes"
            raise ConfigError(msg)
        return secret
    if not is_installed("jwt"):
        msg = (
            f"the key `{keyid}` is for `{key.algorithm}`, which needs the extra `jwt`:"
            " pip install 'guardrails-opa[jwt]'"
        )
        raise ConfigError(msg)
    return _public_key(keyid, key)


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


def _refused(name: str, what: str) -> PolicyLoadError:
    return PolicyLoadError(f"the bundle is refused: {what}", file=name)


__all__ = [
    "ALGORITHMS",
    "Signature",
    "Verification",
    "VerificationKey",
    "is_signed",
    "told_signature",
    "verify",
]
