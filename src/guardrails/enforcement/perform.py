"""What each phase does, in the order of the phases. No rule stands here, only the doing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement import (
    breaking,
    deciding,
    events,
    resuming,
    secret_arguments,
    top_up,
    tracing,
    workers,
)
from guardrails.enforcement.definition import MISSING
from guardrails.enforcement.host_calls import of_host
from guardrails.enforcement.lineage import lineage_of
from guardrails.enforcement.lost_context import outside_of_every_run
from guardrails.enforcement.obligations import apply_transforms
from guardrails.enforcement.phases import Outcome, Phase, caused
from guardrails.errors import (
    CallDenied,
    CallEscalated,
    CallShadowed,
    InvalidArguments,
    PolicyError,
    Refusal,
    RunClosed,
    RunKilled,
    StateUnavailable,
)
from guardrails.model.call import step_of
from guardrails.model.canonical import call_key, digest
from guardrails.runs.context import Frame, current_frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Future

    from guardrails.enforcement.call import Call
    from guardrails.model.approval import ApprovalRequest, CallKey
    from guardrails.model.budget import Usage
    from guardrails.model.kill import Kill
    from guardrails.ports import Hold

_DISK: Final = 30.0
"""Seconds that a call waits until its intent is on the disk; then it is refused."""

_log: Final = logging.getLogger("guardrails")


def find_run(call: Call) -> None:
    """Set the run that is current here, and claim the tool's name in its governor."""
    name = call.tool.facts.name
    frame = current_frame()
    if frame is None:
        raise outside_of_every_run(name)
    # Taken apart, as below: a tuple's fields by their names take five times as long.
    run, _, _, _, _, host = frame
    call.run = run
    if host is not None:
        of_host(call, host)
    if run.telemetry is not None:
        call.span = run.telemetry.call(name, call.decision_id, call.shown_id)
    if run.is_closed:
        message = f"`{name}` was called in run {run.id}, which has ended"
        raise RunClosed(
            message, hint="await or join everything that the run started before leaving it"
        )
    run.governor.claim(name, call.tool)
    # A person's answer may need the very event loop that a plain function would block.
    if run.wait is not None:
        call.may_wait = call.is_async or not _on_event_loop()


def read_arguments(call: Call) -> None:
    """Bind, validate and convert the arguments."""
    args, kwargs = call.given
    if call.resumed is not None:
        call.original = call.arguments = call.tool.parameters.read_stored(
            call.resumed.args, kwargs, call.run.governor.limits
        )
    else:
        call.original = call.arguments = call.tool.parameters.read(
            args, kwargs, call.run.governor.limits
        )
    if call.run.governor.secrets is not None:
        secret_arguments.refuse(call)


def check_kill(call: Call) -> None:
    """Raise if a kill holds for the call."""
    call.run.check_kill(call.tool.facts.name)


def reserve(call: Call) -> None:
    """Hold the call's price on every account, and take the snapshot."""
    tool = call.tool
    price = tool.price
    cost = price.fixed
    if cost is None:
        cost = _price(call)
    call.hold = call.run.reserve(tool.facts.name, cost, price.limits)


def rewrite(call: Call) -> None:
    """Apply policy's transforms: arguments validated again, priced again, the hold replaced."""
    transforms = [duty for duty in call.decision.obligations if duty.type == "transform"]
    changes = apply_transforms(call.arguments.document, transforms)
    call.arguments = call.tool.parameters.rewrite(call.arguments, changes)
    call.hold = call.run.replace(_held(call), _price(call))


def find_approval(call: Call) -> ApprovalRequest | None:
    """The newest request for exactly this call."""
    call.call_key = _live_key(call)
    call.request = call.run.governor.approvals.find(call.call_key)
    return call.request


def request_approval(call: Call) -> ApprovalRequest:
    """The open request for exactly this call."""
    run = call.run
    request = run.governor.approvals.request(
        _known_key(call),
        demands=call.decision.approvals,
        tool=call.tool.facts.name,
        agent=run.agent.id,
        run_id=run.id,
        principal=run.principal,
        args=call.arguments.document,
        revision=call.decision.revision,
        lineage=lineage_of(run),
        decision_id=call.decision_id,
    )
    tracing.requested(call, request)
    return request


