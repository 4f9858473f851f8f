"""Microsoft Agent Framework: tools governed, approvals by its approval requests, the run around.

::

    from guardrails.adapters.agent_framework import Guardrails

    agent = Agent(client=client, tools=tools, middleware=[Guardrails(agent="billing-agent"), …])
    session = agent.create_session()                        # the run's id is the session's
    result = await agent.run("Refund A-17", session=session)
    if result.user_input_requests:                          # people were asked
        kept = session.to_dict(), [each.to_dict() for each in result.user_input_requests]

    # another process, once they have answered
    answers = [each.to_function_approval_response(approved=True) for each in requests]
    result = await agent.run(Message("user", answers), session=AgentSession.from_dict(kept))

It stands first in the list: the run is then around every other middleware. What it decides is what
runs, wherever it stands: it puts its own function middleware behind all others.

That the host is told of an approval is none: whether a call may run is looked up where people
answer, for the arguments that are about to run. A call about which nobody has answered is
requested again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from agent_framework import (
    AgentMiddleware,
    ChatMiddleware,
    ChatResponse,
    Content,
    FunctionMiddleware,
    FunctionTool,
    MiddlewareFailure,
)

from guardrails.adapters.agent_runs import AgentRuns, runs_of
from guardrails.adapters.pending import described
from guardrails.adapters.words import DescribedTools, Words
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.json_form import to_document
from guardrails.enforcement.parameter import plain
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ApprovalPending, ConfigError, Refusal
from guardrails.for_model import for_model
from guardrails.runs.context import Frame, charge, current_run, enter, leave
from guardrails.runs.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from agent_framework import AgentContext, ChatContext, FunctionInvocationContext
    from pydantic import BaseModel

    from guardrails.runs.run import Run

    Next = Callable[[], Awaitable[None]]

METADATA: Final = "guardrails"
"""The key in an approval request's ``additional_properties`` below which the request stands."""


class Guardrails(AgentMiddleware):
    """Governs an agent's tools that run in the program, and opens a run around each of its runs.

    Inside a run that the program has opened, that one is used. The model's tokens are charged to
    it. A killed run ends in ``RunStopped``, whatever the agent was doing.

    Where a tool's function carries ``@governed_tool``, that says everything, and the call is
    decided there, once. Every other tool, also one of an MCP server, is governed under its own
    name, by the arguments as the host has read them. The model reads a refusal as the tool's
    result.

    Args:
        agent: The agent's id in the register.
        words: What policy is told of tools that say nothing themselves, by their names.
        runs: How its runs are opened; None for as its register says.
        prices: Charge dollars, too: then every model must have a price.
    """

    def __init__(
        self,
        *,
        agent: str,
        words: Mapping[str, Words] | None = None,
        runs: AgentRuns | None = None,
        prices: bool = False,
    ) -> None:
        self._runs = runs_of(agent, runs)
        self._inner = [_Decides(words or {}), _Charges(prices=prices)]

    async def process(self, context: AgentContext, call_next: Next) -> None:
        """The agent's run, inside one that governs it.

        Raises:
            RunStopped: it was killed.
        """
        # The host hands these to the client of the model, which makes the calls. The last one is
        # the innermost.
        others = context.client_kwargs.get("middleware") or []
        context.client_kwargs["middleware"] = [*others, *self._inner]
        scope = self._runs.open(None if context.session is None else context.session.session_id)
        if not context.stream:
            with scope:
                await call_next()
        elif isinstance(scope, RunScope):
            await _streamed(scope, context, call_next)
        else:
            await call_next()  # the program reads the stream in its own run


async def _streamed(scope: RunScope, context: AgentContext, call_next: Next) -> None:
    """Open the run until the stream is closed; it is the current one while an item is awaited.

    What reads the stream is outside of the run: it may be in another task each time.
    """
    run = copy_context().run(scope.__enter__)
    try:
        with _inside(scope, run):
            await call_next()
        stream: Any = context.result
        stream.with_pull_context_manager(lambda: _inside(scope, run))
        stream.with_cleanup_hook(lambda: scope.__exit__(None, None, None))
    except BaseException as error:
        scope.__exit__(type(error), error, error.__traceback__)
        raise


