"""CrewAI: tools governed, and nothing else called; a refusal is read, a kill ends the crew's work.

::

    from guardrails.adapters.crewai import GovernedRuns, governed

    crew = Crew(agents=[Agent(…, tools=[governed(refund), governed(search, resource="web")])], …)
    runs = GovernedRuns(agent="billing-agent")
    with runs.of("case-17"):                # the run's id
        crew.kickoff()

    # another process, once people have answered
    with runs.of("case-17"):
        crew.kickoff()

CrewAI cannot suspend a call: where people have to answer, the model reads that the call waits, and
the same call of a later kickoff in a run of the same id finds their answer.

A hook of CrewAI denies by ``HookAborted`` alone; whatever else it raises lets the call run. So what
decides about a call stands around the tool itself, and hooks only see to it that no other tool is
called, and that the model is not asked again once the run is killed.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crewai.hooks.dispatch import HookAborted, InterceptionPoint, scoped_hooks
from crewai.tools import BaseTool
from crewai.utilities.string_utils import sanitize_tool_name
from pydantic import PrivateAttr

from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.words import words_for
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.tools import tool_of
from guardrails.errors import Refusal, RunKilled
from guardrails.for_model import for_model
from guardrails.runs.context import current_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from guardrails.runs.run import Run


class GovernedTool(BaseTool):
    """A tool each call of which is decided; made by :func:`governed`.

    Its results are not kept in the crew's cache: what that gives is decided by nobody.
    """

    _tool: BaseTool = PrivateAttr()
    _title: str = PrivateAttr()
    _described: Any = PrivateAttr(default=None)

    def _run(self, **arguments: Any) -> Any:
        """What the tool gives, or what the model is to read instead."""
        try:
            with host_call(self._title, None):
                if self._described is None:
                    return self._make(arguments)
                return self._described(self._make, **arguments)
        except RunKilled as kill:
            # A thread of the host that this ended would leave the crew waiting for ever: the
            # hook before the next question to the model ends its work.
            return kill.model_message
        except Refusal as refusal:
            return for_model(refusal)

    async def _arun(self, **arguments: Any) -> Any:
        """The same, in a thread with the run."""
        return await asyncio.to_thread(self._run, **arguments)

    def _make(self, arguments: dict[str, Any]) -> Any:
        result = self._tool._run(**arguments)  # noqa: SLF001  # what tools override
        return asyncio.run(result) if inspect.iscoroutine(result) else result


def governed(
    tool: BaseTool,
    *,
    resource: str | None = None,
    operation: str = "execute",
    labels: Iterable[str] = (),
) -> GovernedTool:
    """The tool, each call of it decided; what the model is shown of it stays as it is.

    Where its function carries ``@governed_tool``, that says everything, and the call is decided
    there, once. Else the tool is governed under its own name, by the arguments as its host has
    checked them.

    Args:
        tool: A tool.
        resource: What it works on, as grants name it; None for its name.
        operation: What it does to it.
        labels: Words for policy.

    Raises:
        ConfigError: words are given for a function that has its own, or cannot be used.
    """
    if isinstance(tool, GovernedTool):
        return tool
    own = tool_of(getattr(tool, "func", None))
    words = words_for(tool.name, resource, operation, labels, own=own)
    made = GovernedTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.args_schema,
        result_schema=tool.result_schema,
        result_as_answer=False,  # a refusal is no answer
        max_usage_count=tool.max_usage_count,
        tool_failure_policy=tool.tool_failure_policy,
        cache_function=_never,
    )
    name = sanitize_tool_name(tool.name)
    made._tool = tool  # noqa: SLF001  # its own
    made._title = name if own is None else own.facts.name  # noqa: SLF001  # its own
    if own is None:
        made._described = words.plain_tool(name)  # noqa: SLF001  # its own
    return made


@dataclass(frozen=True, kw_only=True)
class GovernedRuns(AgentRuns):
    """Opens the runs of a crew, in which no tool is called that is not governed.

    Attributes:
        ungoverned: Names of tools that may be called as they are, as the model is shown them: such
            as the host's ``delegate_work_to_coworker``.
    """

    ungoverned: frozenset[str] = frozenset()

    @contextmanager
    def of(self, id: str | None = None) -> Iterator[Run]:
        """A run, for ``with``, around ``kickoff`` in whichever form.

        Inside a run that the program has opened, that one.

        Args:
            id: The run's id; the same to go on with calls that wait. None for a new one.

        Raises:
            RunStopped: the run was killed.
        """
        hooks: dict[InterceptionPoint, list[Callable[[Any], Any]]] = {
            InterceptionPoint.PRE_TOOL_CALL: [self._let_only_governed],
            InterceptionPoint.POST_TOOL_CALL: [self._tell],
            InterceptionPoint.PRE_MODEL_CALL: [_end_the_killed],
        }
        with self.open(id) as run, scoped_hooks(hooks):
            try:
                yield run
            except HookAborted:
                run.check_kill()
                raise
            run.check_kill()

    def _let_only_governed(self, context: Any) -> None:
        if not self._may_be_called(context):
            raise HookAborted(_not_governed(context), source="guardrails")

    def _tell(self, context: Any) -> str | None:
        return None if self._may_be_called(context) else _not_governed(context)

    def _may_be_called(self, context: Any) -> bool:
        tool = getattr(getattr(context, "tool", None), "_original_tool", None)
        name = getattr(context, "tool_name", None)
        return isinstance(tool, GovernedTool) or name in self.ungoverned


def _end_the_killed(_context: Any) -> None:
    try:
        run = current_run()
        if run is None:
            return
        run.check_kill()
    except RunKilled as kill:
        raise HookAborted(kill.model_message, source="guardrails") from kill
    except Exception as error:  # the host would go on
        raise HookAborted("whether the run was killed is not known", source="guardrails") from error


def _not_governed(context: Any) -> str:
    name = getattr(context, "tool_name", "")
    return f"`{name}` was not executed (denied). It is not governed. Do not retry."


def _never(_arguments: Any = None, _result: Any = None) -> bool:
    return False


__all__ = ["GovernedRuns", "GovernedTool", "governed"]
