"""Bundles made by hand, sound and broken, signed and not."""

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from typing import TYPE_CHECKING, Any

from guardrails.opa.digests import digest
from guardrails.rego.builtins.signing import SigningKey, sign

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SECRET = "a secret of more than sixteen bytes"

DECISION = """package guardrails

import rego.v1

default decision := {
	"effect": "deny",
	"reasons": [{"rule": "test", "reason": "%s"}],
	"approvals": [],
	"obligations": [],
}

decision := {"effect": "allow", "reasons": [], "approvals": [], "obligations": []} if {
	input.agent.id in data.guardrails_data.trusted
}
"""
"""A policy that trusts some agents, and says in each refusal which of its editions it is."""

MASK = """package system.log

import rego.v1

mask contains "/input/args"
"""


def manifest(revision: str, roots: Iterable[str] | None = None, **more: Any) -> bytes:
    """A manifest."""
    fields: dict[str, Any] = {"revision": revision, "rego_version": 1, **more}
    if roots is not None:
        fields["roots"] = list(roots)
    return json.dumps(fields).encode()


def policy_files(edition: str, trusted: Iterable[str] = ("a",)) -> dict[str, bytes]:
    """A bundle that decides, with its data."""
    return {
        ".manifest": manifest(edition, ["guardrails", "guardrails_data"]),
        "guardrails/main.rego": (DECISION % edition).encode(),
        "guardrails_data/data.json": json.dumps({"trusted": list(trusted)}).encode(),
    }


def packed(files: Mapping[str, bytes], *, slash: bool = True) -> bytes:
    """An archive as OPA writes it."""
    return gzipped(tar_of(files, slash=slash))


def tar_of(files: Mapping[str, bytes], *, slash: bool = True) -> bytes:
    """A tar of plain files."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(f"{'/' if slash else ''}{path}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return made.getvalue()


def tar_with(*infos: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar with members of any kind; those with a size hold as much of `content`."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(content[: info.size]) if info.size else None)
    return made.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: Any) -> tarfile.TarInfo:
    """One member of a tar."""
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def gzipped(tar: bytes) -> bytes:
    """A gzip without a time, so that it is always the same."""
    return gzip.compress(tar, mtime=0)


def token(
    claims: Mapping[str, Any], *, header: Mapping[str, Any] | None = None, secret: str = SECRET
) -> str:
    """A JSON Web Token signed with a secret."""
    head = {"alg": "HS256", "kid": "default", "typ": "JWT", **(header or {})}
    parts = [_base64url(json.dumps(each).encode()) for each in (head, claims)]
    message = ".".join(parts)
    made = sign(SigningKey(secret.encode()), "HS256", message.encode())
    return f"{message}.{_base64url(made)}"


def claims_of(files: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    """What a signature says of `files`."""
    listed = [
        {"name": path, "hash": digest(path, content, "SHA-256", "b"), "algorithm": "SHA-256"}
        for path, content in files.items()
    ]
    return {"files": listed, **more}


def signed(files: Mapping[str, bytes], *, secret: str = SECRET, **claims: Any) -> dict[str, bytes]:
    """The files with their signature."""
    made = token(claims_of(files, **claims), secret=secret)
    return {**files, ".signatures.json": json.dumps({"signatures": [made]}).encode()}


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
