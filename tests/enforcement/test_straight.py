"""The straight way through a call does what the phases say, whatever goes wrong on it.

The same calls of services, the same outcome, the same record.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guardrails as gr
from guardrails import testing
from guardrails.enforcement import invoke
from guardrails.enforcement.invoke import _AWAIT, Steps
from guardrails.enforcement.perform import PERFORM
from guardrails.enforcement.phases import STRAIGHT, Phase, Verdict, goes_straight, judge, phases
from guardrails.errors import InvalidArguments, Reason, RunKilled, StateUnavailable
from guardrails.model.decision import ApprovalDemand, Decision, Effect, Obligation
from guardrails.model.facts import Mode


def by_phases(call: Any) -> Any:
    """The shell without the straight way."""
    steps = Steps(call)
    steps.perform()
    return steps.result()


async def by_phases_async(call: Any) -> Any:
    steps = Steps(call)
    await steps.perform_async()
    return steps.result()


FAULTS = {
    "bug": lambda: ValueError("boom"),
    "refusal": lambda: StateUnavailable("out of reach"),
    "wrong": lambda: InvalidArguments("no", problems=("no",)),
    "kill": lambda: RunKilled("killed", scope="run/x", run_id="x"),
    "interrupt": KeyboardInterrupt,
    "cancelled": asyncio.CancelledError,
    "closed": GeneratorExit,
}
ALLOW = (Reason("r", "fine"),)
TRANSFORM = Obligation("transform", "/args/amount", 1)
DECISIONS = {
    "allow": Decision(Effect.ALLOW, ALLOW),
    "deny": Decision(Effect.DENY, (Reason("r", "no"),)),
    "ask": Decision(Effect.REQUIRE_APPROVAL, approvals=(ApprovalDemand("r", "ask", ("ops",)),)),
    "shadow": Decision(Effect.SHADOW, ALLOW, would=Effect.ALLOW),
    "redact": Decision(Effect.ALLOW, ALLOW, obligations=(Obligation("redact", "/args/amount"),)),
    "transform": Decision(Effect.ALLOW, ALLOW, obligations=(TRANSFORM,)),
}
MODES = ("enforce", "shadow", "observe")
PLANS = st.fixed_dictionaries(
    {
        "decision": st.sampled_from([*["allow"] * 4, *DECISIONS]),
        "mode": st.sampled_from(["enforce", "enforce", *MODES]),
        "faults": st.dictionaries(
            st.integers(0, 13),
            st.tuples(st.sampled_from(sorted(FAULTS)), st.booleans()),
            max_size=2,
        ),
        "body": st.sampled_from(["ok", "ok", "ok", *FAULTS]),
        "amount": st.sampled_from([3, 3, None]),
        "calls": st.sampled_from([1, 100]),
    }
)


class Services:
    """Stands between the shell and what it performs: notes each phase, and fails as planned."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.seen: list[str] = []
        self._faults = dict(plan["faults"])

    def performed(self, phase: Phase, perform: Any) -> Any:
        def wrapper(call: Any) -> Any:
            fault, before = self._next(phase)
            if fault is not None and before:
                raise fault
            answer = perform(call)
            if fault is not None:
                raise fault
            return answer

        return wrapper

    def awaited(self, phase: Phase, perform: Any) -> Any:
        async def wrapper(call: Any) -> Any:
            fault, before = self._next(phase)
            if fault is not None and before:
                raise fault
            answer = perform(call)
            if answer is not None:
                answer = await answer
            if fault is not None:
                raise fault
            return answer

        return wrapper

    def _next(self, phase: Phase) -> tuple[BaseException | None, bool]:
        kind, before = self._faults.pop(len(self.seen), (None, False))
        self.seen.append(phase.name)
        return (None, False) if kind is None else (FAULTS[kind](), before)


