"""A server that misbehaves: raw sockets, one script a connection.

A script gets a :class:`Peer` and does what a broken server, a proxy or an attacker would do.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import tempfile
import threading
import zlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Script = Callable[["Peer"], None]

ALLOW: Final[dict[str, Any]] = {
    "effect": "allow",
    "reasons": [{"rule": "chaos", "reason": "allowed"}],
    "approvals": [],
    "obligations": [],
}
PROVENANCE: Final[dict[str, Any]] = {"version": "1.20.0", "bundles": {"b": {"revision": "7"}}}


def answer(
    body: Any = None,
    *,
    status: str = "200 OK",
    kind: str = "application/json",
    headers: str = "",
    length: int | None = None,
) -> bytes:
    """A response; by default OPA's, which allows."""
    if body is None:
        body = {"provenance": PROVENANCE, "result": ALLOW}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = len(raw) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{headers}\r\n"
    return head.encode() + raw


def chunked(*chunks: bytes, headers: str = "", end: bytes = b"0\r\n\r\n") -> bytes:
    """A response in chunks."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Transfer-Encoding: chunked\r\n{headers}\r\n"
    )
    return head.encode() + b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + end


def gzipped(raw: bytes) -> bytes:
    """`raw`, compressed."""
    zipping = zlib.compressobj(wbits=31)
    return zipping.compress(raw) + zipping.flush()


class Peer:
    """One connection, seen from the server."""

    def __init__(self, accepted: socket.socket, number: int, over: threading.Event) -> None:
        self.socket = accepted
        self.number = number
        self.over = over
        self._read = b""

    def request(self) -> Any:
        """The body of the next request; None where the client has gone."""
        while b"\r\n\r\n" not in self._read:
            if not self._more():
                return None
        head, _, rest = self._read.partition(b"\r\n\r\n")
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields.get(b"Content-Length", 0))
        while len(rest) < length:
            if not self._more():
                return None
            rest = self._read.partition(b"\r\n\r\n")[2]
        self._read = rest[length:]
        self.head = head
        try:
            return json.loads(rest[:length] or b"{}", parse_float=Decimal)
        except ValueError:
            return rest[:length]  # a policy

    def send(self, data: bytes) -> None:
        """Send it all."""
        self.socket.sendall(data)

    def wait(self, seconds: float) -> None:
        """Do nothing, but not beyond the test's end."""
        self.over.wait(seconds)

    def reset(self) -> None:
        """End the connection by a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _more(self) -> bool:
        data = self.socket.recv(65_536)
        self._read += data
        return bool(data)


class Chaos:
    """A listener whose connections each run a script.

    Args:
        script: What is done with each connection.
        listener: A socket that listens.
    """

    def __init__(self, script: Script, listener: socket.socket, address: str) -> None:
        self.script = script
        self.address = address
        self.connections = 0
        self._listener = listener
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def close(self) -> None:
        """End everything."""
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(accepted)
            thread = threading.Thread(target=self._serve, args=(accepted, self.connections))
            self.connections += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), accepted:
            self.script(Peer(accepted, number, self._over))


@contextlib.contextmanager
def chaos(script: Script, kind: str = "tcp") -> Iterator[Chaos]:
    """A misbehaving server on ``tcp`` or ``unix``, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        if kind == "unix":
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(f"{folder}/s")
            address = f"unix://{folder}/s"
        else:
            listener = socket.socket()
            listener.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.listen(512)
        server = Chaos(script, listener, address)
        try:
            yield server
        finally:
            server.close()
