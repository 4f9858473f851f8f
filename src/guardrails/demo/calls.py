"""Governed calls, put together from the events of a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.errors import Reason
    from guardrails.model.call import Event
    from guardrails.model.decision import ApprovalDemand

_KINDS: Final = frozenset({"call.started", "call.finished", "call.refused", "call.shadowed"})


@dataclass(frozen=True, slots=True)
class Call:
    """One call and what became of it.

    Attributes:
        decision_id: Its id in the record.
        run_id: Its run.
        agent: Its agent.
        tool: Its tool.
        mode: Its run's mode.
        args: Its arguments as recorded; None where it was refused before a decision.
        effect: What was decided; None where nothing was.
        reasons: Why.
        approvals: What had to be approved.
        revision: The policy revision that decided.
        nanoseconds: How long the decision took; None where there was none.
        ran: Whether its body started.
        outcome: ``ok``, ``error``, ``killed``, …; a refusal's code; ``shadowed``; or
            ``started`` while it is at work.
        approved_by: Who approved it.
    """

    decision_id: str
    run_id: str
    agent: str
    tool: str
    mode: str
    args: Mapping[str, Any] | None
    effect: str | None
    reasons: tuple[Reason, ...]
    approvals: tuple[ApprovalDemand, ...]
    revision: str | None
    nanoseconds: int | None
    ran: bool
    outcome: str
    approved_by: tuple[str, ...] = ()

    @property
    def is_shadowed(self) -> bool:
        """Whether it was withheld: recorded, not executed."""
        return self.outcome == "shadowed"

    @property
    def waits(self) -> bool:
        """Whether a person was asked, who had not answered."""
        return self.outcome == "approval_pending"

    @property
    def verdict(self) -> str:
        """One word for a screen."""
        if self.is_shadowed:
            return "SHADOW"
        if self.ran:
            return "ALLOW"
        if self.waits:
            return "ASK"
        return "DENY" if self.outcome == "denied" else "REFUSED"

    @property
    def why(self) -> str:
        """The reasons in a few words."""
        if self.approvals:
            demand = self.approvals[0]
            return f"{demand.reason}, {', '.join(demand.approvers)}"
        return self.reasons[0].reason if self.reasons else self.outcome.replace("_", " ")


def calls_of(events: Iterable[Event]) -> list[Call]:
    """The calls that `events` tell of, in the order in which they were decided."""
    by_id: dict[str, list[Event]] = {}
    for event in events:
        if event.kind in _KINDS and event.decision_id is not None:
            by_id.setdefault(event.decision_id, []).append(event)
    return [_call(decision_id, told) for decision_id, told in by_id.items()]


def _call(decision_id: str, told: list[Event]) -> Call:
    decided = told[0]  # what follows says what came of it
    outcome = "started"
    approved_by: tuple[str, ...] = ()
    for event in told:
        detail = event.detail or {}
        approved_by = tuple(detail.get("approved_by", approved_by))
        match event.kind:
            case "call.finished":
                outcome = str(detail.get("outcome", ""))
            case "call.refused":
                outcome = str(detail.get("code", "refused"))
            case "call.shadowed":
                outcome = "shadowed"
    return Call(
        decision_id=decision_id,
        run_id=decided.run_id or "",
        agent=decided.agent or "",
        tool=decided.tool or "",
        mode=decided.mode or "",
        args=None if decided.input is None else decided.input.get("args"),
        effect=decided.effect,
        reasons=decided.reasons,
        approvals=decided.approvals,
        revision=decided.revision,
        nanoseconds=decided.decision_ns,
        ran=any(event.kind == "call.started" for event in told),
        outcome=outcome,
        approved_by=approved_by,
    )
