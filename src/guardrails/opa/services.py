"""A service of OPA's configuration, asked over HTTP.

urllib3 does the work: it is here already (opa-python-client brings it through requests), takes a
TLS context with our own CA and client certificate, checks announced lengths, and reads no proxy
and no ``.netrc`` from the environment. What an answer may cost is bounded: its size, its time,
and where it may send us.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.forks import begin_anew
from guardrails.rego.archive import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from guardrails.ports import Clock

CONNECT: Final = 5.0
"""Seconds that a connection may take."""

DOWNLOAD: Final = 120.0
"""Seconds that an answer may take after its head."""

_OBJECT: Final = re.compile(r"^(?:<[^>]*>|\w+\(host=[^)]*\)): ")
"""How urllib3 names the connection or the pool in front of what went wrong."""

_PIECE: Final = 1 << 16
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS: Final = 5
_TOKEN_LIMIT: Final = 64 << 10


class ServiceError(PolicyLoadError):
    """A service did not give what was asked of it.

    Attributes:
        http_code: Its answer's status; None where there was no answer.
    """

    def __init__(self, message: str, *, service: str, http_code: int | None = None) -> None:
        super().__init__(message, file=f"service {service}")
        self.http_code = http_code


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """What the client shows of itself in TLS.

    Attributes:
        certificate: Its certificate, and those above it, in PEM.
        private_key: Its key in PEM.
        passphrase: What opens the key; None where it is open.
    """

    certificate: Path
    private_key: Path
    passphrase: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Service:
    """Where bundles come from.

    Attributes:
        name: Its name in the configuration.
        url: What all resources are below.
        headers: Sent with every request.
        token: A bearer token; empty for none.
        token_path: The file that holds it, read at every request; None for none.
        scheme: The word before the token.
        ca_cert: The only CAs that are trusted, in PEM; None for the system's.
        system_ca: Trust the system's, too.
        client: What the client shows of itself; None for nothing.
        timeout: Seconds that the head of an answer may take, besides a long poll's.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    token: str = field(default="", repr=False)
    token_path: Path | None = None
    scheme: str = "Bearer"
    ca_cert: Path | None = None
    system_ca: bool = False
    client: ClientCertificate | None = None
    timeout: float = 10.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            msg = f"the service `{self.name}` needs an `http://` or `https://` URL"
            raise ConfigError(msg)
        if parts.username is not None or parts.password is not None or parts.fragment:
            msg = f"the URL of the service `{self.name}` may hold no user, password or fragment"
            raise ConfigError(msg)
        if self.token and self.token_path is not None:
            msg = f"the service `{self.name}` has a `token` and a `token_path`; give one of them"
            raise ConfigError(msg)

    @property
    def is_trusted_with_secrets(self) -> bool:
        """Whether requests carry something that another host must not see."""
        return bool(self.headers or self.token or self.token_path or self.client)


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a service answered.

    Attributes:
        status: 200 or 304.
        etag: The tag of what it gave; empty for none.
        content_type: What it calls that.
        content: The body.
    """

    status: int
    etag: str
    content_type: str
    content: bytes


class ServiceClient:
    """Asks one service; threads may share it.

    Args:
        service: Which.
        clock: For the time that an answer may take.

    Raises:
        ConfigError: A certificate cannot be used.
    """

    def __init__(self, service: Service, clock: Clock) -> None:
        self.service = service
        self._clock = clock
        self._tls = _tls(service)
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        # In the child of a fork, too: what was open is the parent's, which goes on reading it.
        self._live: weakref.WeakSet[Any] = weakref.WeakSet()
        self._noting = threading.Lock()

    def get(
        self, resource: str, headers: Mapping[str, str], *, limit: int, wait: float = 0.0
    ) -> Answer:
        """The answer to a request for `resource`, which is 200 or 304.

        Args:
            resource: Its path below the service's URL.
            headers: Besides the service's own.
            limit: Bytes that the body may have.
            wait: Seconds that the service was asked to wait for news.

        Raises:
            ServiceError: There is none.
        """
        url = f"{self.service.url.rstrip('/')}/{resource.lstrip('/')}"
        sent = {**self._own_headers(), **headers, "Accept-Encoding": "identity"}
        with self._connections() as connections:
            return self._asked(connections, url, sent, limit=limit, wait=wait)

    def post(self, resource: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Give `body` to the service; it returns once the service has taken it, with a 2xx.

        A redirect is no such answer, and is not followed.

        Args:
            resource: Its path below the service's URL.
            body: What is sent.
            headers: Besides the service's own.

        Raises:
            ServiceError: It was not taken, or nobody knows.
        """
        url = f"{self.service.url.rstrip('/')}/{resource.lstrip('/')}"
        try:
            with self._connections() as connections:
                response = connections.request(
                    "POST",
                    url,
                    body=body,
                    headers={**self._own_headers(), **headers},
                    preload_content=False,
                    redirect=False,
                    timeout=urllib3.Timeout(connect=CONNECT, read=self.service.timeout),
                )
                response.close()
        except urllib3.exceptions.HTTPError as error:
            raise self._error(f"cannot be reached: {_said(error)}") from error
        except (OSError, ValueError) as error:
            raise self._error(f"cannot be reached: {error}") from error
        if response.status // 100 != 2:  # noqa: PLR2004  # as HTTP has it
            raise self._error(f"answered {response.status}", response.status)

    def _asked(
        self,
        connections: urllib3.PoolManager,
        url: str,
        headers: Mapping[str, str],
        *,
        limit: int,
        wait: float,
    ) -> Answer:
        """The answer of `url`, or of where it redirects to."""
        try:
            for _ in range(_MOST_REDIRECTS + 1):
                response = connections.request(
                    "GET",
                    url,
                    headers=headers,
                    preload_content=False,
                    redirect=False,
                    timeout=urllib3.Timeout(connect=CONNECT, read=self.service.timeout + wait),
                )
                try:
                    if response.status not in _REDIRECTS:
                        return self._read(response, limit)
                    url = self._redirected(url, response.headers.get("Location", ""))
                finally:
                    response.close()
        except urllib3.exceptions.HTTPError as error:
            raise self._error(f"cannot be reached: {_said(error)}") from error
        except (OSError, ValueError) as error:
            raise self._error(f"cannot be reached: {error}") from error
        raise self._error(f"redirects more than {_MOST_REDIRECTS} times")

    def close(self) -> None:
        """End the requests in flight, as those that wait for news: they fail at once."""
        with self._noting:
            live = list(self._live)
        for connection in live:
            sock = connection.sock
            if sock is not None:
                with contextlib.suppress(OSError):
                    # The plain socket's: TLS would take leave, and wait for an answer to that.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _connections(self) -> urllib3.PoolManager:
        """Connections for one request: until the next they would have been closed over there."""
        made = urllib3.PoolManager(ssl_context=self._tls, retries=False)
        made.pool_classes_by_scheme = {
            "http": _noting(HTTPConnectionPool, self._note),
            "https": _noting(HTTPSConnectionPool, self._note),
        }
        return made

    def _note(self, connection: object) -> None:
        with self._noting:
            self._live.add(connection)

    def _own_headers(self) -> dict[str, str]:
        service = self.service
        token = service.token
        if service.token_path is not None:
            try:
                with service.token_path.open("rb") as file:
                    token = file.read(_TOKEN_LIMIT).decode().strip()
            except (OSError, UnicodeDecodeError) as error:
                msg = f"the token in `{service.token_path}` cannot be read: {type(error).__name__}"
                raise self._error(msg) from error
        if not token:
            return dict(service.headers)
        if not (token.isascii() and token.isprintable()):
            raise self._error("the token is no line of plain characters")
        return {**service.headers, "Authorization": f"{service.scheme} {token}"}

    def _read(self, response: urllib3.BaseHTTPResponse, limit: int) -> Answer:
        status = response.status
        if status not in (200, 304):
            raise self._error(f"answered {status}", status)
        etag = response.headers.get("ETag", "")
        kind = response.headers.get("Content-Type", "")
        if status == 304:  # noqa: PLR2004  # Not Modified
            return Answer(status, etag, kind, b"")
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise self._error(
                f"answered in the encoding `{shown(encoding)}`, which nobody asked for"
            )
        until = self._clock.monotonic() + DOWNLOAD
        parts: list[bytes] = []
        size = 0
        while part := response.read1(_PIECE, decode_content=False):
            size += len(part)
            if size > limit:
                raise self._error(f"answered with more than {limit} bytes")
            if self._clock.monotonic() > until:
                raise self._error(f"took longer than {DOWNLOAD:g} s to answer")
            parts.append(part)
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) != size:
            raise self._error(f"announced {announced[:20]} bytes and sent {size}")
        return Answer(status, etag, kind, b"".join(parts))

    def _redirected(self, url: str, location: str) -> str:
        """Where a redirect leads, if what a request carries may be shown there."""
        target = urljoin(url, location)
        here, there = urlsplit(url), urlsplit(target)
        if not location or there.scheme not in ("http", "https") or there.username is not None:
            raise self._error("redirects to what is no address")
        if here.scheme == "https" and there.scheme == "http":
            raise self._error("redirects from https to http")
        same = (here.hostname, _port(here)) == (there.hostname, _port(there))
        if not same and self.service.is_trusted_with_secrets:
            host = shown(there.hostname or "")
            msg = f"redirects to `{host}`, which may not see what this service is trusted with"
            raise self._error(msg)
        return target

    def _error(self, message: str, http_code: int | None = None) -> ServiceError:
        return ServiceError(message, service=self.service.name, http_code=http_code)


