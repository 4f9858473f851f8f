"""Accounts that runs share, in both ledgers: exactly N of M, windows, alerts, refusals."""

from __future__ import annotations

import asyncio
import gc
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from tests.budgets.stand import CALL, SOAK, STEP, call, more, terms

from guardrails.errors import BudgetExceeded
from guardrails.model.budget import Budget, Charge, Usage
from guardrails.ports import Ledger
from guardrails.runs.ledgers.memory import MemoryLedger
from guardrails.runs.ledgers.overview import Overview

if TYPE_CHECKING:
    from guardrails.runs.alerts import Alert


@pytest.mark.parametrize("lease", [1, 100])
@pytest.mark.parametrize("limits", [{"calls": 50}, {"usd": "5.00"}, {"tokens": 500}])
def test_threads_of_several_runs_start_exactly_as_many_calls_as_fit(stand, limits, lease):
    ledger = stand.ledger(**({"lease": lease} if stand.kind == "sqlite" else {}))
    shared = (terms("agent/a", calls=1000), terms("env/prod", **limits))
    runs = [stand.run(ledger, *shared) for _ in range(4)]
    start = threading.Barrier(4)

    def work(run_id):
        start.wait()
        return sum(call(ledger, run_id, Usage(100_000, 10, 1)) for _ in range(30))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, runs)) == 50


def test_tasks_start_exactly_as_many_calls_as_fit(stand):
    ledger = stand.ledger()
    runs = [stand.run(ledger, terms("env/prod", calls=40)) for _ in range(3)]

    async def one(run_id):
        try:
            hold = ledger.reserve(run_id, "t", CALL, None)
        except BudgetExceeded:
            return 0
        await asyncio.sleep(0)
        ledger.settle(hold, STEP)
        return 1

    async def main():
        return sum(await asyncio.gather(*(one(run_id) for run_id in runs for _ in range(40))))

    assert asyncio.run(main()) == 40


def test_it_is_a_ledger(stand):
    assert isinstance(stand.ledger(), Ledger)


def test_what_a_child_spends_its_parents_accounts_spend(stand):
    ledger = stand.ledger()
    parent = stand.run(ledger, terms("agent/a", calls=3), terms("env/prod", calls=100))
    child = stand.run(
        ledger, terms("agent/b", calls=50), terms("env/prod", calls=100), parent=parent
    )
    assert sum(call(ledger, child) for _ in range(5)) == 3
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(child, "t", CALL, None)
    assert refused.value.account == "agent/a"


def test_a_refusal_names_account_limit_spent_held_and_what_to_do(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("agent/billing", usd="5"))
    ledger.spend(run_id, Usage(micro_usd=4_900_000))
    ledger.reserve(run_id, "refund", Usage(80_000, 0, 1), None)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(run_id, "refund", Usage(50_000, 0, 1), None)
    error = refused.value
    assert error.message == (
        "`refund` needs $0.05, but agent/billing has $0.02 left of $5.00 a day: $4.90 spent, "
        "$0.08 held by calls in flight"
    )
    assert (error.account, error.dimension, error.top_up) == ("agent/billing", "usd", None)
    assert (error.limit, error.left, error.needed) == (Decimal(5), Decimal("0.02"), Decimal("0.05"))
    assert error.hint == (
        "wait until 2026-01-02T00:00:00+00:00, when it starts anew, or let somebody raise it: "
        "`guardrails budget set agent/billing --day DIMENSION=LIMIT --reason …`"
    )


def test_an_overrun_counts_in_full_on_every_account_and_stops_the_next_call(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("agent/a", usd="1"), terms("env/prod", usd="10"))
    hold = ledger.reserve(run_id, "t", Usage(500_000, 0, 1), None)
    ledger.charge(hold, Charge(micro_usd=3_000_000))
    ledger.settle(hold, STEP)
    with pytest.raises(BudgetExceeded, match=r"-\$2.00 left of \$1.00 a day: \$3.00 spent"):
        ledger.reserve(run_id, "t", CALL, None)
    other = stand.run(ledger, terms("env/prod", usd="10"))
    assert sum(call(ledger, other, Usage(1_000_000, 0, 1)) for _ in range(20)) == 7


