"""One governed call as the parts see it: the reservation, the snapshot, the recorded event."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.errors import Reason
    from guardrails.model.budget import Remaining, Usage
    from guardrails.model.decision import ApprovalDemand, Decision, Obligation


class _Words(NamedTuple):
    tool: str
    operation: str
    effect: str
    outcome: str


class Step(_Words):
    """One finished call of a run, as policies see it in ``input.run.steps``.

    Attributes:
        document: It as JSON, made once and shared by all documents that it stands in.

    Raises:
        TypeError: a word of it is no plain string.
    """

    document: dict[str, str]

    def __new__(cls, tool: str, operation: str, effect: str, outcome: str) -> Self:
        """The step of these words."""
        for word in (tool, operation, effect, outcome):
            if type(word) is not str:
                msg = f"a step is made of strings, not of a {type(word).__name__}"
                raise TypeError(msg)
        made = super().__new__(cls, tool, operation, effect, outcome)
        made.document = made._asdict()
        return made


@lru_cache(maxsize=1024)
def step_of(tool: str, operation: str, effect: str, outcome: str) -> Step:
    """The step of these words; the same one for the same words."""
    return Step(tool, operation, effect, outcome)


class Snapshot(NamedTuple):
    """A run's state at the moment of a reservation, without that reservation.

    It counts finished calls and every other call in flight, so that a rule such
    as ``input.run.history.refund >= 3`` holds under any interleaving.

    It is made of exact types, as they stand in the input, and belongs to whoever asked for it:
    what goes into a document is not copied again.

    Attributes:
        calls: Calls that count, in this run and its children.
        history: The same by the name of the tool.
        spent: What is settled.
        reserved: What other calls in flight hold.
        remaining: What is left of each limit, the parents' limits included.
        steps: The last 32 finished calls, oldest first: the documents of their steps.
    """

    calls: int
    history: dict[str, int]
    spent: Usage
    reserved: Usage
    remaining: Remaining
    steps: list[dict[str, str]]


class Event(NamedTuple):
    """One line of the record, as it is handed over. Fields that do not apply are None or empty.

    Whoever makes one hands over what it has, by reference; what must not be written is taken
    out by the record (:mod:`guardrails.audit.redaction`), and nothing may change it meanwhile.
    The lines and each kind's ``detail`` are described in ``docs/audit-events.md``.

    Attributes:
        kind: What happened, as ``call.started``; :data:`guardrails.audit.kinds.KINDS` has all.
        time: UTC nanoseconds from the governor's clock.
        decision_id: The call's id, the same in all its events.
        run_id: The run.
        agent: The agent's id.
        tool: The tool's name.
        mode: The run's mode.
        effect: What was decided, decorators included.
        reasons: Why.
        approvals: What had to be approved.
        input: The document that was decided. A call has it once, in the event that says whether
            it ran: ``call.started``, ``call.refused`` or ``call.shadowed``.
        revision: The policy revision.
        decision_ns: How long the decision took, in nanoseconds.
        detail: What belongs to this kind of event alone.
        decided_by: Whose effect it is: ``policy``, ``decorator`` or ``breaker``.
        policy: What policy itself said, where decorators or breakers have made it stricter.
        obligations: What the decision obliged to; its redactions hold for this event.
    """

    kind: str
    time: int
    decision_id: str | None = None
    run_id: str | None = None
    agent: str | None = None
    tool: str | None = None
    mode: str | None = None
    effect: str | None = None
    reasons: tuple[Reason, ...] = ()
    approvals: tuple[ApprovalDemand, ...] = ()
    input: Mapping[str, Any] | None = None
    revision: str | None = None
    decision_ns: int | None = None
    detail: Mapping[str, Any] | None = None
    decided_by: str | None = None
    policy: Decision | None = None
    obligations: tuple[Obligation, ...] = ()
