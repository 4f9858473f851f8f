"""Pydantic AI: tools governed, approvals as deferred tool calls, the run around each agent run.

::

    from guardrails.adapters.pydantic_ai import Guardrails

    agent = Agent(model, tools=tools, output_type=[str, DeferredToolRequests],
                  capabilities=[Guardrails(agent="billing-agent")])
    result = await agent.run("Refund A-17", conversation_id="case-17")
    if isinstance(result.output, DeferredToolRequests):       # people were asked
        kept = result.all_messages_json()

    # another process, once they have answered
    result = await agent.run(message_history=ModelMessagesTypeAdapter.validate_json(kept),
                             deferred_tool_results=requests.build_results(approve_all=True))

The run's id is the conversation's, which the history carries. That the results approve a call is no
approval: whether it may run is looked up where people answer, for the arguments that are about to
run. A call about which nobody has answered is deferred again.

:class:`GovernedToolset` alone is for where toolsets are taken and no capabilities; there the
program opens the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ApprovalRequired, ModelRetry, ToolFailed
from pydantic_ai.toolsets import AbstractToolset, WrapperToolset

from guardrails.adapters.agent_runs import AgentRuns, runs_of
from guardrails.adapters.pending import described
from guardrails.adapters.words import DescribedTools, Words
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.json_form import to_document
from guardrails.enforcement.parameter import plain
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ApprovalPending, InvalidArguments, Refusal
from guardrails.for_model import for_model
from guardrails.runs.context import charge
from guardrails.runs.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_ai import AgentRunResult, RunContext
    from pydantic_ai.capabilities import WrapRunHandler
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import ModelRequestContext
    from pydantic_ai.toolsets import ToolsetTool

METADATA: Final = "guardrails"
"""The key in a deferred call's metadata below which the request stands."""


@dataclass
class GovernedToolset(WrapperToolset[Any]):
    """A toolset each call of which is decided; what the model is shown of it stays as it is.

    Where a tool's function carries ``@governed_tool``, that says everything, and the call is
    decided there, once. Every other tool, also one of an MCP server, is governed under its own
    name, by the arguments as its host has checked them.

    The model reads a refusal as the tool's failure, which is not tried again; where arguments do
    not fit, it is asked to correct them.

    Attributes:
        words: What policy is told of tools that say nothing themselves, by their names.
    """

    words: Mapping[str, Words] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keeps what it makes of tools."""
        self._described = DescribedTools(self.words)

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """What the tool gives.

        Raises:
            ApprovalRequired: people have to answer first; the run ends with a deferred call.
            ToolFailed: the call did not run.
            ModelRetry: its arguments do not fit.
            RunKilled: the run was killed.
        """
        own = tool_of(_function(tool))
        title = name if own is None else own.facts.name
        try:
            with host_call(title, ctx.tool_call_id):
                if own is not None:
                    return await self.wrapped.call_tool(name, tool_args, ctx, tool)

                async def make(decided: dict[str, Any]) -> Any:
                    same = decided == plain(to_document(tool_args))
                    args = tool_args if same else tool.args_validator.validate_python(decided)
                    return await self.wrapped.call_tool(name, args, ctx, tool)

                return await self._described[name](make, **tool_args)
        except ApprovalPending as waits:
            raise ApprovalRequired({METADATA: described(waits)}) from waits
        except InvalidArguments as refusal:
            raise ModelRetry(for_model(refusal)) from refusal
        except Refusal as refusal:
            raise ToolFailed(for_model(refusal)) from refusal


@dataclass
class Guardrails(AbstractCapability[Any]):
    """Governs all tools of an agent, and opens a run around each of its runs.

    Inside a run that the program has opened, that one is used. The model's tokens are charged to
    it. A killed run ends in ``RunStopped``, whatever the agent was doing.

    Output functions are no tools and are not governed.

    Attributes:
        agent: The agent's id in the register.
        words: What policy is told of tools that say nothing themselves, by their names.
        runs: How its runs are opened otherwise; None for as its register says.
        prices: Charge dollars, too: then every model must have a price.
    """

    agent: str
    words: Mapping[str, Words] = field(default_factory=dict)
    runs: AgentRuns | None = None
    prices: bool = False
    _open: dict[str | None, RunScope] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Knows from the beginning how it opens runs."""
        self._opening = runs_of(self.agent, self.runs)

    def get_ordering(self) -> CapabilityOrdering:
        """Innermost: what is decided is what runs."""
        return CapabilityOrdering(position="innermost")

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """The agent's tools, governed."""
        return GovernedToolset(toolset, self.words)

    async def wrap_run(
        self, ctx: RunContext[Any], *, handler: WrapRunHandler
    ) -> AgentRunResult[Any]:
        """The agent's run, inside one that governs it.

        Raises:
            RunStopped: it was killed.
        """
        scope = self._opening.open(ctx.conversation_id)
        if isinstance(scope, RunScope):
            self._open[ctx.run_id] = scope
        try:
            with scope:
                return await handler()
        finally:
            self._open.pop(ctx.run_id, None)

    async def on_run_error(self, ctx: RunContext[Any], *, error: BaseException) -> Any:
        """The error; a kill as ``RunStopped``, since the host drops what `wrap_run` raises."""
        scope = self._open.get(ctx.run_id)
        if scope is not None:
            scope.turn(error)
        raise error

    async def after_model_request(
        self,
        ctx: RunContext[Any],
        *,
        request_context: ModelRequestContext,
        response: ModelResponse,
    ) -> ModelResponse:
        """The model's answer, its tokens charged."""
        del ctx, request_context
        usage = response.usage
        if self.prices:
            tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            charge(usage=tokens, model=response.model_name)
        elif usage.total_tokens:
            charge(tokens=usage.total_tokens)
        return response


def _function(tool: Any) -> Any:
    """The function that a tool calls in the end, as far as it is one."""
    while (source := getattr(tool, "source_tool", None)) is not None:  # of a combined toolset
        tool = source
    schema = getattr(getattr(tool, "call_func", None), "__self__", None)
    return getattr(schema, "function", None)


__all__ = ["METADATA", "GovernedToolset", "Guardrails", "Words"]
