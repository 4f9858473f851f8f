"""One HTTP exchange as bytes: what is sent, and what is made of what comes back.

The response is parsed by httptools (the parser of Node.js), in its strict mode. A response is
whole or it is nothing: one that ends with its connection is not told from a truncated one, and
bytes beyond its end mean that the two sides no longer agree which answer is whose.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import httptools

from guardrails.opa.outcome import NoAnswer, Trouble

if TYPE_CHECKING:
    from guardrails.opa.address import Address

_HEAD_LIMIT: Final = 65_536
"""Bytes that status line, headers and the framing of a response may have besides its body."""

_INTERIM: Final = 200
"""A response below is followed by the one that counts."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class Reply(NamedTuple):
    """A whole response.

    Attributes:
        status: The HTTP status.
        content_type: As the server wrote it, or empty.
        body: Decoded.
        keeps_alive: Whether the connection can be used again.
    """

    status: int
    content_type: bytes
    body: bytes
    keeps_alive: bool


class Request:
    """Makes the bytes of requests that differ in their bodies and tokens alone.

    Args:
        address: To whom.
        target: The path and the query.
    """

    __slots__ = ("_start",)

    def __init__(self, address: Address, target: str) -> None:
        self._start = (
            f"POST {target} HTTP/1.1\r\nHost: {address.authority}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\n"
            "Accept-Encoding: identity\r\nUser-Agent: guardrails\r\n"
        ).encode("ascii")

    def with_body(self, body: bytes, token: str | None = None) -> bytes:
        """The request, on one piece."""
        bearer = b"" if token is None else b"Authorization: Bearer %b\r\n" % token.encode("ascii")
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._start, bearer, len(body), body)


class Response:
    """Takes the bytes of one response until it is whole.

    Args:
        limit: The most bytes that its body may have, before and after decompression.
    """

    __slots__ = (
        "_body", "_encoding", "_is_whole", "_keeps_alive", "_kind", "_left", "_limit", "_parser",
        "_status", "has_begun",
    )  # fmt: skip

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit + _HEAD_LIMIT
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._encoding = self._kind = b""
        self._status = 0
        self._is_whole = self._keeps_alive = False
        self.has_begun = False

    def feed(self, data: bytes) -> Reply | None:
        """The response, once it is whole; the rest of it is to come while this is None.

        Raises:
            NoAnswer: it is none.
        """
        self.has_begun = True
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._limit)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise _garbage("the server changes the protocol") from None
        except httptools.HttpParserError:
            raise _garbage("what came is no HTTP response") from None
        if not self._is_whole:
            return None
        return Reply(self._status, self._kind, self._decoded(), self._keeps_alive)

    def on_message_begin(self) -> None:
        """A response begins: the first one, or the one after an interim one."""
        if self._is_whole:
            msg = "more came than one response"
            raise ValueError(msg)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep what is needed of the headers."""
        name = name.lower()
        if name == b"content-type":
            self._kind = value
        elif name == b"content-encoding":
            self._encoding = value.strip().lower()

    def on_body(self, data: bytes) -> None:
        """Keep a part of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """A response is whole; only that which counts ends the exchange."""
        status = self._parser.get_status_code()
        if status < _INTERIM:
            self._body.clear()
            self._encoding = self._kind = b""
            return
        self._status = status
        self._keeps_alive = self._parser.should_keep_alive()
        self._is_whole = True

    def _decoded(self) -> bytes:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._encoding == b"gzip":
            body = self._unzipped(body)
        elif self._encoding not in (b"", b"identity"):
            raise _garbage("the answer has an encoding that was not asked for")
        if len(body) > self._limit:
            raise _too_large(self._limit)
        return body

    def _unzipped(self, body: bytes) -> bytes:
        unzip = zlib.decompressobj(_GZIP)
        try:
            found = unzip.decompress(body, self._limit + 1)
        except zlib.error:
            raise _garbage("the answer is no gzip") from None
        if not unzip.eof and len(found) <= self._limit:
            raise _garbage("the answer's gzip is truncated")
        if unzip.unused_data:
            raise _garbage("something stands after the answer's gzip")
        return found


def _garbage(detail: str) -> NoAnswer:
    return NoAnswer(Trouble.GARBAGE, detail)


def _too_large(limit: int) -> NoAnswer:
    return NoAnswer(Trouble.SIZE, f"the answer has more than {limit:,} bytes")