def tell(call: Call) -> ApprovalRequest:
    """What took the place of the edited call, which from now on its agent makes itself."""
    return call.run.governor.approvals.tell(_asked(call).id)


def wait(call: Call) -> ApprovalRequest:
    """Block until the request is answered, a kill withdraws it, or the run's wait is over."""
    request = _asked(call)
    with _withdrawn_by_kill(call, request), call.run.waiting():
        answered = call.run.governor.approvals.wait(request.id, call.run.wait or 0.0)
    tracing.answered(call, answered)
    return answered


async def wait_async(call: Call) -> ApprovalRequest:
    """The same, without blocking the event loop."""
    request = _asked(call)
    with _withdrawn_by_kill(call, request), call.run.waiting():
        answered = await call.run.governor.approvals.wait_async(request.id, call.run.wait or 0.0)
    tracing.answered(call, answered)
    return answered


def consume(call: Call) -> None:
    """Use the approval, for the arguments as they are now."""
    if call.resumed is not None and call.request is call.resumed:
        resuming.consume(call, _live_key(call))
        return
    request = _asked(call)
    call.consumed = call.run.governor.approvals.consume(
        request.id, _live_key(call), call.decision.approvals
    )
    tracing.used(call, request)


def release(call: Call) -> None:
    """Give the hold back."""
    hold = call.hold
    if hold is not None:
        call.hold = None
        call.run.release(hold)


def stand_in(call: Call) -> Outcome:
    """What a withheld call gives in place of its result."""
    would = "" if call.would is None else call.would.value
    shadow = call.tool.shadow
    proposal = _propose(call)
    if shadow is MISSING:
        message = f"`{call.tool.facts.name}` was recorded, not executed (shadow; it would: {would})"
        raise CallShadowed(message, would=would, reasons=call.decision.reasons)
    value = shadow(call.arguments) if callable(shadow) else shadow
    events.write_decided(call, "call.shadowed", {"would": would, **proposal})
    return Outcome("shadowed", value)


def _propose(call: Call) -> dict[str, Any]:
    """Keep the withheld call as a proposal, for a person to accept; what its event says of that."""
    if call.resumed is not None:  # it was accepted, and policy withholds it all the same
        return {"request_id": call.resumed.id}
    run = call.run
    call.request = run.governor.approvals.propose(
        _live_key(call),
        demands=call.decision.approvals,
        tool=call.tool.facts.name,
        agent=run.agent.id,
        run_id=run.id,
        principal=run.principal,
        args=call.arguments.document,
        revision=call.decision.revision,
        lineage=lineage_of(run),
        decision_id=call.decision_id,
    )
    return {} if call.request is None else {"request_id": call.request.id}


def record_refusal(call: Call) -> None:
    """Record and log why the call did not run."""
    refusal = call.refusal
    if refusal is None:
        return
    if call.host is not None:
        call.host.refusal = refusal
    document = call.document
    if document is not None and isinstance(refusal, CallDenied | PolicyError):
        engine = call.run.governor.engine
        if refusal.findings is None:
            refusal.findings = lambda: engine.explain(document, refusal.rule_ids)
    try:
        events.write_refusal(call, refusal)
    except Exception:  # noqa: BLE001  # the call does not run in any case; the log has the refusal
        _log.exception("a refusal could not be recorded (decision %s)", call.decision_id)


def record_intent(call: Call) -> None:
    """Record that the call is about to run, after a last look at what was agreed to."""
    written = _intent(call)
    if written is not None:
        try:
            written.result(_DISK)
        finally:  # nobody waits any more: what is not written yet is not to be
            written.cancel()


def record_intent_async(call: Call) -> Awaitable[None] | None:
    """The same, without blocking the event loop; what is to be awaited for it, if anything is."""
    written = _intent(call)
    return None if written is None else asyncio.wait_for(asyncio.wrap_future(written), _DISK)


