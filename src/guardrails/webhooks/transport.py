"""One attempt: one connection, one POST, the head of one answer.

By the standard library alone, which does just this: it follows no redirect, knows no proxy of the
environment, tries nothing twice and pools nothing. That a connection is never used again also
means that a forked process shares none.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.webhooks.endpoint import Endpoint

_EXCERPT: Final = 512
"""Bytes of an answer's body that are read; the rest is left where it is."""


class NoAnswer(Exception):  # noqa: N818  # named for what happened; it never leaves this part
    """The attempt ended without an answer; the text says why, without the address's path."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: The HTTP status.
        retry_after: The value of ``Retry-After``, if there is one.
        excerpt: The beginning of the body, for people; it is the receiver's text.
    """

    status: int
    retry_after: str | None = None
    excerpt: str = ""


def post(endpoint: Endpoint, headers: Mapping[str, str], body: bytes) -> Answer:
    """The answer of `endpoint` to `body`.

    Raises:
        NoAnswer: there was none, within the endpoint's time.
        ConfigError: the endpoint's certificates cannot be read.
    """
    connection = _connection(endpoint)
    try:
        with _deadline(connection, endpoint.timeout) as expired:
            try:
                response = _exchange(connection, endpoint, headers, body)
                if expired.is_set():  # headers that were cut off look like headers that ended
                    raise TimeoutError
                return Answer(response.status, response.getheader("Retry-After"), _head(response))
            except (OSError, http.client.HTTPException, ValueError) as error:
                if expired.is_set() or isinstance(error, TimeoutError):
                    raise NoAnswer(f"no answer within {endpoint.timeout:g} seconds") from None
                raise NoAnswer(_reason(error)) from None
    finally:
        connection.close()


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """The seconds that a ``Retry-After`` asks for (RFC 9110, section 10.2.3); None: it is none.

    Args:
        retry_after: Its value.
        now: Unix seconds.
    """
    text = (retry_after or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _connection(endpoint: Endpoint) -> http.client.HTTPConnection:
    proxy = endpoint.proxy_address
    host, port = proxy or (endpoint.host, endpoint.port)
    if not endpoint.secure:
        return http.client.HTTPConnection(host, port, timeout=endpoint.timeout)
    ca_file = None if endpoint.ca_file is None else str(endpoint.ca_file)
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        msg = f"the certificates in `{ca_file}` cannot be used: {error.strerror or error}"
        raise ConfigError(msg) from None
    connection = http.client.HTTPSConnection(host, port, timeout=endpoint.timeout, context=context)
    if proxy is not None:
        connection.set_tunnel(endpoint.host, endpoint.port)
    return connection


def _exchange(
    connection: http.client.HTTPConnection,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    body: bytes,
) -> http.client.HTTPResponse:
    connection.connect()
    if not endpoint.secure:
        _check_loopback(connection.sock)
    connection.request("POST", endpoint.target, body=body, headers=dict(headers))
    return connection.getresponse()


def _head(response: http.client.HTTPResponse) -> str:
    """The beginning of the body; one that breaks off changes nothing of the answer."""
    try:
        return response.read1(_EXCERPT).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return ""


def _check_loopback(sock: socket.socket) -> None:
    """Refuse a ``localhost`` that a resolver made another machine: the text goes in clear."""
    address = sock.getpeername()[0]
    if not ipaddress.ip_address(address).is_loopback:
        msg = f"`http` goes to this machine alone, and the name leads to {address}"
        raise NoAnswer(msg)


@contextmanager
def _deadline(connection: http.client.HTTPConnection, seconds: float) -> Iterator[threading.Event]:
    """A time after which the connection is cut, however slowly something still arrives.

    Resolving a name is the system's business and not bounded by it.
    """
    expired = threading.Event()

    def cut() -> None:
        expired.set()
        sock = connection.sock
        if sock is not None:
            # The plain socket's: TLS would first change what the other thread still reads with.
            with suppress(OSError):  # it may be closed already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    with suppress(RuntimeError):  # at its very end a process starts no thread; each read has an end
        timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or type(error).__name__}"
        case socket.gaierror():
            return "its name cannot be resolved"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case OSError():
            # A proxy's refusal has its text here; other errors of the system have a word for it.
            return error.strerror or str(error) or type(error).__name__
        case _:
            return f"what came is no HTTP answer ({type(error).__name__})"
