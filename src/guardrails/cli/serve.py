"""``guardrails serve``: people answer approval requests over HTTP."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from guardrails.cli.callbacks import findable
from guardrails.cli.console import notices, plain
from guardrails.config import Config
from guardrails.desk import Desk
from guardrails.errors import ConfigError

app = typer.Typer(add_completion=False)

_EXTRA: Final = frozenset({"fastapi", "starlette", "uvicorn", "jwt", "anyio", "h11"})


@app.command()
def serve(
    *,
    config: Annotated[
        Path | None, typer.Option("--config", help="The guardrails.yaml; else the nearest one.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="The address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="The port; 0 for a free one.", min=0, max=65_535)
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure-plain-http",
            help="Serve another address than a loopback one without TLS: tokens cross the "
            "network in clear.",
        ),
    ] = False,
) -> None:
    """Serve the HTTP API for approvals, until interrupted.

    Needs the section `server` of guardrails.yaml; see docs/approvals.md.
    """
    try:
        from guardrails.server.listening import serve as listen  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError(
            f"the server needs {error.name}: pip install 'guardrails-opa[server]'"
        ) from error
    found = Config.find() if config is None else Config.load(config)
    if found.server is None:
        raise ConfigError(f"`{found.file}` has no section `server`; see docs/approvals.md")
    where = replace(
        found.server,
        host=found.server.host if host is None else host,
        port=found.server.port if port is None else port,
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with Desk(findable(found)) as desk:
        listen(
            desk,
            where,
            insecure=insecure,
            ready=lambda address: notices().print(plain(f"listening on {address}")),
        )
