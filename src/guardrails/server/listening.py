"""The server's process: a socket, TLS, what passes with time, and an orderly end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final

import uvicorn

from guardrails.errors import ConfigError, GuardrailsError, StateUnavailable
from guardrails.server.app import create_app
from guardrails.server.failures import Failures
from guardrails.server.standing import check_reach, trusted

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.config.server import ServerConfig
    from guardrails.desk import Desk

TICK: Final = 5.0
"""Seconds between two looks at what passes with time: who is to be asked besides, what expired."""

GRACE: Final = 10
"""Seconds that requests under way have to end once the server is to stop."""

_MOST_AT_ONCE: Final = 100
_log: Final = logging.getLogger("guardrails")


def serve(
    desk: Desk,
    config: ServerConfig,
    *,
    insecure: bool = False,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Answer HTTP requests until SIGINT or SIGTERM.

    Args:
        desk: Where people answer.
        config: What the server is made of.
        insecure: Whether another address than a loopback one is served without TLS.
        ready: Called with the server's address once it listens.

    Raises:
        ConfigError: nobody could be known, the server may not vouch for anybody, or where it is
            to listen is not safe.
        StateUnavailable: the address cannot be listened on.
    """
    secure = config.certificate is not None
    if not insecure:
        check_reach(config)
    voucher, callers = trusted(desk.approvers, config)
    settings = uvicorn.Config(
        create_app(desk, voucher, callers, Failures(desk.clock)),
        ssl_certfile=config.certificate,
        ssl_keyfile=config.certificate_key,
        http="h11",
        ws="none",
        lifespan="off",
        # Who asks is who connects: a header that anybody can write says nothing.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE,
    )
    try:
        settings.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"`{config.certificate}`: the certificate cannot be used: {error}"
        ) from error
    with _listening(config.host, config.port) as sock:
        host, port = sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        stop = threading.Event()
        watch = threading.Thread(target=_pass_time, args=(desk, stop), daemon=True)
        watch.start()
        ready(f"http{'s' if secure else ''}://{shown}:{port}")
        # uvicorn raises the signal that stopped it again, which must not end the process before
        # what waits is delivered.
        before = {each: signal.signal(each, _stopped) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            uvicorn.Server(settings).run(sockets=[sock])
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            stop.set()
            watch.join()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = (
            socket.AF_INET6
            if ":" in host and ipaddress.ip_address(host).version == 6  # noqa: PLR2004  # IPv6
            else socket.AF_INET
        )
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, ValueError) as error:
        raise StateUnavailable(f"`{host}:{port}` cannot be listened on: {error}") from error


def _stopped(*_: object) -> None:
    """Take a signal that has had its effect."""


def _pass_time(desk: Desk, stop: threading.Event) -> None:
    """Take the steps that time makes, so that further groups are told when they are due."""
    while not stop.wait(TICK):
        try:
            desk.service.pass_time()
        except GuardrailsError:
            _log.exception("what passes with time could not be looked at; it is tried again")
