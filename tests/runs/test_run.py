"""A run: its place in the tree, its clock, its account, what it refuses."""

# ruff: noqa: PT012  # a run and what happens in it are one thing under test

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from guardrails.errors import (
    BudgetExceeded,
    ConfigError,
    RunClosed,
    RunKilled,
    RunStopped,
    StateUnavailable,
)
from guardrails.model.budget import Budget, Charge, Remaining, Usage
from guardrails.model.call import Step
from guardrails.model.kill import Scope
from guardrails.runs.kill import MemoryKillSwitch

STEP = Step("refund", "write", "allow", "ok")
CALL = Usage(calls=1)


def test_a_run_knows_its_ancestors_outermost_first(stand):
    top = stand.run("a", labels=["x", "b", "x"])
    child = stand.run("b", agent="search", parent=top)
    leaf = stand.run("c", agent="write", parent=child)
    assert leaf.run_ids == ("a", "b", "c")
    assert leaf.ancestry == (
        {"run": "a", "agent": "billing"},
        {"run": "b", "agent": "search"},
    )
    assert top.ancestry == ()
    assert top.labels == ("b", "x")
    assert stand.run(None).id != stand.run(None).id


def test_a_run_says_what_it_spent_also_after_its_end(stand):
    with stand.scope(budget=Budget(usd="5", calls=9)) as run:
        run.charge(usd="1.5", tokens=10)
        run.settle(run.reserve("refund", Usage(500_000, 0, 1), None), STEP)
        held = run.reserve("refund", Usage(100_000, 0, 1), None)
        assert (run.spent, run.reserved) == (Usage(2_000_000, 10, 1), Usage(100_000, 0, 1))
        assert run.remaining == Remaining(2_900_000, None, 7)
    assert run.spent == Usage(2_000_000, 10, 1)
    run.settle(held, STEP)
    del held
    gc.collect()
    assert not stand.ledger._known
    assert run.spent == Usage(2_100_000, 10, 2)
    assert run.reserved == Usage()
    assert run.remaining == Remaining(2_900_000, None, 7)


def test_a_late_call_of_a_child_shows_on_its_closed_ancestors(stand):
    with stand.scope("a") as top, stand.scope("b", parent=top) as child:
        held = child.reserve("refund", CALL, None)
    child.charge_call(held, Charge(tokens=5))
    child.settle(held, STEP)
    child.charge_call(held, Charge(tokens=2))
    del held
    gc.collect()
    assert not stand.ledger._known
    assert top.spent == child.spent == Usage(0, 7, 1)


def test_a_run_that_nobody_holds_is_freed_at_once(stand):
    with stand.scope("a") as top, stand.scope("b", parent=top) as run:
        run.settle(run.reserve("refund", CALL, None), STEP)
    refs = [weakref.ref(top), weakref.ref(run)]
    gc.disable()
    try:
        del top, run
        assert [ref() for ref in refs] == [None, None]
    finally:
        gc.enable()


@pytest.mark.parametrize("where", ["own", "parent"])
def test_the_seconds_limit_refuses_when_a_call_starts(stand, where):
    timed, free = Budget(seconds=10), Budget(seconds=60)
    with (
        stand.scope("a", budget=timed if where == "parent" else free) as top,
        stand.scope("b", parent=top, budget=timed if where == "own" else Budget()) as run,
    ):
        stand.clock.tick(4)
        hold = run.reserve("refund", CALL, None)
        assert hold.snapshot.remaining.seconds == 6
        assert run.replace(hold, CALL).snapshot.remaining.seconds == 6
        assert run.remaining.seconds == 6
        stand.clock.tick(6)
        with pytest.raises(BudgetExceeded, match=r"has 10 seconds, and has worked for 10\.0") as no:
            run.reserve("refund", CALL, None)
        assert (no.value.dimension, no.value.agent) == ("seconds", "billing")
        assert no.value.account == ("run/a" if where == "parent" else "run/b")
        assert run.reserved.calls == 1


def test_waits_for_people_stop_the_clocks_of_the_run_and_its_ancestors_once(stand):
    with stand.scope("a") as top, stand.scope("b", parent=top) as run:
        stand.clock.tick(1)
        with run.waiting():
            stand.clock.tick(10)
            with run.waiting():
                stand.clock.tick(10)
            with top.waiting():
                stand.clock.tick(10)
            assert (top.elapsed(), run.elapsed()) == (1, 1)
        with top.waiting():
            stand.clock.tick(5)
        assert (top.elapsed(), run.elapsed()) == (1, 6)
        stand.clock.tick(2)
    stand.clock.tick(100)
    assert (top.elapsed(), run.elapsed()) == (3, 8)
    assert stand.record.events[-1].detail["seconds"] == 38


def test_before_entry_and_after_exit_calls_are_refused(stand):
    scope = stand.scope()
    with pytest.raises(RunClosed, match="not entered yet"):
        stand.run("r").reserve("refund", CALL, None)
    with scope as run:
        pass
    assert run.is_closed
    with pytest.raises(RunClosed, match="`r` of `billing` has ended"):
        run.reserve("refund", CALL, None)
    with pytest.raises(RunClosed):
        run.charge(tokens=1)


