"""Purses: holds that a run gives out and ends itself, without the ledger's lock.

Whatever threads, signals and interrupts do: no limit is passed, what was executed is counted, and
what is counted was executed, but for what an interrupt has lost, which stays held.
"""

from __future__ import annotations

import contextlib
import gc
import pathlib
import signal
import sys
import threading
import time
import tracemalloc
from collections import Counter, deque
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from tests.budgets.stand import SOAK, STEP

from guardrails import testing
from guardrails.clock import SystemClock
from guardrails.errors import BudgetExceeded, StateUnavailable
from guardrails.model.account import Allowance, Window
from guardrails.model.budget import Budget, Charge, Usage
from guardrails.model.budget_plan import BudgetPlan
from guardrails.model.call import Step
from guardrails.runs.context import enter
from guardrails.runs.ledgers import books
from guardrails.runs.ledgers.holds import State
from guardrails.runs.ledgers.sqlite import SqliteLedger
from guardrails.runs.run import Run

CALL = Usage(20, 0, 1)
PLENTY = Budget(usd=1000, calls=10**9)
KINDS = ("memory", "sqlite")


@contextlib.contextmanager
def opened(kind, folder, *, agent=PLENTY, run=PLENTY, lease=1000):
    """A run of a governor with real accounts."""
    plan = BudgetPlan(
        agents={"a": Allowance({Window.DAY: agent})},
        environments={"test": Allowance({Window.DAY: PLENTY})},
    )
    its = testing.governor(
        clock=SystemClock(),
        budgets=plan,
        ledger=None
        if kind == "memory"
        else lambda made: SqliteLedger(folder / "b.sqlite", made.alerted, lease=lease),
    )
    with contextlib.closing(its), its.run("a", budget=run) as made:
        enter(None)
        yield made


def called(run, tool="t", cost=CALL):
    hold = run.reserve(tool, cost, None)
    run.settle(hold, STEP)
    return hold


def filled(run, tool="t"):
    """Its calls take from a purse; how many were made until then."""
    for count in range(1, 50):
        called(run, tool)
        purse: Any = run._purses.get(tool)
        if purse is not None and len(purse.holds) > 3:
            return count
    raise AssertionError("no purse was filled")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tools", [1, 3])
def test_threads_run_exactly_as_many_calls_as_fit(kind, tools, tmp_path):
    fits = 700
    ran: Counter[int] = Counter()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with opened(kind, tmp_path, run=Budget(usd=1000, calls=fits)) as run:

            def work(number):
                tool = f"t{number % tools}"
                while True:
                    try:
                        hold = run.reserve(tool, CALL, None)
                    except BudgetExceeded:
                        return
                    ran[number] += 1
                    run.settle(hold, STEP)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                spent, reserved = run.spent.calls, run.reserved.calls  # counts meanwhile
                assert spent <= fits
                assert reserved <= 6
            for thread in threads:
                thread.join()
            assert sum(ran.values()) == fits
            assert run.spent == Usage(20 * fits, 0, fits)
            assert run.reserved == Usage()
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("looks", [False, True])
def test_an_end_is_counted_whether_or_not_its_beginning_was(looks, tmp_path):
    with opened("memory", tmp_path) as run:
        count = filled(run)
        hold = run.reserve("t", CALL, None)
        assert hold.state is State.TAKEN
        if looks:
            assert (run.spent.calls, run.reserved.calls) == (count, 1)
            assert hold.state is State.HELD
        run.settle(hold, STEP)
        run.settle(hold, STEP)  # an end may be reported twice
        assert (run.spent.calls, run.reserved.calls) == (count + 1, 0)
        run.settle(hold, STEP)
        assert (run.spent.calls, run.reserved.calls) == (count + 1, 0)
        run.release(hold)  # and nothing else comes of it any more
        assert (run.spent.calls, run.reserved.calls) == (count + 1, 0)


def test_a_released_hold_is_settled_by_nobody(tmp_path):
    with opened("memory", tmp_path) as run:
        count = filled(run)
        hold = run.reserve("t", CALL, None)
        run.release(hold)
        with pytest.raises(ValueError, match="was released"):
            run.settle(hold, STEP)
        assert (run.spent.calls, run.reserved.calls) == (count, 0)
        assert called(run).cost == CALL