@pytest.mark.parametrize("named", [False, True])
def test_an_overdrawn_account_refuses_every_call_also_one_that_takes_nothing_of_it(stand, named):
    ledger = stand.ledger()
    limits = Budget(usd="50")
    ledger.open_run(
        "job",
        parent_id=None,
        budget=limits if named else Budget(),
        terms=() if named else (terms("env/prod", usd="50"),),
        named=named,
    )

    def free_of_charge():
        try:
            hold = ledger.reserve("job", "t", CALL, None)
        except BudgetExceeded:
            return 0
        ledger.charge(hold, Charge(micro_usd=30_000_000))
        ledger.settle(hold, STEP)
        return 1

    assert [free_of_charge() for _ in range(6)] == [1, 1, 0, 0, 0, 0]
    stand.renew()
    assert [free_of_charge() for _ in range(3)] == [0, 0, 0]
    assert ledger.spent("job").micro_usd == 60_000_000


@pytest.mark.parametrize("how", ["charge", "late", "settle", "spend"])
@pytest.mark.parametrize("shared", ["account", "parent"])
def test_an_overrun_stops_what_another_run_has_holds_for(stand, shared, how):
    ledger = stand.ledger()
    cost = Usage(100_000, 0, 1)
    if shared == "account":
        going = stand.run(ledger, terms("env/prod", usd="100"))
        over = stand.run(ledger, terms("env/prod", usd="100"))
    else:
        going = stand.run(ledger, usd="100")
        over = stand.run(ledger, parent=going)
    hold = ledger.reserve(over, "t", CALL, None)
    if how == "settle":
        ledger.charge(hold, Charge(micro_usd=90_000_000))
    if how == "late":
        ledger.settle(hold, STEP)
    assert sum(call(ledger, going, cost) for _ in range(20)) == 20
    if how == "spend":
        ledger.spend(over, Usage(micro_usd=104_000_000))
    else:
        ledger.charge(hold, Charge(micro_usd=104_000_000))
        ledger.settle(hold, STEP)
    assert sum(call(ledger, going, cost) for _ in range(22)) == 0
    assert sum(call(ledger, over) for _ in range(2)) == 0


def test_what_others_overdraw_stops_a_process_that_has_taken_already(machine):
    one, other = machine.ledger(), machine.ledger()
    mine = machine.run(one, terms("env/prod", usd="10", calls=1000))
    theirs = machine.run(other, terms("env/prod", usd="10", calls=1000))
    one.renew(0.5)
    assert sum(call(one, mine) for _ in range(10)) == 10
    other.spend(theirs, Usage(micro_usd=11_000_000))
    for ledger in (other, one):
        ledger.renew(2.0)
    assert one._leased[("env/prod", "day", *one._lines["env/prod", "day"].span)].limits[2] > 11
    assert sum(call(one, mine) for _ in range(10)) == 0


def test_a_window_that_ends_starts_anew_and_what_was_held_in_it_is_spent_in_it(stand):
    ledger = stand.ledger(time_zone="Europe/Berlin")
    stand.clock.advance(23 * 3600 - 60)  # a minute before the day ends in Berlin
    run_id = stand.run(ledger, terms("env/prod", calls=2), terms("env/prod", "month", calls=5))
    late = ledger.reserve(run_id, "t", CALL, None)
    assert sum(call(ledger, run_id) for _ in range(3)) == 1
    stand.clock.advance(61)
    ledger.settle(late, STEP)
    assert sum(call(ledger, run_id) for _ in range(3)) == 2
    stand.clock.advance(24 * 3600)
    assert sum(call(ledger, run_id) for _ in range(3)) == 1, "the month's five are used"
    stand.clock.advance(31 * 24 * 3600)
    assert sum(call(ledger, run_id) for _ in range(3)) == 2


def test_a_rate_is_calls_in_a_minute(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("agent/a", "minute", calls=20))
    for _ in range(3):
        assert sum(call(ledger, run_id) for _ in range(30)) == 20
        stand.clock.advance(60)