def test_below_a_run_that_has_ended_calls_are_refused(stand):
    with stand.scope("a") as top:
        child = stand.run("b", parent=top)
        child.open()
    with pytest.raises(RunClosed, match="`a`"):
        child.reserve("refund", CALL, None)


def test_an_unaccountable_run_and_its_children_take_no_further_call(stand):
    with stand.scope("a") as top:
        with stand.scope("b", parent=top) as child:
            child.mark_unaccountable("disk full")
            top.reserve("refund", CALL, None)
            with pytest.raises(StateUnavailable, match="disk full"):
                child.reserve("refund", CALL, None)
        top.mark_unaccountable("disk full")
        with stand.scope("c", parent=top) as other, pytest.raises(StateUnavailable, match="`a`"):
            other.reserve("refund", CALL, None)


def test_threads_share_one_budget(stand):
    with stand.scope(budget=Budget(calls=50, seconds=60)) as run:

        def work(_):
            try:
                run.settle(run.reserve("refund", CALL, None), STEP)
            except BudgetExceeded:
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(100))) == 50


def test_opening_and_closing_are_recorded(stand):
    with stand.scope(principal="ann", budget=Budget(usd="5", seconds=9)) as run:
        run.charge(usd="1.25")
    opened, closed = stand.record.events
    assert (opened.kind, opened.run_id, opened.agent) == ("run.opened", "r", "billing")
    assert (opened.mode, opened.time) == ("enforce", 1_000_000_000_000)
    assert opened.detail == {
        "version": "3",
        "owner": "dana@acme.example",
        "environment": "prod",
        "principal": "ann",
        "labels": [],
        "budget": {"usd": "5", "seconds": 9.0},
        "ancestry": [],
    }
    assert closed.kind == "run.closed"
    assert closed.detail == {"spent": {"usd": "1.25", "tokens": 0, "calls": 0}, "seconds": 0.0}


def test_a_run_that_cannot_be_recorded_does_not_open(stand):
    stand.record.fault = OSError("disk full")
    scope = stand.scope()
    with pytest.raises(StateUnavailable, match="disk full"), scope:
        pytest.fail("it was entered")
    assert not stand.ledger._known
    stand.record.fault = None
    with pytest.raises(ConfigError, match="entered before"):
        scope.__enter__()


def test_an_end_that_cannot_be_recorded_is_an_error_unless_there_is_one(stand):
    with pytest.raises(StateUnavailable, match="end of the run"), stand.scope("a"):
        stand.record.fault = OSError("disk full")
    stand.record.fault = None
    with pytest.raises(KeyError) as raised, stand.scope("b"):
        stand.record.fault = OSError("disk full")
        raise KeyError("own")
    assert "disk full" in raised.value.__notes__[0]
    assert not stand.ledger._known


@pytest.mark.parametrize(
    ("scope", "stopped"),
    [
        ("run/a", "a"),
        ("run/c", "c"),
        ("agent/billing", "a"),
        ("agent/search@3", "b"),
        ("agent/search", "b"),
        ("env/prod", "a"),
        ("all", "a"),
        ("tool/refund", "c"),
    ],
)
def test_a_kill_names_the_run_that_it_stops(stand, scope, stopped):
    top = stand.run("a")
    child = stand.run("b", agent="search", parent=top)
    leaf = stand.run("c", agent="search", parent=child)
    leaf.check_kill("refund")
    stand.kill_switch.kill(Scope.parse(scope), reason="enough", by="op")
    for _ in range(3):
        with pytest.raises(RunKilled) as killed:
            leaf.check_kill("refund")
        assert killed.value.run_id == stopped
        assert (killed.value.scope, killed.value.tool) == (scope, "refund")


@pytest.mark.parametrize(
    "scope", ["run/x", "agent/other", "agent/billing@2", "env/dev", "tool/refund"]
)
def test_a_kill_of_something_else_stops_nothing(stand, scope):
    run = stand.run()
    stand.kill_switch.kill(Scope.parse(scope), reason="enough", by="op")
    run.check_kill("search")
    run.check_kill()


def test_one_tool_found_alive_says_nothing_of_another(stand):
    run = stand.run()
    stand.kill_switch.kill(Scope("tool", "refund"), reason="enough", by="op")
    run.check_kill("search")
    run.check_kill(None)
    with pytest.raises(RunKilled):
        run.check_kill("refund")


def test_a_check_looks_again_only_when_something_changed(stand):
    run = stand.run()
    looks = []

    class Counting(MemoryKillSwitch):
        def find(self, subject):
            looks.append(subject)

    stand.kill_switch = Counting()
    for _ in range(5):
        run.check_kill("refund")
    assert len(looks) == 1
    stand.kill_switch.page[0] = 1
    run.check_kill("refund")
    assert len(looks) == 2


def test_a_resumed_agent_goes_on(stand):
    run, scope = stand.run(), Scope("agent", "billing")
    stand.kill_switch.kill(scope, reason="pause", by="op")
    with pytest.raises(RunKilled):
        run.check_kill()
    stand.kill_switch.resume(scope, reason="fixed", by="op")
    run.check_kill()


def test_a_kill_from_another_thread_reaches_children(stand):
    with (
        pytest.raises(RunStopped),
        stand.scope("a") as top,
        stand.scope("b", parent=top) as child,
    ):
        thread = threading.Thread(target=top.kill, args=("stop",))
        thread.start()
        thread.join()
        child.check_kill()
