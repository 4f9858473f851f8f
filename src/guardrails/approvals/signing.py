"""An approver's key: what a person signs, and whether a signature is right (Ed25519, RFC 8032).

A person signs the request's digest with the answer, so that whoever can write into the
store of requests can neither make up an answer nor put another call under one. A server that
has made sure who somebody is signs in that person's place, by a key of its own, and says so: the
two kinds of signature are over different texts, and neither passes for the other. Needs the
extra ``approvals``.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.errors import ConfigError
from guardrails.model.canonical import NotExactJSON, canonical
from guardrails.model.seal import exact_text

if TYPE_CHECKING:
    from pathlib import Path

    from guardrails.model.approval import Answer, ApprovalRequest

PREFIX: Final = "ed25519:"
"""How a public key is written: this, and the 32 bytes of the key in base64."""

_PURPOSE: Final = "guardrails approval answer 1"
_SERVERS_PURPOSE: Final = "guardrails approval answer by a server 1"
_YES: Final = "true"
_SEED_BYTES: Final = 32
_LATELY: Final = 1_000
"""Signatures that are not looked at twice."""


class ApproverKey:
    """A person's private key. It is kept in a file that nobody else may read.

    Args:
        seed: The 32 bytes of the key.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = _primitives().Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def make(cls, path: Path) -> Self:
        """A new key, kept in the file at `path`.

        Raises:
            ConfigError: there is a file already, or it cannot be written.
        """
        seed = os.urandom(_SEED_BYTES)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(base64.b64encode(seed) + b"\n")
        except FileExistsError:
            raise ConfigError(f"there is a key in `{path}` already; it is not replaced") from None
        except OSError as error:
            raise ConfigError(f"the key `{path}` cannot be written: {error.strerror}") from error
        return cls(seed)

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key in the file at `path`.

        Raises:
            ConfigError: there is none, others may read it, or it is no key.
        """
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                seed = base64.b64decode(file.read(200).strip(), validate=True)
        except FileNotFoundError:
            raise ConfigError(
                f"there is no approver key in `{path}`; `guardrails approvals enroll` makes one"
            ) from None
        except (OSError, binascii.Error) as error:
            raise ConfigError(f"the approver key `{path}` cannot be read: {error}") from error
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"others may read the key `{path}`; `chmod 600` it, or make another")
        if len(seed) != _SEED_BYTES:
            raise ConfigError(f"`{path}` holds no approver key")
        return cls(seed)

    @property
    def public(self) -> str:
        """The public half, as it stands in ``approvers.yaml``."""
        return PREFIX + base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    def sign(self, request_digest: str, answer: Answer) -> str:
        """The signature of `answer` to the request with that digest."""
        return base64.b64encode(self._key.sign(signed_text(request_digest, answer))).decode()


@dataclass(frozen=True, slots=True)
class Voucher:
    """How a server signs answers in the place of those whom it knows.

    Attributes:
        server: Its name in ``approvers.yaml``.
        key: Its key.
    """

    server: str
    key: ApproverKey

    def vouch(self, request: ApprovalRequest, answer: Answer) -> Answer:
        """`answer`, signed in the place of its person."""
        said = replace(answer, server=self.server)
        return replace(said, signature=self.key.sign(request.digest, said))


def signed_text(request_digest: str, answer: Answer) -> bytes:
    """What is signed: the request's digest, and all that the answer says of itself.

    Also when: that says whether the request had been put to a further group by then, and an
    old answer is none. Of a server also which groups it vouches for.
    """
    # In canonical JSON, its names in their order.
    text = (
        f'{{"approved":{_YES if answer.approved is True else exact_text(answer.approved)},'
        f'"by":{exact_text(answer.by)},"channel":{exact_text(answer.channel)},'
    )
    if answer.edit:
        text += f'"edit":{exact_text(answer.edit)},'
    text += (
        f'"purpose":"{_SERVERS_PURPOSE if answer.server else _PURPOSE}",'
        f'"reason":{exact_text(answer.reason)},"request_digest":{exact_text(request_digest)},'
    )
    if answer.server:
        text += f'"server":{exact_text(answer.server)},'
    text += f'"time":{exact_text(answer.time)}'
    if answer.server:
        text += f',"vouched":{canonical(sorted(answer.vouched)).decode()}'
    try:
        return f"{text}}}".encode()
    except UnicodeEncodeError:
        msg = "a string holds a lone surrogate"
        raise NotExactJSON(msg) from None


def is_signed(public: str, request_digest: str, answer: Answer) -> bool:
    """Whether the holder of `public` signed this answer to the request with that digest."""
    return _is_right(public, answer.signature, signed_text(request_digest, answer))


@lru_cache(_LATELY)
def _is_right(public: str, signature: str, text: bytes) -> bool:
    # Of the same bytes it is always the same, and takes longer than all else of an answer.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # an extra

    try:
        _known_key(public).verify(base64.b64decode(signature, validate=True), text)
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key(text: str) -> Any:
    """The key that `text` writes.

    Raises:
        ValueError: it writes none.
    """
    try:
        return _primitives().Ed25519PublicKey.from_public_bytes(key_bytes(text))
    except ValueError:
        msg = f"a public key as `{PREFIX}…` is needed; `guardrails approvals enroll` prints it"
        raise ValueError(msg) from None


_known_key: Final = lru_cache(256)(public_key)


def key_bytes(text: str) -> bytes:
    """The bytes of the key that `text` writes: one key can be written in several ways.

    Raises:
        ValueError: it writes none.
    """
    kind, _, encoded = text.partition(":")
    return base64.b64decode(encoded if f"{kind}:" == PREFIX else "", validate=True)


def _primitives() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        raise ConfigError(
            "approvers' keys need the extra `approvals`: pip install 'guardrails-opa[approvals]'"
        ) from None
    return ed25519
