"""Serving the proxy: on standard input and output, or as streamable HTTP."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.stdio import stdio_server

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.adapters.mcp.proxy import Proxy

PATH = "/mcp"

_LAST_WORDS = 5
"""Seconds that calls at work have to end when the server does."""


async def serve_stdio(proxy: Proxy) -> None:
    """Serve one client until it closes standard input."""
    async with proxy.running() as server, stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


class Tokens(TokenVerifier):
    """Who a bearer token stands for.

    Args:
        person: Gives the name of a token's holder; raises where it is nobody's.
    """

    def __init__(self, person: Callable[[str], str]) -> None:
        self._person = person

    async def verify_token(self, token: str) -> AccessToken | None:
        """The token's holder, or None where it is nobody's."""
        try:
            person = self._person(token)
        except Exception:  # noqa: BLE001  # whatever is wrong with it, it lets nobody in
            return None
        return AccessToken(token=token, client_id=person, scopes=[], subject=person)


async def serve_http(  # noqa: PLR0913  # each by its name
    proxy: Proxy,
    host: str,
    port: int,
    *,
    person: Callable[[str], str] | None = None,
    issuer: str = "",
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve clients over streamable HTTP until interrupted.

    Args:
        proxy: The proxy.
        host: A loopback address; TLS is the business of a server in front.
        port: The port; 0 for a free one.
        person: Gives the name of a token's holder; None where no token is asked for.
        issuer: Who issues the tokens, as a URL.
        ready: Is told the address once there is a listener.

    Raises:
        ConfigError: `host` is no loopback address.
    """
    if not _is_loopback(host):
        raise ConfigError(
            f"`{host}` is no loopback address: tokens and arguments would cross the network in "
            "clear; listen on 127.0.0.1 behind a server that ends TLS"
        )
    given: dict[str, Any] = {}
    if person is not None:
        # Which resource a token is for, `person` has looked at.
        auth = AuthSettings.model_validate({"issuer_url": issuer, "resource_server_url": None})
        given = {"auth": auth, "token_verifier": Tokens(person)}
    async with proxy.running() as server:
        app = server.streamable_http_app(streamable_http_path=PATH, host=host, **given)
        config = uvicorn.Config(
            app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=_LAST_WORDS
        )
        listener = config.bind_socket()
        listener.listen(config.backlog)  # whoever is told the address can connect at once
        ready(f"http://{host}:{listener.getsockname()[1]}{PATH}")
        listening = uvicorn.Server(config)
        serving = asyncio.create_task(listening.serve(sockets=[listener]))
        try:
            await asyncio.shield(serving)
        finally:  # also where it is cancelled: connections are closed in order
            listening.should_exit = True
            await asyncio.wait({serving})
            listener.close()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
