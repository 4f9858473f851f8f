"""A server in front of other servers, which one agent uses: each call is decided, then passed on.

Agents are shown the definitions that a person has seen (:mod:`~guardrails.adapters.mcp.pins`),
never what a server says of itself at the moment. Tools are all that passes: no resources, prompts,
completions, logs or instructions of a server, which nobody decides about.

It is built on the SDK's own server and client, and not on FastMCP's proxy, so that nothing of
a client's request reaches a server but the arguments that were decided.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types
from mcp.server import Server
from mcp.shared.exceptions import MCPError

from guardrails.adapters.mcp.asking import ASKED
from guardrails.adapters.mcp.gate import Gate, canonical_text, is_name
from guardrails.adapters.mcp.permissions import place_of
from guardrails.adapters.mcp.pins import load_pins, pins_path
from guardrails.adapters.mcp.refusals import META_KEY, facts_of, refusal_result
from guardrails.adapters.mcp.upstream import OutOfReach, Upstream, failed
from guardrails.enforcement.described_tools import described_tool
from guardrails.errors import ConfigError, Refusal
from guardrails.model.facts import ToolFacts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from guardrails.adapters.mcp.permissions import Place
    from guardrails.adapters.mcp.servers_file import ServersFile
    from guardrails.adapters.mcp.sessions import Sessions

_log: Final = logging.getLogger("guardrails.mcp")


class Route:
    """A tool behind the proxy.

    Attributes:
        upstream: Its server.
        tool: Its name there.
        shown: Its name here.
        place: What policy is told of it.
        function: Its governed function.
    """

    def __init__(self, upstream: Upstream, tool: str, shown: str, definition: Any) -> None:
        self.upstream = upstream
        self.tool = tool
        self.shown = shown
        self.definition = definition
        annotations = definition.get("annotations")
        self.place: Place = place_of(
            upstream.server,
            tool,
            annotations if isinstance(annotations, dict) else {},
            upstream.pinned().keys(),
        )
        self.facts = facts_for(upstream.name, tool, self.place)
        self.function = described_tool(
            self.facts.name,
            definition.get("inputSchema", {}),
            resource=self.facts.resource,
            operation=self.facts.operation,
            labels=self.facts.labels,
            refuse=lambda: upstream.refusal(tool),
        )

    def as_shown(self) -> types.Tool:
        """Its definition as a person has seen it, under its name here."""
        return types.Tool.model_validate({**self.definition, "name": self.shown}, by_name=False)


def facts_for(server: str, tool: str, place: Place) -> ToolFacts:
    """What policy is told of a tool of a server."""
    return ToolFacts(
        f"{server}.{tool}",
        f"{server}.{place.resource}",
        place.operation,
        tuple(sorted(place.labels)),
    )


class Proxy:
    """The proxy.

    Args:
        file: The servers.
        sessions: The runs of its clients.
        link: Where people answer approval requests, with ``{id}``.
        recheck: Seconds for which a server's list of tools is believed.

    Raises:
        ConfigError: the file of pins is wrong, or two tools would be shown under one name.
    """

    def __init__(
        self, file: ServersFile, sessions: Sessions, *, link: str = "", recheck: float = 10.0
    ) -> None:
        self._file = file
        self._pins = pins_path(file.path)
        self._read = _state_of(self._pins)
        pins = load_pins(self._pins)
        self.sessions = sessions
        self.upstreams = {
            name: Upstream(name, server, pins.get(name), recheck=recheck)
            for name, server in file.servers.items()
        }
        self._gate = Gate(sessions, link=link)
        self._routes = _routes(file, self.upstreams)
        self.server: Server[Any] = Server(
            "guardrails", on_list_tools=self._list, on_call_tool=self._call
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server[Any]]:
        """The server to be served; its servers and runs end with it."""
        try:
            yield self.server
        finally:
            self.sessions.close()
            await asyncio.gather(
                *(each.close() for each in self.upstreams.values()), return_exceptions=True
            )

    async def call(self, server: str, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """What a call gives in the run that is current here.

        Raises:
            Refusal: it did not run.
            OutOfReach: its server cannot be reached.
            ConfigError: there is no such tool that somebody has seen.
        """
        for route in self._routes.values():
            if (route.upstream.name, route.tool) == (server, tool):
                result: types.CallToolResult = await _made(route, arguments)
                return result
        raise ConfigError(f"`{server}` has no tool `{tool[:80]}` that was approved")

    def _look_at_pins(self) -> None:
        """Take over what was approved meanwhile.

        Raises:
            ConfigError: the file of pins is wrong now; nothing is called until it is mended.
        """
        now = _state_of(self._pins)
        if now == self._read:
            return
        pins = load_pins(self._pins)
        for name, upstream in self.upstreams.items():
            upstream.pin = pins.get(name)
        self._routes = _routes(self._file, self.upstreams)
        self._read = now

    async def _list(
        self, ctx: Any, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        try:
            self._look_at_pins()
        except ConfigError as error:
            _log.error("%s", error)
            return types.ListToolsResult(tools=[])
        await asyncio.gather(*(self._look(each) for each in self.upstreams.values()))
        there = {
            route.shown: route
            for route in self._routes.values()
            if not route.upstream.state(route.tool)
        }
        try:
            shown = await self._gate.listed(ctx, {name: each.facts for name, each in there.items()})
        except Refusal as refusal:
            raise MCPError(
                types.INVALID_PARAMS, refusal.model_message, {META_KEY: facts_of(refusal)}
            ) from refusal
        return types.ListToolsResult(
            tools=[route.as_shown() for name, route in there.items() if name in shown]
        )

    async def _look(self, upstream: Upstream) -> None:
        try:
            await upstream.refresh()
        except (OutOfReach, ConfigError) as error:
            _log.warning("%s", error)
            return
        for tool in upstream.tools:
            why = upstream.state(tool)
            if why:
                _log.warning("%s.%s is not shown: %s", upstream.name, ascii(tool)[:130], why)

    async def _call(
        self, ctx: Any, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        try:
            self._look_at_pins()
        except ConfigError as error:
            _log.error("%s", error)
            return failed("Tools cannot be called at present; tell the operator.")
        route = self._routes.get(params.name)
        if route is None or params.task is not None:
            raise MCPError(types.INVALID_PARAMS, "there is no such tool")
        arguments = dict(params.arguments or {})

        def call() -> Awaitable[Any]:
            return _made(route, arguments)

        try:
            result = await self._gate.answer(
                ctx, call, is_retry=ASKED in (params.input_responses or {})
            )
        except (OutOfReach, ConfigError) as error:
            _log.warning("%s", error)
            return failed(f"`{route.shown}` failed: its server cannot be reached at present.")
        if isinstance(result, Refusal):
            return refusal_result(result)
        given: types.CallToolResult | types.InputRequiredResult = result
        return given


async def _made(route: Route, arguments: dict[str, Any]) -> Any:
    await route.upstream.refresh()

    async def forward(decided: dict[str, Any]) -> types.CallToolResult:
        return await route.upstream.call(route.tool, decided)

    return await route.function(forward, **arguments)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    """What changes where a file is written anew."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _routes(file: ServersFile, upstreams: dict[str, Upstream]) -> dict[str, Route]:
    routes: dict[str, Route] = {}
    for upstream in upstreams.values():
        if upstream.pin is None:
            _log.warning(
                "server %s was not approved, so nothing of it is called: guardrails mcp approve %s",
                upstream.name,
                upstream.name,
            )
        for tool, definition in upstream.pinned().items():
            shown = file.shown_as(upstream.name, tool)
            if not is_name(f"{upstream.name}.{tool}"):
                raise ConfigError(f"{file.path}: {upstream.name}: {tool[:80]!a} is no tool's name")
            if shown in routes:
                other = routes[shown].upstream.name
                raise ConfigError(
                    f"{file.path}: `{other}` and `{upstream.name}` both have a tool that is shown "
                    f"as `{shown}`; let one have a prefix"
                )
            canonical_text(definition)
            routes[shown] = Route(upstream, tool, shown, definition)
    return routes
