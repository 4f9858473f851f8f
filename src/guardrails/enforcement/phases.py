"""The order of one governed call, and the rule that anything unexpected refuses.

This is the one place that knows both. It does no I/O: :func:`phases` is a
generator that names the next phase, and a shell (``invoke``) performs it and
sends back what came of it. What a phase raises is thrown back in here, after
:func:`refusal_for` has turned it into a refusal. These are more than 500 lines, since an
order is read as one.

::

    OPEN ► READ ► KILL ► BREAKERS ► RESERVE ► DECIDE ► (REWRITE ► DECIDE)
                   ▲                  │                  │
                   ├─ RAISE ◄─────────┴─ used up, people may be asked: FIND_TOP_UP, ASK_TOP_UP, WAIT
                   │                                     │
                   │               ┌─ deny: CallDenied ◄─┤
                   │               ├─ shadow: STAND_IN ◄─┤
                   │               │                     ├─ ask: FIND ► REQUEST ► RELEASE ► WAIT ─┐
                   │               │                     │         ├► CONSUME                     │
                   │               │                     │         └► (edited: TELL)              │
                   └───────────────┼─────────────────────┼────────────────┼───────────────────────┘
                                   ▼                     ▼                ▼
                             RELEASE, RECORD     KILL ► INTENT ► EXECUTE ► SETTLE ► OUTCOME
"""

from __future__ import annotations

import contextlib
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.enforcement.answers import demands_of, edited, pending, rejected
from guardrails.enforcement.obligations import InapplicableObligation
from guardrails.errors import (
    ApprovalExpired,
    ApprovalPending,
    ApprovalRejected,
    BudgetExceeded,
    CallDenied,
    EvaluationError,
    Finding,
    GuardrailsError,
    InvalidArguments,
    PolicyError,
    Refusal,
    RunKilled,
    StateUnavailable,
)
from guardrails.model.approval import ApprovalState
from guardrails.model.decision import Effect, MalformedDecision
from guardrails.model.facts import Mode

if TYPE_CHECKING:
    from collections.abc import Generator

    from guardrails.enforcement.call import Call
    from guardrails.model.approval import ApprovalRequest


class Phase(Enum):
    """What the shell is asked to do next. Each works on the call that it is given."""

    # Members are looked up in every call; by identity, Python runs no code for that.
    __hash__ = object.__hash__

    OPEN = auto()
    """Find the run; claim the tool's name."""
    READ = auto()
    """Bind, validate and convert the arguments."""
    KILL = auto()
    """Raise if the run, the agent, the tool or everything was killed."""
    BREAKERS = auto()
    """Let the run's breakers see the call; raise where one has stopped the run."""
    RESERVE = auto()
    """Price the call, hold its cost on every account, take the snapshot."""
    DECIDE = auto()
    """Ask the engine, and the decorators."""
    REWRITE = auto()
    """Apply the transforms: arguments, price and hold anew."""
    FIND = auto()
    """Look up the approval request for exactly this call; gives it or None."""
    REQUEST = auto()
    """Open an approval request; gives it."""
    WAIT = auto()
    """Wait for its answer; gives the request as it stands then."""
    CONSUME = auto()
    """Use the approval."""
    TELL = auto()
    """Look up what took the place of an edited call, for its agent; gives that request."""
    FIND_TOP_UP = auto()
    """Look up the request to raise the limit that is used up; gives it or None."""
    ASK_TOP_UP = auto()
    """Ask people to raise that limit; gives the request."""
    RAISE = auto()
    """Use their approval, and raise the limit by what was approved, once."""
    RELEASE = auto()
    """Give the hold back."""
    STAND_IN = auto()
    """Record a withheld call and give its stand-in as an :class:`Outcome`."""
    REFUSED = auto()
    """Record and log the refusal."""
    INTENT = auto()
    """Record that the call is about to run, its arguments unchanged."""
    EXECUTE = auto()
    """Run the body; gives an :class:`Outcome`. What this raises is one, too: it may have run."""
    SETTLE = auto()
    """Turn the hold into spending."""
    OUTCOME = auto()
    """Record what came of it."""
    UNACCOUNTABLE = auto()
    """Close the run to further calls: what a call did could not be accounted for."""


