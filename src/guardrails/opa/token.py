"""The bearer token that an OPA server is shown: a value, a file or an environment variable.

Its text occurs in no ``repr``, no log and no error.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_SHAPE: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
"""What RFC 6750, section 2.1, calls ``b64token``; nothing in it can end a header."""

_LONGEST: Final = 16_384


class TokenNotThereError(Exception):
    """There is no usable token at present; the message says where it was looked for."""


class Token:
    """A bearer token, looked up anew for each request.

    Make one by :meth:`of_value`, :meth:`of_file` or :meth:`of_environment`.
    """

    __slots__ = ("_read", "source")

    def __init__(self, read: Callable[[], str], source: str) -> None:
        self._read = read
        self.source = source

    @classmethod
    def of_value(cls, value: str) -> Token:
        """A token that stays as it is.

        Raises:
            ConfigError: it has characters that no bearer token has.
        """
        try:
            _checked(value, "the value given")
        except TokenNotThereError as error:
            raise ConfigError(str(error)) from None
        return cls(lambda: value, "a value")

    @classmethod
    def of_file(cls, path: str | Path) -> Token:
        """The token in a file, read again when the file changes; space around it does not count."""
        return cls(_File(Path(path)).read, f"the file `{path}`")

    @classmethod
    def of_environment(cls, name: str) -> Token:
        """The token in an environment variable."""
        return cls(lambda: os.environ.get(name, ""), f"the environment variable `{name}`")

    def current(self) -> str:
        """The token as it is now.

        Raises:
            TokenNotThereError: there is none, or it has characters that no bearer token has.
        """
        return _checked(self._read(), self.source)

    def __repr__(self) -> str:
        return f"Token(from {self.source})"

    def __reduce__(self) -> str:
        msg = "a token is not pickled: its text would stand in the pickle"
        raise TypeError(msg)


class _File:
    """A file's text, kept for as long as the file is the same."""

    __slots__ = ("_kept", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: tuple[tuple[int, ...], str] | None = None

    def read(self) -> str:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev)
            kept = self._kept
            if kept is None or kept[0] != stamp:
                with self._path.open(encoding="ascii") as file:
                    kept = (stamp, file.read(_LONGEST + 1).strip())
                self._kept = kept
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no ASCII text"
            msg = f"the token's file `{self._path}` cannot be read: {why}"
            raise TokenNotThereError(msg) from None
        return kept[1]


def _checked(text: str, source: str) -> str:
    if not text:
        msg = f"there is no token in {source}"
        raise TokenNotThereError(msg)
    if len(text) > _LONGEST or not _SHAPE.fullmatch(text):
        msg = f"what is in {source} is no bearer token (RFC 6750)"
        raise TokenNotThereError(msg)
    return text
