"""The order of a call and the fail-closed rule, walked without any I/O."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from guardrails.enforcement.call import new_call
from guardrails.enforcement.phases import Outcome, Phase, Verdict, judge, phases, refusal_for
from guardrails.errors import (
    ApprovalExpired,
    ApprovalPending,
    ApprovalRejected,
    CallDenied,
    PolicyError,
    Reason,
    Refusal,
    RunKilled,
    StateUnavailable,
)
from guardrails.model.approval import ApprovalRequest, ApprovalState
from guardrails.model.decision import ApprovalDemand, Decision, Effect, Obligation
from guardrails.model.facts import Mode, ToolFacts

DEMAND = ApprovalDemand("rule", "too large", ("finance-ops",))
BEFORE_BODY = [
    Phase.OPEN,
    Phase.READ,
    Phase.KILL,
    Phase.BREAKERS,
    Phase.RESERVE,
    Phase.DECIDE,
    Phase.REWRITE,
    Phase.FIND,
    Phase.REQUEST,
    Phase.WAIT,
    Phase.CONSUME,
    Phase.INTENT,
]


def decision(effect: Effect, **more: Any) -> Decision:
    if effect is Effect.REQUIRE_APPROVAL:
        more.setdefault("approvals", (DEMAND,))
    if effect is Effect.SHADOW:
        more.setdefault("would", Effect.ALLOW)
    return Decision(effect, (Reason("rule", "because"),), **more)


def request(state: ApprovalState) -> ApprovalRequest:
    return ApprovalRequest(
        "ap-1", "sha256:0", state, (DEMAND,), "tool", "agent", "r-1", None, {}, "rev", 0, 1
    )


class Shell:
    """Performs phases by script: what DECIDE, FIND and WAIT give, in turn."""

    def __init__(  # noqa: PLR0913  # a script has many knobs
        self,
        decisions,
        *,
        mode=Mode.ENFORCE,
        operation="write",
        found=None,
        waited=None,
        may_wait=False,
        faults=None,
    ) -> None:
        tool: Any = SimpleNamespace(facts=ToolFacts("tool", "res", operation))
        run: Any = SimpleNamespace(
            id="r-1", mode=mode, agent=SimpleNamespace(id="agent", runbook=None), wait=1.0
        )
        self.call: Any = new_call(tool, (), {}, "d-1")
        self.call.run = run
        self.call.may_wait = may_wait
        self.decisions = iter(decisions)
        self.found = iter(found or [None] * 9)
        self.waited = iter(waited or [])
        self.faults = faults or {}
        self.seen: list[Phase] = []

    def answer(self, phase: Phase) -> object:
        if phase in self.faults:
            raise self.faults[phase]
        call = self.call
        match phase:
            case Phase.READ:
                call.original = call.arguments = SimpleNamespace(document={})
            case Phase.RESERVE:
                call.hold = object()
            case Phase.DECIDE:
                call.decision = next(self.decisions)
            case Phase.FIND:
                call.request = next(self.found)
                return call.request
            case Phase.REQUEST:
                return request(ApprovalState.PENDING)
            case Phase.TELL:
                return request(ApprovalState.APPROVED)
            case Phase.WAIT:
                return next(self.waited)
            case Phase.RELEASE | Phase.SETTLE:
                call.hold = None
            case Phase.EXECUTE:
                return Outcome("ok", "result")
            case Phase.STAND_IN:
                return Outcome("shadowed", "stand-in")
            case _:
                pass
        return None

    def drive(self) -> Outcome:
        steps = phases(self.call)
        phase = next(steps)
        while True:
            self.seen.append(phase)
            try:
                try:
                    answer = self.answer(phase)
                except BaseException as fault:  # noqa: BLE001  # as the real shell does
                    phase = steps.throw(refusal_for(phase, fault))
                else:
                    phase = steps.send(answer)
            except StopIteration as done:
                return done.value


def test_an_allowed_call_runs_in_the_documented_order() -> None:
    shell = Shell([decision(Effect.ALLOW)])
    assert shell.drive().value == "result"
    assert shell.seen == [
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
    ]


@pytest.mark.parametrize(
    ("mode", "operation", "effect"), list(itertools.product(Mode, ["read", "write"], Effect))
)
def test_every_decision_in_every_mode(mode: Mode, operation: str, effect: Effect) -> None:
    """The table of modes in docs/architecture.md, cell by cell."""
    shell = Shell([decision(effect)], mode=mode, operation=operation)
    if effect is Effect.SHADOW:
        expected: Any = "stand-in"
    elif mode is Mode.OBSERVE:
        expected = "result"
    elif effect is Effect.DENY:
        expected = CallDenied
    elif mode is Mode.SHADOW and operation != "read":
        expected = "stand-in"
    elif effect is Effect.REQUIRE_APPROVAL:
        expected = ApprovalPending
    else:
        expected = "result"
    if isinstance(expected, str):
        assert shell.drive().value == expected
    else:
        with pytest.raises(expected):
            shell.drive()
    ran = Phase.EXECUTE in shell.seen
    assert ran is (expected == "result")
    assert shell.call.hold is None, "nothing stays held"
    if effect is Effect.DENY and mode is Mode.OBSERVE:
        assert shell.call.would is Effect.DENY


ASKING = {Phase.REWRITE, Phase.FIND, Phase.REQUEST, Phase.WAIT, Phase.CONSUME}


@pytest.mark.parametrize(
    ("phase", "mode"),
    [
        (phase, mode)
        for phase, mode in itertools.product(BEFORE_BODY, Mode)
        if phase not in ASKING or mode is Mode.ENFORCE  # they do not come in every mode
    ],
)
@pytest.mark.parametrize(
    "fault",
    [RuntimeError("boom"), ConnectionError(), KeyError("x"), StopIteration(), AssertionError()],
)
def test_a_fault_in_any_phase_before_the_body_refuses(
    phase: Phase, fault: Exception, mode: Mode
) -> None:
    ask = decision(Effect.REQUIRE_APPROVAL)
    rewriting = decision(Effect.ALLOW, obligations=(Obligation("transform", "/args/x", 1),))
    script = {
        Phase.REWRITE: ([rewriting, decision(Effect.ALLOW)], None, None),
        Phase.FIND: ([ask], None, None),
        Phase.REQUEST: ([ask], [None], None),
        Phase.WAIT: ([ask, ask], [None], [request(ApprovalState.APPROVED)]),
        Phase.CONSUME: ([ask], [request(ApprovalState.APPROVED)], None),
    }
    decisions, found, waited = script.get(phase, ([decision(Effect.ALLOW)], None, None))
    operation = "read"
    shell = Shell(
        decisions,
        mode=mode,
        operation=operation,
        found=found,
        waited=waited,
        may_wait=True,
        faults={phase: fault},
    )
    with pytest.raises(Refusal) as caught:
        shell.drive()
    assert phase in shell.seen, "the fault was reached"
    assert Phase.EXECUTE not in shell.seen
    assert caught.value.__cause__ is fault
    assert caught.value.decision_id == "d-1"
    assert shell.call.hold is None
    assert shell.seen[-1] is Phase.REFUSED


@pytest.mark.parametrize("phase", [Phase.SETTLE, Phase.OUTCOME])
def test_a_fault_after_the_body_keeps_the_result_and_closes_the_run(phase: Phase) -> None:
    shell = Shell([decision(Effect.ALLOW)], faults={phase: OSError("disk full")})
    assert shell.drive().value == "result"
    assert Phase.UNACCOUNTABLE in shell.seen
    assert isinstance(shell.call.refusal, StateUnavailable)


@pytest.mark.parametrize("phase", [Phase.RELEASE, Phase.REFUSED])
def test_a_fault_while_refusing_does_not_hide_the_refusal(phase: Phase) -> None:
    shell = Shell([decision(Effect.DENY)], faults={phase: OSError("disk full")})
    with pytest.raises(CallDenied):
        shell.drive()
    assert Phase.EXECUTE not in shell.seen


def test_the_second_kill_check_stops_a_call_that_was_decided() -> None:
    shell = Shell([decision(Effect.ALLOW)])
    checks = itertools.count()
    plain = shell.answer

    def answer(phase: Phase) -> object:
        if phase is Phase.KILL and next(checks) == 1:
            raise RunKilled("stop", run_id="r-1", scope="run/r-1")
        return plain(phase)

    shell.answer = answer
    with pytest.raises(RunKilled):
        shell.drive()
    assert Phase.EXECUTE not in shell.seen
    assert shell.call.hold is None


def test_after_a_wait_everything_is_decided_anew_and_a_denial_stands() -> None:
    shell = Shell(
        [decision(Effect.REQUIRE_APPROVAL), decision(Effect.DENY)],
        found=[None],
        waited=[request(ApprovalState.APPROVED)],
        may_wait=True,
    )
    with pytest.raises(CallDenied):
        shell.drive()
    assert shell.seen.count(Phase.RESERVE) == 2
    assert Phase.EXECUTE not in shell.seen


def test_the_hold_is_released_before_a_wait_for_people() -> None:
    shell = Shell(
        [decision(Effect.REQUIRE_APPROVAL)] * 2,
        found=[None, request(ApprovalState.APPROVED)],
        waited=[request(ApprovalState.APPROVED)],
        may_wait=True,
    )
    assert shell.drive().value == "result"
    waiting = shell.seen.index(Phase.WAIT)
    assert shell.seen[waiting - 1] is Phase.RELEASE
    assert shell.seen[waiting + 1] is Phase.KILL, "the sequence starts again from the kill check"
    assert Phase.CONSUME in shell.seen


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (ApprovalState.PENDING, ApprovalPending),
        (ApprovalState.REJECTED, ApprovalRejected),
        (ApprovalState.EXPIRED, ApprovalExpired),
        (ApprovalState.WITHDRAWN, ApprovalRejected),
        (ApprovalState.CONSUMED, ApprovalPending),
    ],
)
def test_only_an_approval_ends_a_wait_well(state: ApprovalState, refusal: type[Refusal]) -> None:
    shell = Shell([decision(Effect.REQUIRE_APPROVAL)], waited=[request(state)], may_wait=True)
    with pytest.raises(refusal):
        shell.drive()
    assert Phase.EXECUTE not in shell.seen


@pytest.mark.parametrize("state", [s for s in ApprovalState if s is not ApprovalState.APPROVED])
def test_only_an_approved_request_is_consumed(state: ApprovalState) -> None:
    shell = Shell([decision(Effect.REQUIRE_APPROVAL)], found=[request(state)])
    with pytest.raises(Refusal):
        shell.drive()
    assert Phase.CONSUME not in shell.seen
    assert Phase.EXECUTE not in shell.seen


def test_a_second_transform_refuses() -> None:
    rewriting = decision(Effect.ALLOW, obligations=(Obligation("transform", "/args/x", 1),))
    shell = Shell([rewriting, rewriting])
    with pytest.raises(PolicyError, match="already transformed"):
        shell.drive()
    assert Phase.EXECUTE not in shell.seen


def test_an_effect_that_nobody_knows_refuses() -> None:
    shell = Shell([Decision("later")])  # type: ignore[arg-type]  # what a future engine might say
    with pytest.raises(PolicyError):
        shell.drive()
    assert Phase.EXECUTE not in shell.seen


def test_judge_never_runs_a_denied_call_outside_of_observe() -> None:
    for mode in (Mode.ENFORCE, Mode.SHADOW):
        call = Shell([], mode=mode).call
        call.decision = decision(Effect.DENY)
        with pytest.raises(CallDenied):
            judge(call)
    assert Verdict.RUN is not Verdict.ASK


def test_interrupts_pass_and_release() -> None:
    shell = Shell([decision(Effect.ALLOW)], faults={Phase.DECIDE: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        shell.drive()
    assert shell.call.hold is None
