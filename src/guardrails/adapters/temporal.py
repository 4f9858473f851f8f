"""Temporal: activities governed in the worker, approvals as signals to the workflow.

::

    from guardrails.adapters.temporal import GovernedActivities

    Worker(client, task_queue="refunds", workflows=[Refunds], activities=[refund],
           interceptors=[GovernedActivities(agent="billing-agent")])

    with workflow.unsafe.imports_passed_through():
        from guardrails.adapters.temporal import GovernedWorkflow

    @workflow.defn
    class Refunds(GovernedWorkflow):
        @workflow.run
        async def run(self, order_id: str) -> str:
            return await self.governed_activity(
                refund, order_id, start_to_close_timeout=timedelta(minutes=1))

Policy is asked in the activity alone, never in workflow code, which is replayed. A refusal is a
failure that is not retried. An activity that waits for people ends in one, too, of the type
``guardrails.approval_pending``; the workflow waits for the signal :data:`ANSWERED`, and calls the
activity again. The signal is no approval: the answer is looked up where people answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import typing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from temporalio import activity, workflow
from temporalio.exceptions import ActivityError, ApplicationError, ApplicationErrorCategory
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from guardrails.adapters.agent_runs import AgentRuns, runs_of
from guardrails.adapters.pending import described
from guardrails.adapters.words import DescribedTools, Words
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.json_form import to_document
from guardrails.enforcement.parameter import plain
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ApprovalPending, ConfigError, Refusal, RunKilled
from guardrails.for_model import for_model
from guardrails.runs.context import Frame, current_run, enter, leave
from guardrails.runs.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from temporalio.client import Client

    from guardrails.model.approval import ApprovalRequest
    from guardrails.runs.run import Run

ANSWERED: Final = "guardrails_answered"
"""The signal that tells a workflow that people have answered; its argument is the request's id."""

PREFIX: Final = "guardrails."
"""What the type of a refusal's failure begins with; the refusal's code follows."""

PENDING: Final = PREFIX + ApprovalPending.code
"""The type of the failure of an activity that waits for people."""

BUSY: Final = PREFIX + "run_elsewhere"
"""The type of the failure of an activity whose workflow's run is open in another process. Nothing
has run; it is tried again as the activity's retry policy says."""


class GovernedActivities(Interceptor):
    """Governs all activities of a worker, in a run for each workflow.

    The run's id is the workflow's id, or of an activity that no workflow has started, its run's.
    It stays open for `linger` seconds after the last activity, and its budget holds as long.

    Where an activity's function carries ``@governed_tool``, that says everything, and the call is
    decided there, once. Every other one is governed under its activity's name.

    Args:
        agent: The agent's id in the register.
        words: What policy is told of activities that say nothing themselves, by their names.
        runs: How runs are opened; None for as the register says.
        linger: Seconds that a run stays open. While it is, another process cannot work in it.
        ungoverned: Names of activities that are not decided about.
    """

    def __init__(
        self,
        *,
        agent: str,
        words: Mapping[str, Words] | None = None,
        runs: AgentRuns | None = None,
        linger: float = 300.0,
        ungoverned: Collection[str] = (),
    ) -> None:
        self._open = _OpenRuns(runs_of(agent, runs), linger)
        self._ungoverned = frozenset(ungoverned)
        self._described = DescribedTools(words or {})

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002  # as the host names it
    ) -> ActivityInboundInterceptor:
        """The activity, governed."""
        return _Governed(next, self)

    def close(self) -> None:
        """Close the runs in which nothing is at work; when the worker has ended."""
        self._open.close()

    async def execute(self, input: ExecuteActivityInput, inner: ActivityInboundInterceptor) -> Any:
        """What the activity gives.

        Raises:
            ApplicationError: it did not run, or was killed.
        """
        info = activity.info()
        if info.activity_type in self._ungoverned:
            return await inner.execute_activity(input)
        # Causes stay out of the workflow's history: they may tell more than a model may read.
        try:
            with self._open.entered(info.workflow_id or info.activity_run_id or info.activity_id):
                return await self._call(info, input, inner)
        except ApprovalPending as waits:
            raise ApplicationError(
                for_model(waits),
                described(waits),
                type=PENDING,
                non_retryable=True,
                category=ApplicationErrorCategory.BENIGN,  # the worker does not log it as an error
            ) from None
        except Refusal as refusal:
            details = {"tool": refusal.tool, "decision_id": refusal.decision_id}
            raise ApplicationError(
                for_model(refusal), details, type=PREFIX + refusal.code, non_retryable=True
            ) from None
        except RunKilled as kill:  # of a run that the program has opened around its worker
            raise ApplicationError(str(kill), type=PREFIX + "killed", non_retryable=True) from None

    async def _call(
        self, info: activity.Info, input: ExecuteActivityInput, inner: ActivityInboundInterceptor
    ) -> Any:
        own = tool_of(input.fn)
        title = info.activity_type if own is None else own.facts.name
        with host_call(title, info.activity_id):
            if own is not None:
                return await inner.execute_activity(input)
            named = inspect.signature(input.fn).bind(*input.args).arguments
            known = plain(to_document(named))

            async def make(decided: dict[str, Any]) -> Any:
                if decided != known:
                    values = _changed(input.fn, named, known, decided)
                    bound = inspect.signature(input.fn).bind(**values)
                    input.args = bound.args
                return await inner.execute_activity(input)

            return await self._described[title](make, **named)


