"""What OpenTelemetry is told of a call; nothing of it decides, and none of it raises."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.redaction import REDACTED, hide
from guardrails.enforcement.json_form import to_document
from guardrails.errors import Refusal, RunKilled
from guardrails.model.canonical import canonical
from guardrails.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.phases import Outcome
    from guardrails.model.approval import ApprovalRequest
    from guardrails.model.decision import Decision

_log: Final = logging.getLogger("guardrails")


def requested(call: Call, request: ApprovalRequest) -> None:
    """People are asked."""
    if call.span is not None:
        groups = sorted({name for demand in request.demands for name in demand.approvers})
        call.span.event(names.APPROVAL_REQUESTED, (request.id, groups))


def answered(call: Call, request: ApprovalRequest) -> None:
    """The wait for people is over."""
    if call.span is not None:
        call.span.event(names.APPROVAL_ANSWERED, (request.id, request.state.value))


def used(call: Call, request: ApprovalRequest) -> None:
    """An approval was used."""
    if call.span is not None:
        call.span.event(names.APPROVAL_USED, (request.id,))


def raised(call: Call, request: ApprovalRequest) -> None:
    """A limit was raised as people said."""
    if call.span is not None:
        call.span.event(names.BUDGET_RAISED, (request.id,))


def carrier(call: Call) -> Mapping[str, str]:
    """The environment variables that carry the call's trace into another process."""
    return {} if call.span is None else call.span.carrier()


def refused(call: Call, fault: BaseException) -> None:
    """The call did not run, because of `fault`."""
    if isinstance(fault, Refusal | RunKilled):
        _end(call, fault.code, refusal=fault)
    else:
        _end(call, "interrupted")


def ended(call: Call, outcome: Outcome) -> None:
    """The call is over; what came of it is `outcome`."""
    _end(call, outcome.kind, error=outcome.error, value=outcome.value)


def _end(
    call: Call,
    outcome: str,
    *,
    refusal: BaseException | None = None,
    error: BaseException | None = None,
    value: Any = None,
) -> None:
    span, call.span = call.span, None
    if span is None:
        return
    from guardrails.telemetry.calls import Ended  # noqa: PLC0415  # OpenTelemetry is there by now

    decision: Decision | None = getattr(call, "decision", None)
    span.end(
        Ended(
            outcome,
            decision,
            call.decision_ns,
            None if call.would is None else call.would.value,
            refusal,
            error,
            call.cost,
            _arguments(call, decision) if span.shows_arguments else None,
            _result(call, decision, value) if span.shows_results and outcome == "ok" else None,
        )
    )


def _arguments(call: Call, decision: Decision | None) -> str | None:
    # Before a decision nobody has said what must be hidden.
    if decision is None:
        return None
    try:
        return canonical(hide(call.arguments.document, decision.obligations)).decode()
    except Exception as error:  # noqa: BLE001  # telemetry's boundary: the call goes on
        _untold("arguments", call, error)
        return None


def _result(call: Call, decision: Decision | None, value: Any) -> str | None:
    duties = () if decision is None else decision.obligations
    if any(duty.type == "redact" for duty in duties):
        # It may repeat what is hidden, and no pointer says where.
        return REDACTED
    try:
        return canonical(
            to_document(value, path="result", limits=call.run.governor.limits)
        ).decode()
    except Exception as error:  # noqa: BLE001  # as above
        _untold("result", call, error)
        return None


def _untold(what: str, call: Call, error: Exception) -> None:
    _log.debug("the %s of `%s` is in no span: %s", what, call.tool, type(error).__name__)
