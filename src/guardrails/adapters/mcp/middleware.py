"""For servers made with FastMCP: every call of a tool is decided before it is made.

::

    from fastmcp import FastMCP
    import guardrails as gr
    from guardrails.adapters.mcp.middleware import GuardrailsMiddleware

    governed = GuardrailsMiddleware(gr.load_governor(), "billing-agent")
    server = FastMCP("billing", middleware=[governed])

    @server.tool
    @gr.governed_tool(resource="payments", operation="write")
    def refund(order_id: str, amount: float) -> str: ...

A tool that is governed by its own decorators is decided by them, in the session's run. Any other is
governed by its name and its schema, and by what ``tools`` says of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastmcp.exceptions import NotFoundError
from fastmcp.server.middleware import Middleware
from fastmcp.tools.base import InputRequiredToolResult, ToolResult
from fastmcp.utilities.versions import VersionSpec
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, InputRequiredResult

from guardrails.adapters.mcp.asking import ASKED
from guardrails.adapters.mcp.gate import is_name
from guardrails.adapters.mcp.gated import GatedServer, Governs
from guardrails.adapters.mcp.refusals import META_KEY, facts_of, refusal_result
from guardrails.enforcement.tools import tool_of
from guardrails.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastmcp.server.middleware import CallNext, MiddlewareContext
    from fastmcp.tools.base import Tool

_LISTS = frozenset({"resources/list", "resources/templates/list", "prompts/list"})


class GuardrailsMiddleware(GatedServer, Middleware):
    """Middleware of a FastMCP server, best the last of its list.

    Made of what :class:`~guardrails.adapters.mcp.gated.GatedServer` says.
    """

    async def on_request(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]
    ) -> Any:
        """The result of a request of a kind that somebody decides."""
        method = context.method or ""
        if self._gate.is_answered(method):
            return await call_next(context)
        if method in _LISTS:
            return []
        raise MCPError(METHOD_NOT_FOUND, "Method not found", method)

    async def on_call_tool(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, ToolResult]
    ) -> ToolResult:
        """The result of a call, or what takes its place."""
        message = context.message
        ctx = _request_of(context)
        if message.task is not None:
            # It would do its work after this call has been settled, in no run.
            raise MCPError(INVALID_PARAMS, "calls as tasks are not governed, and not made")
        server = None if context.fastmcp_context is None else context.fastmcp_context.fastmcp
        tool = None if server is None else await server.get_tool(message.name, _version(message))
        if tool is None or not is_name(message.name):
            raise NotFoundError(f"Unknown tool: {message.name!r}")
        responses = message.input_responses or {}
        result = await self._gate.answer(
            ctx, self._way(context, call_next, tool), is_retry=ASKED in responses
        )
        if isinstance(result, Refusal):
            return ToolResult.from_mcp_result(refusal_result(result))
        if isinstance(result, InputRequiredResult):
            return InputRequiredToolResult(result)
        made: ToolResult = result
        return made

    def _way(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, ToolResult], tool: Tool
    ) -> Callable[[], Awaitable[ToolResult]]:
        if tool_of(getattr(tool, "fn", None)) is not None:

            async def decorated() -> ToolResult:
                return await call_next(context)

            return decorated
        function = self._gate.tool(context.message.name, tool.parameters)
        arguments = dict(context.message.arguments or {})

        async def forward(decided: dict[str, Any]) -> ToolResult:
            message = context.message.model_copy(update={"arguments": decided})
            return await call_next(context.copy(message=message))

        def described() -> Awaitable[ToolResult]:
            return function(forward, **arguments)

        return described

    async def on_list_tools(
        self, context: MiddlewareContext[Any], call_next: CallNext[Any, Sequence[Tool]]
    ) -> Sequence[Tool]:
        """The tools that the session may call, as far as that can be known before a call."""
        tools = await call_next(context)
        known = {
            each.name: None if (own := tool_of(getattr(each, "fn", None))) is None else own.facts
            for each in tools
        }
        try:
            shown = await self._gate.listed(_request_of(context), known)
        except Refusal as refusal:
            raise MCPError(
                INVALID_PARAMS, refusal.model_message, {META_KEY: facts_of(refusal)}
            ) from refusal
        return [each for each in tools if each.name in shown]


def _request_of(context: MiddlewareContext[Any]) -> Any:
    """The request's context as the SDK has it.

    Raises:
        MCPError: there is none: a program calls its own server, and no session has a run.
    """
    fastmcp = context.fastmcp_context
    request = None if fastmcp is None else fastmcp.request_context
    if request is None:
        raise MCPError(INVALID_PARAMS, "the call came from no client, so it is in no session")
    return request


def _version(message: Any) -> VersionSpec | None:
    asked = (message.meta or {}).get("fastmcp")
    version = asked.get("version") if isinstance(asked, dict) else None
    if version is None:
        return None
    if isinstance(version, str):
        return VersionSpec(eq=version)
    if isinstance(version, dict):
        return VersionSpec(**{key: version.get(key) for key in ("eq", "gte", "lt")})
    raise MCPError(INVALID_PARAMS, "the version of a tool is a text or a range")


__all__ = ["Governs", "GuardrailsMiddleware"]
