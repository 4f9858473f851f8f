"""The life of an approval request, as pure functions from one state of it to the next.

::

    pending ──► approved ──► consumed
       │           │
       └───────────┴──► rejected · expired · withdrawn · edited

    proposed ──► accepted · rejected · expired

All but ``pending``, ``approved`` and ``proposed`` are final. An approved request that was
not used can still be rejected, or its arguments changed, by somebody who may answer it:
whoever sees a mistake can stop it until the call starts. What takes the place of an edited or
accepted one is a request of its own (``versions``).

Each demand is met by its own approvers and its own quorum of distinct people. While it is
not answered, it is put to further groups as time passes; at last the request expires.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from guardrails.approvals.people import identity, is_identity, person, same_person
from guardrails.errors import (
    ApprovalExpired,
    ApprovalPending,
    ApprovalRejected,
    GuardrailsError,
)
from guardrails.model.approval import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    ApprovalStep,
    CallKey,
    Escalation,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.model.decision import ApprovalDemand
    from guardrails.model.lineage import RunTerms

OPEN: Final = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})
"""The states in which a call may still be made by this request."""

ANSWERED: Final = OPEN | {ApprovalState.PROPOSED}
"""The states in which somebody may answer; all others are final."""

UNKNOWN: Final = "unknown"
"""The outcome of a call that used an approval and was never heard of again."""

_WELL: Final = "ok"

_USABLE: Final = OPEN | {ApprovalState.CONSUMED, ApprovalState.EXPIRED}
"""The states of which :func:`consumed` has more to say than that they are wrong."""

# Named once: a member of an enumeration takes five times as long to be found in it.
_PENDING: Final = ApprovalState.PENDING
_CONSUMED: Final = ApprovalState.CONSUMED
_EXPIRED: Final = ApprovalState.EXPIRED

_FIELDS: Final = tuple(ApprovalRequest.__dataclass_fields__)
_fields_of: Final = attrgetter(*_FIELDS)
_STATE: Final = _FIELDS.index("state")
_STEPS: Final = _FIELDS.index("steps")

NEVER: Final = 2**63 - 1
"""A time that does not come, in nanoseconds."""

_SECOND: Final = 1_000_000_000


class AnswerRefused(GuardrailsError):  # noqa: N818  # named for what happened, as errors.py does
    """An answer does not count: the wrong person, twice, or too late. Nothing was changed."""


def opened(  # noqa: PLR0913  # each is one field of the request
    request_id: str,
    call_key: CallKey,
    *,
    demands: Sequence[ApprovalDemand],
    tool: str,
    agent: str,
    run_id: str,
    principal: str | None,
    args: Mapping[str, Any],
    revision: str,
    now: int,
    about: str = "call",
    nonce: str = "",
    escalation: Sequence[Escalation] = (),
    previous: ApprovalRequest | None = None,
    question: str = "",
    lineage: Sequence[RunTerms] = (),
    origin: str | None = None,
    decision_id: str = "",
) -> ApprovalRequest:
    """A new request, pending until the earliest expiry of its demands.

    Where an approval of the same call was used, by `previous` or one before it, the request says
    what came of that. Unless it went well, the act may be half done or nobody knows, and the
    request keeps its idempotency key.

    Raises:
        ValueError: it demands nothing, or a demand can never be met.
    """
    if not demands:
        msg = "an approval request needs at least one demand"
        raise ValueError(msg)
    for demand in demands:
        if not demand.approvers or demand.quorum < 1 or demand.expires_in <= 0:
            msg = f"the demand of `{demand.rule}` names no approvers, no quorum or no time"
            raise ValueError(msg)
    used, outcome = _use_before(previous)
    return ApprovalRequest(
        id=request_id,
        call_key=call_key,
        state=ApprovalState.PENDING,
        demands=tuple(demands),
        tool=tool,
        agent=agent,
        run_id=run_id,
        principal=principal,
        args=args,
        revision=revision,
        created=now,
        expires=_expiry(now, demands),
        about=about,
        nonce=nonce,
        escalation=_of_those_asked(escalation, demands),
        idempotency_key=(
            previous.idempotency_key if previous and used and outcome != _WELL else request_id
        ),
        steps=(ApprovalStep("requested", now, agent),),
        previous=used,
        previous_outcome=outcome,
        question=question,
        lineage=tuple(lineage),
        origin=origin,
        decision_id=decision_id,
    )


def _use_before(previous: ApprovalRequest | None) -> tuple[str | None, str | None]:
    """Which request for the same call was used last, and what came of it."""
    if previous is None:
        return None, None
    if previous.state is ApprovalState.CONSUMED:
        return previous.id, previous.outcome or UNKNOWN
    return previous.previous, previous.previous_outcome  # it was not used itself


def answered(request: ApprovalRequest, answer: Answer) -> ApprovalRequest:
    """The request with one more answer, and in the state that follows from it.

    Raises:
        AnswerRefused: as :func:`check`.
    """
    check(request, answer)
    if not answer.approved:
        return with_answer(request, answer, ApprovalState.REJECTED)
    if request.state is ApprovalState.PROPOSED:
        msg = f"`{request.id}` is a proposal; accepting it makes a call of it, which is decided"
        raise AnswerRefused(msg)
    if request.about == "escalation" and not answer.reason.strip():
        msg = f"`{request.id}` asks a question; what is answered goes with it as its reason"
        raise AnswerRefused(msg)
    if request.state is ApprovalState.APPROVED:
        msg = (
            f"request `{request.id}` is approved already; it can only be rejected until it is used"
        )
        raise AnswerRefused(msg)
    if any(same_person(other.by, answer.by) for other in request.answers):
        who = identity(answer.by)
        msg = f"`{who}` has answered `{request.id}` already; another person is needed"
        raise AnswerRefused(msg)
    changed = with_answer(request, answer, ApprovalState.PENDING)
    if satisfied(changed, changed.demands):
        return with_answer(request, answer, ApprovalState.APPROVED)
    return changed


def check(request: ApprovalRequest, answer: Answer) -> None:
    """Nothing, where who answers may answer the request now, whatever is said.

    Raises:
        AnswerRefused: the request is in a final state or has expired; the person made the
            request, belongs to none of its groups, has answered already, or has a name
            that could pass for another's.
    """
    if request.state not in ANSWERED or answer.time >= request.expires:
        state = request.state if request.state not in ANSWERED else ApprovalState.EXPIRED
        msg = f"request `{request.id}` is {state}; it takes no more answers"
        raise AnswerRefused(msg)
    try:
        who = identity(answer.by)
    except ValueError as error:
        raise AnswerRefused(str(error)) from None
    if is_own(request, answer):
        msg = (
            f"`{who}` made the request `{request.id}`, or whoever did is not to be told from "
            "others by name; somebody else has to answer it"
        )
        raise AnswerRefused(msg)
    wanted = [g for demand in request.demands for g in asked_of(request, demand, answer.time)]
    if answer.groups.isdisjoint(wanted):
        groups = ", ".join(f"`{group}`" for group in dict.fromkeys(wanted))
        msg = f"`{who}` is in none of the groups that may answer `{request.id}`: {groups}"
        raise AnswerRefused(msg)


def is_own(request: ApprovalRequest, answer: Answer) -> bool:
    """Whether who answers is whom the request is made for, or its agent, or may be.

    A requester whose name could pass for another's may be anybody.
    """
    return any(
        requester is not None and (not is_identity(requester) or same_person(requester, answer.by))
        for requester in (request.principal, request.agent)
    )


def asked_of(request: ApprovalRequest, demand: ApprovalDemand, now: int) -> tuple[str, ...]:
    """The groups whose members may answer `demand` at `now`: its own, and whom it came to since."""
    groups = dict.fromkeys(demand.approvers)
    for step in request.escalation:  # the soonest first, so that one may lead to the next
        if step.group in groups and now >= request.created + step.after * _SECOND:
            groups[step.to] = None
    return tuple(groups)


def satisfied(request: ApprovalRequest, demands: Sequence[ApprovalDemand]) -> bool:
    """Whether the yeses to `request` meet every one of `demands`."""
    return all(missing(request, demand) == 0 for demand in demands)


def missing(request: ApprovalRequest, demand: ApprovalDemand) -> int:
    """How many more people have to say yes to `request` before `demand` is met."""
    agreed = {
        person(answer.by)
        for answer in request.answers
        if answer.approved and not answer.groups.isdisjoint(asked_of(request, demand, answer.time))
    }
    return max(0, demand.quorum - len(agreed))


def covers(request: ApprovalRequest, demands: Sequence[ApprovalDemand]) -> bool:
    """Whether an answer to `request` can satisfy `demands`, or has done so."""
    if request.state is ApprovalState.APPROVED:
        return satisfied(request, demands)
    asked = Counter(_terms(demand) for demand in request.demands)
    return not Counter(_terms(demand) for demand in demands) - asked


def consumed(  # noqa: PLR0913  # what it is used for, and how, each by its name
    request: ApprovalRequest,
    call_key: CallKey,
    demands: Sequence[ApprovalDemand],
    now: int,
    *,
    again: bool = False,
    resumed: bool = False,
) -> ApprovalRequest:
    """The request once it is used for the call that it was given for.

    Args:
        request: The request.
        call_key: The digest of the call as its arguments are now.
        demands: What the decision demands now.
        now: UTC nanoseconds.
        again: Whether one that was used already is taken, unchanged, if it was rightly approved:
            for what can only be done once in any case.
        resumed: Whether somebody else than the agent makes the call.

    Raises:
        ApprovalRejected: it is for another call, was rejected, withdrawn, edited or used already,
            or is resumed and the agent was told to make the call itself.
        ApprovalExpired: it has expired, or would have under `demands`.
        ApprovalPending: it lacks answers that `demands` need.
    """
    state = request.state
    used = state is _CONSUMED
    if request.call_key != call_key:
        msg = f"approval `{request.id}` is for another call: arguments, agent or run differ"
        raise ApprovalRejected(msg, **_where(request))
    if used and not again:
        msg = f"approval `{request.id}` was used already; it counts once"
        raise ApprovalRejected(msg, **_where(request))
    if state not in _USABLE:
        msg = f"request `{request.id}` was {state}"
        raise ApprovalRejected(msg, **_where(request))
    if resumed and request.told:
        msg = f"the agent was told of `{request.id}` and makes that call itself; it runs once"
        raise ApprovalRejected(msg, **_where(request))
    demands = demands or request.demands
    expires = min(request.expires, _expiry(request.created, demands))
    if state is _EXPIRED or (now >= expires and not used):
        msg = f"request `{request.id}` has expired"
        raise ApprovalExpired(msg, **_where(request))
    lacking = [demand for demand in demands if missing(request, demand)]
    if state is _PENDING:
        lacking = lacking or list(request.demands)
    if lacking:
        approvers = tuple(dict.fromkeys(name for demand in lacking for name in demand.approvers))
        msg = f"request `{request.id}` lacks the approval of {', '.join(approvers)}"
        raise ApprovalPending(msg, request_id=request.id, approvers=approvers, **_where(request))
    if used:
        return request
    return _ended(request, _CONSUMED, ApprovalStep("consumed", now, request.agent))


def _where(request: ApprovalRequest) -> dict[str, Any]:
    return {"tool": request.tool, "agent": request.agent, "run_id": request.run_id}


def settled(request: ApprovalRequest, outcome: str, now: int) -> ApprovalRequest:
    """The used request with what came of its call; unchanged where that is known already."""
    if request.state is not ApprovalState.CONSUMED or request.outcome is not None:
        return request
    step = ApprovalStep("settled", now, request.agent, outcome)
    return replace(request, outcome=outcome, steps=(*request.steps, step))


def withdrawn(request: ApprovalRequest, now: int, reason: str) -> ApprovalRequest:
    """The request taken back; unchanged where it is in a final state."""
    if request.state not in OPEN:
        return request
    return _ended(request, ApprovalState.WITHDRAWN, ApprovalStep("withdrawn", now, "", reason))


def aged(request: ApprovalRequest, now: int) -> ApprovalRequest:
    """The request after the next thing that time has done to it by `now`; itself where nothing.

    It is put to a further group, or expires, where nobody used it in time.
    """
    if request.state not in ANSWERED or now < due(request):
        return request
    if now >= request.expires:
        return _ended(request, ApprovalState.EXPIRED, ApprovalStep("expired", request.expires))
    step = request.escalation[_escalated(request)]
    words = ApprovalStep(
        "escalated", due(request), "", f"{step.group} did not answer; now {step.to} may, too"
    )
    return replace(request, steps=(*request.steps, words))


def due(request: ApprovalRequest) -> int:
    """When time will do something to the request, in UTC nanoseconds; never is :data:`NEVER`."""
    if request.state not in ANSWERED:
        return NEVER
    if request.escalation and request.state is _PENDING:
        done = _escalated(request)
        if done < len(request.escalation):
            return min(request.created + request.escalation[done].after * _SECOND, request.expires)
    return request.expires


def _escalated(request: ApprovalRequest) -> int:
    return sum(step.kind == "escalated" for step in request.steps)


def _of_those_asked(
    chain: Sequence[Escalation], demands: Sequence[ApprovalDemand]
) -> tuple[Escalation, ...]:
    """The steps of `chain` that begin at a group that is asked, by itself or by an earlier step."""
    groups = {group for demand in demands for group in demand.approvers}
    steps = []
    for step in sorted(chain, key=lambda each: each.after):
        if step.group in groups:
            groups.add(step.to)
            steps.append(step)
    return tuple(steps)


def with_answer(request: ApprovalRequest, answer: Answer, state: ApprovalState) -> ApprovalRequest:
    """The request with one more answer, in `state`, whatever the rules say."""
    kind = "answered" if state is ApprovalState.PENDING else state.value
    step = ApprovalStep(kind, answer.time, answer.by, answer.reason, answer.channel)
    answers, steps = (*request.answers, answer), (*request.steps, step)
    return replace(request, state=state, answers=answers, steps=steps)


def _ended(request: ApprovalRequest, state: ApprovalState, step: ApprovalStep) -> ApprovalRequest:
    # What `replace` gives, which asks each field for its name: in a third of its time.
    values = [*_fields_of(request)]
    values[_STATE] = state
    values[_STEPS] = (*request.steps, step)
    return ApprovalRequest(*values)


def _expiry(created: int, demands: Sequence[ApprovalDemand]) -> int:
    return created + min([demand.expires_in for demand in demands]) * _SECOND


def _terms(demand: ApprovalDemand) -> tuple[frozenset[str], int]:
    return frozenset(demand.approvers), demand.quorum
