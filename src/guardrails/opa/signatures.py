"""Whether a bundle was signed with a configured key, and holds exactly what was signed.

``.signatures.json`` holds one JSON Web Token whose payload names each file with its digest. The
algorithm comes from the configured key and never from the token; a token that names another one
is refused.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.opa.digests import digest
from guardrails.rego.archive import place_in, shown
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.signing import SigningKey, verifies
from guardrails.rego.bundle import SIGNATURES
from guardrails.rego.bundle_documents import json_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.opa.keys import Verification, VerificationKey

_TOKEN_PARTS: Final = 3
_TOKEN_LIMIT: Final = 16 << 20


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
    if not _holds(key.usable(keyid), key, message, _base64url(signature, name)):
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
        found = digest(path, content, entry["algorithm"], name)
        if not hmac.compare_digest(found.encode(), entry["hash"].lower().encode()):
            raise _refused(name, f"the file `{shown(path)}` is not the one that was signed")
    if signed:
        raise _refused(
            name, f"the file `{shown(min(signed))}` is in its signature and is not there"
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


def _refused(name: str, what: str) -> PolicyLoadError:
    return PolicyLoadError(f"the bundle is refused: {what}", file=name)


__all__ = ["Signature", "is_signed", "told_signature", "verify"]
