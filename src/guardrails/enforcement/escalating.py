"""A tool that asks people by itself: ambiguous input ends the call with a question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.enforcement.answers import demands_of, edited, rejected
from guardrails.enforcement.call import Call
from guardrails.enforcement.definition import checked_groups, seconds_of
from guardrails.enforcement.lineage import lineage_of
from guardrails.errors import (
    ApprovalPending,
    CallEscalated,
    ConfigError,
    GuardrailsError,
    NoActiveRun,
    StateUnavailable,
)
from guardrails.model.approval import ApprovalRequest, ApprovalState, key_about
from guardrails.model.canonical import call_key
from guardrails.model.decision import ApprovalDemand
from guardrails.runs.context import current_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.model.approval import CallKey

RULE: Final = "escalation"
"""The rule id of what a tool asks."""

ESCALATED: Final = "escalated"
"""The outcome of a call that ended in a question."""

_LONGEST_QUESTION: Final = 2_000


def escalate(
    question: str, *, to: str | Iterable[str], quorum: int = 1, expires_in: int | str = "1d"
) -> str:
    """A person's answer to `question` about the call that is at work here.

    The first time there is none: people are asked, and the call ends, with the outcome
    ``escalated``. When the same call is made again, or is resumed, and somebody has answered,
    their words are returned, once. So escalate before anything is done.

    Args:
        question: What has to be known, in a sentence; the same for the same need, since it is a
            part of what is answered.
        to: The group, or groups, whose members may answer.
        quorum: How many distinct people must; the words of the last are returned.
        expires_in: Seconds, or ``"30s"``, ``"15m"``, ``"4h"``, ``"2d"``.

    Raises:
        CallEscalated: nobody has answered yet. Let it pass.
        ApprovalRejected: somebody refused to answer: the call is not to be made.
        ApprovalEdited: somebody changed the call's arguments instead.
        NoActiveRun: no governed call is at work here.
        ConfigError: an argument is wrong.
    """
    call = _call_here()
    if type(question) is not str or not question.strip() or len(question) > _LONGEST_QUESTION:
        msg = f"escalate: a question of 1 to {_LONGEST_QUESTION} characters is needed"
        raise ConfigError(msg)
    if type(quorum) is not int or not 1 <= quorum <= 100:  # noqa: PLR2004  # as in requires_approval
        msg = f"escalate: quorum {quorum!r} is not a whole number from 1 to 100"
        raise ConfigError(msg)
    demand = ApprovalDemand(
        RULE,
        question,
        checked_groups(to),
        quorum,
        seconds_of(expires_in, what="escalate: expires_in"),
    )
    try:
        return _answer(call, question, demand)
    except GuardrailsError:
        raise
    except Exception as error:
        message = f"people cannot be asked: {type(error).__name__}"
        raise StateUnavailable(message, tool=call.tool.facts.name) from error


def _call_here() -> Call:
    # A frame holds its reservation: it must not live as long as what is raised here.
    frame = current_frame()
    call = None if frame is None else frame.call
    if isinstance(call, Call):
        return call
    message = "no governed call is at work here that could escalate"
    if frame is not None and frame.tool is not None:
        message = f"`{frame.tool}` runs in a process of its own, from which it cannot escalate"
    raise NoActiveRun(message, hint="gr.escalate() is called inside the body of a governed tool")


def _answer(call: Call, question: str, demand: ApprovalDemand) -> str:
    run = call.run
    approvals = run.governor.approvals
    args = dict(call.arguments.document)
    own = call_key(call.tool.facts.name, args, run.agent.id, run.principal, run.id)
    key = key_about("escalation", own, question)
    resumed = call.consumed
    if resumed is not None and resumed.call_key == key:
        return _words(resumed)
    there = approvals.find(key)
    if there is not None:
        _raise_ended(call, there)
        # One that was used by a call that ended in a further question holds for the next call.
        again = there.state is ApprovalState.CONSUMED and there.outcome == ESCALATED
        if again or there.state is ApprovalState.APPROVED:
            try:
                used = approvals.consume(there.id, key, (demand,), again=again)
            except ApprovalPending:
                pass  # who had answered may not do so any more
            else:
                call.answers = (*call.answers, used)
                return _words(used)
    raise _asked(call, key, demand, args)


def _asked(call: Call, key: CallKey, demand: ApprovalDemand, args: dict[str, object]) -> Exception:
    run = call.run
    request = run.governor.approvals.request(
        key,
        demands=(demand,),
        tool=call.tool.facts.name,
        agent=run.agent.id,
        run_id=run.id,
        principal=run.principal,
        args=args,
        revision=call.decision.revision,
        about="escalation",
        question=demand.reason,
        lineage=lineage_of(run),
        decision_id=call.decision_id,
    )
    _raise_ended(call, request)
    whom = ", ".join(demand.approvers)
    refusal = CallEscalated(
        f"`{request.tool}` asks {whom}: {demand.reason} (request {request.id})",
        question=demand.reason,
        request_id=request.id,
        approvers=demand.approvers,
        reasons=demands_of(request),
        hint="make the same call again once it is answered",
    )
    call.locate(refusal)
    return refusal


def _raise_ended(call: Call, request: ApprovalRequest) -> None:
    refusal = None
    if request.state is ApprovalState.REJECTED:
        refusal = rejected(request)
    elif request.state is ApprovalState.EDITED:
        refusal = edited(request, call.run.governor.approvals.tell(request.id))
    if refusal is not None:
        call.locate(refusal)
        raise refusal


def _words(request: ApprovalRequest) -> str:
    return [answer.reason for answer in request.answers if answer.approved][-1]
