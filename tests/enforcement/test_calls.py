"""Governed calls end to end: modes, obligations, approvals, money, and what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guardrails as gr
from guardrails import testing
from guardrails.enforcement.deciding import combine
from guardrails.model.approval import ApprovalState
from guardrails.model.decision import ApprovalDemand, Decision, Effect, Obligation
from guardrails.model.registered import RegisteredAgent

REASON = (gr.Reason("rule.id", "because"),)
DEMAND = ApprovalDemand("large", "over the limit", ("finance-ops",))


def always(effect: Effect, **more) -> testing.FunctionEngine:
    if effect is Effect.REQUIRE_APPROVAL:
        more.setdefault("approvals", (DEMAND,))
    if effect is Effect.SHADOW:
        more.setdefault("would", Effect.ALLOW)
    return testing.FunctionEngine(lambda _: Decision(effect, REASON, **more))


def governor(effect: Effect, **more) -> testing.RecordingGovernor:
    return testing.governor(engine=always(effect, **more), modes=("enforce", "shadow", "observe"))


@gr.governed_tool(resource="r", operation="write", shadow="stand-in")
def write(x: int) -> str:
    return f"wrote {x}"


@gr.governed_tool(resource="r", operation="write")
async def write_async(x: int) -> str:
    return f"wrote {x}"


@gr.governed_tool(resource="r", operation="read")
def read(x: int) -> str:
    return f"read {x}"


def outcomes_of(governor: testing.RecordingGovernor) -> list[str]:
    """What came of each body that started."""
    return [
        dict(event.detail or {})["outcome"]
        for event in governor.record.events
        if event.kind == "call.finished"
    ]


def finished(outcome: Any) -> Any:
    """The result of a plain call, or of a coroutine that waits for nothing."""
    if not inspect.iscoroutine(outcome):
        return outcome
    try:
        outcome.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited")


def kinds(governor: testing.RecordingGovernor) -> list[str]:
    return [event.kind for event in governor.record.events if event.kind.startswith("call")]


# --- modes


@pytest.mark.parametrize(
    ("mode", "effect", "tool", "expected"),
    [
        ("enforce", Effect.ALLOW, write, "wrote 1"),
        ("enforce", Effect.DENY, write, gr.CallDenied),
        ("enforce", Effect.REQUIRE_APPROVAL, write, gr.ApprovalPending),
        ("enforce", Effect.SHADOW, write, "stand-in"),
        ("enforce", Effect.SHADOW, read, gr.CallShadowed),
        ("shadow", Effect.ALLOW, write, "stand-in"),
        ("shadow", Effect.ALLOW, read, "read 1"),
        ("shadow", Effect.DENY, write, gr.CallDenied),
        ("shadow", Effect.REQUIRE_APPROVAL, write, "stand-in"),
        ("observe", Effect.DENY, write, "wrote 1"),
        ("observe", Effect.REQUIRE_APPROVAL, write, "wrote 1"),
        ("observe", Effect.SHADOW, write, "stand-in"),
    ],
)
def test_modes(mode, effect, tool, expected) -> None:
    its = governor(effect)
    with testing.run(governor=its, mode=mode) as run:
        if isinstance(expected, str):
            assert tool(1) == expected
        else:
            with pytest.raises(expected):
                tool(1)
        assert run.reserved.calls == 0
        assert run.spent.calls == (expected in {"wrote 1", "read 1"})
    waiting = [each for each in its.approvals.list() if each.state is not ApprovalState.PROPOSED]
    assert not waiting or mode == "enforce", "shadow asks nobody, it proposes"


def test_observe_records_what_would_have_been() -> None:
    its = governor(Effect.DENY)
    with testing.run(governor=its, mode="observe"):
        write(1)
    started = next(event for event in its.record.events if event.kind == "call.started")
    assert started.effect == "deny"
    assert started.detail["would"] == "deny"


def test_observe_needs_configuration_and_says_so(caplog) -> None:
    with pytest.raises(gr.ConfigError, match="not permitted"):
        testing.run(mode="observe")
    with caplog.at_level(logging.WARNING, logger="guardrails"):
        testing.governor(modes=("enforce", "observe"))
    assert "observe" in caplog.text


def test_a_child_can_only_move_to_shadow() -> None:
    its = governor(Effect.ALLOW)
    with (
        testing.run(governor=its, mode="shadow"),
        pytest.raises(gr.ConfigError, match="cannot open"),
    ):
        gr.run("test-agent", mode="enforce")
    with testing.run(governor=its), gr.run("test-agent", mode="shadow") as child:
        assert child.mode is gr.Mode.SHADOW


def test_a_withheld_call_without_a_stand_in_says_it_was_not_executed() -> None:
    with (
        testing.run(governor=governor(Effect.ALLOW), mode="shadow"),
        pytest.raises(gr.CallShadowed, match="recorded, not executed"),
    ):
        asyncio.run(gr.bind(write_async)(1))


# --- engines that misbehave


class Broken(testing.FunctionEngine):
    def __init__(self, fault) -> None:
        super().__init__()
        self.fault = fault

    def decide(self, document, decision_id):
        raise self.fault()


@pytest.mark.parametrize("mode", ["enforce", "shadow", "observe"])
@pytest.mark.parametrize("tool", [write, read, write_async])
@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError,
        RecursionError,
        MemoryError,
        TimeoutError,
        lambda: gr.EvaluationError("eval_conflict_error", "two values"),
        lambda: gr.PolicyUnavailable("no engine"),
    ],
)
def test_any_engine_fault_refuses_in_every_mode(mode, tool, fault) -> None:
    its = testing.governor(engine=Broken(fault), modes=("enforce", "shadow", "observe"))
    expected = gr.PolicyUnavailable if isinstance(fault(), gr.Refusal) else gr.PolicyError
    with testing.run(governor=its, mode=mode) as run:
        with pytest.raises(expected) as caught:
            finished(tool(1))
        assert caught.value.tool == gr.tool_of(tool).facts.name
        assert (caught.value.run_id, caught.value.agent) == (run.id, "test-agent")
        assert run.reserved.calls == run.spent.calls == 0
    assert kinds(its) == ["call.refused"]


@pytest.mark.parametrize("service", ["record", "ledger", "kill_switch", "approvals"])
def test_any_service_that_fails_refuses(service, monkeypatch) -> None:
    its = testing.governor(
        engine=always(Effect.REQUIRE_APPROVAL if service == "approvals" else Effect.ALLOW)
    )
    ran = []

    @gr.governed_tool
    def tool() -> None:
        ran.append(1)

    def fail(*_args, **_kwargs):
        raise ConnectionError("gone")

    method = {"record": "write", "ledger": "reserve", "kill_switch": "find", "approvals": "find"}[
        service
    ]
    with testing.run(governor=its), monkeypatch.context() as patch:
        patch.setattr(type(its.__dict__[service]), method, fail)
        with pytest.raises(gr.StateUnavailable):
            tool()
    assert not ran


def test_a_record_that_fails_after_the_body_keeps_the_result_and_closes_the_run(
    monkeypatch,
) -> None:
    its = testing.governor()
    plain = its.record.write

    def write_some(event) -> None:
        if event.kind == "call.finished":
            raise OSError("disk full")
        plain(event)

    with testing.run(governor=its) as run:
        monkeypatch.setattr(its.record, "write", write_some)
        assert read(1) == "read 1"
        with pytest.raises(gr.StateUnavailable, match="takes no further call"):
            read(2)
        assert run.spent.calls == 1


# --- obligations


def transforming(document) -> Decision:
    amount = document["args"]["amount"]
    duties = (Obligation("transform", "/args/amount", 100),) if amount > 100 else ()
    return Decision(Effect.ALLOW, REASON, obligations=duties)


@gr.governed_tool(name="pay")
@gr.budget(cost=lambda amount: amount)
def pay(amount: Decimal, to: str = "a") -> Decimal:
    return amount


def test_a_transform_is_validated_priced_and_decided_again() -> None:
    seen = []

    def decide(document) -> Decision:
        seen.append(document["args"]["amount"])
        return transforming(document)

    with testing.run(governor=testing.governor(decide)) as run:
        assert pay(Decimal(250)) == Decimal(100)
        assert run.spent.usd == 100
    assert seen == [250, 100]


@pytest.mark.parametrize(
    "duties",
    [
        (Obligation("transform", "/args/nothing", 1),),
        (Obligation("transform", "/run/id", "x"),),
        (Obligation("transform", "/args/amount", "many"),),
        (Obligation("transform", "/args/amount", 1), Obligation("transform", "/args/amount", 2)),
        (Obligation("transform", "/args", {}), Obligation("transform", "/args/amount", 2)),
        (Obligation("erase", "/args/amount"),),
        (Obligation("transform", "/args/amount", 100),),  # fires on its own result
    ],
)
def test_an_obligation_that_cannot_be_met_refuses(duties) -> None:
    its = testing.governor(lambda _: Decision(Effect.ALLOW, REASON, obligations=duties))
    with testing.run(governor=its) as run:
        with pytest.raises(gr.Refusal):
            pay(Decimal(5))
        assert run.spent.calls == run.reserved.calls == 0


@pytest.mark.parametrize("effect", [Effect.ALLOW, Effect.DENY])
def test_redactions_and_labels_touch_the_record_alone_also_of_a_refused_call(effect) -> None:
    its = governor(
        effect, obligations=(Obligation("redact", "/args/to"), Obligation("label", "pii"))
    )
    with testing.run(governor=its):
        if effect is Effect.ALLOW:
            assert pay(Decimal(5), to="secret") == 5
        else:
            with pytest.raises(gr.CallDenied):
                pay(Decimal(5), to="secret")
    for event in its.record.events:
        assert "secret" not in repr(event)
        if event.input is not None:
            assert "pii" in event.detail["labels"]


def test_arguments_are_not_recorded_before_policy_could_redact_them() -> None:
    its = governor(Effect.ALLOW)
    with testing.run(governor=its, budget=gr.Budget(usd=1)), pytest.raises(gr.BudgetExceeded):
        pay(Decimal(5), to="secret")
    assert "secret" not in repr(its.record.events)


# --- approvals


def test_an_approval_is_for_exact_arguments_once() -> None:
    its = governor(Effect.REQUIRE_APPROVAL)
    with testing.run(governor=its):
        with pytest.raises(gr.ApprovalPending) as pending:
            pay(Decimal(4180))
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        with pytest.raises(gr.ApprovalPending):
            pay(Decimal(41800))
        assert pay(Decimal("4180.00")) == 4180, "equal numbers are equal arguments"
        with pytest.raises(gr.ApprovalPending) as again:
            pay(Decimal(4180))
        assert again.value.request_id != pending.value.request_id


def test_a_call_cut_off_after_its_approval_keeps_its_idempotency_key() -> None:
    keys = []

    @gr.governed_tool
    def send(cut_off: bool) -> None:
        keys.append(gr.idempotency_key())

    its = governor(Effect.REQUIRE_APPROVAL)

    def approved(*, settled: bool) -> str:
        with pytest.raises(gr.ApprovalPending) as pending:
            send(cut_off=True)
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        settle = its.approvals.settle
        if not settled:  # as where the process dies in the body
            its.approvals.settle = lambda *_: None
        send(cut_off=True)
        its.approvals.settle = settle
        return str(pending.value)

    with testing.run(governor=its):
        approved(settled=False)
        said = approved(settled=True)
        approved(settled=True)
    assert "whether it ran is unknown" in said
    first, again, another = keys
    assert first == again != another
    assert [each.outcome for each in its.approvals.list()] == [None, "ok", "ok"]


def test_each_call_has_an_idempotency_key_of_its_own_and_only_there() -> None:
    keys = []

    @gr.governed_tool
    def send() -> None:
        keys.append(gr.idempotency_key())

    with testing.run(governor=governor(Effect.ALLOW)):
        send()
        send()
        with pytest.raises(gr.NoActiveRun):
            gr.idempotency_key()
    assert len(set(keys)) == 2


def test_arguments_changed_in_place_after_approval_do_not_run() -> None:
    ran = []

    @gr.governed_tool
    def send(items: list[int]) -> None:
        ran.append(list(items))

    items = [1]
    its = governor(Effect.REQUIRE_APPROVAL)
    consume = its.approvals.consume

    def consume_and_change(*args, **kwargs):
        answer = consume(*args, **kwargs)
        items.append(2)
        return answer

    its.approvals.consume = consume_and_change
    with testing.run(governor=its):
        with pytest.raises(gr.ApprovalPending) as pending:
            send(items)
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        with contextlib.suppress(gr.ApprovalRejected):
            send(items)
    assert ran in ([], [[1]]), "what was approved ran, or nothing"


def test_a_denial_that_comes_after_the_request_stands() -> None:
    effects = [Effect.REQUIRE_APPROVAL, Effect.DENY]

    def decide(_) -> Decision:
        effect = effects[0]
        return Decision(effect, REASON, (DEMAND,) if effect is Effect.REQUIRE_APPROVAL else ())

    its = testing.governor(decide)
    with testing.run(governor=its):
        with pytest.raises(gr.ApprovalPending) as pending:
            write(1)
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        effects.pop(0)
        with pytest.raises(gr.CallDenied):
            write(1)


@pytest.mark.parametrize("approve", [True, False])
def test_a_call_waits_for_its_answer_without_a_hold(approve) -> None:
    its = governor(Effect.REQUIRE_APPROVAL)
    held = []

    def answer(run) -> None:
        # The request is there before the hold is let go of, and the wait begins after that.
        until = time.monotonic() + 20
        while time.monotonic() < until and not (its.approvals.list() and not run.reserved.calls):
            time.sleep(0.001)
        held.append(run.reserved.calls)
        request = its.approvals.list()[0]
        if approve:
            its.approvals.approve(request.id, by="dana", groups={"finance-ops"})
        else:
            its.approvals.reject(request.id, by="dana", groups={"finance-ops"}, reason="no")

    for tool in (write, write_async):
        its = governor(Effect.REQUIRE_APPROVAL)
        with testing.run(governor=its, wait=30) as run:
            thread = threading.Thread(target=answer, args=(run,))
            thread.start()
            call = (
                (lambda tool=tool: asyncio.run(gr.bind(tool)(1)))
                if tool is write_async
                else (lambda: write(1))
            )
            if approve:
                assert call() == "wrote 1"
            else:
                with pytest.raises(gr.ApprovalRejected):
                    call()
            thread.join()
    assert held == [0, 0]


def test_a_wait_that_ends_unanswered_leaves_the_request_open() -> None:
    its = governor(Effect.REQUIRE_APPROVAL)
    with testing.run(governor=its, wait=0.05):
        with pytest.raises(gr.ApprovalPending) as pending:
            write(1)
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        assert write(1) == "wrote 1"


def test_a_plain_function_on_an_event_loop_never_waits_for_people() -> None:
    its = governor(Effect.REQUIRE_APPROVAL)

    async def main() -> None:
        with pytest.raises(gr.ApprovalPending):
            write(1)

    with testing.run(governor=its, wait=60):
        asyncio.run(gr.bind(main)())


@pytest.mark.parametrize("tool", [write, write_async])
def test_a_kill_wakes_a_wait_and_withdraws_the_request(tool) -> None:
    its = governor(Effect.REQUIRE_APPROVAL)

    def kill(run) -> None:
        while not its.approvals.list():
            pass
        run.kill("stop")

    def wait_until_killed() -> None:
        with testing.run(governor=its, wait=60) as run:
            thread = threading.Thread(target=kill, args=(run,))
            thread.start()
            try:
                if tool is write:
                    write(1)
                else:
                    asyncio.run(gr.bind(write_async)(1))
            finally:
                thread.join()

    with pytest.raises(gr.RunStopped):
        wait_until_killed()
    assert its.approvals.list()[0].state == "withdrawn"


def test_decorators_can_only_tighten() -> None:
    @gr.governed_tool(name="careful")
    @gr.requires_approval(when=lambda x: x > 10, approvers=("a", "b"), quorum=2, reason="large")
    @gr.requires_approval(when=lambda x: x > 100, approvers="c")
    def careful(x: int) -> int:
        return x

    with testing.run(governor=governor(Effect.DENY)), pytest.raises(gr.CallDenied):
        careful(1000)
    its = governor(Effect.ALLOW)
    with testing.run(governor=its) as run:
        assert careful(1) == 1
        with pytest.raises(gr.ApprovalPending) as pending:
            careful(1000)
        assert set(pending.value.approvers) == {"a", "b", "c"}
        assert pending.value.rule_ids == ("decorator",), "the record names who asked"
        decision = its.decide(careful, {"x": 50}, run)
        assert decision.effect is Effect.REQUIRE_APPROVAL
        assert [demand.quorum for demand in decision.approvals] == [2]


@pytest.mark.parametrize("fault", [ZeroDivisionError, KeyError])
def test_a_predicate_or_price_that_raises_refuses(fault) -> None:
    def bad(x):
        raise fault

    @gr.governed_tool(name="p1")
    @gr.requires_approval(when=bad)
    def asks(x: int) -> int:
        return x

    @gr.governed_tool(name="p2")
    @gr.budget(cost=bad)
    def costs(x: int) -> int:
        return x

    @gr.governed_tool(name="p3")
    @gr.budget(cost=lambda x: -x)
    def negative(x: int) -> int:
        return x

    with testing.run() as run:
        for tool in (asks, costs, negative):
            with pytest.raises(gr.PolicyError):
                tool(1)
        assert run.spent.calls == run.reserved.calls == 0


# --- money


def test_a_body_that_raises_is_charged_and_its_error_passes_unchanged() -> None:
    class Odd(BaseException):
        pass

    errors = [ValueError("x"), StopIteration(1), Odd(), gr.CallDenied("the tool's own")]

    @gr.governed_tool
    @gr.budget(cost="0.5")
    def fail(i: int) -> None:
        raise errors[i]

    with testing.run() as run:
        for place, error in enumerate(errors):
            with pytest.raises(type(error)) as caught:
                fail(place)
            assert caught.value is error
        assert run.spent.usd == 2


def test_the_first_charge_replaces_the_price_and_further_ones_add() -> None:
    @gr.governed_tool
    @gr.budget(cost="1")
    def model_call(*costs: str) -> None:
        for cost in costs:
            gr.charge(usd=cost, tokens=10)

    with testing.run(budget=gr.Budget(usd="2.5")) as run:
        model_call("0.1")
        assert (run.spent.usd, run.spent.tokens) == (Decimal("0.1"), 10)
        model_call("0.1", "0.2")
        assert run.spent.usd == Decimal("0.4")
        model_call("9")  # an overrun never raises; it is counted in full
        assert run.spent.usd == Decimal("9.4")
        assert run.remaining.usd == Decimal("-6.9")
        with pytest.raises(gr.BudgetExceeded) as refused:
            model_call()
        assert refused.value.dimension == "usd"


def test_a_call_can_report_that_it_was_free() -> None:
    @gr.governed_tool
    @gr.budget(cost="1")
    def cached() -> None:
        gr.charge(usd=0)

    with testing.run() as run:
        cached()
        assert (run.spent.usd, run.spent.calls) == (0, 1)


def test_n_of_m_calls_run_under_threads_and_tasks() -> None:
    @gr.governed_tool
    @gr.budget(cost="0.10")
    def step(i: int) -> int:
        return i

    @gr.governed_tool
    @gr.budget(cost="0.10")
    async def step_async(i: int) -> int:
        await asyncio.sleep(0)
        return i

    def attempt(i: int) -> bool:
        try:
            step(i)
        except gr.BudgetExceeded:
            return False
        return True

    with testing.run(budget=gr.Budget(usd=5)) as run, gr.GovernedExecutor(8) as pool:
        assert sum(pool.map(attempt, range(120))) == 50
        assert run.spent.usd == 5

    async def tasks() -> int:
        async with testing.run(budget=gr.Budget(usd=5)):
            done = await asyncio.gather(
                *(step_async(i) for i in range(120)), return_exceptions=True
            )
        return sum(type(result) is int for result in done)

    assert asyncio.run(tasks()) == 50


# --- generators


def test_a_generator_is_decided_at_the_first_next_and_settles_at_its_end() -> None:
    its = testing.governor()

    @gr.governed_tool
    @gr.budget(cost="1")
    def count(n: int):
        got = []
        for i in range(n):
            got += [(yield i)]
        return got

    with testing.run(governor=its) as run:
        items = count(2)
        assert kinds(its) == []
        assert next(items) == 0
        assert run.reserved.usd == 1
        assert items.send("a") == 1
        with pytest.raises(StopIteration) as done:
            items.send("b")
        assert done.value.value == ["a", "b"]
        assert (run.reserved.usd, run.spent.usd) == (0, 1)
        early = count(5)
        next(early)
        early.close()
        collected = count(5)
        next(collected)
        del collected
        assert run.spent.usd == 3
        thrown = count(5)
        next(thrown)
        with pytest.raises(LookupError):
            thrown.throw(LookupError())
        assert (run.reserved.usd, run.spent.usd) == (0, 4)
    outcomes = outcomes_of(its)
    assert outcomes == ["ok", "closed", "closed", "error"]


def test_a_kill_is_seen_before_every_item() -> None:
    closed = []

    @gr.governed_tool
    def count():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    @gr.governed_tool
    async def count_async():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    def consume() -> None:
        with testing.run() as run:
            items = count()
            next(items)
            run.kill("stop")
            next(items)

    with pytest.raises(gr.RunStopped):
        consume()

    async def main() -> None:
        async with testing.run() as run:
            items = count_async()
            await anext(items)
            run.kill("stop")
            await anext(items)

    with pytest.raises(gr.RunStopped):
        asyncio.run(main())
    assert closed == [True, True]


def test_an_async_generator_passes_send_throw_and_aclose() -> None:
    its = testing.governor()

    @gr.governed_tool
    @gr.budget(cost="1")
    async def echo():
        got = None
        while True:
            try:
                got = yield got
            except LookupError:
                got = "thrown"

    async def main() -> None:
        async with testing.run(governor=its) as run:
            items = echo()
            assert await anext(items) is None
            assert await items.asend("a") == "a"
            assert await items.athrow(LookupError()) == "thrown"
            await items.aclose()
            assert (run.reserved.usd, run.spent.usd) == (0, 1)

    asyncio.run(main())


# --- kill


def test_a_plain_function_s_result_is_discarded_when_a_kill_came_meanwhile() -> None:
    its = testing.governor()

    @gr.governed_tool
    def work() -> str:
        gr.current_run().kill("stop")
        return "result"

    with pytest.raises(gr.RunStopped), testing.run(governor=its):
        work()
    assert outcomes_of(its) == ["abandoned"]


def test_a_swallowed_kill_stops_the_next_call_again() -> None:
    with testing.run() as run:
        run.kill("stop")
        for _ in range(3):
            with pytest.raises(gr.RunKilled):  # swallowed, as a careless host does
                read(1)
    assert run.spent.calls == 0


@pytest.mark.parametrize(
    "target", ["all", "env/test", "agent/test-agent", "agent/test-agent@1", "tool/slow"]
)
def test_every_target_stops_async_work_in_flight_and_resumes(target) -> None:
    its = testing.governor()

    @gr.governed_tool(name="slow")
    async def slow(seconds: float) -> str:
        begun.set()
        await asyncio.sleep(seconds)
        return "done"

    begun = asyncio.Event()

    async def killed_in_flight() -> None:
        async with testing.run(governor=its):
            task = asyncio.create_task(slow(60))
            await begun.wait()
            its.kill(target, reason="stop")
            await task

    async def main() -> None:
        with pytest.raises(gr.RunStopped):
            await killed_in_flight()
        its.resume(target, reason="fine again")
        async with testing.run(governor=its):
            assert await slow(0) == "done"

    asyncio.run(asyncio.wait_for(main(), 10))


# --- delegation


class Family(testing.OpenRegister):
    """parent may open runs for child and narrow; nobody else for anybody."""

    def agent(self, agent_id: str) -> RegisteredAgent:
        delegates = {"parent": {"child": False, "narrow": True}}.get(agent_id, {})
        return RegisteredAgent(
            agent_id,
            "1",
            "o@example.com",
            budgets={"test": gr.Budget(calls=100)},
            delegates=delegates,
        )


def test_a_child_run_needs_a_delegates_entry() -> None:
    its = testing.governor(register=Family())
    with its.run("parent"):
        with gr.run("child"), pytest.raises(gr.CallDenied, match="may not open"):
            gr.run("parent")
        with pytest.raises(gr.CallDenied, match="may not open"):
            gr.run("stranger")


def test_a_narrow_child_is_decided_for_every_agent_of_its_ancestry() -> None:
    asked = []

    def decide(document) -> Decision:
        asked.append(document["agent"]["id"])
        denied = document["agent"]["id"] == "parent"
        return Decision(Effect.DENY if denied else Effect.ALLOW, REASON)

    its = testing.governor(decide, register=Family())
    with its.run("parent"):
        with gr.run("child"):
            assert read(1) == "read 1"
        assert asked == ["child"]
        with gr.run("narrow"), pytest.raises(gr.CallDenied):
            read(1)
    assert asked == ["child", "narrow", "parent"]


def test_a_child_inherits_its_principal() -> None:
    its = testing.governor()
    with its.run("a", principal="ann@example.com"):
        with gr.run("a") as child:
            assert child.principal == "ann@example.com"
        with pytest.raises(gr.CallDenied):
            gr.run("a", principal="bob@example.com")


@given(st.lists(st.sampled_from(list(Effect)), min_size=1, max_size=4))
def test_the_strictest_decision_holds(effects) -> None:
    made = [
        Decision(
            effect,
            REASON,
            (DEMAND,) if effect is Effect.REQUIRE_APPROVAL else (),
            would=Effect.ALLOW if effect is Effect.SHADOW else None,
        )
        for effect in effects
    ]
    order = [Effect.DENY, Effect.SHADOW, Effect.REQUIRE_APPROVAL, Effect.ALLOW]
    assert combine(made).effect is min(effects, key=order.index)
    Decision.from_document(
        {
            "effect": combine(made).effect.value,
            "reasons": [],
            "approvals": [
                {
                    "rule": d.rule,
                    "reason": d.reason,
                    "approvers": list(d.approvers),
                    "quorum": 1,
                    "expires_in": 1,
                }
                for d in combine(made).approvals
            ],
            "obligations": [],
            **({"would": combine(made).would.value} if combine(made).would else {}),
        }
    )


# --- what is told


def test_a_refusal_reads_and_names_everything(caplog) -> None:
    with (
        caplog.at_level(logging.WARNING, logger="guardrails"),
        testing.run(governor=governor(Effect.DENY)) as run,
        pytest.raises(gr.CallDenied) as caught,
    ):
        write(7)
    refusal = caught.value
    assert (refusal.code, refusal.tool, refusal.agent, refusal.run_id) == (
        "denied",
        "write",
        "test-agent",
        run.id,
    )
    assert refusal.rule_ids == ("rule.id",)
    assert "because [rule.id]" in str(refusal)
    assert refusal.decision_id in str(refusal)
    assert "[testing] test" in str(refusal), "the place of the rule"
    assert "decided by a test" in refusal.explain()
    assert "decided by a test" not in str(refusal), "hosts hand that text to the model"
    lines = [line for line in caplog.messages if refusal.decision_id in line]
    assert len(lines) == 1, "one line a refusal"
    assert "\n" not in lines[0]


@pytest.mark.parametrize(
    "refusal", [gr.CallDenied, gr.BudgetExceeded, gr.ApprovalPending, gr.InvalidArguments]
)
def test_for_model_gives_a_text_for_refusals_and_raises_everything_else(refusal) -> None:
    text = gr.for_model(refusal("internal: account 4711", tool="pay"))
    assert "`pay`" in text
    assert "4711" not in text
    for error in (ValueError("x"), gr.RunKilled("stop", run_id="r", scope="all")):
        with pytest.raises(type(error)):
            gr.for_model(error)


def test_decide_executes_and_spends_nothing() -> None:
    its = governor(Effect.ALLOW)
    with testing.run(governor=its) as run:
        decision = its.decide(pay, {"amount": 5})
        assert decision.effect is Effect.ALLOW
        assert its.decide("pay", {"amount": 5}) if "pay" in its._tools else True
        with pytest.raises(gr.InvalidArguments):
            its.decide(pay, {"amount": "five"})
        assert run.spent.calls == run.reserved.calls == 0
    assert kinds(its) == []
    with pytest.raises(gr.NoActiveRun):
        its.decide(pay, {"amount": 5})


# --- context


def test_a_lost_context_refuses_and_says_how_to_carry_it() -> None:
    caught = []

    def work() -> None:
        try:
            read(1)
        except gr.NoActiveRun as error:
            caught.append(str(error))

    with testing.run():
        for target in (work, gr.bind(work)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert len(caught) == 1
    assert "guardrails.bind" in caught[0]


def test_a_call_after_the_run_has_ended_refuses() -> None:
    async def main() -> None:
        with testing.run():
            late = asyncio.create_task(write_later())
        with pytest.raises(gr.RunClosed):
            await late

    async def write_later() -> str:
        await asyncio.sleep(0.01)
        return await write_async(1)

    asyncio.run(main())


# --- sync ≡ async


@settings(max_examples=60, deadline=None)
@given(
    effect=st.sampled_from(list(Effect)),
    mode=st.sampled_from(["enforce", "shadow", "observe"]),
    x=st.one_of(st.integers(-5, 5), st.none(), st.just("5"), st.floats(), st.booleans()),
    fails=st.booleans(),
    calls=st.integers(0, 2),
)
def test_sync_and_async_shells_do_the_same(effect, mode, x, fails, calls) -> None:
    def body(x):
        if fails:
            raise LookupError(x)
        return x

    def plain(x: int) -> int:
        return body(x)

    async def coroutine(x: int) -> int:
        return body(x)

    def outcome(function) -> tuple:
        tool = gr.governed_tool(name="t", operation="write")(gr.budget(cost="0.25")(function))
        its = governor(effect)
        with testing.run(governor=its, mode=mode, budget=gr.Budget(calls=calls)) as run:
            try:
                value = finished(tool(x))
            except Exception as error:  # noqa: BLE001  # compared below
                value = (type(error).__name__, getattr(error, "code", None))
            spent = run.spent
        events = [
            (
                e.kind,
                e.effect,
                e.input and e.input.get("args"),
                {k: v for k, v in (e.detail or {}).items() if k in {"code", "would", "outcome"}},
            )
            for e in its.record.events
            if e.kind.startswith("call")
        ]
        return repr(value), spent, events

    assert outcome(plain) == outcome(coroutine)


def test_a_withheld_generator_gives_its_stand_in_s_items() -> None:
    def items(shadow):
        @gr.governed_tool(name="items", operation="write", shadow=shadow)
        def tool(n: int):
            yield from range(n)

        return tool

    with testing.run(mode="shadow"):
        assert list(items(["a", "b"])(3)) == ["a", "b"]
        assert list(items(lambda n: [n])(3)) == [3]
        assert list(items(None)(3)) == []