@contextmanager
def _inside(scope: RunScope, run: Run) -> Iterator[None]:
    token = enter(Frame(run))
    try:
        yield
    except BaseException as error:
        scope.turn(error)
        raise
    finally:
        leave(token)


class _Decides(FunctionMiddleware):
    """Makes calls of tools, governed once."""

    def __init__(self, words: Mapping[str, Words]) -> None:
        self._described = DescribedTools(words)

    async def process(self, context: FunctionInvocationContext, call_next: Next) -> None:
        """The tool's result, or why it did not run, or the host's request for an approval.

        Raises:
            MiddlewareFailure: the tool cannot be governed.
            RunKilled: the run was killed.
        """
        given = context.arguments
        try:
            await self._make(context, call_next)
        except ApprovalPending as waits:
            context.result = _request(context, _plain(given), waits)
        except Refusal as refusal:
            context.result = for_model(refusal)

    async def _make(self, context: FunctionInvocationContext, call_next: Next) -> None:
        name = context.function.name
        own = tool_of(_function(context.function))
        described = None if own is not None else self._described_tool(name)
        title = name if own is None else own.facts.name
        with host_call(title, context.metadata.get("call_id")):
            if described is None:
                await call_next()
                return
            given = _mapping(context.arguments)

            async def make(decided: dict[str, Any]) -> None:
                if decided != _plain(given):
                    context.arguments = decided
                await call_next()

            await described(make, **given)

    def _described_tool(self, name: str) -> Callable[..., Awaitable[Any]]:
        try:
            return self._described[name]
        except ConfigError as error:
            # Any other exception would be a text for the model.
            raise MiddlewareFailure(str(error)) from error


class _Charges(ChatMiddleware):
    """Charges each answer of the model to the run."""

    def __init__(self, *, prices: bool) -> None:
        self._prices = prices

    async def process(self, context: ChatContext, call_next: Next) -> None:
        """The model's answer, its tokens charged."""
        if context.stream:
            context.stream_result_hooks.append(self._charge)
        await call_next()
        if isinstance(context.result, ChatResponse):
            self._charge(context.result)

    def _charge(self, response: ChatResponse[Any]) -> ChatResponse[Any]:
        usage: Any = response.usage_details or {}
        tokens = {
            "input_tokens": usage.get("input_token_count") or 0,
            "output_tokens": usage.get("output_token_count") or 0,
        }
        total = usage.get("total_token_count") or sum(tokens.values())
        if total and current_run() is not None:
            if self._prices:
                charge(usage=tokens, model=response.model)
            else:
                charge(tokens=total)
        return response


def _function(tool: FunctionTool) -> Any:
    """The function that a tool calls in the end, as far as it is one."""
    function: Any = tool
    while isinstance(function, FunctionTool):
        function = function.func
    return function


def _mapping(arguments: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    return dict(arguments) if isinstance(arguments, Mapping) else arguments.model_dump()


def _plain(arguments: BaseModel | Mapping[str, Any]) -> Any:
    return plain(to_document(_mapping(arguments)))


def _request(
    context: FunctionInvocationContext, arguments: dict[str, Any], waits: ApprovalPending
) -> Content:
    """The host's own request for an approval, which ends the agent's run."""
    known: dict[str, Any] = {METADATA: described(waits)}
    response = context.metadata.get("approval_response")
    call_id = str(context.metadata["call_id"])
    id = str(context.metadata.get("function_call_occurrence_id") or call_id)
    text = json.dumps(arguments, default=str)  # a decimal that no float is
    call = Content.from_function_call(call_id, context.function.name, arguments=text, id=id)
    if response is not None:  # it was answered in the host: a new request stands in its place
        call = response.function_call
        id = f"{call.id or call_id}:replacement:{uuid4().hex}"
        known |= {"_approval_request_id": id, "_replacement_approval_request": True}
    return Content.from_function_approval_request(
        id=id, function_call=call, additional_properties=known
    )


__all__ = ["METADATA", "AgentRuns", "Guardrails", "Words"]