class Verdict(Enum):
    """What a decision means for the call in its run's mode."""

    RUN = auto()
    WITHHOLD = auto()
    ASK = auto()


class Outcome(NamedTuple):
    """What came of a body that started.

    Attributes:
        kind: ``ok``, ``error``, ``escalated`` (it asked people, and ended), ``cancelled`` (by
            somebody else), ``killed``, ``abandoned`` (it went on after a kill, and its result is
            discarded), ``closed`` (a generator left early), ``shadowed``.
        value: What it returned.
        error: What it raised, to be raised unchanged.
    """

    kind: str
    value: Any = None
    error: BaseException | None = None


def phases(call: Call) -> Generator[Phase, Any, Outcome]:
    """The phases of `call`, in order; returns what came of its body.

    INVARIANT: ``EXECUTE`` is reached only through a decision that was judged
    :attr:`Verdict.RUN` or an approval consumed for it, a kill check after that,
    and a recorded intent (``tests/enforcement/test_phases.py``).

    Raises:
        Refusal: the call did not run.
        RunKilled: the run was killed before the body started.
    """
    try:
        yield Phase.OPEN
        yield Phase.READ
        verdict = yield from _admit(call)
        if verdict is Verdict.WITHHOLD:
            yield Phase.RELEASE
            outcome: Outcome = yield Phase.STAND_IN
            return outcome
        yield Phase.KILL
        yield Phase.INTENT
    except BaseException as refusal:
        # Neither a hold that stays nor a refusal that goes unrecorded lets anything run;
        # the refusal itself is what the caller must get.
        if call.hold is not None:
            yield from _attempt(Phase.RELEASE)
        if isinstance(refusal, Refusal | RunKilled):
            call.locate(refusal)
            call.refusal = refusal
            yield from _attempt(Phase.REFUSED)
        raise
    try:
        outcome = yield Phase.EXECUTE
    except BaseException as fault:  # noqa: BLE001  # raised to the caller, once it is settled
        outcome = Outcome("closed" if isinstance(fault, GeneratorExit) else "error", error=fault)
    call.outcome = outcome
    # The body ran and its effects stand: a failure from here on must not hide its
    # result, or the caller would do it twice. It closes the run to further calls.
    interrupt: BaseException | None = None
    for phase in (Phase.SETTLE, Phase.OUTCOME):
        try:
            yield phase
        except Refusal as fault:
            call.refusal = fault
            yield from _attempt(Phase.UNACCOUNTABLE)
        except BaseException as fault:  # noqa: BLE001  # raised below
            # Once more: a hold must not stay, nor an outcome go unrecorded.
            interrupt = fault
            yield from _attempt(phase)
    if interrupt is not None:
        raise interrupt
    return outcome


STRAIGHT: Final = (
    Phase.OPEN,
    Phase.READ,
    Phase.KILL,
    Phase.BREAKERS,
    Phase.RESERVE,
    Phase.DECIDE,
    Phase.KILL,
    Phase.INTENT,
    Phase.EXECUTE,
    Phase.SETTLE,
    Phase.OUTCOME,
)
"""The phases that :func:`phases` names where nothing is raised and :func:`goes_straight` holds."""


def goes_straight(call: Call) -> bool:
    """Whether the decided call runs as it is: policy allows it, and obliges to nothing.

    INVARIANT: Where this holds, :func:`judge` gives :attr:`Verdict.RUN` and changes nothing,
    and no transform is due (``tests/enforcement/test_straight.py``).
    """
    decision = call.decision
    return (
        decision.effect is _ALLOW
        and not decision.obligations
        and call.run.mode is _ENFORCE
        # The request by which it is resumed has to be used: that is what makes it run once.
        and call.resumed is None
    )