def test_a_clock_that_goes_back_opens_no_second_window(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("env/prod", "minute", calls=2))
    stand.clock.advance(60)
    assert sum(call(ledger, run_id) for _ in range(3)) == 2
    stand.clock.advance(-30)
    assert sum(call(ledger, run_id) for _ in range(3)) == 0


def test_alerts_come_once_a_threshold_and_window_and_again_when_the_limit_is_raised(stand):
    ledger = stand.ledger()
    account = terms("env/prod", top_up=more(calls=100), thresholds=(50, 80, 100), calls=10)
    run_id = stand.run(ledger, account)

    def told():
        stand.renew()
        ledger.tell()
        found, stand.alerts[:] = [(a.account, a.window, a.percent) for a in stand.alerts], []
        return found

    for _ in range(12):
        call(ledger, run_id)
    assert told() == [("env/prod", "day", each) for each in (50, 80, 100)]
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(run_id, "t", CALL, None)
    assert ledger.raise_limit(refused.value.top_up, request_id="ap-1", by="dana")
    assert told() == []
    for _ in range(60):
        call(ledger, run_id)
    assert told() == [("env/prod", "day", 50)], "55 of 110"
    stand.clock.advance(24 * 3600)
    for _ in range(5):
        call(ledger, run_id)
    assert told() == [("env/prod", "day", 50)], "the raise was that day's alone"


def test_what_other_tools_spent_counts_for_an_alert_at_once():
    alerts: list[Alert] = []
    ledger = MemoryLedger(alerts.append)
    ledger.open_run("r", parent_id=None, budget=Budget(calls=100))
    assert sum(call(ledger, "r", tool="a") for _ in range(30)) == 30
    for number in range(31, 51):
        assert call(ledger, "r", tool="b") == 1
        assert [each.percent for each in alerts] == ([50] if number == 50 else [])


def test_a_top_up_raises_once_and_only_what_it_was_asked_for(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("env/prod", top_up=more(calls=2), calls=2))
    assert sum(call(ledger, run_id) for _ in range(5)) == 2
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(run_id, "t", CALL, None)
    asked = refused.value.top_up
    assert ledger.raise_limit(asked, request_id="ap-1", by="dana")
    assert not ledger.raise_limit(asked, request_id="ap-1", by="dana")
    assert not ledger.raise_limit(asked, request_id="ap-2", by="dana"), "the limit has changed"
    assert sum(call(ledger, run_id) for _ in range(5)) == 2


def test_nobody_is_asked_for_a_top_up_that_cannot_raise_what_is_used_up(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("env/prod", top_up=more(usd="1"), usd="1", calls=2))
    assert sum(call(ledger, run_id) for _ in range(3)) == 2
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(run_id, "t", CALL, None)
    assert (refused.value.dimension, refused.value.top_up) == ("calls", None)
    stand.clock.advance(24 * 3600)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(run_id, "t", Usage(2_000_000, 0, 1), None)
    assert refused.value.top_up is not None


@pytest.mark.parametrize(("limit", "runs"), [(4, 2), (None, 0), (2, 0)])
def test_a_limit_that_is_set_takes_the_place_of_what_a_top_up_added(machine, limit, runs):
    ledger = machine.ledger(lease=1)
    account = terms("env/prod", top_up=more(calls=7, tokens=5), calls=2, tokens=100)
    run_id = machine.run(ledger, account)
    assert sum(call(ledger, run_id) for _ in range(3)) == 2
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve(run_id, "t", CALL, None)
    assert ledger.raise_limit(refused.value.top_up, request_id="ap-1", by="dana")
    overview = Overview(machine.folder / "budgets.sqlite", [account], ledger.calendar)
    now = machine.clock.now_ns()
    change = overview.set_limit(
        "env/prod", "day", "calls", limit, by="dana", reason="no more", now_ns=now
    )
    assert (change.old, change.new) == (9, limit or 2)
    assert overview.stands(now)[0].limits == (None, 105, limit or 2), "the other one still holds"
    overview.close()
    machine.renew()
    assert sum(call(ledger, run_id) for _ in range(9)) == runs


