"""``guardrails mcp``: MCP servers behind policy, looked at, approved and tried."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.cli.recorded import record_act
from guardrails.config import Config
from guardrails.errors import ConfigError, Refusal, StateUnavailable
from guardrails.processes import user_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from mcp_types import CallToolResult

    from guardrails.adapters.mcp.looking import Seen
    from guardrails.adapters.mcp.servers_file import ServersFile
    from guardrails.adapters.mcp.upstream import Upstream

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Put MCP servers behind policy; look at them, approve and try them.",
)

_EXTRA: Final = frozenset(
    {"mcp", "mcp_types", "httpx2", "jsonschema", "referencing", "uvicorn", "anyio", "starlette"}
)

_Config = Annotated[Path, typer.Option("--config", help="The servers, with their permissions.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def proxy(  # noqa: PLR0913  # the command's options
    *,
    agent: Annotated[str, typer.Option("--agent", help="The agent whose calls these are.")],
    config: _Config = Path("mcp.json"),
    http: Annotated[
        str | None,
        typer.Option("--http", help="HOST:PORT to listen on; else standard input and output."),
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="The id of the run, to go on with after a crash.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option("--mode", help="shadow: what is no read is not made.")
    ] = None,
    wait: Annotated[
        float | None, typer.Option("--wait", help="Seconds that a call waits for an approval.")
    ] = None,
) -> None:
    """Stand in front of the servers of a file: every call is decided before it is passed on.

    With a section `server.jwt` in guardrails.yaml, clients over HTTP need a token of its issuer,
    whose person is the principal.
    """
    file = _loaded(config)
    from guardrails.adapters.mcp.permissions import policy_data  # noqa: PLC0415  # an extra
    from guardrails.adapters.mcp.proxy import Proxy  # noqa: PLC0415  # as above
    from guardrails.adapters.mcp.serving import serve_http, serve_stdio  # noqa: PLC0415  # as above
    from guardrails.adapters.mcp.sessions import Sessions  # noqa: PLC0415  # as above
    from guardrails.assembly import load_governor  # noqa: PLC0415  # it loads the engine

    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr, force=True
    )
    for noisy in ("httpx2", "mcp"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    found = Config.find()
    link = "" if found.server is None else found.server.link
    governor = load_governor(data={"mcp": policy_data(file)})
    try:
        governor.register.agent(agent)
        sessions = Sessions(governor, agent, run_id=run, mode=mode, wait=wait)
        made = Proxy(file, sessions, link=link)
        if http is None:
            _run(serve_stdio(made))
            return
        host, port = _address(http)
        person, issuer = _persons(found)
        listening = serve_http(
            made,
            host,
            port,
            person=person,
            issuer=issuer,
            ready=lambda where: notices().print(plain(f"listening on {where}")),
        )
        _run(listening)
    finally:
        governor.close()


@app.command("list")
def list_tools(
    server: Annotated[str | None, typer.Argument(help="One server; else all.")] = None,
    *,
    config: _Config = Path("mcp.json"),
    as_json: _Json = False,
) -> None:
    """List what servers offer now, what each tool counts as, and what keeps it from being called.

    Exits with 1 where something differs from what was approved.
    """
    file = _loaded(config)
    seen = _run(_seen(file, [server] if server else list(file.servers)))
    if as_json:
        print_json([_document(name, each) for name, tools in seen.items() for each in tools])
    else:
        table = Table("TOOL", "RESOURCE", "OPERATION", "PERMITTED", "SAYS WHO", "NOT CALLED SINCE")
        for name, tools in seen.items():
            for each in tools:
                table.add_row(
                    plain(f"{name}.{each.name}"),
                    plain(f"{name}.{each.place.resource}"),
                    plain(each.place.operation),
                    "yes" if each.permitted else "no",
                    plain(each.place.why),
                    plain(each.problem or each.state),
                )
        output().print(table)
    if any(each.state for tools in seen.values() for each in tools):
        raise typer.Exit(ExitCode.FINDING)


@app.command()
def approve(
    server: Annotated[str, typer.Argument(help="The server.")],
    *,
    config: _Config = Path("mcp.json"),
    by: Annotated[str | None, typer.Option("--by", help="Who has looked; else this user.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: it was looked at.")] = False,
) -> None:
    """Look at a server's tools, and approve them as they are now.

    Their definitions are written beside the file of servers (mcp.lock.json), to be reviewed as any
    change. What is defined otherwise afterwards is not called until it is approved again. The
    record holds who approved what, and why, before the file does.
    """
    file = _loaded(config)
    from guardrails.adapters.mcp.pins import (  # noqa: PLC0415  # an extra
        Pin,
        approved,
        load_pins,
        pins_path,
        save_pins,
    )

    seen = _run(_seen(file, [server]))[server]
    for each in seen:
        _show(server, each)
    usable = [each for each in seen if not each.problem]
    if not yes:
        typer.confirm(f"Approve these {len(usable)} tools of {server}?", abort=True, err=True)
    path = pins_path(file.path)
    pins = load_pins(path)
    pin = Pin(
        by or user_name(),
        datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        file.server(server).launch(),
        {each.name: each.definition for each in usable},
    )
    record_act(approved(server, pin, pins.get(server), user=user_name(), reason=reason))
    pins[server] = pin
    save_pins(path, pins)
    notices().print(plain(f"{len(usable)} tools of {server} stand in {path}"))


@app.command()
def call(  # noqa: PLR0913  # the command's options
    server: Annotated[str, typer.Argument(help="The server.")],
    tool: Annotated[str, typer.Argument(help="The tool's name there.")],
    *,
    argument: Annotated[
        list[str] | None,
        typer.Option("-a", "--argument", help="NAME=VALUE; a JSON value where the tool wants one."),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option("--agent", help="Make it as this agent: decided, charged and recorded."),
    ] = None,
    config: _Config = Path("mcp.json"),
    as_json: _Json = False,
) -> None:
    """Call a tool, to try a server: directly, or as an agent would, under policy."""
    file = _loaded(config)
    result = _run(_called(file, server, tool, argument or [], agent))
    if as_json:
        print_json(result.model_dump(by_alias=True, mode="json", exclude_none=True))
    else:
        for block in result.content:
            output().print(plain(getattr(block, "text", f"({block.type})")), soft_wrap=True)
    if result.is_error:
        raise typer.Exit(ExitCode.FINDING)


@app.command()
def permissions(config: _Config = Path("mcp.json")) -> None:
    """Print a file's permissions as policy data, for an OPA that decides elsewhere."""
    file = _loaded(config)
    from guardrails.adapters.mcp.permissions import policy_data  # noqa: PLC0415  # an extra

    print_json({"guardrails_data": {"mcp": policy_data(file)}})


