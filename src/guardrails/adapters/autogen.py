"""AutoGen: tools governed, and the run carried to where its runtime calls them.

::

    from guardrails.adapters.autogen import Guardrails, governed

    guardrails = Guardrails(agent="billing-agent")
    runtime = SingleThreadedAgentRuntime(intervention_handlers=[guardrails])
    tools = [governed(FunctionTool(refund, "Refund an order.")), …]      # for the ToolAgent
    with guardrails.of("case-17"):                                       # the run's id
        messages = await tool_agent_caller_loop(runtime, tool_agent, model, asked, tools)

Messages wait in the runtime's queue and are handled in its own tasks, where the sender's run is
not known. The intervention handler brings it there. What it hooks into is before and after a call,
never around one, so the call is decided at the tool.

AutoGen does not suspend: a call that waits for people is told to the model. Whoever goes on with
the work, in a run of the same id, makes the call again once they have answered.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any

from autogen_core import DefaultInterventionHandler
from autogen_core.models import FunctionExecutionResult
from autogen_core.tools import BaseTool, FunctionTool
from pydantic import BaseModel

from guardrails.adapters.agent_runs import AgentRuns, runs_of
from guardrails.adapters.words import words_for
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ConfigError, Refusal, RunKilled
from guardrails.for_model import for_model
from guardrails.runs.context import Frame, bind, enter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from autogen_core import AgentId, CancellationToken, MessageContext
    from autogen_core.tools import ToolSchema

    from guardrails.adapters.words import Words
    from guardrails.enforcement.definition import Tool
    from guardrails.runs.run import Run


class Guardrails(DefaultInterventionHandler):
    """Has whatever a runtime does inside of a run; first in the list of intervention handlers.

    While no run is open, governed tools are not called: each reads ``no_active_run``.

    Args:
        agent: The agent's id in the register.
        runs: How its runs are opened; None for as its register says.
    """

    def __init__(self, *, agent: str, runs: AgentRuns | None = None) -> None:
        self._runs = runs_of(agent, runs)
        self._run: Run | None = None

    @contextmanager
    def of(self, id: str | None = None) -> Iterator[Run]:
        """The run of what the runtime does meanwhile, for ``with``.

        Inside a run that the program has opened, that one.

        Args:
            id: The run's id; the same to go on with the work. None for a new one.

        Raises:
            RunStopped: it was killed.
            ConfigError: the runtime is at work in another run; give each a runtime of its own.
        """
        if self._run is not None:
            msg = f"the runtime is at work in the run `{self._run.id}`; one run at a time"
            raise ConfigError(msg)
        with self._runs.open(id) as run:
            self._run = run
            try:
                yield run
                run.check_kill()  # the host may have let it pass
            finally:
                self._run = None

    async def on_send(
        self, message: Any, *, message_context: MessageContext, recipient: AgentId
    ) -> Any:
        """The message, handled in the run."""
        del message_context, recipient
        self._enter()
        return message

    async def on_publish(self, message: Any, *, message_context: MessageContext) -> Any:
        """The message, handled in the run."""
        del message_context
        self._enter()
        return message

    async def on_response(self, message: Any, *, sender: AgentId, recipient: AgentId | None) -> Any:
        """The message; what a tool gave in a killed run goes to nobody.

        Raises:
            RunKilled: the run was killed; the sender of the call gets this.
        """
        del sender, recipient
        if self._run is not None and isinstance(message, FunctionExecutionResult):
            self._run.check_kill()
        return message

    def _enter(self) -> None:
        # The runtime begins the message's task right after this, with a copy of this context.
        enter(None if self._run is None else Frame(self._run))


class GovernedTool(BaseTool[BaseModel, BaseModel]):
    """A tool each call of which is decided; what the model is shown of it stays as it is.

    Made by :func:`governed`.
    """

    def __init__(self, tool: BaseTool[Any, Any], own: Tool | None, words: Words) -> None:
        self._tool = tool
        self._own = own
        self._described = words.tool(tool.name, dict(tool.schema.get("parameters") or {}))
        super().__init__(tool.args_type(), tool.return_type(), tool.name, tool.description)

    @property
    def schema(self) -> ToolSchema:
        """What the model is shown."""
        return self._tool.schema

    def return_value_as_string(self, value: Any) -> str:
        """What the model reads."""
        return value if isinstance(value, _Said) else self._tool.return_value_as_string(value)

    async def run(self, args: BaseModel, cancellation_token: CancellationToken) -> Any:
        """As :meth:`run_json`."""
        return await self.run_json(args.model_dump(), cancellation_token)

    async def run_json(
        self,
        args: Mapping[str, Any],
        cancellation_token: CancellationToken,
        call_id: str | None = None,
    ) -> Any:
        """What the tool gives, or a text that says why it did not run.

        Nothing is raised for a refusal or a kill: agents of the host show the model an empty text
        for an exception, or wait for ever.
        """
        title = self.name if self._own is None else self._own.facts.name

        async def make(decided: Mapping[str, Any]) -> Any:
            return await _in_context(self._tool).run_json(decided, cancellation_token, call_id)

        try:
            with host_call(title, call_id):
                if self._own is not None:
                    return await make(args)
                return await self._described(make, **args)
        except Refusal as refusal:
            return _Said(for_model(refusal))
        except RunKilled:
            return _Said(f"`{self.name}` was not executed: the run was stopped.")


class _Said(str):
    """A text in the place of a tool's value."""

    __slots__ = ()


def governed(
    tool: BaseTool[Any, Any],
    *,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
) -> GovernedTool:
    """The tool, each call of it decided; for a ``ToolAgent`` and for an ``AssistantAgent``.

    Where its function carries ``@governed_tool``, that says everything, and the call is decided
    there, once. Else the tool is governed under its own name, by the arguments as the model gave
    them.

    Args:
        tool: The tool.
        resource: What it works on, as grants name it; None for its name.
        operation: What it does to it.
        labels: Words for policy.

    Raises:
        ConfigError: words are given for a function that has its own, or cannot be used.
    """
    if isinstance(tool, GovernedTool):
        return tool
    own = tool_of(getattr(tool, "_func", None))
    return GovernedTool(tool, own, words_for(tool.name, resource, operation, labels, own=own))


def _in_context(tool: BaseTool[Any, Any]) -> BaseTool[Any, Any]:
    """The tool for one call: a plain function, called in a thread, has the run there."""
    function = getattr(tool, "_func", None)
    if not isinstance(tool, FunctionTool) or asyncio.iscoroutinefunction(function):
        return tool
    made = copy(tool)
    made._func = bind(tool._func)  # noqa: SLF001  # the host hands it to a thread as it is
    return made


__all__ = ["AgentRuns", "GovernedTool", "Guardrails", "governed"]