def played(plan: dict[str, Any], *, straight: bool, is_async: bool) -> tuple[Any, ...]:
    """All that can be seen of two calls under the plan."""
    services = Services(plan)
    governor = testing.governor(lambda _: DECISIONS[plan["decision"]], modes=MODES)
    ids = (f"id-{number}" for number in itertools.count())
    bodies: list[int] = []

    def body(amount: int) -> int:
        bodies.append(amount)
        if plan["body"] != "ok":
            fault = FAULTS[plan["body"]]()
            raise fault
        return amount

    async def body_async(amount: int) -> int:
        return body(amount)

    tool = gr.governed_tool(name="pay", operation="write")(body_async if is_async else body)
    ends: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(invoke, "new_id", lambda: next(ids))
        if not straight:
            patch.setattr(invoke, "make", by_phases)
            patch.setattr(invoke, "make_async", by_phases_async)
        for phase, perform in PERFORM.items():
            patch.setitem(PERFORM, phase, services.performed(phase, perform))
        for phase, wait in _AWAIT.items():
            patch.setitem(_AWAIT, phase, services.awaited(phase, wait))
        budget = gr.Budget(calls=plan["calls"])
        scope = governor.run("agent", id="run-1", mode=plan["mode"], budget=budget)
        try:
            with scope as run:
                ends += [ended(tool, plan["amount"], is_async=is_async) for _ in range(2)]
                ends.append((run.spent, run.reserved, run.fault, run.remaining))
        except gr.RunStopped as stopped:
            ends.append(str(stopped))
    events = [event._replace(decision_ns=None) for event in governor.record.events]
    return services.seen, ends, bodies, strip(events)


def strip(events: list[Any]) -> list[str]:
    # Requests to people have ids of their own.
    return [
        repr(event._replace(detail={name: value for name, value in (event.detail or {}).items()
                                    if name not in {"request_id", "message"}}))
        for event in events if not event.kind.startswith("approval")
    ]  # fmt: skip


def ended(tool: Any, amount: Any, *, is_async: bool) -> tuple[str, ...]:
    try:
        return ("value", repr(asyncio.run(tool(amount)) if is_async else tool(amount)))
    except BaseException as error:  # noqa: BLE001  # all that comes out is compared
        cause = error.__cause__
        said = "" if isinstance(error, gr.ApprovalPending) else str(error)
        return (type(error).__name__, said, type(cause).__name__)


@given(PLANS, st.booleans())
@settings(max_examples=400, deadline=None)
def test_the_straight_way_does_what_the_phases_say(plan, is_async):
    assert played(plan, straight=True, is_async=is_async) == played(
        plan, straight=False, is_async=is_async
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_a_plain_call_goes_straight(is_async, monkeypatch):
    monkeypatch.setattr(invoke, "_resumed", lambda *_: pytest.fail("it went the long way"))
    plan = {
        "decision": "allow",
        "mode": "enforce",
        "faults": {},
        "body": "ok",
        "amount": 3,
        "calls": 9,
    }
    seen, ends, bodies, _ = played(plan, straight=True, is_async=is_async)
    assert seen == [phase.name for phase in STRAIGHT] * 2
    assert bodies == [3, 3]
    assert ends[0] == ("value", "3")


class FakeCall:
    """As much of a call as the phases look at."""

    hold = key = would = outcome = resumed = None

    def __init__(self, decision: Decision, mode: Mode) -> None:
        self.decision = decision
        self.run = type("Run", (), {"mode": mode})
        self.tool = type("Tool", (), {"facts": type("Facts", (), {"operation": "write"})})

    def restart(self) -> None:
        """Nothing to forget."""


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("name", DECISIONS)
def test_what_goes_straight_is_what_the_phases_would_run_unchanged(name, mode):
    call: Any = FakeCall(DECISIONS[name], mode)
    if not goes_straight(call):
        return
    assert judge(call) is Verdict.RUN
    assert call.would is None
    steps = phases(call)
    named = [next(steps)]
    while len(named) < len(STRAIGHT):
        named.append(steps.send("outcome" if named[-1] is Phase.EXECUTE else None))
    assert tuple(named) == STRAIGHT
    with pytest.raises(StopIteration):
        steps.send(None)


def test_an_interrupt_at_any_line_of_the_straight_way_leaves_no_hold():
    ran: list[int] = []

    @gr.governed_tool(name="plain")
    def plain() -> None:
        ran.append(1)

    for line in range(1000):
        its = testing.governor()
        countdown = [line]
        ran.clear()

        def trace(frame, event, _, countdown=countdown):
            if frame.f_code is not invoke.make.__code__:
                return None
            if event == "line":
                countdown[0] -= 1
                if countdown[0] == -1:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        with its.run("agent") as run:
            try:
                sys.settrace(trace)
                plain()
            except KeyboardInterrupt:
                pass
            finally:
                sys.settrace(before)
            assert run.reserved.calls == 0, line
            started = sum(event.kind == "call.started" for event in its.record.events)
            assert len(ran) <= run.spent.calls <= started, line
        if countdown[0] >= 0:
            assert line > len(STRAIGHT)
            return
    pytest.fail("it has no end")
