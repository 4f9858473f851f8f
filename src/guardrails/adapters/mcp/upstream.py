"""One server behind the proxy: its connection, and what it says of its tools now against then.

A server is given its configured arguments, variables and headers, and the decided arguments of a
call: no token, name or address of a client. It can neither ask the client's model or user anything
(``sampling``, ``elicitation``, ``roots`` are not offered to it) nor send notifications on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import httpx2
import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from guardrails.adapters.mcp.child_stderr import logged
from guardrails.adapters.mcp.pins import definition_of, differences, same
from guardrails.adapters.mcp.servers_file import filled_in
from guardrails.errors import CallDenied, GuardrailsError, Reason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from guardrails.adapters.mcp.pins import Pin
    from guardrails.adapters.mcp.servers_file import Server

_log: Final = logging.getLogger("guardrails.mcp")

_MOST_PAGES: Final = 100
_MOST_TOOLS: Final = 2_000
_LARGEST: Final = 1_048_576
"""Bytes of a result, as JSON, that is passed on."""

_RECHECK: Final = 10.0
"""Seconds after which a server is asked for its tools anew before one of them is called."""

_CONNECTING: Final = 60.0
_REST: Final = 1.0
"""Seconds between two attempts to reach a server that cannot be reached."""


class OutOfReach(GuardrailsError):  # noqa: N818  # named for what the server is
    """A server cannot be started or reached, or has ended."""


class Upstream:
    """A server.

    Args:
        name: Its name.
        server: How it is reached.
        pin: What a person has seen of it; None if nobody has looked.
        recheck: Seconds for which its last list of tools is believed.
    """

    def __init__(
        self, name: str, server: Server, pin: Pin | None, *, recheck: float = _RECHECK
    ) -> None:
        self.name = name
        self.server = server
        self.pin = pin
        self._recheck = recheck
        self._live: dict[str, types.Tool] = {}
        self._listed = float("-inf")
        self._refreshing = asyncio.Lock()
        self._connecting = asyncio.Lock()
        self._client: Client | None = None
        self._ended: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._failed = float("-inf")

    @property
    def tools(self) -> dict[str, types.Tool]:
        """What it said of its tools when it was last asked."""
        return self._live

    def pinned(self) -> dict[str, dict[str, Any]]:
        """The definitions that a person has seen; none where it is started otherwise than then."""
        if self.pin is None or self.pin.launch != self.server.launch():
            return {}
        return self.pin.tools

    def state(self, tool: str) -> str:
        """What keeps a tool from being called; empty where nothing does."""
        if self.pin is None:
            return "its server was not approved"
        if self.pin.launch != self.server.launch():
            return "its server is started or addressed otherwise than when it was approved"
        seen, live = self.pin.tools.get(tool), self._live.get(tool)
        if seen is None:
            return "it is new since its server was approved"
        if live is None:
            return "its server does not have it any more"
        now = definition_of(live)
        if same(seen, now):
            return ""
        parts = " and ".join(differences(seen, now)) or "parts"
        return f"its {parts} changed since its server was approved"

    def refusal(self, tool: str) -> CallDenied | None:
        """The refusal of any call of a tool, while something keeps it from being called."""
        why = self.state(tool)
        if not why:
            return None
        return CallDenied(
            f"`{self.name}.{tool}` is refused: {why}",
            reasons=(Reason("guardrails.mcp", why),),
            hint=f"look at it, then `guardrails mcp approve {self.name}`",
        )

    async def refresh(self, *, force: bool = False) -> None:
        """Ask for its tools, unless it was asked just now.

        Raises:
            OutOfReach: it cannot be asked.
        """
        if not force and time.monotonic() - self._listed < self._recheck:
            return
        async with self._refreshing:
            if not force and time.monotonic() - self._listed < self._recheck:
                return
            client = await self._connected()
            try:
                self._live = await _all_tools(client)
            except Exception as error:
                await self._lost()
                raise OutOfReach(f"server `{self.name}` does not list its tools") from error
            self._listed = time.monotonic()

    async def call(self, tool: str, arguments: dict[str, Any]) -> types.CallToolResult:
        """What the server gives for a call that was decided.

        Raises:
            OutOfReach: it cannot be called; nobody knows whether it acted, if it was.
        """
        client = await self._connected()
        try:
            result = await client.session.call_tool(
                tool,
                arguments,
                read_timeout_seconds=self.server.timeout,
                allow_input_required=True,
            )
        except MCPError as error:
            if error.code == types.CONNECTION_CLOSED:
                await self._lost()
                raise OutOfReach(f"server `{self.name}` has ended the connection") from error
            return failed(f"`{tool}` failed: {str(error)[:1_000]}")
        except (RuntimeError, ValueError) as error:  # the SDK's words for a result that is none
            _log.warning("server %s: `%s`: %s", self.name, tool, _why(error))
            return failed(f"`{tool}` was executed; its result is not as it should be.")
        except Exception as error:
            await self._lost()
            raise OutOfReach(f"server `{self.name}` is out of reach: {_why(error)}") from error
        if isinstance(result, types.InputRequiredResult):
            return failed(f"`{tool}` asks for further input, which is not passed on.")
        return passed_on(tool, result)

    async def close(self) -> None:
        """End the connection, and the program that was started."""
        await self._lost()

    # ------------------------------------------------------------------------------- inside

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is not None and self._task is not None and not self._task.done():
                return self._client
            if time.monotonic() - self._failed < _REST:
                raise OutOfReach(f"server `{self.name}` is out of reach")
            ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
            self._ended = asyncio.Event()
            self._listed = float("-inf")
            # A connection is entered and left in one task, which requests come and go around.
            self._task = asyncio.create_task(self._hold(ready, self._ended))
            try:
                self._client = await asyncio.wait_for(asyncio.shield(ready), _CONNECTING)
            except Exception as error:
                self._failed = time.monotonic()
                await self._end()
                raise OutOfReach(f"server `{self.name}` is out of reach: {_why(error)}") from error
            return self._client

    async def _hold(self, ready: asyncio.Future[Client], ended: asyncio.Event) -> None:
        try:
            async with connection(self.name, self.server, self._told) as client:
                ready.set_result(client)
                await ended.wait()
        except Exception as error:  # noqa: BLE001  # told to whoever waits, or logged
            if not ready.done():
                ready.set_exception(error)
            else:
                _log.warning("server %s: the connection ended: %s", self.name, _why(error))

    async def _told(self, message: Any) -> None:
        """Look again where the server says that its tools changed; of all else nothing is heard."""
        if isinstance(message, types.ToolListChangedNotification):
            self._listed = float("-inf")

    async def _lost(self) -> None:
        async with self._connecting:
            await self._end()

    async def _end(self) -> None:
        task, self._task, self._client = self._task, None, None
        if task is None:
            return
        if self._ended is not None:
            self._ended.set()
        done, _ = await asyncio.wait({task}, timeout=10)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=5)


@asynccontextmanager
async def connection(name: str, server: Server, told: Any = None) -> AsyncIterator[Client]:
    """A connection to a server.

    Args:
        name: Its name, for errors and its lines in the log.
        server: How it is reached.
        told: Is called with its notifications.

    Raises:
        ConfigError: a variable is not set.
        OSError: its program cannot be started.
    """
    async with AsyncExitStack() as stack:
        transport: Any
        if server.command is not None:
            where = f"mcpServers.{name}"
            parameters = StdioServerParameters(
                command=filled_in(server.command, f"{where}.command"),
                args=[filled_in(each, f"{where}.args") for each in server.args],
                env={key: filled_in(each, f"{where}.env") for key, each in server.env.items()},
                cwd=server.cwd,
            )
            transport = stdio_client(parameters, errlog=stack.enter_context(logged(name)))
        else:
            headers = {
                key: filled_in(each, f"mcpServers.{name}.headers")
                for key, each in server.headers.items()
            }
            # Not beyond its address: a server must not send what it is sent with elsewhere.
            http = await stack.enter_async_context(
                httpx2.AsyncClient(headers=headers, timeout=server.timeout, follow_redirects=False)
            )
            address = filled_in(server.url or "", f"mcpServers.{name}.url")
            transport = streamable_http_client(address, http_client=http)
        client = Client(transport, message_handler=told, cache=None)
        yield await stack.enter_async_context(client)


async def _all_tools(client: Client) -> dict[str, types.Tool]:
    found: dict[str, types.Tool] = {}
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for tool in page.tools:
            if tool.name in found:
                raise ValueError(f"two tools of one server are called {tool.name[:80]!r}")
            found[tool.name] = tool
        if len(found) > _MOST_TOOLS:
            raise ValueError(f"a server has more than {_MOST_TOOLS} tools")
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise ValueError(f"a server's list of tools has more than {_MOST_PAGES} pages")


def passed_on(tool: str, result: types.CallToolResult) -> types.CallToolResult:
    """A server's result as a client gets it: without ``_meta``, and not larger than 1 MiB."""
    bare = result.model_copy(update={"meta": None})
    size = len(bare.model_dump_json(by_alias=True, exclude_none=True))
    if size > _LARGEST:
        return failed(
            f"`{tool}` was executed; its result has {size} bytes, more than {_LARGEST}, "
            "and is not passed on. Ask for less."
        )
    return bare


def failed(text: str) -> types.CallToolResult:
    """A result that says what failed."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=True)


def _why(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup) and error.exceptions:
        return _why(error.exceptions[0])
    text = str(error).splitlines()[0][:200] if str(error) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
