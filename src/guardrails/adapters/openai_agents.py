"""OpenAI Agents SDK: tools governed, approvals as interruptions, the run around ``Runner``.

::

    from guardrails.adapters.openai_agents import GovernedAgent, GovernedRunner

    runner = GovernedRunner(agent="billing-agent")
    agent = GovernedAgent(name="Billing", tools=[refund])   # everything else as for Agent
    result = await runner.run(agent, "Refund A-17", id="case-17")
    if result.interruptions:                                # people were asked; keep the state
        state = result.to_state().to_string()

    # another process, once they have answered
    state = await RunState.from_string(agent, state)
    result = await runner.run(agent, state, id="case-17")

The model reads a refusal as the tool's output. ``state.approve(…)`` is no approval: whether a call
may run is looked up where people answer, when it is made.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agents import Agent, FunctionTool, RunContextWrapper, RunHooks, Runner, RunState, Tool
from agents.tool_context import ToolContext

from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.words import words_for
from guardrails.enforcement.asking import ask
from guardrails.enforcement.host_calls import CallCaught, host_call
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ConfigError, InvalidArguments, Refusal
from guardrails.for_model import for_model
from guardrails.model.exact_text import read_exact
from guardrails.runs.context import charge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from agents import ModelResponse, RunResult, RunResultStreaming


def governed(
    tool: FunctionTool,
    *,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
) -> FunctionTool:
    """The tool, each call of it decided; what the model is shown of it stays as it is.

    Where its function carries ``@governed_tool``, that says everything, and the call is decided
    there, once. Else the tool is governed under its own name.

    Args:
        tool: A function tool, also one of an MCP server, or an agent as a tool.
        resource: What it works on, as grants name it; None for its name.
        operation: What it does to it.
        labels: Words for policy.

    Raises:
        ConfigError: words are given for a function that has its own, or cannot be used.
    """
    if isinstance(tool.on_invoke_tool, _Governed):
        return tool
    own = tool_of(tool)
    words = words_for(tool.name, resource, operation, labels, own=own)
    described = words.tool(tool.name, tool.params_json_schema) if own is None else None
    made = copy(tool)
    made.on_invoke_tool = invoke = _Governed(
        tool, tool.name if own is None else own.facts.name, described
    )
    made.needs_approval = invoke.needs_approval
    return made


class _Governed:
    """Makes a tool's calls; stands in the place of ``on_invoke_tool``."""

    def __init__(
        self, tool: FunctionTool, name: str, described: Callable[..., Awaitable[Any]] | None
    ) -> None:
        self._tool = tool
        self._name = name
        self._described = described

    async def __call__(self, context: ToolContext[Any], text: str) -> Any:
        try:
            with host_call(self._name, context.tool_call_id):
                return await self._make(context, text)
        except Refusal as refusal:
            return for_model(refusal)

    async def needs_approval(
        self, context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str
    ) -> bool:
        """Whether the host is to interrupt: the program wants that, or people have to answer."""
        return await self.is_the_programs(context, arguments, call_id) or await self.waits(
            context, arguments, call_id
        )

    async def is_the_programs(
        self, context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str
    ) -> bool:
        """Whether the tool's own ``needs_approval`` wants the call approved in the host."""
        asks = self._tool.needs_approval
        return await asks(context, arguments, call_id) if callable(asks) else asks

    async def waits(
        self, context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str
    ) -> bool:
        """Whether the call has to wait for people, who are asked then."""
        text = json.dumps(arguments)
        seen = ToolContext.from_agent_context(
            context, call_id, tool_name=self._tool.name, tool_arguments=text
        )
        try:
            with host_call(self._name, call_id, asks=True):
                await self._make(seen, text)
        except CallCaught as caught:
            return await asyncio.to_thread(ask, caught.call) is not None
        except Refusal:
            pass  # it is told when the call is made
        return False

    async def _make(self, context: ToolContext[Any], text: str) -> Any:
        invoke = self._tool.on_invoke_tool
        if self._described is None:
            return await invoke(context, text)
        arguments = _arguments(self._name, text)

        async def make(decided: dict[str, Any]) -> Any:
            return await invoke(context, text if decided == arguments else json.dumps(decided))

        return await self._described(make, **arguments)


def _arguments(tool: str, text: str) -> dict[str, Any]:
    """What the model wrote as arguments, in which each reader sees the same.

    The tool reads the text for itself, and may be one that takes any text: so what is no object
    is never handed on, since nothing could be decided about it.

    Raises:
        InvalidArguments: it is no JSON object, or says a thing twice.
    """
    if not text.strip():
        return {}
    try:
        found = json.loads(text) if isinstance(read_exact(text), dict) else None
    except ValueError as error:
        problem = f"the arguments are no JSON object: {error}"
    else:
        if isinstance(found, dict):
            return found
        problem = "the arguments are no JSON object"
    raise InvalidArguments(f"`{tool}`: {problem}", problems=(problem,), tool=tool)


