"""Attacks on the call itself: each was found by trying to get past it, and must not come back."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import math
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BeforeValidator

import guardrails as gr
from guardrails import testing
from guardrails.audit.memory import MemoryRecord
from guardrails.enforcement import invoke
from guardrails.enforcement.invoke import Steps
from guardrails.enforcement.perform import PERFORM
from guardrails.enforcement.phases import Phase, refusal_for
from guardrails.model.decision import ApprovalDemand, Decision, Effect, Obligation
from guardrails.model.kill import Scope
from guardrails.runs.kill import MemoryKillSwitch
from guardrails.runs.kill_shared import SharedKillSwitch

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.call import Event

REASON = (gr.Reason("rule.id", "because"),)
FINANCE = ApprovalDemand("large", "over the limit", ("finance-ops",))
LEGAL = ApprovalDemand("large", "over the limit", ("legal",))


def allow(_document: Any = None) -> Decision:
    return Decision(Effect.ALLOW, REASON)


def ask(*demands: ApprovalDemand) -> Decision:
    return Decision(Effect.REQUIRE_APPROVAL, REASON, demands or (FINANCE,))


async def asked(its: testing.RecordingGovernor) -> None:
    """Return once a person has been asked."""
    for _ in range(10_000):
        if its.approvals.list():
            return
        await asyncio.sleep(0.001)


def kinds(its: testing.RecordingGovernor) -> list[str]:
    return [event.kind for event in its.record.events if event.kind.startswith("call")]


def outcomes(its: testing.RecordingGovernor) -> list[str]:
    return [
        dict(event.detail or {})["outcome"]
        for event in its.record.events
        if event.kind == "call.finished"
    ]


def settled(its: testing.RecordingGovernor, run: Any, calls: int) -> bool:
    """Whether no hold is left, `calls` are charged, and each is on record from start to end."""
    seen = kinds(its)
    return (
        run.reserved.calls == 0
        and run.spent.calls == calls
        and seen.count("call.started") == seen.count("call.finished") == calls
    )


@dataclass
class Order:
    amount: int


# --- arguments that change between the decision and the body


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1], lambda value: value.append(9)),
        ({"amount": 1}, lambda value: value.update(amount=9)),
        (Order(1), lambda value: setattr(value, "amount", 9)),
        (bytearray(b"1"), lambda value: value.extend(b"9")),
        ({1}, lambda value: value.add(9)),
        ([1], lambda value: value.__setitem__(0, True)),
        (([1],), lambda value: value[0].append(9)),
    ],
    ids=["list", "dict", "dataclass", "bytearray", "set", "one becomes true", "inside a tuple"],
)
@pytest.mark.parametrize("where", ["positional", "star", "double star"])
@pytest.mark.parametrize("is_async", [False, True])
def test_what_was_decided_is_what_runs(value, change, where, is_async) -> None:
    value = copy.deepcopy(value)
    ran: list[Any] = []

    def decide(_document) -> Decision:
        change(value)  # as another thread might at this moment
        return allow()

    def body(item=None, /, *items, **named) -> None:
        ran.append((item, items, named))

    async def body_async(item=None, /, *items, **named) -> None:
        ran.append((item, items, named))

    body_async.__qualname__ = body.__qualname__ = "body"
    tool = gr.governed_tool(body_async if is_async else body)
    its = testing.governor(decide)

    def call() -> Any:
        args = {
            "positional": ((value,), {}),
            "star": ((None, value), {}),
            "double star": ((), {"value": value}),
        }[where]
        made = tool(*args[0], **args[1])
        return asyncio.run(gr.bind(_awaited)(made)) if is_async else made

    with testing.run(governor=its) as run:
        with pytest.raises(gr.InvalidArguments, match="changed") as refused:
            call()
        assert "9" not in gr.for_model(refused.value)
        assert run.reserved.calls == 0
    assert ran == []
    assert kinds(its) == ["call.refused"]


async def _awaited(coroutine: Any) -> Any:
    return await coroutine


def test_arguments_changed_while_a_call_waits_for_people_do_not_run_without_them() -> None:
    ran: list[Any] = []

    @gr.governed_tool
    def send(items: list) -> None:
        ran.append(items)

    items = [1]
    decisions = [ask(), allow()]  # policy no longer asks once somebody has answered
    its = testing.governor(lambda _: decisions.pop(0))

    def answer() -> None:
        while not its.approvals.list():
            pass
        items.append(10**6)
        its.approvals.approve(its.approvals.list()[0].id, by="dana", groups={"finance-ops"})

    thread = threading.Thread(target=answer)
    with testing.run(governor=its, wait=30) as run:
        thread.start()
        with pytest.raises(gr.Refusal, match="changed"):
            send(items)
        thread.join()
        assert run.reserved.calls == 0
    assert ran == []


def test_a_mutable_default_is_decided_as_it_is_at_each_call() -> None:
    seen: list[Any] = []

    def decide(document) -> Decision:
        seen.append(document["args"]["into"])
        return allow()

    @gr.governed_tool
    def collect(x: int, into: list = []) -> int:  # noqa: B006  # the trap itself
        into.append(x)
        return len(into)

    with testing.run(governor=testing.governor(decide)):
        assert [collect(1), collect(2)] == [1, 2]
    assert seen == [[], [1]], "policy sees what earlier calls left in the default"


# --- a body that ran is settled and recorded, whatever fails beside it


class FailingSwitch(MemoryKillSwitch):
    """A kill switch that goes out of reach when told."""

    failing = False

    def __init__(self) -> None:
        super().__init__()
        self.until = -math.inf  # each call asks for the generation

    @property
    def generation(self) -> int:
        if self.failing:
            raise ConnectionError("switch gone")
        return super().generation


@pytest.mark.parametrize("is_async", [False, True])
def test_a_kill_switch_that_fails_after_the_body_does_not_lose_its_result(is_async) -> None:
    switch = FailingSwitch()
    its = testing.governor(kill_switch=switch)

    def body() -> str:
        switch.failing = True
        return "paid"

    async def body_async() -> str:
        return body()

    body.__qualname__ = body_async.__qualname__ = "body"
    tool = gr.governed_tool(body_async if is_async else body)

    def call() -> Any:
        made = tool()
        return asyncio.run(gr.bind(_awaited)(made)) if is_async else made

    with testing.run(governor=its) as run:
        assert call() == "paid"
        assert settled(its, run, 1)
        with pytest.raises(gr.StateUnavailable):
            call()
        switch.failing = False


@pytest.mark.parametrize("phase", [Phase.EXECUTE, Phase.SETTLE, Phase.OUTCOME])
def test_an_interrupt_around_the_body_leaves_no_hold_and_no_open_end(phase, monkeypatch) -> None:
    @gr.governed_tool(name="plain")
    def plain() -> str:
        return "done"

    its = testing.governor()
    performed = PERFORM[phase]
    interrupts = [KeyboardInterrupt()]

    def interrupted(call) -> Any:
        if phase is Phase.EXECUTE:
            performed(call)
        if interrupts:
            raise interrupts.pop()
        return performed(call)

    monkeypatch.setitem(PERFORM, phase, interrupted)
    with testing.run(governor=its) as run:
        with pytest.raises(KeyboardInterrupt):
            plain()
        assert settled(its, run, 1)


def by_phases(call) -> Any:
    """The shell without its straight way."""
    steps = Steps(call)
    steps.perform()
    return steps.result()


def test_an_interrupt_at_any_step_of_the_shell_leaves_no_hold(monkeypatch) -> None:
    @gr.governed_tool(name="plain")
    def plain() -> str:
        return "done"

    send = Steps.send
    monkeypatch.setattr(invoke, "make", by_phases)
    for step in range(6):
        its = testing.governor()
        countdown = [step]

        def interrupted(steps, answer, countdown=countdown) -> None:
            countdown[0] -= 1
            if countdown[0] == -1:
                raise KeyboardInterrupt
            send(steps, answer)

        monkeypatch.setattr(Steps, "send", interrupted)
        with testing.run(governor=its) as run:
            with pytest.raises(KeyboardInterrupt):
                plain()
            assert run.reserved.calls == 0, step
            assert kinds(its).count("call.started") == run.spent.calls, step


class FailingRecord(MemoryRecord):
    """A record that goes out of reach when told."""

    fails = False

    def write(self, event: Event) -> None:
        if self.fails:
            raise OSError("disk full")
        super().write(event)


def test_what_cannot_even_be_marked_unaccountable_still_gives_the_result(monkeypatch) -> None:
    record = FailingRecord()
    its = testing.governor(record=record)

    @gr.governed_tool(name="plain")
    def plain() -> str:
        record.fails = True
        return "paid"

    monkeypatch.setattr(
        "guardrails.enforcement.perform._log.critical",
        lambda *_: (_ for _ in ()).throw(RuntimeError("no log either")),
    )
    with testing.run(governor=its) as run:
        try:
            assert plain() == "paid"
            with pytest.raises(gr.StateUnavailable):
                plain()
            assert run.reserved.calls == 0
        finally:
            record.fails = False


class UnspeakableError(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise self


def test_an_error_that_cannot_be_shown_still_refuses_and_releases() -> None:
    @gr.governed_tool(name="plain")
    def plain() -> None:
        raise AssertionError("it ran")

    def decide(_document) -> Decision:
        raise UnspeakableError

    its = testing.governor(decide)
    with testing.run(governor=its) as run:
        with pytest.raises(gr.PolicyError):
            plain()
        assert run.reserved.calls == 0
    assert kinds(its) == ["call.refused"]


@pytest.mark.parametrize("frames", [*range(380, 410), 700])
def test_endless_recursion_through_a_tool_leaves_no_hold_or_closes_the_run(frames) -> None:
    @gr.governed_tool(name="again")
    def again() -> None:
        again()

    its = testing.governor()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(frames)
    try:
        with testing.run(governor=its) as run:
            with pytest.raises((RecursionError, gr.Refusal)):
                again()
            assert run.reserved.calls == 0 or run.fault is not None
    finally:
        sys.setrecursionlimit(limit)


# --- generators


@gr.governed_tool(operation="write", shadow="withheld")
def inner() -> str:
    return "executed"


@gr.governed_tool(operation="read")
def shadowing_items():
    with gr.run("test-agent", mode="shadow"):
        yield inner()
        yield inner()
    yield inner()


@gr.governed_tool(operation="read")
async def shadowing_items_async():
    with gr.run("test-agent", mode="shadow"):
        yield inner()
        yield inner()
    yield inner()


def test_a_generator_s_own_child_run_stays_its_current_run_between_items() -> None:
    seen: list[tuple[str, str]] = []

    def decide(document) -> Decision:
        seen.append((document["tool"]["name"], document["run"]["mode"]))
        return allow()

    async def collect() -> list[str]:
        return [item async for item in shadowing_items_async()]

    for made in (lambda: list(shadowing_items()), lambda: asyncio.run(gr.bind(collect)())):
        with testing.run(governor=testing.governor(decide)):
            assert made() == ["withheld", "withheld", "executed"]


@pytest.mark.parametrize("ending", ["raises", "goes on"])
def test_a_body_that_resists_its_closing_does_not_shake_off_a_kill(ending) -> None:
    @gr.governed_tool(name="items")
    def items():
        try:
            while True:
                yield 1
        finally:
            if ending == "raises":
                raise ValueError("on the way out")
            yield 2

    @gr.governed_tool(name="items_async")
    async def items_async():
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            if ending == "raises":
                raise ValueError("on the way out")
            yield 2

    its = testing.governor()
    with testing.run(governor=its) as run:
        stream = items()
        next(stream)
        run.kill("stop")
        with pytest.raises(gr.RunKilled):
            next(stream)
        assert settled(its, run, 1)
    assert outcomes(its) == ["killed"]

    async def consume(run) -> None:
        stream = items_async()
        await anext(stream)
        run.kill("stop")
        with pytest.raises(gr.RunKilled):
            await anext(stream)

    its = testing.governor()
    with testing.run(governor=its) as run:
        asyncio.run(gr.bind(consume)(run))
        assert settled(its, run, 1)
    assert outcomes(its) == ["killed"]


@pytest.mark.parametrize("ending", ["raises", "goes on", "waits"])
def test_a_kill_while_an_async_item_is_made_settles_whatever_the_body_does(ending) -> None:
    @gr.governed_tool(name="items_async")
    async def items_async():
        try:
            yield 1
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if ending == "raises":
                raise ValueError("instead of the cancellation") from None
            if ending == "goes on":
                yield 2
            await asyncio.sleep(0)
            raise

    its = testing.governor()

    async def consume(run) -> None:
        stream = items_async()
        await anext(stream)
        asyncio.get_running_loop().call_later(0.01, run.kill, "stop")
        with pytest.raises(gr.RunKilled):
            await anext(stream)
        await asyncio.sleep(0)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    with testing.run(governor=its) as run:
        asyncio.run(gr.bind(consume)(run))
        assert settled(its, run, 1)


def test_generators_abandoned_anywhere_settle() -> None:
    @gr.governed_tool(name="items")
    def items():
        yield 1
        yield 2

    its = testing.governor()
    with testing.run(governor=its) as run:
        stream = items()
        next(stream)
        threading.Thread(target=stream.close).start()
        late = items()
        next(late)
    del stream, late
    gc.collect()
    assert run.reserved.calls == 0
    assert run.spent.calls == 2
    assert outcomes(its) == ["closed", "closed"]


def test_an_async_generator_whose_loop_was_closed_settles_when_it_is_dropped() -> None:
    @gr.governed_tool(name="items_async")
    async def items_async():
        yield 1
        yield 2

    async def start() -> Any:
        stream = items_async()
        await anext(stream)
        return stream

    its = testing.governor()
    with testing.run(governor=its) as run:
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(gr.bind(start)())
        loop.close()
        assert run.reserved.calls == 1
        del stream
        gc.collect()
        assert settled(its, run, 1)
    assert outcomes(its) == ["closed"]


def test_a_coroutine_dropped_half_way_settles_and_one_never_awaited_does_nothing() -> None:
    @gr.governed_tool(name="slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    its = testing.governor()

    async def drop() -> None:
        made = slow()
        made.send(None)
        made.close()
        slow().close()

    with testing.run(governor=its) as run:
        asyncio.run(gr.bind(drop)())
        assert settled(its, run, 1)


# --- kills


def test_a_listener_that_fails_keeps_no_other_call_alive() -> None:
    """One call waits for people, and its withdrawal cannot be recorded; the other works."""
    fails = threading.Event()

    class Record(MemoryRecord):
        def write(self, event) -> None:
            if fails.is_set() and event.kind.startswith("approval"):
                raise OSError("disk full")
            super().write(event)

    @gr.governed_tool(name="slow")
    async def slow() -> None:
        await asyncio.sleep(60)

    @gr.governed_tool(name="asks")
    async def asks() -> None: ...

    def decide(document) -> Decision:
        return ask() if document["tool"]["name"] == "asks" else allow()

    its = testing.governor(decide, record=Record())

    async def main(run) -> list[Any]:
        work = [asyncio.create_task(slow()), asyncio.create_task(asks())]
        await asked(its)
        fails.set()
        run.kill("stop")
        return await asyncio.gather(*work, return_exceptions=True)

    with testing.run(governor=its, wait=0.3) as run:
        first, second = asyncio.run(gr.bind(main)(run))
        assert isinstance(first, gr.RunKilled)
        assert isinstance(second, gr.RunKilled | gr.Refusal)
        assert run.reserved.calls == 0


def test_a_second_kill_reaches_work_that_outlived_the_first() -> None:
    cancelled: list[int] = []
    happened = asyncio.Event()

    @gr.governed_tool(name="stubborn")
    async def stubborn() -> None:
        for attempt in range(3):
            try:
                happened.set()
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(attempt)

    async def main(run) -> None:
        async def next_one() -> None:
            await asyncio.wait_for(happened.wait(), 20)
            happened.clear()

        task = asyncio.create_task(stubborn())
        await next_one()
        run.kill("stop")
        await next_one()
        run.kill("I said stop")
        await next_one()
        assert cancelled == [0, 1]
        run.kill("now")
        with pytest.raises(gr.RunKilled):
            await task
        assert task.cancelling() == 0

    with testing.run() as run:
        asyncio.run(gr.bind(main)(run))


class Interrupting:
    """A lock in whose hold something else happens, on the same thread."""

    def __init__(self, lock: Any, happens: Callable[[], object]) -> None:
        self.lock = lock
        self.happens = happens
        self.hits = 0

    def __enter__(self) -> None:
        self.lock.__enter__()
        self.hits += 1
        if self.hits == 1:
            self.happens()

    def __exit__(self, *raised: object) -> None:
        self.lock.__exit__(*raised)

    def _is_owned(self) -> bool:
        return self.lock._is_owned()


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Whether `work` ends in time: a thread that waits for itself never does."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done.wait(seconds)


@pytest.mark.parametrize("shared", [False, True])
def test_a_signal_handler_may_kill_at_any_moment(shared, tmp_path) -> None:
    """The handler runs in the thread that it interrupts, also where that thread holds a lock."""
    switch = SharedKillSwitch(tmp_path) if shared else MemoryKillSwitch()
    its = testing.governor(kill_switch=switch)
    service: Any = switch
    service._lock = Interrupting(service._lock, lambda: its.kill("tool/other", reason="terminated"))

    @gr.governed_tool(name="slow")
    async def slow() -> None: ...

    def work() -> None:
        with testing.run(governor=its) as run:
            asyncio.run(gr.bind(slow)())
            its.kill("tool/third", reason="test")
            assert run.spent.calls == 1

    assert within(5, work)
    assert service._lock.hits > 1


def test_a_kill_that_interrupts_a_resume_is_not_lost() -> None:
    its = testing.governor()
    its.kill("tool/one", reason="test")
    signals = ["tool/two"]

    class Interrupted(Scope):
        """Compared with others, it lets a signal come."""

        __slots__ = ()

        def __ne__(self, other: object) -> bool:
            if signals:
                its.kill(signals.pop(), reason="terminated")
            return tuple(self) != other

        __hash__ = Scope.__hash__

    generation = its.kill_switch.generation
    assert within(5, lambda: its.resume(Interrupted("tool", "one"), reason="test"))
    assert [str(kill.scope) for kill in its.kill_switch.active()] == ["tool/two"]
    assert its.kill_switch.generation == generation + 2


@pytest.mark.parametrize("holder", ["ledger", "run"])
def test_a_generator_may_be_collected_while_a_lock_is_held(holder) -> None:
    """Garbage in a cycle is closed, and so settled, by whatever code allocates just then."""

    @gr.governed_tool(name="items")
    def items():
        yield 1

    @gr.governed_tool(name="plain")
    def plain() -> None: ...

    its = testing.governor()

    def work() -> None:
        with testing.run(governor=its) as run:
            stream = items()
            next(stream)
            cycle: list[Any] = [stream]
            cycle.append(cycle)
            del stream, cycle
            service: Any = its.ledger if holder == "ledger" else run
            service._lock = Interrupting(service._lock, gc.collect)
            plain()
        assert settled(its, run, 2)

    gc.disable()
    try:
        assert within(5, work)
    finally:
        gc.enable()


# --- approvals


def test_where_policy_asks_for_more_than_was_answered_people_are_asked_anew() -> None:
    ran: list[int] = []

    @gr.governed_tool(name="pay")
    def pay(x: int) -> None:
        ran.append(x)

    demands = [FINANCE]
    its = testing.governor(lambda _: ask(*demands))
    with testing.run(governor=its):
        with pytest.raises(gr.ApprovalPending) as first:
            pay(1)
        its.approvals.approve(first.value.request_id, by="dana", groups={"finance-ops"})
        demands.append(LEGAL)
        with pytest.raises(gr.ApprovalPending) as second:
            pay(1)
        assert second.value.request_id != first.value.request_id
        its.approvals.approve(second.value.request_id, by="dana", groups={"finance-ops"})
        its.approvals.approve(second.value.request_id, by="lee", groups={"legal"})
        pay(1)
    assert ran == [1]


def test_of_many_equal_calls_that_wait_one_uses_the_approval_and_the_others_ask_anew() -> None:
    ran: list[int] = []
    ended: list[BaseException] = []
    its = testing.governor(lambda _: ask())

    @gr.governed_tool(name="pay")
    async def pay(x: int) -> None:
        ran.append(x)

    async def main() -> None:
        tasks = [asyncio.create_task(pay(1)) for _ in range(4)]
        await asked(its)
        await asyncio.sleep(0.01)
        first = its.approvals.list()[0]
        its.approvals.approve(first.id, by="dana", groups={"finance-ops"})
        done = await asyncio.gather(*tasks, return_exceptions=True)
        ended.extend(each for each in done if isinstance(each, BaseException))

    with testing.run(governor=its, wait=30) as run:
        asyncio.run(gr.bind(main)())
        assert ran == [1]
        assert [type(each) for each in ended] == [gr.ApprovalPending] * 3
        assert run.reserved.calls == 0
    assert [request.state.value for request in its.approvals.list()] == ["consumed", "pending"]


def test_an_approval_whose_call_could_not_be_recorded_is_used_up() -> None:
    ran: list[int] = []

    class Record(MemoryRecord):
        fails = False

        def write(self, event) -> None:
            if self.fails and event.kind == "call.started":
                raise OSError("disk full")
            super().write(event)

    @gr.governed_tool(name="pay")
    def pay(x: int) -> None:
        ran.append(x)

    record = Record()
    its = testing.governor(lambda _: ask(), record=record)
    with testing.run(governor=its) as run:
        with pytest.raises(gr.ApprovalPending) as pending:
            pay(1)
        its.approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
        record.fails = True
        with pytest.raises(gr.StateUnavailable):
            pay(1)
        record.fails = False
        with pytest.raises(gr.ApprovalPending) as again:
            pay(1)
        assert again.value.request_id != pending.value.request_id
        assert run.reserved.calls == 0
    assert ran == []


def test_a_call_cancelled_while_it_waits_for_people_restores_the_clock_and_holds_nothing() -> None:
    clock = testing.FakeClock()
    its = testing.governor(lambda _: ask(), clock=clock)

    @gr.governed_tool(name="pay")
    async def pay() -> None: ...

    async def main() -> None:
        task = asyncio.create_task(pay())
        await asked(its)
        clock.advance(5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with testing.run(governor=its, wait=30, budget=gr.Budget(seconds=60, calls=9)) as run:
        asyncio.run(gr.bind(main)())
        assert run.reserved.calls == 0
        assert run.elapsed() == 0
        clock.advance(7)
        assert run.elapsed() == 7
        assert its.approvals.list()[0].state == "pending"


# --- errors of the tool itself, and what they tell


def test_a_refusal_that_the_tool_itself_raises_is_its_own_error() -> None:
    own = gr.CallDenied("the bank says no", tool="bank")

    @gr.governed_tool(name="pay")
    def pay() -> None:
        raise own

    its = testing.governor()
    with testing.run(governor=its) as run:
        with pytest.raises(gr.CallDenied) as raised:
            pay()
        assert raised.value is own
        assert (own.tool, own.decision_id, own.run_id) == ("bank", None, None)
        assert settled(its, run, 1)
    assert outcomes(its) == ["error"]


def no_such_key(value: object) -> object:
    raise ValueError(f"no such key: {value}")


class Session:
    def __init__(self, secret: str) -> None:
        self.secret = secret


def test_hidden_parameters_are_named_to_nobody_and_their_values_are_shown_to_nobody() -> None:
    @gr.governed_tool(name="pay", hide=("session",))
    def pay(amount: int, session: Session | None = None) -> None: ...

    @gr.governed_tool(name="store")
    def store(
        amount: int, key: Annotated[str, BeforeValidator(no_such_key), gr.Hidden] = "none"
    ) -> None: ...

    with testing.run():
        with pytest.raises(gr.InvalidArguments) as unknown:
            pay(amount=1, nothing=2)  # type: ignore[call-arg]  # the attack
        assert "session" not in gr.for_model(unknown.value)
        assert "`amount`" in gr.for_model(unknown.value)
        with pytest.raises(gr.InvalidArguments) as wrong:
            store(1, key="s3cret")
        assert "s3cret" not in gr.for_model(wrong.value)
        assert "s3cret" not in str(wrong.value)


@pytest.mark.parametrize("where", ["when", "cost", "shadow", "engine"])
def test_the_text_of_a_foreign_error_is_for_people_alone(where) -> None:
    def fails(session: Session) -> Any:
        raise KeyError(session.secret)

    def decide(_document) -> Decision:
        if where == "engine":
            raise KeyError("s3cret")
        if where == "shadow":
            return Decision(Effect.SHADOW, REASON, would=Effect.ALLOW)
        return allow()

    def pay(session: Session) -> None:
        raise AssertionError("it ran")

    options: dict[str, Any] = {"shadow": fails} if where == "shadow" else {}
    tool: Any = gr.governed_tool(name="pay", hide=("session",), **options)(pay)
    if where == "when":
        tool = gr.requires_approval(when=fails)(tool)
    if where == "cost":
        tool = gr.budget(cost=fails)(tool)
    its = testing.governor(decide)
    with testing.run(governor=its) as run:
        with pytest.raises(gr.Refusal) as refused:
            tool(Session("s3cret"))
        assert run.reserved.calls == 0
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in gr.for_model(refused.value)
    assert "KeyError" in str(refused.value)
    assert "s3cret" in refused.value.explain()


# --- runs


@pytest.mark.parametrize("bad", ["", "x\ny", "x" * 129, 5, "\x1b[2J", b"r"])
def test_a_run_s_id_is_one_printable_word_or_line(bad) -> None:
    with pytest.raises(gr.ConfigError, match="id"):
        testing.run(id=bad)


@pytest.mark.parametrize("bad", ["production", {1}, [["a"]], {"Not A Word"}, {"x\ny"}])
def test_a_run_s_labels_are_words(bad) -> None:
    with pytest.raises(gr.ConfigError, match="labels"):
        testing.run(labels=bad)


@pytest.mark.parametrize("bad", ["5", -1, float("nan"), True, [3]])
def test_a_run_s_wait_is_a_length_of_time(bad) -> None:
    with pytest.raises(gr.ConfigError, match="wait"):
        testing.run(wait=bad)


def test_a_run_s_budget_is_a_budget() -> None:
    with pytest.raises(gr.ConfigError, match="budget"):
        testing.run(budget=5)


def test_a_scope_made_outside_of_a_run_is_no_way_out_of_it() -> None:
    its = testing.governor()
    outside = testing.run(governor=its)
    ran: list[int] = []

    @gr.governed_tool(name="plain")
    def plain() -> None:
        ran.append(1)

    with testing.run(governor=its, mode="shadow"):
        with pytest.raises(gr.ConfigError, match="inside"), outside:
            plain()
        with pytest.raises(gr.CallShadowed):
            plain()
    assert ran == []


def test_partials_of_two_functions_of_one_name_are_two_tools() -> None:
    def one() -> Any:
        def send(x: int, y: int) -> int:
            return x + y

        return send

    first, second = one(), one()
    second.__module__ = "elsewhere"
    its = testing.governor()
    tools = [gr.governed_tool(functools.partial(made, 1)) for made in (first, second)]
    with testing.run(governor=its):
        assert tools[0](2) == 3
        with pytest.raises(gr.PolicyError, match="two tools"):
            tools[1](2)


def test_two_lambdas_are_two_tools() -> None:
    first = gr.governed_tool(lambda x: x)
    second = gr.governed_tool(lambda x: x + 1)
    with testing.run():
        first(1)
        with pytest.raises(gr.PolicyError, match="two tools"):
            second(1)


# --- re-entrancy: user code inside a phase may use everything


def test_predicates_prices_and_stand_ins_may_call_tools_and_open_runs() -> None:
    @gr.governed_tool(name="rate")
    def rate(x: int) -> int:
        return x

    def when(x: int) -> bool:
        with gr.run("test-agent"):
            return rate(x) > 5

    @gr.governed_tool(name="pay")
    @gr.requires_approval(when=when)
    @gr.budget(cost=rate)
    def pay(x: int) -> int:
        return x

    its = testing.governor()
    with testing.run(governor=its) as run:
        assert pay(3) == 3
        with pytest.raises(gr.ApprovalPending):
            pay(7)
        assert run.reserved.calls == 0
        assert run.spent.calls == 1 + 2 * 2, "a call of `pay`, and two of `rate` for each attempt"


def test_what_listens_may_look_at_everything() -> None:
    its: Any = None

    class Record(MemoryRecord):
        def write(self, event) -> None:
            if its is not None:
                its.approvals.list()
                its.kill_switch.active()
                if event.run_id is not None and event.kind != "run.opened":
                    its.ledger.spent(event.run_id) if event.kind != "run.closed" else None
            super().write(event)

    @gr.governed_tool(name="pay")
    @gr.budget(cost=1)
    def pay(x: int) -> int:
        return x

    its = testing.governor(
        lambda document: ask() if document["args"]["x"] else allow(), record=Record()
    )
    with testing.run(governor=its, budget=gr.Budget(usd=2, calls=9)):
        assert pay(0) == 0
        with pytest.raises(gr.ApprovalPending):
            pay(1)
        its.kill("tool/other", reason="test")


def test_a_fault_keeps_its_cause() -> None:
    fault = OSError("disk full")
    refusal = refusal_for(Phase.INTENT, fault)
    assert refusal.__cause__ is fault
    assert isinstance(refusal, gr.StateUnavailable)


def test_a_transform_of_a_list_that_changes_meanwhile_does_not_run() -> None:
    ran: list[Any] = []

    @gr.governed_tool(name="send")
    def send(to: str, items: list) -> None:
        ran.append((to, items))

    items: list[int] = [1]
    duty = Obligation("transform", "/args/to", "safe")
    decisions = [Decision(Effect.ALLOW, REASON, obligations=(duty,))]

    def decide(_document) -> Decision:
        if decisions:
            return decisions.pop()
        items.append(9)
        return allow()

    with (
        testing.run(governor=testing.governor(decide)),
        pytest.raises(gr.Refusal, match="changed"),
    ):
        send("anybody", items)
    assert ran == []
