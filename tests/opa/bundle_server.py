"""A small real bundle service: ETags, long polling, deltas, credentials, all kinds of faults."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

BUNDLES = "application/vnd.openpolicyagent.bundles"


@dataclass
class Resource:
    """What is served at one path.

    Attributes:
        content: The archive.
        etag: Its tag; empty to send none.
        kind: The content type.
        fault: Answers in its place; gets the handler.
        waits: Whether a request with ``wait`` waits for news.
    """

    content: bytes
    etag: str = ""
    kind: str = "application/gzip"
    fault: Callable[[Any], None] | None = None
    waits: bool = False


@dataclass
class BundleServer:
    """A server on a loopback port, with what was asked of it.

    Attributes:
        resources: What is served, by path.
        requests: Path and headers of each request, in order.
        tls: How it speaks TLS; None not to.
    """

    resources: dict[str, Resource] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        handler = type("Handler", (_Handler,), {"service": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        if self.tls is not None:
            self._http.socket = self.tls.wrap_socket(self._http.socket, server_side=True)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Its address."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    closing = False

    def serve(self, path: str, content: bytes, *, etag: str | None = None, **more: Any) -> None:
        """Serve `content` at `path` from now on; those who wait for news get it."""
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"' if etag is None else etag
        with self.changed:
            self.resources[path] = Resource(content, tag, **more)
            self.changed.notify_all()

    def fail(self, path: str, fault: Callable[[Any], None]) -> None:
        """Answer at `path` with a fault."""
        with self.changed:
            self.resources[path] = Resource(b"", fault=fault)
            self.changed.notify_all()

    def headers(self, index: int = -1) -> Mapping[str, str]:
        """The headers of a request."""
        return self.requests[index][1]


class _Handler(BaseHTTPRequestHandler):
    service: BundleServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        service = self.service
        headers = {name.lower(): value for name, value in self.headers.items()}
        service.requests.append((self.path, headers))
        resource = service.resources.get(self.path)
        if resource is not None and resource.fault is not None:
            self.close_connection = True
            resource.fault(self)
            return
        if resource is not None and resource.waits and _is(resource, headers):
            resource = self._news(resource, headers)
        if resource is None:
            self.reply(404, b"", {})
        elif _is(resource, headers):
            self.reply(304, b"", {"ETag": resource.etag})
        else:
            tag = {"ETag": resource.etag} if resource.etag else {}
            self.reply(200, resource.content, {"Content-Type": resource.kind, **tag})

    def _news(self, known: Resource, headers: Mapping[str, str]) -> Resource | None:
        wait = float(headers.get("prefer", "").partition("wait=")[2] or 0)
        until = time.monotonic() + wait
        service = self.service
        with service.changed:
            while service.resources.get(self.path) is known and not service.closing:
                left = until - time.monotonic()
                if left <= 0 or not service.changed.wait(left):
                    break
            return service.resources.get(self.path)

    def reply(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _is(resource: Resource, headers: Mapping[str, str]) -> bool:
    return bool(resource.etag) and headers.get("if-none-match") == resource.etag
