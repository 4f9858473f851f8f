"""LangChain agents and LangGraph graphs: tools governed, approvals as interrupts.

::

    from guardrails.adapters.langchain import GovernedRuns, GuardrailsMiddleware

    agent = create_agent(model, tools, middleware=[…, GuardrailsMiddleware()], checkpointer=saver)
    runs = GovernedRuns(agent="billing-agent")

    config = {"configurable": {"thread_id": "case-17"}}
    with runs.of(config):                       # the run's id is the thread's
        result = agent.invoke({"messages": "Refund A-17"}, config)
    result["__interrupt__"]                     # people were asked

    # another process with the same checkpointer, once they have answered
    with runs.of(config):
        result = agent.invoke(Command(resume=True), config)

In a graph of one's own, :class:`GovernedToolNode` takes the place of ``ToolNode``.

The middleware stands last in the list: what it decides about is then what runs, and no other
middleware sees a refusal as an exception that it might try again. What ``Command(resume=…)``
carries is no approval: whether a call may run is looked up where people answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.pending import described
from guardrails.adapters.words import ANY_OBJECT, Words
from guardrails.enforcement.asking import ask
from guardrails.enforcement.host_calls import CallCaught, host_call
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ApprovalPending, ConfigError, Refusal
from guardrails.for_model import for_model
from guardrails.runs.context import charge, current_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from langchain.agents.middleware import ModelRequest, ModelResponse
    from langchain_core.runnables import RunnableConfig
    from langgraph.prebuilt.tool_node import ToolCallRequest
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    from guardrails.runs.run import Run

    Result: TypeAlias = ToolMessage | Command[Any]
    Handler: TypeAlias = Callable[[ToolCallRequest], Result]
    AsyncHandler: TypeAlias = Callable[[ToolCallRequest], Awaitable[Result]]


@dataclass(frozen=True, kw_only=True)
class GovernedRuns(AgentRuns):
    """Opens an agent's runs by the threads of its checkpointer."""

    def of(self, config: RunnableConfig | None = None) -> AbstractContextManager[Run]:
        """The run of the configuration's thread, for ``with``; its id is the thread's.

        Inside a run that the program has opened, that one. A killed run ends in ``RunStopped``
        where this is left.
        """
        thread = (config or {}).get("configurable", {}).get("thread_id")
        return self.open(None if thread is None else str(thread))


class GuardrailsMiddleware(AgentMiddleware[Any, Any, Any]):
    """Decides each call of a tool of an agent; the model reads a refusal as the tool's message.

    Args:
        tools: What policy is told of tools that say nothing themselves, by their names.
        prices: Charge the model's dollars to the run, besides its tokens: then every model must
            have a price.
    """

    def __init__(self, tools: Mapping[str, Words] | None = None, *, prices: bool = False) -> None:
        super().__init__()
        self._calls = _Calls(tools or {})
        self._prices = prices

    def wrap_tool_call(self, request: ToolCallRequest, handler: Handler) -> Result:
        """The tool's message, or why it did not run; interrupts where people have to answer."""
        while True:
            try:
                return self._calls.make(request, handler)
            except ApprovalPending as waits:
                # Resumed, the node begins anew: here what waits has done nothing yet.
                interrupt(described(waits))
            except Refusal as refusal:
                return _message(request, refusal)

    async def awrap_tool_call(self, request: ToolCallRequest, handler: AsyncHandler) -> Result:
        """The same on an event loop."""
        while True:
            try:
                return await self._calls.make_async(request, handler)
            except ApprovalPending as waits:
                interrupt(described(waits))
            except Refusal as refusal:
                return _message(request, refusal)

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """The model's answer, its tokens charged to the run."""
        response = handler(request)
        self._charge(response)
        return response

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """The same on an event loop."""
        response = await handler(request)
        self._charge(response)
        return response

    def _charge(self, response: ModelResponse[Any]) -> None:
        if current_run() is None:
            return  # its tools are refused
        for message in response.result:
            usage = getattr(message, "usage_metadata", None)
            if not isinstance(message, AIMessage) or not usage:
                continue
            if self._prices:
                model = message.response_metadata.get("model_name")
                charge(usage=_plain_usage(usage), model=model)
            elif usage["total_tokens"]:
                charge(tokens=usage["total_tokens"])


