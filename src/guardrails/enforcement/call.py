"""One call on its way through the phases: what is known of it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import Refusal

if TYPE_CHECKING:
    from guardrails.enforcement.arguments import Arguments
    from guardrails.enforcement.definition import Tool
    from guardrails.enforcement.phases import Outcome
    from guardrails.errors import BudgetExceeded, RunKilled
    from guardrails.model.approval import ApprovalRequest, CallKey
    from guardrails.model.breakers import Reached
    from guardrails.model.budget import Usage
    from guardrails.model.decision import Decision, Effect
    from guardrails.ports import Hold
    from guardrails.runs.context import HostCall
    from guardrails.runs.run import Run
    from guardrails.telemetry.calls import CallTelemetry


class Call:
    """The working state of one governed call, made by :func:`new_call`; it lives as long as that.

    Attributes:
        tool: The tool.
        given: What it was called with, by position and by name.
        run: The run it is made in; set by ``OPEN``.
        arguments: The arguments as they would run now; set by ``READ``, replaced by ``REWRITE``.
        original: The arguments as they came.
        hold: The reservation, while one is held.
        key: Stands for its arguments as they came, for breakers; None before they saw it.
        answers: The answers to its own questions that were used.
        breakers: What they have reached with it.
        decision: The latest decision, decorators included.
        decision_ns: How long it took, in nanoseconds.
        policy: The decision without decorators and breakers: what policy itself says.
        decided: The document that both are about.
        would: What would have been decided, where the mode or policy withholds or waives it.
        request: The approval request, where one is open.
        consumed: The approval that was used, if one was.
        call_key: The digest that the approval is for.
        exhausted: Why its price could not be held, while people are asked to raise that limit.
        resumed: The approved request that it is resumed by; None where its agent makes it.
        refusal: Why it did not run, or what went wrong after it ran.
        outcome: What came of its body.
        decision_id: The id under which it stands in the record.
        document: The input document that the engine was asked about last.
        is_async: Whether it is made from a coroutine.
        may_wait: Whether it may wait here for people.
        cost: What it cost, once it is settled.
        span: What OpenTelemetry is told of it; None where the program uses none.
        host: The tool call of an agent host that it is; None where it is none.
    """

    tool: Tool
    given: tuple[tuple[Any, ...], dict[str, Any]]
    decision_id: str
    is_async: bool
    run: Run
    arguments: Arguments
    original: Arguments
    decision: Decision
    hold: Hold | None = None
    key: int | None = None
    breakers: tuple[Reached, ...] = ()
    decision_ns: int | None = None
    would: Effect | None = None
    request: ApprovalRequest | None = None
    consumed: ApprovalRequest | None = None
    answers: tuple[ApprovalRequest, ...] = ()
    resumed: ApprovalRequest | None = None
    call_key: CallKey | None = None
    exhausted: BudgetExceeded | None = None
    refusal: Refusal | RunKilled | None = None
    outcome: Outcome | None = None
    document: dict[str, Any] | None = None
    decided: dict[str, Any] | None = None
    policy: Decision | None = None
    may_wait: bool = False
    cost: Usage | None = None
    span: CallTelemetry | None = None
    host: HostCall | None = None

    @property
    def idempotency_key(self) -> str:
        """What its body may hand on, to act once: the used approval's key, or its own id."""
        used = self.consumed
        return self.decision_id if used is None else used.idempotency_key

    @property
    def shown_id(self) -> str:
        """Its id for policy and traces: the one that its host gave it, else that of the record.

        A host's id is no key of anything: models give two calls the same one.
        """
        host = self.host
        return self.decision_id if host is None or host.id is None else host.id

    def restart(self) -> None:
        """Forget what was decided: the sequence begins again with the arguments as they came."""
        self.arguments = self.original
        self.would = None
        self.call_key = None

    def locate(self, refusal: Refusal | RunKilled) -> None:
        """Say on `refusal` which call it is about, where it does not say so yet."""
        refusal.tool = refusal.tool or self.tool.facts.name
        refusal.decision_id = refusal.decision_id or self.decision_id
        run = getattr(self, "run", None)
        if run is not None and isinstance(refusal, Refusal):
            refusal.run_id = refusal.run_id or run.id
            refusal.agent = refusal.agent or run.agent.id
            if refusal.runbook is not None:
                # The agent's own page comes first; a refusal without one says itself what to do.
                refusal.runbook = run.agent.runbook or refusal.runbook


IS_ASYNC: Final = True
"""What :func:`new_call` is told of a call that is made from a coroutine."""


def new_call(
    tool: Tool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    decision_id: str,
    is_async: bool = False,  # noqa: FBT001, FBT002  # by name, it would take half as long again
) -> Call:
    """A call of `tool` that is about to begin.

    A function, since Python enters it at once, and an initializer only by way of the type.
    """
    call = Call()
    call.tool = tool
    call.given = (args, kwargs)
    call.decision_id = decision_id
    call.is_async = is_async
    # What every call looks at: an attribute of the class takes eight times as long to find.
    call.host = call.span = call.resumed = call.consumed = call.would = None
    call.breakers = call.answers = ()
    return call
