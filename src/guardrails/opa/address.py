"""Where an OPA server listens: TCP, TCP with TLS, or a Unix socket."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from guardrails.errors import ConfigError

_FORMS: Final = "`http://host:port`, `https://host:port` or `unix:///path/of/the/socket`"
_DEFAULT_PORT: Final = 8181
"""OPA's own."""

_HOST: Final = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_LONGEST_PATH: Final = 107
"""Of a Unix socket, in bytes; the system's limit less its final zero."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an OPA server listens.

    Attributes:
        host: The name or IP address; ``localhost`` for a Unix socket.
        port: The port; 0 for a Unix socket.
        path: The path of the Unix socket; None for TCP.
        is_secure: Whether the server speaks TLS.
    """

    host: str
    port: int
    path: str | None = None
    is_secure: bool = False

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that `text` names.

        Raises:
            ConfigError: it names none.
        """
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise _wrong(text, str(error)) from None
        if parts.username is not None or parts.password is not None:
            # The text is not shown: it holds a secret.
            msg = "an address may not hold a password; give it as `token`"
            raise ConfigError(msg)
        if not text.isprintable() or " " in text:
            raise _wrong(text.encode("unicode_escape").decode(), "it holds white space")
        if parts.query or parts.fragment:
            raise _wrong(text, "it has a query or a fragment")
        if parts.scheme == "unix":
            return cls._of_socket(text, parts.netloc, parts.path)
        if parts.scheme not in {"http", "https"}:
            raise _wrong(text, "its scheme is unknown")
        if parts.path not in {"", "/"}:
            raise _wrong(text, f"it has the path `{parts.path}`")
        host = parts.hostname or ""
        if not _HOST.fullmatch(host):
            raise _wrong(text, "it names no host")
        if port == 0:
            raise _wrong(text, "nobody listens on port 0")
        return cls(host, _DEFAULT_PORT if port is None else port, None, parts.scheme == "https")

    @classmethod
    def _of_socket(cls, text: str, host: str, path: str) -> Address:
        if host or not path.startswith("/") or path.endswith("/"):
            raise _wrong(text, "a socket's path is absolute, after three slashes")
        if not hasattr(socket, "AF_UNIX"):
            raise _wrong(text, "this system has no Unix sockets")
        if len(path.encode()) > _LONGEST_PATH or "\0" in path:
            raise _wrong(text, f"a socket's path has at most {_LONGEST_PATH} bytes")
        return cls("localhost", 0, path)

    @property
    def authority(self) -> str:
        """What a request names as its ``Host``."""
        if self.path is not None:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether what is sent there stays on this machine."""
        if self.path is not None or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix://{self.path}"
        return f"{'https' if self.is_secure else 'http'}://{self.authority}"


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f"`{text}` is no address of an OPA server: {why}; write {_FORMS}")