class GovernedToolNode(ToolNode):
    """``ToolNode`` for graphs of one's own, each call decided.

    A node that is interrupted runs again from its beginning when the graph is resumed. So before
    any call of a message is made, people are asked about all that need it, and the node is
    interrupted until they have answered: no call is made twice. A call that turns out to wait only
    while others are at work is not made, and the model reads that it waits.

    Args:
        tools: The tools.
        words: What policy is told of tools that say nothing themselves, by their names.
        **options: As for ``ToolNode``, but for its wrappers.

    Raises:
        ConfigError: a wrapper is given.
    """

    def __init__(
        self,
        tools: Sequence[BaseTool | Callable[..., Any]],
        *,
        words: Mapping[str, Words] | None = None,
        **options: Any,
    ) -> None:
        if {"wrap_tool_call", "awrap_tool_call"} & options.keys():
            msg = "GovernedToolNode: its wrappers are those that decide; wrap the tools"
            raise ConfigError(msg)
        self._calls = _Calls(words or {})
        super().__init__(
            tools, wrap_tool_call=self._decide, awrap_tool_call=self._decide_async, **options
        )
        self._asking = ToolNode(
            tools, wrap_tool_call=self._ask, awrap_tool_call=self._ask_async, **options
        )

    def _func(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        while waiting := _waiting(self._asking._func(input, config, runtime)):  # noqa: SLF001  # a node's own
            interrupt(waiting)
        return super()._func(input, config, runtime)

    async def _afunc(self, input: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        while waiting := _waiting(await self._asking._afunc(input, config, runtime)):  # noqa: SLF001  # a node's own
            interrupt(waiting)
        return await super()._afunc(input, config, runtime)

    def _decide(self, request: ToolCallRequest, handler: Handler) -> Result:
        try:
            return self._calls.make(request, handler)
        except Refusal as refusal:
            return _message(request, refusal)

    async def _decide_async(self, request: ToolCallRequest, handler: AsyncHandler) -> Result:
        try:
            return await self._calls.make_async(request, handler)
        except Refusal as refusal:
            return _message(request, refusal)

    def _ask(self, request: ToolCallRequest, handler: Handler) -> Result:
        waits = None
        try:
            self._calls.make(request, handler, asks=True)
        except CallCaught as caught:
            waits = ask(caught.call)
        except Refusal:
            pass  # it is told when the call is made
        return _answer(request, waits)

    async def _ask_async(self, request: ToolCallRequest, handler: AsyncHandler) -> Result:
        waits = None
        try:
            await self._calls.make_async(request, handler, asks=True)
        except CallCaught as caught:
            waits = await asyncio.to_thread(ask, caught.call)
        except Refusal:
            pass
        return _answer(request, waits)


class _Calls:
    """Makes calls of tools, governed once."""

    def __init__(self, words: Mapping[str, Words]) -> None:
        self._words = dict(words)
        self._described: dict[tuple[str, int, bool], tuple[object, Callable[..., Any]]] = {}

    def make(self, request: ToolCallRequest, handler: Handler, *, asks: bool = False) -> Result:
        """What `handler` gives, once the call is decided.

        Raises:
            Refusal: it did not run.
            CallCaught: it is only asked about.
        """
        call = request.tool_call
        own = tool_of(_function(request.tool, is_async=False))
        with host_call(call["name"] if own is None else own.facts.name, call["id"], asks=asks):
            if own is not None:
                return handler(request)
            tool = self._described_tool(request, is_async=False)
            return tool(lambda decided: handler(_with(request, decided)), **call["args"])

    async def make_async(
        self, request: ToolCallRequest, handler: AsyncHandler, *, asks: bool = False
    ) -> Result:
        """The same on an event loop."""
        call = request.tool_call
        own = tool_of(_function(request.tool, is_async=True))
        with host_call(call["name"] if own is None else own.facts.name, call["id"], asks=asks):
            if own is not None:
                return await handler(request)
            tool = self._described_tool(request, is_async=True)
            return await tool(lambda decided: handler(_with(request, decided)), **call["args"])

    def _described_tool(self, request: ToolCallRequest, *, is_async: bool) -> Callable[..., Any]:
        name, tool = request.tool_call["name"], request.tool
        key = (name, id(tool), is_async)
        known = self._described.get(key)
        if known is not None:
            return known[1]
        words = self._words.get(name, Words())
        function = (words.tool if is_async else words.plain_tool)(name, _schema(tool))
        self._described[key] = (tool, function)  # the tool, too: its id stays its own
        return function


def _function(tool: BaseTool | None, *, is_async: bool) -> Any:
    """The function that the host calls for `tool`, as far as it is one."""
    if tool is None:
        return None
    function = getattr(tool, "func", None)
    if is_async:
        function = getattr(tool, "coroutine", None) or function
    if function is not None:
        return function
    kind = type(tool)
    is_own = is_async and kind._arun is not BaseTool._arun  # noqa: SLF001  # what tools override
    return kind._arun if is_own else kind._run  # noqa: SLF001  # as above


def _schema(tool: BaseTool | None) -> Mapping[str, Any]:
    """The JSON schema that the model is shown; of a tool that nobody knows, one of any object."""
    if tool is None:
        return ANY_OBJECT
    schema: Any = tool.tool_call_schema
    found: dict[str, Any] = schema if isinstance(schema, dict) else schema.model_json_schema()
    return found


def _with(request: ToolCallRequest, decided: dict[str, Any]) -> ToolCallRequest:
    call = request.tool_call
    return (
        request
        if decided == call["args"]
        else request.override(tool_call={**call, "args": decided})
    )


def _message(request: ToolCallRequest, refusal: Refusal) -> ToolMessage:
    call = request.tool_call
    return ToolMessage(
        for_model(refusal), name=call["name"], tool_call_id=call["id"], status="error"
    )


def _answer(request: ToolCallRequest, waits: ApprovalPending | None) -> ToolMessage:
    call = request.tool_call
    artifact = None if waits is None else described(waits)
    return ToolMessage("", name=call["name"], tool_call_id=call["id"], artifact=artifact)


def _waiting(answers: Any) -> list[dict[str, Any]]:
    """The requests that are open, of what the node said that only asks."""
    messages = next(iter(answers.values())) if isinstance(answers, dict) else answers
    return [each.artifact for each in messages if each.artifact is not None]


def _plain_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    return {"input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"]}


__all__ = ["GovernedRuns", "GovernedToolNode", "GuardrailsMiddleware", "Words"]
