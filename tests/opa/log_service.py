"""A real service that receives decision logs and status, as OPA posts them."""

from __future__ import annotations

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class LogService:
    """Listens on a port of its own, for ``with``.

    Attributes:
        chunks: The arrays that came to ``/logs`` and were taken, in their order.
        sizes: How many compressed bytes each of them had.
        statuses: What came to ``/status``.
        answers: The statuses to answer next; 200 where there are none left.
        largest: Compressed bytes that are taken; above it the answer is 413.
        loses_answers: Whether what is answered with an error was taken all the same, once in
            a while, as by a proxy that did not wait.
    """

    def __init__(self) -> None:
        self.chunks: list[list[dict[str, Any]]] = []
        self.sizes: list[int] = []
        self.statuses: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.largest = 1 << 30
        self.loses_answers = False
        self.came = threading.Condition()
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = service.take(self.path, body, self.headers.get("Content-Encoding", ""))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [entry for chunk in self.chunks for entry in chunk]

    def take(self, path: str, body: bytes, encoding: str) -> int:
        with self.came:
            status = self.answers.pop(0) if self.answers else 200
            if len(body) > self.largest:
                status = 413
            if status == 200 or (self.loses_answers and len(self.answers) % 5 == 0):
                document = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
                if path.startswith("/status"):
                    self.statuses.append(document)
                else:
                    self.chunks.append(document)
                    self.sizes.append(len(body))
            self.came.notify_all()
        return status

    def wait_for(self, entries: int, seconds: float = 60.0) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(self.entries) >= entries, seconds)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