# Of every call; a look into an enumeration takes as long as all the rest of `goes_straight`.
_ALLOW: Final = Effect.ALLOW
_ENFORCE: Final = Mode.ENFORCE


def _attempt(phase: Phase) -> Generator[Phase, Any, None]:
    with contextlib.suppress(Refusal):
        yield phase


def _admit(call: Call) -> Generator[Phase, Any, Verdict]:
    """Everything up to the permission to run or withhold. Starts anew after a wait for people."""
    while True:
        call.restart()
        yield Phase.KILL
        yield Phase.BREAKERS
        try:
            yield Phase.RESERVE
        except BudgetExceeded as exhausted:
            if exhausted.top_up is None:
                raise
            # Whatever people answer, all begins anew: a higher limit is no permission.
            yield from _top_up(call, exhausted)
            continue
        yield Phase.DECIDE
        if transforms(call):
            yield Phase.REWRITE
            yield Phase.DECIDE
            if transforms(call):
                raise second_transform()
        verdict = judge(call)
        if _is_due(call, verdict):
            yield from _resume(call)
            return Verdict.RUN
        if verdict is not Verdict.ASK:
            return verdict
        if (yield from _approve(call)):
            return Verdict.RUN


def _top_up(call: Call, exhausted: BudgetExceeded) -> Generator[Phase, Any, None]:
    """Ends once the limit that is used up is raised, or something else has changed.

    Raises:
        BudgetExceeded: somebody said no.
        ApprovalPending: people have not answered yet.
        ApprovalExpired: nobody answered in time.
    """
    call.exhausted = exhausted
    request: ApprovalRequest | None = yield Phase.FIND_TOP_UP
    # One that was used is no second one: it is raised by now, or its user died before that.
    if request is None or request.state not in _ANSWERED:
        request = call.request = yield Phase.ASK_TOP_UP
        if request.state is ApprovalState.PENDING:
            if not call.may_wait:
                raise pending(request, exhausted.message)
            request = yield Phase.WAIT
    match request.state:
        case ApprovalState.APPROVED | ApprovalState.CONSUMED:
            call.request = request
            yield Phase.RAISE
        case ApprovalState.PENDING:
            raise pending(request, exhausted.message)
        case ApprovalState.EXPIRED:
            message = f"{exhausted.message}; the request {request.id} to raise it expired"
            raise ApprovalExpired(message, reasons=demands_of(request))
        case ApprovalState.REJECTED:
            said = next((answer for answer in request.answers if not answer.approved), None)
            who = f" by {said.by}: {said.reason}" if said is not None else ""
            exhausted.hint = f"a higher limit was refused{who} (request {request.id})"
            raise exhausted
        case _:  # withdrawn by a kill, which the kill check will tell
            yield Phase.KILL
            raise exhausted


_ANSWERED = frozenset({ApprovalState.APPROVED, ApprovalState.CONSUMED, ApprovalState.REJECTED})


def transforms(call: Call) -> bool:
    """Whether policy rewrites the arguments of the decided call."""
    # A call that is not to run as policy wants it (observe) or not at all is not rewritten.
    return (
        any(duty.type == "transform" for duty in call.decision.obligations)
        and call.decision.effect is not Effect.DENY
        and call.run.mode is not Mode.OBSERVE
    )


def judge(call: Call) -> Verdict:
    """What the decision means for the call, given its run's mode.

    Raises:
        CallDenied: policy denies, and the mode enforces it.
    """
    decision = call.decision
    mode = call.run.mode
    if decision.effect is Effect.SHADOW:
        call.would = decision.would or Effect.ALLOW
        return Verdict.WITHHOLD
    if decision.effect is Effect.DENY:
        if mode is Mode.OBSERVE:
            call.would = Effect.DENY
            return Verdict.RUN
        raise CallDenied(_denial(call), reasons=decision.reasons, hint=_way_out(call))
    asks = decision.effect is Effect.REQUIRE_APPROVAL
    if mode is Mode.SHADOW and call.tool.facts.operation != "read":
        call.would = Effect.REQUIRE_APPROVAL if asks else Effect.ALLOW
        return Verdict.WITHHOLD
    if asks and mode is Mode.OBSERVE:
        call.would = Effect.REQUIRE_APPROVAL
        return Verdict.RUN
    if asks:
        return Verdict.ASK
    if decision.effect is Effect.ALLOW:
        return Verdict.RUN
    message = f"the effect {decision.effect!r} is unknown"
    raise PolicyError(message)


