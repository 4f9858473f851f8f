"""What a call leaves in the record and on the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.audit.log import log_refusal
from guardrails.enforcement.obligations import labels, redact
from guardrails.enforcement.phases import text_of
from guardrails.errors import REASON_LIMIT, Refusal
from guardrails.model.call import Event

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from guardrails.enforcement.call import Call
    from guardrails.errors import RunKilled


def write(call: Call, kind: str, **detail: Any) -> None:
    """Write one event of `call` to its run's record."""
    governor = call.run.governor
    governor.record.write(_event(call, kind, governor.clock.now_ns(), detail))


def write_ahead(call: Call, kind: str, **detail: Any) -> Future[None] | None:
    """Write one event of `call`; what is done once it is on the disk, if that is to be awaited."""
    governor = call.run.governor
    return governor.record.write_ahead(_event(call, kind, governor.clock.now_ns(), detail))


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
    write(call, kind, **detail)


def _event(call: Call, kind: str, now: int, detail: Mapping[str, Any]) -> Event:
    run = call.run
    decision = getattr(call, "decision", None)
    args = None
    marks: tuple[str, ...] = ()
    if decision is not None:
        # Before a decision nobody has said what must be hidden, so nothing is shown.
        args = redact(call.arguments.document, decision.obligations)
        marks = labels(decision.obligations)
    if call.span is not None:
        detail = {**detail, **call.span.ids}
    return Event(
        kind,
        now,
        call.decision_id,
        run.id,
        run.agent.id,
        call.tool.facts.name,
        run.mode.value,
        None if decision is None else decision.effect.value,
        () if decision is None else decision.reasons,
        () if decision is None else decision.approvals,
        args,
        None if decision is None else decision.revision,
        call.decision_ns,
        {**detail, "labels": list(marks)} if marks else detail,
    )