@pytest.mark.parametrize("shared", [False, True])
def test_a_limit_that_was_set_for_a_run_is_its_own_again_by_default(machine, shared):
    ledger = machine.ledger(lease=1)
    run_id = machine.run(ledger, calls=10)
    if shared:
        ledger.share_run(run_id)
    overview = Overview(machine.folder / "budgets.sqlite", [], ledger.calendar)

    def set_to(limit):
        machine.renew()
        words = {"by": "dana", "reason": "r", "now_ns": machine.clock.now_ns()}
        change = overview.set_limit(f"run/{run_id}", "run", "calls", limit, **words)
        machine.renew()
        return change.old, change.new

    machine.renew()
    assert sum(call(ledger, run_id) for _ in range(2)) == 2
    assert set_to(3) == (10, 3)
    assert sum(call(ledger, run_id) for _ in range(9)) == 1
    assert set_to(None) == (3, 10)
    assert sum(call(ledger, run_id) for _ in range(9)) == 7
    overview.close()


def test_snapshots_under_any_interleaving_let_exactly_n_pass(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("env/prod", calls=1000))
    start = threading.Barrier(4)

    def work(_):
        start.wait()
        passed = 0
        for _ in range(50):
            hold = ledger.reserve(run_id, "t", CALL, None)
            if hold.snapshot.history.get("t", 0) < 60:
                ledger.settle(hold, STEP)
                passed += 1
            else:
                ledger.release(hold)
        return passed

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 60


def test_a_tools_limit_and_a_runs_hold_beside_shared_ones(stand):
    ledger = stand.ledger()
    run_id = stand.run(ledger, terms("env/prod", calls=100), calls=20)
    tool = Budget(calls=5)
    assert sum(call(ledger, run_id, tool="pay", limits=tool) for _ in range(9)) == 5
    assert sum(call(ledger, run_id) for _ in range(30)) == 15


@pytest.mark.soak
def test_a_million_calls_keep_no_memory(stand):
    calls = 1_000_000 if SOAK else 10_000
    ledger = stand.ledger()
    run_id = stand.run(
        ledger, terms("env/prod", calls=10**9, usd=10**6), terms("a/b", "minute", calls=10**9)
    )

    def work(number):
        for index in range(number):
            hold = ledger.reserve(run_id, "t", Usage(1, 0, 1), None)
            if index % 7 == 0:
                assert hold.snapshot.calls >= 0
            ledger.settle(hold, STEP)
            if index % 1000 == 0:
                stand.clock.advance(60)
                stand.renew()

    work(2_000)
    gc.collect()
    tracemalloc.start()
    work(calls)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 200_000


def test_tokens_that_are_used_up_exactly_stop_the_next_call(stand):
    """How many a call takes is known afterwards, so that one more could but overdraw."""
    ledger = stand.ledger()
    for account, own in ((terms("env/a", tokens=100), {}), (terms("env/b"), {"tokens": 100})):
        run = stand.run(ledger, account, **own)
        assert sum(call(ledger, run) for _ in range(12)) == 12, "that takes from a purse by now"
        hold = ledger.reserve(run, "t", CALL, None)
        ledger.charge(hold, Charge(tokens=99))
        ledger.settle(hold, STEP)
        assert call(ledger, run) == 1
        ledger.spend(run, Usage(0, 1, 0))
        with pytest.raises(BudgetExceeded, match="0 left of 100 tokens") as refused:
            ledger.reserve(run, "t", CALL, None)
        assert refused.value.dimension == "tokens"
        assert "known only afterwards" in str(refused.value)


def test_what_costs_nothing_fits_a_limit_of_money_that_is_met(stand):
    ledger = stand.ledger()
    run = stand.run(ledger, terms("env/prod", usd="1"), usd="1", tokens=0)
    assert call(ledger, run, Usage(1_000_000, 0, 1)) == 1
    assert call(ledger, run, Usage(0, 0, 1)) == 1
    assert call(ledger, run, Usage(1, 0, 1)) == 0
