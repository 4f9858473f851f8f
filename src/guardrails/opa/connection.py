"""One connection to an OPA server, plain or with TLS, which never waits by itself.

Its socket does not block. Where something has to be waited for, a step is yielded that says for
what, and whoever leads the conversation waits: a thread or a coroutine
(:mod:`guardrails.opa.conversation`).
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from guardrails.opa.outcome import NoAnswer, Trouble

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from guardrails.opa.address import Address

    T = TypeVar("T")

_CHUNK: Final = 65_536
_PAUSE: Final = 0.001
"""Seconds between two tries to connect to a Unix socket whose queue is full."""


class Readable(NamedTuple):
    """Wait until something can be read."""

    socket: socket.socket


class Writable(NamedTuple):
    """Wait until something can be written."""

    socket: socket.socket


class Pause(NamedTuple):
    """Wait for some seconds."""

    seconds: float


class Resolve(NamedTuple):
    """Look a host up: what :func:`socket.getaddrinfo` gives is sent back, or its error."""

    host: str
    port: int


Step: TypeAlias = "Readable | Writable | Pause | Resolve"
Steps: TypeAlias = "Generator[Step, Any, T]"
"""A conversation that gives a ``T`` at its end."""


class Connection:
    """A connection that is open.

    Args:
        opened: The connected socket, which does not block.
    """

    __slots__ = ("_incoming", "_outgoing", "_socket", "_tls", "idle_since")

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._tls: ssl.SSLObject | None = None
        self._incoming: ssl.MemoryBIO | None = None
        self._outgoing: ssl.MemoryBIO | None = None
        self.idle_since = 0.0

    def secure(self, context: ssl.SSLContext, host: str) -> Steps[None]:
        """Speak TLS from here on.

        Raises:
            NoAnswer: the server is not the one that it should be, or speaks no TLS.
        """
        incoming, outgoing = self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                yield from self._flush()
                yield Readable(self._socket)
                self._fill()
            except ssl.SSLError as error:
                # The alert tells the other side why.
                yield from self._flush()
                raise NoAnswer(Trouble.TLS, _reason(error)) from None
            else:
                yield from self._flush()
                return

    def send(self, data: bytes) -> Steps[None]:
        """Send all of `data`.

        Raises:
            OSError: the connection is broken.
        """
        if self._tls is None:
            yield from self._put(data)
        else:
            self._tls.write(data)
            yield from self._flush()

    def receive(self) -> Steps[bytes]:
        """What comes next; nothing at the end.

        Raises:
            OSError: the connection is broken.
        """
        if self._tls is None:
            while True:
                yield Readable(self._socket)
                try:
                    return self._socket.recv(_CHUNK)
                except BlockingIOError:
                    continue
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                yield from self._flush()
                yield Readable(self._socket)
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""

    def is_quiet(self) -> bool:
        """Whether nothing has come since the last answer, neither bytes nor the end."""
        try:
            if self._tls is None:
                self._socket.recv(1, socket.MSG_PEEK)
                return False
            # What comes may also be TLS's own, as a ticket, of which nothing is left to read.
            self._fill()
            self._tls.read(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:  # ssl.SSLError is one
            return False
        return False

    def close(self) -> None:
        """Give the socket back. The other side may be a fork's sibling: nothing is sent."""
        self._socket.close()

    def _put(self, data: bytes) -> Steps[None]:
        sent = self._sent(data)
        while sent < len(data):
            yield Writable(self._socket)
            sent += self._sent(memoryview(data)[sent:])

    def _sent(self, data: bytes | memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def _flush(self) -> Steps[None]:
        if self._outgoing is not None and self._outgoing.pending:
            yield from self._put(self._outgoing.read())

    def _fill(self) -> None:
        incoming = self._incoming
        if incoming is None:
            return
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        if data:
            incoming.write(data)
        else:
            incoming.write_eof()


def connect(address: Address, context: ssl.SSLContext | None) -> Steps[Connection]:
    """A new connection to `address`.

    Args:
        address: The server's.
        context: How to speak TLS; None for an address that is not secure.

    Raises:
        NoAnswer: there is none.
    """
    fault = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    places: Sequence[tuple[int, Any]]
    if address.path is not None:
        places = ((socket.AF_UNIX, address.path),)
    else:
        places = yield from _places(address)
    for family, place in places:
        try:
            opened = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # as where there are no descriptors left
            fault = error
            continue
        connection = Connection(opened)
        try:
            opened.settimeout(0)
            if family != getattr(socket, "AF_UNIX", None):
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield from _open(opened, place)
            if context is not None:
                yield from connection.secure(context, address.host)
        except OSError as error:
            connection.close()
            fault = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise NoAnswer(Trouble.CONNECT, fault.strerror or type(fault).__name__) from None


def _places(address: Address) -> Steps[Sequence[tuple[int, Any]]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, address.host)
        except OSError:
            continue
        return ((family, (address.host, address.port)),)
    found = yield Resolve(address.host, address.port)
    if isinstance(found, OSError):
        why = found.strerror or type(found).__name__
        raise NoAnswer(Trouble.CONNECT, f"the host is not known: {why}")
    return [(family, place) for family, _, _, _, place in found]


def _open(opened: socket.socket, place: Any) -> Steps[None]:
    while True:
        code = opened.connect_ex(place)
        if code == errno.EAGAIN and opened.family == getattr(socket, "AF_UNIX", None):
            yield Pause(_PAUSE)  # the queue of the socket is full
        elif code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            yield Writable(opened)
            code = opened.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            break
        else:
            break
    if code not in (0, errno.EISCONN):
        raise OSError(code, os.strerror(code))


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not accepted: {error.verify_message}"
    return (error.reason or type(error).__name__).replace("_", " ").lower()
