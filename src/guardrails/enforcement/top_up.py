"""Asking people to raise a limit that is used up, and raising it as they said, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement import tracing
from guardrails.errors import ApprovalPending, StateUnavailable
from guardrails.model.call import Event
from guardrails.model.canonical import digest
from guardrails.model.decision import ApprovalDemand

if TYPE_CHECKING:
    from guardrails.enforcement.call import Call
    from guardrails.model.account import Exhausted
    from guardrails.model.approval import ApprovalRequest, CallKey

RULE: Final = "budget"
"""The rule id of what a used-up account asks for."""


def find(call: Call) -> ApprovalRequest | None:
    """The newest request to raise this limit in this window, as it stands now."""
    call.request = call.run.governor.approvals.find(_key(_exhausted(call)))
    return call.request


def ask(call: Call) -> ApprovalRequest:
    """The open request to raise it: one for all calls that meet it."""
    exhausted = _exhausted(call)
    run = call.run
    request = run.governor.approvals.request(
        _key(exhausted),
        demands=_demands(exhausted),
        tool=call.tool.facts.name,
        agent=run.agent.id,
        run_id=run.id,
        principal=run.principal,
        args=_asked(exhausted),
        revision="",
        about=RULE,
        decision_id=call.decision_id,
    )
    tracing.requested(call, request)
    return request


def raise_limit(call: Call) -> None:
    """Use the approval, and raise the limit by what was asked for.

    A request is used by one call alone, and raises once, whoever says so: where the call that
    used it died before it raised, the next one does.
    """
    request, exhausted = call.request, _exhausted(call)
    if request is None:
        message = "nobody was asked"
        raise StateUnavailable(message)
    governor = call.run.governor
    try:
        # One that was used is looked at, too: what a store holds is not trusted.
        request = governor.approvals.consume(
            request.id, _key(exhausted), _demands(exhausted), again=True
        )
    except ApprovalPending:
        ask(call)  # who had answered may not do so any more
        raise
    by = ", ".join(answer.by for answer in request.answers if answer.approved)
    if not governor.ledger.raise_limit(exhausted, request_id=request.id, by=by):
        return
    tracing.raised(call, request)
    governor.record.write(
        Event(
            "budget.top_up",
            governor.clock.now_ns(),
            call.decision_id,
            call.run.id,
            call.run.agent.id,
            detail={**_shown(exhausted), "request_id": request.id, "by": by},
        )
    )


def _exhausted(call: Call) -> Exhausted:
    found = None if call.exhausted is None else call.exhausted.top_up
    if found is None:
        message = "no limit is used up that people could raise"
        raise StateUnavailable(message)
    return found  # type: ignore[return-value]  # errors know no model; ledgers put it there


def _key(exhausted: Exhausted) -> CallKey:
    """What an answer is for: this limit, in this window, as often as it has changed so far."""
    return digest({"about": RULE, "args": _asked(exhausted)})


def _asked(exhausted: Exhausted) -> dict[str, Any]:
    return {**_shown(exhausted), "revision": exhausted.revision}


def _shown(exhausted: Exhausted) -> dict[str, Any]:
    return {
        "account": exhausted.account,
        "window": exhausted.window,
        "start": exhausted.start,
        "raise_by": _more(exhausted),
    }


def _more(exhausted: Exhausted) -> dict[str, Any]:
    by = exhausted.top_up.by
    words = {"usd": by.usd, "tokens": by.tokens, "calls": by.calls}
    return {name: amount for name, amount in words.items() if amount is not None}


def _demands(exhausted: Exhausted) -> tuple[ApprovalDemand, ...]:
    top_up = exhausted.top_up
    more = ", ".join(f"{name} {amount}" for name, amount in _more(exhausted).items())
    return (
        ApprovalDemand(
            RULE,
            f"{exhausted.figures}; raise it for this {exhausted.window} by {more}",
            top_up.approvers,
            top_up.quorum,
            top_up.expires_in,
        ),
    )