def _approve(call: Call) -> Generator[Phase, Any, bool]:
    """Whether the call may run now; False where everything has to be decided anew.

    Raises:
        ApprovalPending: people have not answered yet.
        ApprovalRejected: somebody said no.
        ApprovalExpired: nobody answered in time.
    """
    request: ApprovalRequest | None = yield Phase.FIND
    if request is not None and request.state is ApprovalState.APPROVED:
        try:
            yield Phase.CONSUME
        except ApprovalPending:
            pass  # policy demands more by now than was answered: people are asked anew
        else:
            return True
    if request is not None:
        yield from _ended_by_people(request)
    request = call.request = yield Phase.REQUEST
    if not call.may_wait:
        raise pending(request)
    yield Phase.RELEASE
    request = yield Phase.WAIT
    if request.state is ApprovalState.PENDING:
        raise pending(request)
    yield from _ended_by_people(request)
    if request.state is ApprovalState.EXPIRED:
        message = f"approval request {request.id} expired unanswered"
        raise ApprovalExpired(message, reasons=demands_of(request))
    if request.state is ApprovalState.CONSUMED:  # by the same call, made twice at a time
        call.request = yield Phase.REQUEST
        raise pending(call.request)
    # Approved, or withdrawn by a kill, which the kill check will tell.
    if request.state is not ApprovalState.APPROVED:
        yield Phase.KILL
        message = f"approval request {request.id} was {request.state}"
        raise ApprovalRejected(message, reasons=demands_of(request))
    return False


def _is_due(call: Call, verdict: Verdict) -> bool:
    """Whether the request by which a call is resumed has to be used now.

    Also where policy asks nobody any more: it is what makes the call run once. The answer to
    a tool's question is no approval, so where policy asks, that comes first.
    """
    if call.resumed is None or verdict is Verdict.WITHHOLD:
        return False
    return call.resumed.about == "call" or verdict is Verdict.RUN


def _resume(call: Call) -> Generator[Phase, Any, None]:
    """Use the approval by which the call is resumed, and no other.

    Raises:
        ApprovalPending: policy demands more by now than was answered; people are asked anew.
        ApprovalRejected: it was used, or ended otherwise, meanwhile.
        ApprovalExpired: likewise.
    """
    call.request = call.resumed
    try:
        yield Phase.CONSUME
    except ApprovalPending:
        if call.resumed is not None and call.resumed.about != "call":
            raise
        request = call.request = yield Phase.REQUEST
        yield from _ended_by_people(request)
        raise pending(request) from None


def _ended_by_people(request: ApprovalRequest) -> Generator[Phase, Any, None]:
    """Raises where somebody rejected the call or changed its arguments."""
    if request.state is ApprovalState.REJECTED:
        raise rejected(request)
    if request.state is ApprovalState.EDITED:
        raise edited(request, (yield Phase.TELL))


def refusal_for(phase: Phase, fault: BaseException) -> BaseException:
    """`fault`, which performing `phase` raised, as what the caller of the tool is to get.

    Refusals and kills stay themselves; every other exception becomes the
    refusal of its phase; what is no ``Exception`` (an interrupt, a foreign
    cancellation) passes.
    """
    if isinstance(fault, Refusal) or not isinstance(fault, Exception):
        return fault
    kind, what = _FAULTS[phase]
    return caused(kind, what, fault)


