"""What stands before every operation: who asks, how large, from where; and headers on every answer.

It is plain ASGI around the application, so that it holds for what the application does not know,
too: an unknown path, a wrong method, a body that never ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders

from guardrails.errors import ConfigError, StateUnavailable
from guardrails.server.callers import Unknown
from guardrails.server.problems import problem, unavailable

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from guardrails.desk import Desk
    from guardrails.server.callers import Callers
    from guardrails.server.failures import Failures

MAX_BODY: Final = 16 * 1024
"""Bytes of a body that are read."""

OPEN_PATHS: Final = frozenset({"/healthz", "/openapi.json"})
"""What anybody may ask."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TRANSPORT: Final = "max-age=31536000"


class Protection:
    """Refuses what no operation is to see.

    Args:
        app: The application.
        callers: Finds out who asks; the application finds it as ``request.state.caller``.
        failures: How often that failed.
        desk: Where it is recorded.
    """

    def __init__(self, app: ASGIApp, callers: Callers, failures: Failures, desk: Desk) -> None:
        self._app = app
        self._callers = callers
        self._failures = failures
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if scope["scheme"] == "https":
                    headers["Strict-Transport-Security"] = _TRANSPORT
            await send(message)

        refused, received = await self._examined(scope, receive)
        if refused is not None:
            await refused(scope, receive, send_with_headers)
        else:
            await self._app(scope, received, send_with_headers)

    async def _examined(self, scope: Scope, receive: Receive) -> tuple[Response | None, Receive]:
        headers = Headers(scope=scope)
        if "origin" in headers:
            # No page of a browser is meant to call this; there is no CORS, and nothing to relax.
            return problem(403, "requests from web pages are not taken"), receive
        if scope["path"] not in OPEN_PATHS:
            refused = await run_in_threadpool(self._identified, scope, headers)
            if refused is not None:
                return refused, receive
        body = await _body(headers, receive)
        if body is None:
            # The rest of the body is left unread, so the connection serves nothing more.
            text = f"a body of more than {MAX_BODY} bytes is not taken"
            return problem(413, text, headers={"Connection": "close"}), receive
        return None, _again(body, receive)

    def _identified(self, scope: Scope, headers: Headers) -> Response | None:
        given = headers.getlist("authorization")
        try:
            if len(given) > 1:
                raise Unknown("there are several headers `Authorization`")  # noqa: TRY301  # told below, as what `caller` raises
            caller = self._callers.caller(given[0] if given else None)
        except Unknown as error:
            return self._unknown(scope, error)
        except (ConfigError, StateUnavailable) as error:
            return unavailable(error)
        scope.setdefault("state", {})["caller"] = caller
        return None

    def _unknown(self, scope: Scope, error: Unknown) -> Response:
        client = scope.get("client")
        address = client[0] if client else ""
        failure = self._failures.add(address)
        if failure.recorded:
            try:
                self._desk.note(
                    "server.unknown_caller",
                    channel="http",
                    address=address,
                    method=scope["method"],
                    path=scope["path"][:200],
                    by=error.claimed[:320],
                    reason=str(error),
                    unrecorded_before=failure.unrecorded,
                )
            except StateUnavailable as unwritable:
                return unavailable(unwritable)
        headers = {"WWW-Authenticate": 'Bearer realm="guardrails"'}
        if failure.retry_after is not None:
            headers["Retry-After"] = str(failure.retry_after)
            return problem(429, "nobody knows you, and you asked too often", headers=headers)
        return problem(401, str(error), headers=headers)


async def _body(headers: Headers, receive: Receive) -> bytes | None:
    """The whole body; None where it is too large."""
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)  # the client has gone; nobody reads the answer
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """`receive` as if the body had not been read yet."""
    pending = [body]

    async def again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return again