async def _let_on(input: Any) -> None:
    """Let the calls go on for which people have answered; when made, they are decided anew.

    A host goes on from an interruption only where it is told that the call is approved.
    """
    if not isinstance(input, RunState):
        return
    # Tools are listed for a context; without the program's own one, for an empty one.
    context = getattr(input, "_context", None) or RunContextWrapper(None)
    for item in input.get_interruptions():
        call_id, text = item.call_id or "", item.arguments
        for tool in await item.agent.get_all_tools(context):
            invoke = getattr(tool, "on_invoke_tool", None)
            if tool.name != item.tool_name or not isinstance(invoke, _Governed):
                continue
            arguments = json.loads(text or "{}")
            if await invoke.is_the_programs(context, arguments, call_id):
                continue
            if not await invoke.waits(context, arguments, call_id):
                input.approve(item)


@dataclass
class GovernedAgent(Agent[Any]):
    """An ``Agent`` all of whose function tools are governed, those of MCP servers too.

    Tools that OpenAI runs (web search, code interpreter, hosted MCP) run there undecided: an agent
    that has one is refused, unless `ungoverned` names it.

    Attributes:
        ungoverned: Names of such tools that may stay as they are.
    """

    ungoverned: frozenset[str] = field(default=frozenset(), kw_only=True)

    async def get_all_tools(self, run_context: RunContextWrapper[Any]) -> list[Tool]:
        """The agent's tools, governed.

        Raises:
            ConfigError: one of them cannot be.
        """
        return [self._governed(tool) for tool in await super().get_all_tools(run_context)]

    def _governed(self, tool: Tool) -> Tool:
        if isinstance(tool, FunctionTool):
            return governed(tool)
        if tool.name in self.ungoverned:
            return tool
        msg = (
            f"the agent `{self.name}` has the tool `{tool.name}`, which its host runs by itself: "
            f"no call of it can be decided. Take it out, or name it: ungoverned={{{tool.name!r}}}"
        )
        raise ConfigError(msg)


@dataclass(frozen=True, kw_only=True)
class GovernedRunner(AgentRuns):
    """``Runner`` inside a run; its words are those of ``guardrails.run``.

    Inside a run that the program has opened, that one is used. The tokens of the model are charged
    to the run, and with `prices` its dollars.

    A killed run ends in ``RunStopped``, whatever the agent was doing.

    Attributes:
        prices: Charge dollars, too: then every model must have a price (``docs/prices.md``).
    """

    prices: bool = False

    async def run(
        self, starting_agent: Agent[Any], input: Any, *, id: str | None = None, **options: Any
    ) -> RunResult:
        """As ``Runner.run``, which takes the options.

        Args:
            starting_agent: The agent.
            input: What the user said, or the state to go on from.
            id: The run's id; the same to go on from a state. None for a new one.
            **options: What ``Runner.run`` takes.

        Raises:
            RunStopped: the run was killed.
            ConfigError: a state is given without the id of its run.
        """
        self._check(input, id)
        with self.open(id):
            await _let_on(input)
            return await Runner.run(starting_agent, input, **self._with_hooks(options))

    @asynccontextmanager
    async def run_streamed(
        self, starting_agent: Agent[Any], input: Any, *, id: str | None = None, **options: Any
    ) -> AsyncIterator[RunResultStreaming]:
        """As ``Runner.run_streamed``, for ``async with``; read the stream to its end in it.

        Leaving it early cancels what is still at work.
        """
        self._check(input, id)
        with self.open(id) as run:
            await _let_on(input)
            result = Runner.run_streamed(starting_agent, input, **self._with_hooks(options))
            try:
                yield result
            finally:
                if not result.is_complete:
                    result.cancel()
                run.check_kill()  # the host hands on what ended its task only while it is read

    def _check(self, input: Any, id: str | None) -> None:
        if isinstance(input, RunState) and id is None:
            msg = "go on from a state with the id of its run: run(agent, state, id=…)"
            raise ConfigError(msg)

    def _with_hooks(self, options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "hooks": _Charging(options.get("hooks"), prices=self.prices)}


class _Charging(RunHooks[Any]):
    """Charges what the model used, then lets the program's own hooks know."""

    def __init__(self, hooks: RunHooks[Any] | None, *, prices: bool) -> None:
        self._prices = prices
        self._hooks: RunHooks[Any] = hooks if hooks is not None else RunHooks()

    async def on_llm_end(
        self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse
    ) -> None:
        usage = response.usage
        if self._prices:
            model = agent.model if isinstance(agent.model, str) else None
            charge(usage=usage, model=model or getattr(agent.model, "model", None))
        elif usage.total_tokens:
            charge(tokens=usage.total_tokens)
        await self._hooks.on_llm_end(context, agent, response)

    async def on_llm_start(self, *args: Any, **named: Any) -> None:
        await self._hooks.on_llm_start(*args, **named)

    async def on_agent_start(self, *args: Any, **named: Any) -> None:
        await self._hooks.on_agent_start(*args, **named)

    async def on_agent_end(self, *args: Any, **named: Any) -> None:
        await self._hooks.on_agent_end(*args, **named)

    async def on_handoff(self, *args: Any, **named: Any) -> None:
        await self._hooks.on_handoff(*args, **named)

    async def on_tool_start(self, *args: Any, **named: Any) -> None:
        await self._hooks.on_tool_start(*args, **named)

    async def on_tool_end(self, *args: Any, **named: Any) -> None:
        await self._hooks.on_tool_end(*args, **named)