@settings(max_examples=2000 if SOAK else 60, deadline=None)
@given(
    acts=st.lists(
        st.tuples(st.sampled_from("rrrrssslvk"), st.integers(0, 5), st.sampled_from("tuv")),
        max_size=120,
    )
)
def test_sums_history_steps_and_snapshots_are_those_of_a_plain_count(acts):
    """Acts: r reserve, s settle, l release, v look at a snapshot, k look at the sums."""
    with opened("memory", None) as run:
        for tool in "tuv":
            for _ in range(4):
                called(run, tool)
        ended = Counter(t=4, u=4, v=4)
        steps: list[str] = []
        held: list[tuple[Any, str, Counter[str]]] = []
        for act, which, tool in acts:
            if act == "r":
                before = ended + Counter(name for _, name, _ in held)
                held.append((run.reserve(tool, CALL, None), tool, before))
            elif act == "k":
                assert run.spent.calls == sum(ended.values())
                assert run.reserved.calls == len(held)
            elif held:
                hold, name, before = held[which % len(held)]
                if act == "v":
                    # What began before it, and nothing that began after.
                    assert Counter(hold.snapshot.history) == before
                else:
                    held.pop(which % len(held))
                    if act == "s":
                        run.settle(hold, Step(name, "write", "allow", f"ok{len(steps)}"))
                        ended[name] += 1
                        steps.append(f"ok{len(steps)}")
                    else:
                        run.release(hold)
        assert run.spent.calls == sum(ended.values())
        assert run.reserved.calls == len(held)
        last = run.reserve("t", CALL, None).snapshot
        assert Counter(last.history) == ended + Counter(name for _, name, _ in held)
        told = [each["outcome"] for each in last.steps if each["outcome"] != "ok"]
        assert sorted(told) == sorted(steps[-len(told) :] if told else [])


def test_an_interrupt_at_any_step_of_beginning_and_end_loses_no_spending(tmp_path):
    """Each bytecode of the two is interrupted once; the end is reported again, as callers do."""
    codes = {Run.reserve.__code__, Run.settle.__code__}
    lost = 0
    for step in range(1000):
        with opened("memory", tmp_path, run=Budget(usd=1000, calls=300)) as run:
            count = filled(run)
            countdown = [step]

            def trace(frame, event, _, countdown=countdown):
                if frame.f_code not in codes:
                    return None
                frame.f_trace_opcodes = True
                if event == "opcode":
                    countdown[0] -= 1
                    if countdown[0] == -1:
                        raise KeyboardInterrupt
                return trace

            hold, before = None, sys.gettrace()
            sys.settrace(trace)
            try:
                hold = run.reserve("t", CALL, None)
                run.settle(hold, STEP)
            except KeyboardInterrupt:
                sys.settrace(before)
                if hold is not None:
                    run.settle(hold, STEP)
            finally:
                sys.settrace(before)
            if hold is None:
                lost += 1
                assert run.spent.calls == count, step
            else:
                assert run.spent.calls == count + 1, step
                assert run.reserved.calls == 0, step
            ran = run.spent.calls
            with contextlib.suppress(BudgetExceeded):
                while True:
                    called(run)
                    ran += 1
            assert ran == run.spent.calls
            assert 300 - 1 <= ran + run.reserved.calls <= 300, step
        if countdown[0] >= 0:
            assert lost
            assert step > 40
            return
    pytest.fail("it has no end")


class Stop(Exception):  # noqa: N818  # what a signal handler raises
    pass


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no such timer on this system")
@pytest.mark.parametrize("raises", [False, True])
def test_signals_at_any_moment_never_let_a_limit_be_passed(raises, tmp_path):  # noqa: C901, PLR0915  # one scene
    """The handler looks, and calls; or it raises in the middle of whatever is done."""
    fits = 4000 if SOAK else 1500
    with opened("memory", tmp_path, run=Budget(usd=1000, calls=fits)) as run:
        ran, fired, armed = [0], [0], [False]
        held: list[Any] = []

        def handler(_, frame):
            fired[0] += 1
            # Not in what others have collected objects do, which may not raise.
            if raises and armed[0] and "guardrails" in frame.f_code.co_filename:
                armed[0] = False
                raise Stop
            if not raises:
                hold = None
                with contextlib.suppress(BudgetExceeded, StateUnavailable):
                    hold = run.reserve("u", CALL, None)
                    assert hold.snapshot.calls >= 0
                    ran[0] += 1
                    run.settle(hold, STEP)
                    return
                if hold is not None:
                    run.release(hold)

        def row():
            for number in range(40):
                held.append(run.reserve("t", CALL, None))
                if number % 7 == 0:
                    _ = held[0].snapshot
                ran[0] += 1
                run.settle(held[0], STEP)
                held.clear()

        before = signal.signal(signal.SIGALRM, handler)
        end = time.monotonic() + 60
        full = False
        try:
            while not full:
                assert time.monotonic() < end
                signal.setitimer(signal.ITIMER_REAL, 0.00002 + 0.000001 * (fired[0] % 97))
                try:
                    try:
                        armed[0] = True
                        row()
                    finally:
                        armed[0] = False
                except Stop:
                    while held:  # an end is reported again, as callers do
                        run.settle(held.pop(), STEP)
                except BudgetExceeded:
                    full = True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert fired[0]
        assert ran[0] <= fits
        if raises:  # what an interrupt has lost is held
            assert run.spent.calls + run.reserved.calls >= ran[0]
        else:
            assert ran[0] == fits
            assert run.spent == Usage(20 * fits, 0, fits)
            assert run.reserved == Usage()


