"""For servers made with the official SDK: every call of a tool is decided before it is handled.

::

    from mcp.server import Server
    from guardrails.adapters.mcp.interceptor import GuardrailsInterceptor, Governs

    server = Server("billing", on_list_tools=…, on_call_tool=…)
    server.middleware.append(
        GuardrailsInterceptor(
            gr.load_governor(),
            agent="billing-agent",
            tools={"refund": Governs("payments", "write", ("moves_money",))},
        )
    )

It wants the last place in the list: what stands behind it could change what was decided.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND

from guardrails.adapters.mcp.asking import ASKED
from guardrails.adapters.mcp.gate import is_name
from guardrails.adapters.mcp.gated import GatedServer, Governs
from guardrails.adapters.mcp.refusals import META_KEY, facts_of, refusal_result
from guardrails.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

_PAGES: Final = 100
_LISTED: Final = {
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


class GuardrailsInterceptor(GatedServer):
    """Middleware of an SDK server (``Server.middleware``).

    Made of what :class:`~guardrails.adapters.mcp.gated.GatedServer` says.
    """

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """The result of one request, or what takes its place."""
        if not self._gate.is_answered(ctx.method):
            return _refused_method(ctx.method)
        if ctx.method == "tools/call":
            return await self._call(ctx, call_next)
        if ctx.method == "tools/list":
            return await self._listing(ctx, call_next)
        return await call_next(ctx)

    async def _call(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        params = dict(ctx.params or {})
        name, arguments = params.get("name"), params.get("arguments")
        arguments = {} if arguments is None else arguments
        if type(name) is not str or type(arguments) is not dict or params.get("task") is not None:
            # A task would do its work after this call has been settled, in no run.
            raise MCPError(INVALID_PARAMS, "a name and arguments are needed, and no task")
        schema = await self._schema(ctx, call_next, name)
        if schema is None or not is_name(name):
            raise MCPError(INVALID_PARAMS, "there is no such tool")
        tool = self._gate.tool(name, schema)
        responses = dict(params.pop("inputResponses", None) or {})
        is_retry = responses.pop(ASKED, None) is not None
        if responses:
            params["inputResponses"] = responses

        async def forward(decided: dict[str, Any]) -> HandlerResult:
            return await call_next(replace(ctx, params={**params, "arguments": decided}))

        def call() -> Awaitable[HandlerResult]:
            return tool(forward, **arguments)

        result = await self._gate.answer(ctx, call, is_retry=is_retry)
        return refusal_result(result) if isinstance(result, Refusal) else result

    async def _schema(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext, name: str
    ) -> Mapping[str, Any] | None:
        """The schema of a tool as the server lists it to this very client now."""
        params: dict[str, Any] = {}
        if (ctx.params or {}).get("_meta") is not None:
            params["_meta"] = dict(ctx.params or {})["_meta"]
        for _ in range(_PAGES):
            listing = _document(
                await call_next(replace(ctx, method="tools/list", params=dict(params)))
            )
            for tool in listing.get("tools", ()):
                if tool.get("name") == name:
                    schema = tool.get("inputSchema")
                    return schema if isinstance(schema, dict) else None
            cursor = listing.get("nextCursor")
            if not isinstance(cursor, str):
                return None
            params["cursor"] = cursor
        return None

    async def _listing(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        listing = _document(await call_next(ctx))
        tools = listing.get("tools", [])
        try:
            shown = await self._gate.listed(ctx, {tool["name"]: None for tool in tools})
        except Refusal as refusal:
            raise MCPError(
                INVALID_PARAMS, refusal.model_message, {META_KEY: facts_of(refusal)}
            ) from refusal
        return {**listing, "tools": [tool for tool in tools if tool["name"] in shown]}


def _refused_method(method: str) -> HandlerResult:
    """What a request gets that nobody decides: a list is empty, anything else is not there."""
    if method in _LISTED:
        return {_LISTED[method]: [], "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    raise MCPError(METHOD_NOT_FOUND, "Method not found", method)


def _document(result: HandlerResult) -> dict[str, Any]:
    if result is None or isinstance(result, dict):
        return dict(result or {})
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


__all__ = ["Governs", "GuardrailsInterceptor"]
