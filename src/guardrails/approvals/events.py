"""A step in a request's life as an event of the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.model.call import Event

if TYPE_CHECKING:
    from guardrails.model.approval import ApprovalRequest


def event_of(request: ApprovalRequest, step: str) -> Event:
    """The event ``approval.STEP``: who said what about which request, and where that stands now.

    Its ``args`` are left out: the record holds them with the call, the first one for which people
    were asked, whose decision's id it has.
    """
    last = request.steps[-1]
    detail: dict[str, Any] = {
        "request_id": request.id,
        "call_key": request.call_key,
        "request_digest": request.digest,
        "state": request.state.value,
        "answers": [
            {"by": answer.by, "approved": answer.approved, "reason": answer.reason}
            for answer in request.answers
        ],
    }
    said = {
        "by": last.by,
        "reason": last.reason,
        "channel": last.channel,
        "origin": request.origin,
        "successor": request.successor,
    }
    detail.update({name: word for name, word in said.items() if word})
    return Event(
        f"approval.{step}",
        last.time,
        decision_id=request.decision_id or None,
        run_id=request.run_id,
        agent=request.agent,
        tool=request.tool,
        approvals=request.demands,
        revision=request.revision,
        detail=detail,
    )