class Meddling(deque):
    """Finished steps that do something the first time one is kept, as a signal handler would."""

    def __init__(self, act):
        super().__init__()
        self._acts = [act]

    def append(self, step):
        super().append(step)
        if self._acts:
            self._acts.pop()()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stops", [False, True])
def test_a_purse_that_closes_amid_the_counting_loses_no_call(kind, stops, tmp_path):
    with opened(kind, tmp_path, run=Budget(usd=1000, calls=10_000)) as run:
        made = filled(run)
        account = run._purses["t"].account
        ledger = run.governor.ledger

        def meddle():
            ledger._fold(account)
            if stops:
                raise Stop

        account.steps = Meddling(meddle)
        for _ in range(3):
            made += 1
            called(run)
        with contextlib.suppress(Stop):
            _ = run.spent
        assert not account.purses_by_tool
        assert run.spent == Usage(20 * made, 0, made)
        assert run.reserved == Usage()
        assert account.history == {"t": made}
        called(run)
        assert run.spent.calls == made + 1


def test_where_threads_see_no_one_order_no_purse_is_filled(monkeypatch, tmp_path):
    monkeypatch.setattr(books, "HAS_ONE_ORDER", False)
    with opened("memory", tmp_path, run=Budget(usd=1000, calls=50)) as run:
        for _ in range(50):
            called(run)
            assert not run._purses
        with pytest.raises(BudgetExceeded):
            called(run)


def test_a_run_that_has_ended_gives_nothing_out_of_its_purses(tmp_path):
    with opened("memory", tmp_path) as run:
        filled(run)
        held = run.reserve("t", CALL, None)
    assert not run._purses
    spent = run.spent.calls
    run.settle(held, STEP)
    assert run.spent.calls == spent + 1, "what was in flight at its end counts"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_reported_amid_the_ledger_s_work_is_counted_after_it(kind, tmp_path):
    """As by a generator that is collected there, or by a signal handler: it waits for its turn."""
    with opened(kind, tmp_path) as run:
        ledger: Any = run.governor.ledger
        holds = [run.reserve("t", Usage(number, 0, 1), None) for number in range(4)]
        with ledger._lock:
            run.settle(holds[0], STEP)
            run.release(holds[1])
            run.charge_call(holds[2], Charge(micro_usd=100))
            run.spend(Usage(7, 0, 0))
            with pytest.raises(StateUnavailable, match="a signal handler cannot"):
                run.reserve("t", Usage(9, 0, 1), None)
        assert run.spent == Usage(7, 0, 1)
        assert run.reserved == Usage(103, 0, 2)
        with ledger._lock:
            run.settle(holds[2], STEP)
    assert run.spent == Usage(107, 0, 2), "the end of the run counts what was put off"


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_calls_keep_no_memory(kind, tmp_path):
    calls = 998_000 if SOAK else 20_000  # and 2,000 before: what the register of tests grants
    with opened(kind, tmp_path, agent=Budget(usd=10**6), run=Budget(usd=10**6)) as run:

        def work(number):
            for index in range(number):
                hold = run.reserve("t", CALL, None)
                if index % 7 == 0:
                    assert hold.snapshot.calls >= 0
                run.settle(hold, STEP)

        work(2_000)
        gc.collect()
        tracemalloc.start()
        work(calls)
        gc.collect()
        # Python's own table of interned names, which parts of paths go into, is no call's.
        others = tracemalloc.Filter(inclusive=False, filename_pattern=pathlib.__file__)
        traces = tracemalloc.take_snapshot().filter_traces([others]).traces
        kept = sum(each.size for each in traces)
        tracemalloc.stop()
        assert run.spent.calls == calls + 2_000
    assert kept < 200_000