def _intent(call: Call) -> Future[None] | None:
    if call.arguments.can_change:
        _live_document(call)
    detail: dict[str, Any] = {}
    if call.would is not None:
        detail["would"] = call.would.value
    if call.consumed is not None:
        detail["request_id"] = call.consumed.id
        detail["approved_by"] = [answer.by for answer in call.consumed.answers if answer.approved]
        if call.consumed.origin is not None:
            detail["origin"] = call.consumed.origin
    if call.resumed is not None:
        detail["resumed"] = True
    if call.tool.facts.operation == "read":  # it has no effect that could be missing
        events.write_decided(call, "call.started", detail)
        return None
    return events.write_ahead(call, "call.started", detail)


def execute(call: Call) -> Outcome:
    """Run the body of a plain function."""
    arguments = call.arguments
    in_flight = call.run.governor.in_flight
    tool = call.tool
    token = enter(frame_of(call))
    try:
        in_flight.began(call, call.run, tool.facts.name)
        if tool.isolation is None:
            value = tool.function(*arguments.args, **arguments.kwargs)
        else:
            value = workers.run(call)
    except BaseException as error:  # noqa: BLE001  # handed to the caller unchanged, once it is settled
        return raised(call, error)
    finally:
        leave(token)
        in_flight.ended(call)
    if type(value) not in _NO_COROUTINES and asyncio.iscoroutine(value):
        value.close()
        message = f"`{call.tool}` is no `async def`, yet returns a coroutine, which nobody governs"
        return Outcome(
            "error", error=PolicyError(message, hint="make it `async def` and await inside")
        )
    # As `Outcome("ok", value)`, which takes twice as long.
    return abandoned_if_killed(call, tuple.__new__(Outcome, ("ok", value, None)))


_NO_COROUTINES: Final = frozenset({str, type(None), dict, list, bool, int, float, tuple, bytes})
"""What most tools return; to ask whether it is a coroutine takes longer than to look here."""


def frame_of(call: Call) -> Frame:
    """Where the body of the call runs: its run, its reservation, its tool, its key."""
    key = call.decision_id if call.consumed is None else call.idempotency_key
    # As `Frame(…)`, which takes twice as long.
    return tuple.__new__(Frame, (call.run, call.hold, call.tool.facts.name, key, call, None))


def abandoned_if_killed(call: Call, outcome: Outcome) -> Outcome:
    """`outcome`, or the kill that came while the body could not be stopped."""
    try:
        call.run.check_kill(call.tool.facts.name)
    except RunKilled as kill:
        return Outcome("abandoned", error=kill)
    except Exception:  # noqa: BLE001  # the call ran and its result counts; the next one is refused
        _log.exception("the kill switch is out of reach (decision %s)", call.decision_id)
    return outcome


def raised(call: Call, error: BaseException) -> Outcome:
    """The outcome of a body that raised `error`."""
    kind = "error"
    if isinstance(error, RunKilled):
        kind = "killed"
    elif isinstance(error, asyncio.CancelledError):
        # A kill of several tasks also makes their group cancel those that are left.
        kind = "killed" if _kill_holds(call) else "cancelled"
    elif isinstance(error, CallEscalated) and error.decision_id == call.decision_id:
        kind = "escalated"
    if call.host is not None and isinstance(error, Refusal):
        call.host.refusal = error  # a question, or the refusal of a call that the body made
    return Outcome(kind, error=error)


def _kill_holds(call: Call) -> bool:
    try:
        return call.run.find_kill(call.tool.facts.name) is not None
    except Exception:  # noqa: BLE001  # it is a word in the record; the next call refuses
        return False


_NO_OUTCOME: Final = Outcome("")


def settle(call: Call) -> None:
    """Turn the hold into spending; a body that started is charged also when it raised."""
    hold = call.hold
    if hold is None:
        hold = _held(call)
    facts = call.tool.facts
    kind, _, _ = call.outcome or _NO_OUTCOME
    effect = call.decision.effect._value_  # as `value`, without a call
    run = call.run
    run.settle(hold, step_of(facts.name, facts.operation, effect, kind))
    call.hold = None
    call.cost = cost = hold.cost
    if run.breakers is not None:
        breaking.finished(call, cost)