def _loaded(path: Path) -> ServersFile:
    try:
        from guardrails.adapters.mcp import (  # noqa: PLC0415  # an extra
            proxy,  # noqa: F401  # imported to find out whether it can be
            serving,  # noqa: F401  # as above
        )
        from guardrails.adapters.mcp.servers_file import ServersFile  # noqa: PLC0415  # as above
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ConfigError(f"MCP needs {error.name}: pip install 'guardrails-opa[mcp]'") from error
    file = ServersFile.load(path)
    for warning in file.warnings:
        notices().print(plain(f"warning: {warning}"))
    return file


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    from guardrails.adapters.mcp.upstream import OutOfReach  # noqa: PLC0415  # an extra

    try:
        return asyncio.run(work)
    except OutOfReach as error:
        raise StateUnavailable(str(error)) from error
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.OK) from None


@asynccontextmanager
async def _upstream(file: ServersFile, name: str) -> AsyncIterator[Upstream]:
    from guardrails.adapters.mcp.pins import load_pins, pins_path  # noqa: PLC0415  # an extra
    from guardrails.adapters.mcp.upstream import Upstream  # noqa: PLC0415  # as above

    upstream = Upstream(name, file.server(name), load_pins(pins_path(file.path)).get(name))
    try:
        await upstream.refresh()
        yield upstream
    finally:
        await upstream.close()


