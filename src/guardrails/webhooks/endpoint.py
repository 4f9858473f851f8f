"""Where webhooks go: an address that configuration names, and nothing else.

An address never comes from a call, a policy or an answer: redirects are not followed. So an
agent cannot choose where a request goes. Private addresses are not excluded: internal
receivers are what most who operate this have.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003  # a dataclass's fields are read by those who document them
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from guardrails.webhooks.secret import Secret

TIMEOUT: Final = 10.0
"""Seconds that one attempt may take."""

_LONGEST_URL: Final = 2_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One receiver. Its path and query may hold a token, so only :attr:`origin` is ever shown.

    Attributes:
        url: ``https://…``; ``http://`` for a loopback address alone.
        secrets: What its webhooks are signed with, one signature each.
        timeout: Seconds that one attempt may take, from the connection to the answer's headers.
        ca_file: The certificates that are trusted in place of the system's.
        proxy: ``http://host:port`` of a proxy that tunnels (CONNECT); none is taken from the
            environment.

    Raises:
        ConfigError: something of it cannot be used.
    """

    url: str = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)
    timeout: float = TIMEOUT
    ca_file: Path | None = None
    proxy: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        parts = _parts(self.url, "url")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(self.host)):
            raise ConfigError(
                f"url: `{self.origin}` is neither `https` nor a loopback address; webhooks are "
                "not sent in clear over a network"
            )
        if not self.secrets:
            raise ConfigError("a webhook needs a secret; unsigned ones are not sent")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ConfigError(f"timeout: `{self.timeout}` is no length of time in seconds")
        if self.proxy is not None:
            proxy = _parts(self.proxy, "proxy")
            if proxy.scheme != "http" or proxy.path not in {"", "/"} or proxy.query:
                raise ConfigError("proxy: `http://host:port` is needed; it tunnels by CONNECT")
            if parts.scheme != "https":
                raise ConfigError("proxy: a loopback address is not reached by a proxy")

    @property
    def secure(self) -> bool:
        """Whether the connection is TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """The host, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port."""
        return urlsplit(self.url).port or (443 if self.secure else 80)

    @property
    def target(self) -> str:
        """Path and query, as the request names them."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def origin(self) -> str:
        """Scheme, host and port: what logs, records and errors may show."""
        return f"{urlsplit(self.url).scheme}://{_authority(self.host, self.port)}"

    @property
    def proxy_address(self) -> tuple[str, int] | None:
        """Host and port of the proxy, if there is one."""
        if self.proxy is None:
            return None
        parts = urlsplit(self.proxy)
        return parts.hostname or "", parts.port or 80


def is_loopback(host: str) -> bool:
    """Whether `host` is ``localhost`` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _parts(url: str, key: str) -> SplitResult:
    """The parts of an address that has nothing unusual in it; the address is not repeated."""
    if len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigError(f"{key}: an address in printable ASCII, without spaces, is needed")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable, parts = False, urlsplit("")
    if not usable or parts.scheme not in {"http", "https"}:
        raise ConfigError(f"{key}: this is no `https://host/path`")
    if "@" in parts.netloc or "\\" in url:
        raise ConfigError(f"{key}: a name and password in an address are not accepted")
    if parts.fragment:
        raise ConfigError(f"{key}: an address with `#…` is not accepted; it would not be sent")
    return parts


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
