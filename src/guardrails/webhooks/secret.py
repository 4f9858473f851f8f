"""The secret that sender and receiver of a webhook share."""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from pathlib import Path
from typing import Final, NoReturn

from guardrails.errors import ConfigError

PREFIX: Final = "whsec_"
"""What the text of a secret begins with, so that scanners find one that leaked."""

_SHORTEST: Final = 24
_LONGEST: Final = 64
_FILE_LIMIT: Final = 4096
_FORM: Final = f"`{PREFIX}` and the base64 of {_SHORTEST} to {_LONGEST} random bytes"


class Secret:
    """A key of 24 to 64 bytes. Neither its text nor its bytes appear in `repr` or in errors.

    Args:
        key: The bytes.

    Raises:
        ConfigError: they are too few or too many.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if not _SHORTEST <= len(key) <= _LONGEST:
            msg = f"a webhook's secret is {_FORM}; this one has {len(key)} bytes"
            raise ConfigError(msg)
        self._key = key

    @classmethod
    def parse(cls, text: str) -> Secret:
        """The secret that `text` writes: ``whsec_`` and base64.

        Raises:
            ConfigError: it writes none; the text is not repeated.
        """
        encoded = text.strip()
        if not encoded.startswith(PREFIX):
            msg = f"a webhook's secret is {_FORM}; this text begins otherwise"
            raise ConfigError(msg)
        try:
            key = base64.b64decode(encoded.removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            msg = f"a webhook's secret is {_FORM}; after the prefix this text is no base64"
            raise ConfigError(msg) from None
        return cls(key)

    @classmethod
    def from_file(cls, path: str | Path) -> tuple[Secret, ...]:
        """The secrets in a file, one a line. The first is the new one, others are being retired.

        Raises:
            ConfigError: it cannot be read, or a line is none.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(_FILE_LIMIT + 1)
        except OSError as error:
            _refuse(f"the secret `{path}` cannot be read: {error.strerror or type(error).__name__}")
        if len(content) > _FILE_LIMIT:
            _refuse(f"the secret `{path}` is larger than {_FILE_LIMIT} bytes")
        return _lines(content.decode("ascii", "replace"), f"the file `{path}`")

    @classmethod
    def from_environment(cls, name: str) -> tuple[Secret, ...]:
        """The secrets in an environment variable, separated by white space.

        Raises:
            ConfigError: it is not set, or what it holds is none.
        """
        text = os.environ.get(name)
        if not text:
            _refuse(f"the environment variable `{name}` is not set; it should hold {_FORM}")
        return _lines(text, f"the environment variable `{name}`")

    def mac(self, content: bytes) -> bytes:
        """The HMAC-SHA256 of `content`."""
        return hmac.digest(self._key, content, "sha256")

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._key, other._key)

    def __hash__(self) -> int:
        return hash(self._key)

    def __reduce__(self) -> NoReturn:
        msg = "a secret is not pickled: it would leave the process in clear"
        raise TypeError(msg)


def _lines(text: str, where: str) -> tuple[Secret, ...]:
    found = []
    for word in text.split():
        try:
            found.append(Secret.parse(word))
        except ConfigError as error:
            msg = f"{where}: {error}"
            raise ConfigError(msg) from None
    if not found:
        _refuse(f"{where} is empty; it should hold {_FORM}")
    return tuple(found)


def _refuse(message: str) -> NoReturn:
    raise ConfigError(message)
