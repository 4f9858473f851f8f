"""What a call leaves in the record and on the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.log import log_refusal
from guardrails.enforcement.obligations import labels
from guardrails.enforcement.phases import text_of
from guardrails.errors import REASON_LIMIT, Refusal
from guardrails.model.call import Event
from guardrails.model.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from guardrails.enforcement.call import Call
    from guardrails.errors import RunKilled
    from guardrails.model.decision import Decision

DECORATOR: Final = "decorator"
"""The rule id of what ``@requires_approval`` asks for, and who decided where that is stricter."""

_POLICY: Final = "policy"
_BREAKER: Final = "breaker"


def write(call: Call, kind: str, detail: dict[str, Any]) -> None:
    """Write one event of `call`, which holds the decision's id but not the decision.

    Args:
        call: The call.
        kind: What happened.
        detail: What belongs to this kind alone; it is the event's from here on.
    """
    call.run.governor.record.write(_plain(call, kind, detail))


def write_decided(call: Call, kind: str, detail: dict[str, Any]) -> None:
    """Write the one event of `call` that holds what was decided, and about which document.

    The document is handed over as it is: nothing changes it from here on.
    """
    call.run.governor.record.write(_decided(call, kind, detail))


def write_ahead(call: Call, kind: str, detail: dict[str, Any]) -> Future[None] | None:
    """The same; what is done once it is on the disk, if that is to be awaited."""
    return call.run.governor.record.write_ahead(_decided(call, kind, detail))


def write_refusal(call: Call, refusal: Refusal | RunKilled) -> None:
    """Write why `call` did not run: one event in the record, one line on the logger."""
    log_refusal(refusal)
    run = getattr(call, "run", None)
    if run is None:  # outside of every run there is no record to write to
        return
    kind = "call.shadowed" if refusal.code == "shadowed" else "call.refused"
    detail: dict[str, Any] = {"code": refusal.code}
    if call.would is not None:
        detail["would"] = call.would.value
    if isinstance(refusal, Refusal):
        detail["message"] = refusal.message
        cause = refusal.__cause__
        if isinstance(cause, Exception) and not isinstance(cause, Refusal):
            detail["cause"] = text_of(cause)[:REASON_LIMIT]
        if call.request is not None:
            detail["request_id"] = call.request.id
    else:
        detail["message"] = str(refusal)
        detail["scope"] = refusal.scope
    write_decided(call, kind, detail)


_tuple: Final = tuple.__new__
"""Makes an event of a tuple of all its fields: two of them are made in every call, and
``Event(…)`` takes twice as long."""


def _plain(call: Call, kind: str, detail: dict[str, Any]) -> Event:
    run = call.run
    now = run.governor.clock.now_ns()
    if call.span is not None:
        detail.update(call.span.ids)
    return _tuple(
        Event,
        (
            kind,
            now,
            call.decision_id,
            run.id,
            run.agent.id,
            call.tool.facts.name,
            run.mode._value_,  # as `value`, without a call
            None,
            (),
            (),
            None,
            None,
            None,
            detail,
            None,
            None,
            (),
        ),
    )


def _decided(call: Call, kind: str, detail: dict[str, Any]) -> Event:
    run = call.run
    document, policy = call.decided, call.policy
    if document is None or policy is None:
        # Nobody has said what must be hidden: the record leaves the arguments out.
        return _plain(call, kind, detail)._replace(input=call.document)
    now = run.governor.clock.now_ns()
    decision = call.decision
    if decision.obligations:
        marks = labels(decision.obligations)
        if marks:
            detail["labels"] = list(marks)
    if run.narrowed_by:
        detail["narrowed_by"] = [agent.document for agent in run.narrowed_by]
    before, after = call.original.document, document["args"]
    if before is not after:
        detail["rewritten"] = _changed(before, after)
    if call.span is not None:
        detail.update(call.span.ids)
    is_tightened = policy is not decision
    return _tuple(
        Event,
        (
            kind,
            now,
            call.decision_id,
            run.id,
            run.agent.id,
            call.tool.facts.name,
            run.mode._value_,
            decision.effect._value_,
            decision.reasons,
            decision.approvals,
            document,
            decision.revision,
            call.decision_ns,
            detail,
            _decided_by(decision, policy) if is_tightened else _POLICY,
            policy if is_tightened else None,
            decision.obligations,
        ),
    )


def _decided_by(decision: Decision, policy: Decision) -> str:
    """Who made the effect what it is: decorators and breakers only ask for approvals."""
    if decision.effect is policy.effect:
        return _POLICY
    asked = decision.approvals[len(policy.approvals) :]
    return DECORATOR if any(demand.rule == DECORATOR for demand in asked) else _BREAKER


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The names of the arguments that policy's transforms have changed."""
    return [
        name
        for name, value in after.items()
        if name not in before or canonical(before[name]) != canonical(value)
    ]