def caused(kind: type[Refusal], what: str, fault: Exception) -> Refusal:
    """A refusal because of `fault`.

    Only errors of this package speak in its message, which hosts may show to a model: the
    text of any other may hold arguments, also hidden ones. :meth:`Refusal.explain` shows it.
    """
    name, said = type(fault).__name__, text_of(fault)
    if isinstance(fault, EvaluationError):  # its engine can say where; its text holds values
        refusal = kind(f"{what}: {name}: {fault.code}")
    elif isinstance(fault, _SPEAKING):
        refusal = kind(f"{what}: {name}: {said}")
    else:
        refusal = kind(f"{what}: {name}")
        refusal.findings = lambda: (Finding("", "guardrails", f"{name}: {said}"),)
    refusal.__cause__ = fault
    return refusal


def text_of(fault: BaseException) -> str:
    """What `fault` says, for people."""
    try:
        return str(fault)
    except Exception:  # noqa: BLE001  # an error that cannot be shown refuses like any other
        return "it cannot be shown"


_SPEAKING = (GuardrailsError, MalformedDecision, InapplicableObligation)


_STATE = (StateUnavailable, "the call cannot be accounted for")
_APPROVAL = (StateUnavailable, "approvals are out of reach")
_FAULTS: dict[Phase, tuple[type[Refusal], str]] = {
    Phase.OPEN: (PolicyError, "the call cannot be admitted"),
    Phase.READ: (InvalidArguments, "the arguments cannot be read"),
    Phase.KILL: (StateUnavailable, "the kill switch is out of reach"),
    Phase.BREAKERS: _STATE,
    Phase.RESERVE: _STATE,
    Phase.DECIDE: (PolicyError, "policy gave no valid decision"),
    Phase.REWRITE: (PolicyError, "policy's transform cannot be applied"),
    Phase.FIND: _APPROVAL,
    Phase.REQUEST: _APPROVAL,
    Phase.WAIT: _APPROVAL,
    Phase.CONSUME: _APPROVAL,
    Phase.TELL: _APPROVAL,
    Phase.FIND_TOP_UP: _APPROVAL,
    Phase.ASK_TOP_UP: _APPROVAL,
    Phase.RAISE: (StateUnavailable, "the limit cannot be raised"),
    Phase.RELEASE: _STATE,
    Phase.STAND_IN: (StateUnavailable, "the withheld call has no usable stand-in"),
    Phase.REFUSED: _STATE,
    Phase.INTENT: (StateUnavailable, "the record is out of reach"),
    Phase.EXECUTE: (StateUnavailable, "the call could not be started"),
    Phase.SETTLE: (StateUnavailable, "the call ran, but its cost could not be settled"),
    Phase.OUTCOME: (StateUnavailable, "the call ran, but its outcome could not be recorded"),
    Phase.UNACCOUNTABLE: _STATE,
}


def _denial(call: Call) -> str:
    reasons = call.decision.reasons
    said = (
        "; ".join(f"{reason.reason} [{reason.rule}]" for reason in reasons) or "no reason was given"
    )
    return f"`{call.tool.facts.name}` is denied for agent `{call.run.agent.id}`: {said}"


def _way_out(call: Call) -> str | None:
    """What an operator can try where no rule allows the call; the other rules say it themselves."""
    if any(reason.rule != "guardrails" for reason in call.decision.reasons):
        return None
    facts = call.tool.facts
    return f"`guardrails agents who-can {facts.operation} {facts.resource}` lists who may"


def second_transform() -> PolicyError:
    """The refusal of a call that policy rewrites again."""
    message = (
        "policy transforms the arguments that it has already transformed; let the rule ask for the "
        "good case first, so that it does not fire on its own result"
    )
    return PolicyError(message, hint="in Rego: obligations contains {…} if input.args.limit > 100")


__all__ = [
    "Outcome",
    "Phase",
    "Verdict",
    "caused",
    "judge",
    "phases",
    "refusal_for",
    "second_transform",
    "text_of",
    "transforms",
]