class _Governed(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, activities: GovernedActivities) -> None:
        super().__init__(inner)
        self._activities = activities

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        return await self._activities.execute(input, self.next)


def _changed(
    function: Callable[..., Any],
    named: Mapping[str, Any],
    known: Mapping[str, Any],
    decided: Mapping[str, Any],
) -> dict[str, Any]:
    """The arguments as decided; those that were not changed, as they came."""
    hints = typing.get_type_hints(function)
    converter = activity.payload_converter()
    return {
        name: named[name]
        if name in named and value == known[name]
        else converter.from_payloads(converter.to_payloads([value]), _hint(hints, name))[0]
        for name, value in decided.items()
    }


def _hint(hints: Mapping[str, Any], name: str) -> list[type] | None:
    return [hints[name]] if name in hints else None


@dataclass
class _OpenRun:
    scope: RunScope
    run: Run
    users: int = 0
    end: asyncio.TimerHandle | None = None


class _OpenRuns:
    """The runs of a worker's workflows, on its event loop."""

    def __init__(self, runs: AgentRuns, linger: float) -> None:
        self._runs = runs
        self._linger = linger
        self._open: dict[str, _OpenRun] = {}

    @contextlib.contextmanager
    def entered(self, id: str) -> Iterator[None]:
        """A context inside of the run of this id."""
        if current_run() is not None:
            yield
            return
        mine = self._open.get(id)
        if mine is None:
            mine = self._open[id] = self._opened(id)
        mine.users += 1
        if mine.end is not None:
            mine.end.cancel()
        token = enter(Frame(mine.run))
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            mine.scope.turn(raised)
            raise
        finally:
            leave(token)
            mine.users -= 1
            if not mine.users:
                self._idle(id, mine, killed=isinstance(error, RunKilled))

    def close(self) -> None:
        for id, each in list(self._open.items()):
            if not each.users:
                self._end(id)

    def _opened(self, id: str) -> _OpenRun:
        scope = self._runs.open(id)
        if not isinstance(scope, RunScope):  # pragma: no cover  # there is no current run here
            raise TypeError(scope)
        try:
            # In a context of its own: the run is entered by each activity for itself.
            run = contextvars.copy_context().run(scope.__enter__)
        except ConfigError as error:
            raise ApplicationError(
                f"the run `{id}` cannot be opened here: {error}", type=BUSY
            ) from None
        return _OpenRun(scope, run)

    def _idle(self, id: str, mine: _OpenRun, *, killed: bool) -> None:
        if killed or not self._linger:
            self._end(id)
        else:
            mine.end = asyncio.get_running_loop().call_later(self._linger, self._end, id)

    def _end(self, id: str) -> None:
        mine = self._open.pop(id)
        if mine.end is not None:
            mine.end.cancel()
        contextvars.copy_context().run(mine.scope.__exit__, None, None, None)


# ------------------------------------------------------------------------------ in the workflow


class GovernedWorkflow:
    """What a workflow inherits whose activities may wait for people.

    It decides nothing: it waits, and calls the activity again.
    """

    _guardrails_answered: frozenset[str] = frozenset()

    @workflow.signal(name=ANSWERED)
    def guardrails_answered(self, request_id: str) -> None:
        """People have answered this request, or it is time to look whether they have."""
        self._guardrails_answered |= {request_id}

    async def governed_activity(
        self,
        activity: Any,
        *args: Any,
        look_again: timedelta | None = timedelta(hours=1),
        **options: Any,
    ) -> Any:
        """What ``workflow.execute_activity`` gives, once people have answered where they must.

        Args:
            activity: The activity.
            *args: Its arguments.
            look_again: After how long to call it again without a signal, so that one that got lost
                or a request that has expired costs time alone; None to wait for a signal.
            **options: What ``workflow.execute_activity`` takes.

        Raises:
            ActivityError: the activity failed, was refused, or a person refused it.
        """
        while True:
            try:
                return await workflow.execute_activity(activity, args=args, **options)
            except ActivityError as error:
                waits = waiting(error)
                if waits is None:
                    raise
                request_id = waits["request_id"]
            with contextlib.suppress(asyncio.TimeoutError):
                await self._until_answered(request_id, look_again)
            self._guardrails_answered -= {request_id}

    async def _until_answered(self, request_id: str, longest: timedelta | None) -> None:
        await workflow.wait_condition(
            lambda: request_id in self._guardrails_answered, timeout=longest
        )


def waiting(error: BaseException) -> dict[str, Any] | None:
    """What an activity waits for that has failed with `error`; None where it is something else.

    The keys are ``request_id``, ``approvers``, ``tool``, ``run_id`` and ``message``.
    """
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError) and cause.type == PENDING and cause.details:
        found = cause.details[0]
        return found if isinstance(found, dict) else None
    return None


async def tell_workflow(client: Client, request: ApprovalRequest) -> None:
    """Signal the workflow that waits for `request` that it is answered."""
    await client.get_workflow_handle(request.run_id).signal(ANSWERED, request.id)


__all__ = [
    "ANSWERED",
    "BUSY",
    "PENDING",
    "PREFIX",
    "GovernedActivities",
    "GovernedWorkflow",
    "Words",
    "tell_workflow",
    "waiting",
]