def _noting(pool: type[Any], note: Callable[[object], None]) -> type[Any]:
    """A class of pools that notes its connections once they are there."""

    class Noted(pool.ConnectionCls):  # type: ignore[name-defined,misc]  # a class of urllib3's
        def connect(self) -> None:
            super().connect()
            note(self)

    return type(pool.__name__, (pool,), {"ConnectionCls": Noted})


def _port(parts: object) -> tuple[str, int]:
    scheme, port = getattr(parts, "scheme", ""), getattr(parts, "port", None)
    return scheme, port or {"http": 80, "https": 443}.get(scheme, 0)


def _said(error: urllib3.exceptions.HTTPError) -> str:
    """What went wrong, without the object that urllib3 puts before it."""
    return _OBJECT.sub("", str(error)) or str(error) or type(error).__name__


def _tls(service: Service) -> ssl.SSLContext | None:
    """How certificates are checked and shown; None for what urllib3 does by itself: it checks."""
    if service.ca_cert is None and service.client is None:
        return None
    try:
        context = ssl.create_default_context(
            cafile=None if service.ca_cert is None else str(service.ca_cert)
        )
        if service.system_ca and service.ca_cert is not None:
            context.load_default_certs()
        if service.client is not None:
            shows = service.client
            context.load_cert_chain(
                str(shows.certificate), str(shows.private_key), shows.passphrase or ""
            )
    except (OSError, ValueError) as error:
        msg = f"the certificates of the service `{service.name}` cannot be used: {error}"
        raise ConfigError(msg) from error
    return context


__all__ = ["Answer", "ClientCertificate", "Service", "ServiceClient", "ServiceError"]
