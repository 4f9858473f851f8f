"""The keys of a record: the private one signs its closing lines, the public one checks them.

Ed25519 (RFC 8032), by the extra ``audit``. Without the extra a record is chained and unsigned.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.audit.chain import PURPOSE
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PREFIX: Final = "ed25519:"
"""How a public key is written: this, and the 32 bytes of the key in base64."""

_SEED_BYTES: Final = 32
_LONGEST: Final = 200
_ID_DIGITS: Final = 16


class RecordKey:
    """The key of a process that writes.

    Args:
        seed: Its 32 bytes.
    """

    def __init__(self, seed: bytes) -> None:
        self._key = _primitives().Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(self._key.public_key().public_bytes_raw())
        self.sign = self._key.sign

    @classmethod
    def load_or_make(cls, path: Path) -> Self:
        """The key in the file at `path`, made where there is none, beside its public half.

        The public half goes to a file of the same name that ends in ``.pub``.

        Raises:
            ConfigError: it cannot be read or made, others may read it, or it is no key.
        """
        try:
            return cls.load(path)
        except FileNotFoundError:
            pass
        seed = os.urandom(_SEED_BYTES)
        made = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_new(made, base64.b64encode(seed) + b"\n", 0o600)
            try:
                os.link(made, path)  # whole or not at all, and never over another process's
            finally:
                made.unlink()
        except FileExistsError:
            return cls.load(path)
        except OSError as error:
            raise ConfigError(
                f"the record's key `{path}` cannot be made: {error.strerror or error}"
            ) from error
        key = cls(seed)
        with contextlib.suppress(OSError):  # it can be printed again at any time
            _write_new(public_file(path), f"{key.public}\n".encode(), 0o644)
        return key

    @classmethod
    def load(cls, path: Path) -> Self:
        """The key in the file at `path`.

        Raises:
            FileNotFoundError: there is none.
            ConfigError: it cannot be read, others may read it, or it is no key.
        """
        try:
            fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            with os.fdopen(fd, "rb") as file:
                mode = os.fstat(fd).st_mode
                seed = base64.b64decode(file.read(_LONGEST).strip(), validate=True)
        except FileNotFoundError:
            raise
        except (OSError, binascii.Error) as error:
            raise ConfigError(f"the record's key `{path}` cannot be read: {error}") from error
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise ConfigError(f"others may read the key `{path}`; `chmod 600` it, or make another")
        if len(seed) != _SEED_BYTES:
            raise ConfigError(f"`{path}` holds no key: 32 bytes in base64 are needed")
        return cls(seed)


class PublicKey:
    """What checks signatures.

    Args:
        raw: The 32 bytes of the key.
    """

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.id = hashlib.sha256(raw).hexdigest()[:_ID_DIGITS]
        self._key = _primitives().Ed25519PublicKey.from_public_bytes(raw)

    def __str__(self) -> str:
        return PREFIX + base64.b64encode(self.raw).decode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `text` writes, as ``ed25519:…``.

        Raises:
            ConfigError: it writes none, or the extra is missing.
        """
        kind, _, encoded = text.strip().partition(":")
        try:
            raw = base64.b64decode(encoded if f"{kind}:" == PREFIX else "", validate=True)
            return cls(raw)
        except ValueError:
            raise ConfigError(f"a public key as `{PREFIX}…` is needed") from None

    @classmethod
    def read(cls, named: str | Path) -> Self:
        """The key that is written in the file `named`, or by the text itself.

        Raises:
            ConfigError: there is none.
        """
        text = str(named)
        if text.startswith(PREFIX):
            return cls.parse(text)
        try:
            with open(text, "rb") as file:  # noqa: PTH123  # a path or a text
                return cls.parse(file.read(_LONGEST).decode("ascii", "replace"))
        except OSError as error:
            raise ConfigError(f"the key `{text}` cannot be read: {error.strerror}") from error

    def signed(self, own: bytes, signature: bytes) -> bool:
        """Whether the holder of this key signed a closing line of that hash."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # an extra

        try:
            self._key.verify(signature, PURPOSE + own)
        except InvalidSignature:
            return False
        return True


def public_file(path: Path) -> Path:
    """Where the public half of the key at `path` is written."""
    return path.with_suffix(".pub")


def can_sign() -> bool:
    """Whether the extra ``audit`` is installed."""
    try:
        _primitives()
    except ConfigError:
        return False
    return True


def _primitives() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        raise ConfigError(
            "the record's keys need the extra `audit`: pip install 'guardrails-opa[audit]'"
        ) from None
    return ed25519


def _write_new(path: Path, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)