def record_outcome(call: Call) -> None:
    """Record what came of the body."""
    kind, _, error = call.outcome or _NO_OUTCOME
    detail: dict[str, Any] = {"outcome": kind}
    if error is not None:
        detail["error"] = type(error).__name__
    cost = call.cost
    if cost is not None:
        usd, tokens, _ = cost
        if usd or tokens:
            detail["cost"] = {"usd": str(cost.usd), "tokens": tokens}
    events.write(call, "call.finished", detail)
    if call.consumed is not None or call.answers:
        for used in (call.consumed, *call.answers):
            if used is not None:
                call.run.governor.approvals.settle(used.id, detail["outcome"] or "error")


def close_to_further_calls(call: Call) -> None:
    """Let the run refuse from here on: what the call did could not be accounted for."""
    reason = str(call.refusal)
    call.run.mark_unaccountable(reason)
    _log.critical("run %s takes no further calls: %s", call.run.id, reason)


PERFORM: Final[dict[Phase, Callable[[Call], Any]]] = {
    Phase.OPEN: find_run,
    Phase.READ: read_arguments,
    Phase.KILL: check_kill,
    Phase.BREAKERS: breaking.look,
    Phase.RESERVE: reserve,
    Phase.DECIDE: deciding.decide,
    Phase.REWRITE: rewrite,
    Phase.FIND: find_approval,
    Phase.REQUEST: request_approval,
    Phase.WAIT: wait,
    Phase.CONSUME: consume,
    Phase.TELL: tell,
    Phase.FIND_TOP_UP: top_up.find,
    Phase.ASK_TOP_UP: top_up.ask,
    Phase.RAISE: top_up.raise_limit,
    Phase.RELEASE: release,
    Phase.STAND_IN: stand_in,
    Phase.REFUSED: record_refusal,
    Phase.INTENT: record_intent,
    Phase.EXECUTE: execute,
    Phase.SETTLE: settle,
    Phase.OUTCOME: record_outcome,
    Phase.UNACCOUNTABLE: close_to_further_calls,
}
"""What a plain function's shell does in each phase."""


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _price(call: Call) -> Usage:
    try:
        return call.tool.price.of(call.arguments)
    except Exception as error:
        what = f"the price of `{call.tool.facts.name}` cannot be worked out"
        raise caused(PolicyError, what, error) from error


def _held(call: Call) -> Hold:
    if call.hold is None:
        message = "the call holds no reservation"
        raise StateUnavailable(message)
    return call.hold


def _asked(call: Call) -> ApprovalRequest:
    if call.request is None:
        message = "nobody was asked"
        raise StateUnavailable(message)
    return call.request


def _known_key(call: Call) -> CallKey:
    return call.call_key if call.call_key is not None else _live_key(call)


def _live_key(call: Call) -> CallKey:
    run = call.run
    return call_key(
        tool=call.tool.facts.name,
        args=_live_document(call),
        agent=run.agent.id,
        principal=run.principal,
        run=run.id,
    )


def _live_document(call: Call) -> dict[str, Any]:
    """The arguments as JSON as they are at this moment.

    Raises:
        InvalidArguments: they are not what was decided: somebody changed them in place.
    """
    live = call.tool.parameters.document_of(call.arguments)
    # Digest by digest: Python's `==` takes `True` for `1`.
    if digest(live) != digest(call.arguments.document):
        message = "the arguments were changed after they were decided"
        raise InvalidArguments(
            message, problems=(message,), hint="make the call again; it will be decided anew"
        )
    return live


@contextlib.contextmanager
def _withdrawn_by_kill(call: Call, request: ApprovalRequest) -> Iterator[None]:
    approvals = call.run.governor.approvals

    def on_kill(kill: Kill) -> None:
        try:
            approvals.withdraw(request.id, reason=f"{kill.scope} was killed: {kill.reason}")
        except Exception:  # noqa: BLE001  # the kill goes on to others; here the next check sees it
            _log.exception("approval request %s could not be withdrawn", request.id)

    with call.run.governor.in_flight.watch(call.run.subjects(call.tool.facts.name), on_kill):
        yield