async def _seen(file: ServersFile, names: list[str]) -> dict[str, list[Seen]]:
    from guardrails.adapters.mcp.looking import look  # noqa: PLC0415  # an extra

    seen = {}
    for name in names:
        async with _upstream(file, name) as upstream:
            seen[name] = look(upstream)
    return seen


async def _called(
    file: ServersFile, server: str, tool: str, given: list[str], agent: str | None
) -> CallToolResult:
    async with _upstream(file, server) as upstream:
        live = upstream.tools.get(tool)
        if live is None:
            known = ", ".join(f"`{each}`" for each in sorted(upstream.tools)) or "none"
            raise ConfigError(f"`{server}` has no tool `{tool}`; there are {known}")
        arguments = _arguments(given, live.input_schema)
        if agent is None:
            return await upstream.call(tool, arguments)
    from guardrails.adapters.mcp.permissions import policy_data  # noqa: PLC0415  # an extra
    from guardrails.adapters.mcp.proxy import Proxy  # noqa: PLC0415  # as above
    from guardrails.adapters.mcp.refusals import refusal_result  # noqa: PLC0415  # as above
    from guardrails.adapters.mcp.sessions import Sessions  # noqa: PLC0415  # as above
    from guardrails.assembly import load_governor  # noqa: PLC0415  # it loads the engine

    governor = load_governor(data={"mcp": policy_data(file)})
    made = Proxy(file, Sessions(governor, agent))
    try:
        async with made.running():
            with governor.run(agent):
                return await made.call(server, tool, arguments)
    except Refusal as refusal:
        notices().print(plain(refusal))
        return refusal_result(refusal)
    finally:
        governor.close()


def _arguments(given: list[str], schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}
    arguments: dict[str, Any] = {}
    for each in given:
        name, separator, text = each.partition("=")
        if not separator or not name:
            raise ConfigError(f"-a {each}: NAME=VALUE is needed")
        if name in arguments:
            raise ConfigError(f"-a {name}: it is given twice")
        about = known.get(name)
        is_text = isinstance(about, dict) and about.get("type") == "string"
        arguments[name] = text if is_text else _value(text)
    return arguments


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _show(server: str, each: Seen) -> None:
    screen = output()
    screen.print(plain(f"{server}.{each.name}", "bold"))
    screen.print(
        plain(f"  {each.place.operation} of {server}.{each.place.resource}: {each.place.why}")
    )
    if not each.permitted:
        screen.print(plain("  `permissions` does not hold that, so policy denies it", "yellow"))
    if each.state:
        screen.print(plain(f"  {each.state}", "yellow"))
    for odd in each.odd:
        screen.print(plain(f"  {odd}", "red"))
    if each.problem:
        screen.print(plain(f"  it cannot be called: {each.problem}", "red"))
    for part, value in each.definition.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True)
        screen.print(plain(f"  {part}: {ascii(text)[1:-1]}"), soft_wrap=True)


def _document(server: str, each: Seen) -> dict[str, Any]:
    return {
        "server": server,
        "tool": each.name,
        "resource": f"{server}.{each.place.resource}",
        "operation": each.place.operation,
        "labels": list(each.place.labels),
        "permitted": each.permitted,
        "why": each.place.why,
        "state": each.state,
        "odd": list(each.odd),
        "problem": each.problem,
    }


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:  # noqa: PLR2004  # the largest port
        raise ConfigError(f"--http {text}: HOST:PORT is needed")
    return host.strip("[]"), int(port)


def _persons(config: Config) -> tuple[Callable[[str], str] | None, str]:
    if config.server is None or config.server.jwt is None:
        return None, ""
    from guardrails.server.jwt_tokens import JwtTokens  # noqa: PLC0415  # an extra

    tokens = JwtTokens(config.server.jwt)
    return lambda token: tokens.claimed(token).person, config.server.jwt.issuer
