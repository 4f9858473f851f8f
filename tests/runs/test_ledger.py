"""The memory ledger: exactly N of M, what a call reports, ends of holds, alerts, memory."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from guardrails.errors import BudgetExceeded, ConfigError, RunClosed
from guardrails.model.budget import Budget, Charge, Remaining, Usage
from guardrails.model.call import Step
from guardrails.ports import Ledger
from guardrails.runs.ledgers.memory import MemoryLedger

if TYPE_CHECKING:
    from guardrails.runs.alerts import Alert

STEP = Step("refund", "write", "allow", "ok")
CALL = Usage(calls=1)


def ledger_with(on_alert=None, **limits):
    ledger = MemoryLedger(on_alert)
    ledger.open_run("r", parent_id=None, budget=Budget(**limits))
    return ledger


def test_it_is_a_ledger():
    assert isinstance(MemoryLedger(), Ledger)


@pytest.mark.parametrize("limits", [{"calls": 50}, {"usd": "5.00"}, {"tokens": 500}])
def test_threads_run_exactly_as_many_calls_as_fit(limits):
    ledger = ledger_with(**limits)
    start = threading.Barrier(8)

    def work(_):
        start.wait()
        done = 0
        for _ in range(20):
            try:
                hold = ledger.reserve("r", "refund", Usage(100_000, 10, 1), None)
            except BudgetExceeded:
                continue
            ledger.settle(hold, STEP)
            done += 1
        return done

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(8))) == 50
    assert ledger.spent("r") == Usage(5_000_000, 500, 50)
    assert ledger.reserved("r") == Usage()


def test_three_calls_at_once_under_a_limit_of_two_start_exactly_two():
    ledger = ledger_with(calls=2)

    async def call():
        try:
            hold = ledger.reserve("r", "refund", CALL, None)
        except BudgetExceeded:
            return 0
        await asyncio.sleep(0)
        ledger.settle(hold, STEP)
        return 1

    async def main():
        return sum(await asyncio.gather(*(call() for _ in range(3))))

    assert asyncio.run(main()) == 2


def test_children_spend_from_one_parent():
    ledger = ledger_with(calls=10)
    for number in range(4):
        ledger.open_run(f"c{number}", parent_id="r", budget=Budget(calls=6))

    def work(number):
        done = 0
        for _ in range(10):
            try:
                ledger.settle(ledger.reserve(f"c{number}", "refund", CALL, None), STEP)
            except BudgetExceeded:
                continue
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(work, range(4)))
    assert sum(done) == 10
    assert max(done) <= 6
    assert ledger.spent("r").calls == 10


def test_a_tools_limit_is_not_passed_by_way_of_children():
    ledger = ledger_with()
    ledger.open_run("c", parent_id="r", budget=Budget())
    for run_id in ("r", "c"):
        ledger.reserve(run_id, "refund", CALL, Budget(calls=2))
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve("c", "refund", CALL, Budget(calls=2))
    assert refused.value.account == "tool/refund in run/r"
    ledger.reserve("c", "search", CALL, None)


def test_a_refusal_names_account_limit_spent_held_and_needed():
    ledger = ledger_with(usd="5")
    ledger.spend("r", Usage(micro_usd=4_900_000))
    ledger.reserve("r", "refund", Usage(80_000, 0, 1), None)
    with pytest.raises(BudgetExceeded) as refused:
        ledger.reserve("r", "refund", Usage(50_000, 0, 1), None)
    error = refused.value
    assert error.message == (
        "`refund` needs $0.05, but run/r has $0.02 left of $5.00: $4.90 spent, "
        "$0.08 held by calls in flight"
    )
    assert (error.account, error.dimension) == ("run/r", "usd")
    assert (error.limit, error.left, error.needed) == (Decimal(5), Decimal("0.02"), Decimal("0.05"))
    assert (error.tool, error.run_id) == ("refund", "r")


def test_a_refused_reservation_holds_nothing_on_any_account():
    ledger = ledger_with(calls=1)
    ledger.open_run("c", parent_id="r", budget=Budget(calls=5))
    ledger.reserve("r", "search", CALL, None)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("c", "refund", CALL, Budget(calls=5))
    assert ledger.reserved("c") == Usage()
    assert ledger.reserved("r").calls == 1


def test_the_first_report_replaces_the_price_and_further_ones_add():
    ledger = ledger_with(usd="1", tokens=100)
    hold = ledger.reserve("r", "ask", Usage(20_000, 10, 1), None)
    ledger.charge(hold, Charge(micro_usd=5_000))
    assert hold.cost == Usage(5_000, 10, 1)
    ledger.charge(hold, Charge(micro_usd=7_000, tokens=40))
    assert hold.cost == Usage(12_000, 40, 1)
    assert ledger.reserved("r") == Usage(12_000, 40, 1)
    ledger.settle(hold, STEP)
    assert ledger.spent("r") == Usage(12_000, 40, 1)


def test_an_overrun_counts_in_full_at_once_and_stops_the_next_call():
    ledger = ledger_with(tokens=100)
    hold = ledger.reserve("r", "ask", CALL, None)
    ledger.charge(hold, Charge(tokens=130))
    with pytest.raises(BudgetExceeded, match="-30 left"):
        ledger.reserve("r", "search", CALL, None)
    ledger.settle(hold, STEP)
    assert ledger.remaining("r") == Remaining(tokens=-30)
    with pytest.raises(BudgetExceeded):
        ledger.reserve("r", "search", CALL, None)


def test_a_replaced_hold_takes_its_own_part_again_and_a_refused_one_stands():
    ledger = ledger_with(usd="0.10", tokens=100, calls=1)
    old = ledger.reserve("r", "refund", Usage(80_000, 80, 1), Budget(usd="0.10"))
    with pytest.raises(BudgetExceeded):
        ledger.replace(old, Usage(100_001, 80, 1))
    with pytest.raises(BudgetExceeded):
        ledger.replace(old, Usage(80_000, 101, 1))
    assert ledger.reserved("r") == Usage(80_000, 80, 1)
    new = ledger.replace(old, Usage(100_000, 100, 1))
    assert new.snapshot.remaining == Remaining(100_000, 100, 1)
    assert ledger.reserved("r") == Usage(100_000, 100, 1)


def test_a_report_after_the_end_is_still_counted():
    ledger = ledger_with(tokens=100)
    hold = ledger.reserve("r", "ask", CALL, None)
    ledger.settle(hold, STEP)
    ledger.charge(hold, Charge(tokens=30))
    assert ledger.spent("r") == Usage(0, 30, 1)


def test_released_calls_leave_no_trace_and_failed_ones_do():
    ledger = ledger_with(calls=5)
    ledger.release(ledger.reserve("r", "refund", CALL, None))
    ledger.settle(
        ledger.reserve("r", "search", CALL, None), Step("search", "read", "allow", "error")
    )
    snapshot = ledger.reserve("r", "search", CALL, None).snapshot
    assert snapshot.history == {"search": 1}
    assert [step["outcome"] for step in snapshot.steps] == ["error"]


def test_the_first_end_of_a_hold_stands():
    ledger = ledger_with(calls=5)
    hold = ledger.reserve("r", "refund", CALL, None)
    ledger.settle(hold, STEP)
    ledger.settle(hold, STEP)
    ledger.release(hold)
    assert ledger.spent("r").calls == 1
    with pytest.raises(ValueError, match="was settled, and cannot be replaced"):
        ledger.replace(hold, CALL)
    released = ledger.reserve("r", "refund", CALL, None)
    ledger.release(released)
    ledger.release(released)
    with pytest.raises(ValueError, match="was released, and cannot be settled"):
        ledger.settle(released, STEP)
    assert ledger.spent("r").calls == 1
    assert ledger.reserved("r") == Usage()


def test_a_snapshot_counts_every_other_call_in_flight_and_children_under_any_interleaving():
    ledger = ledger_with()
    ledger.open_run("c", parent_id="r", budget=Budget())
    start = threading.Barrier(8)

    def work(number):
        start.wait()
        return [ledger.reserve("c" if number % 2 else "r", "refund", CALL, None) for _ in range(10)]

    with ThreadPoolExecutor(8) as pool:
        holds = [hold for made in pool.map(work, range(8)) for hold in made]
    ledger.settle(holds.pop(), STEP)
    ledger.release(holds.pop())
    seen = ledger.reserve("r", "refund", CALL, None).snapshot
    assert seen.history == {"refund": 79}
    # Of calls on one account no two saw the same number: a rule on it lets exactly N pass.
    counts = [
        hold.snapshot.history.get("refund", 0) for hold in holds if hold.account.run_id == "r"
    ]
    assert len(set(counts)) == len(counts)


def test_the_last_32_steps_are_kept_oldest_first():
    ledger = ledger_with()
    for number in range(40):
        hold = ledger.reserve("r", "refund", CALL, None)
        ledger.settle(hold, Step(f"t{number}", "read", "allow", "ok"))
    steps = ledger.reserve("r", "refund", CALL, None).snapshot.steps
    assert [step["tool"] for step in steps] == [f"t{number}" for number in range(8, 40)]


def test_alerts_come_once_at_50_and_80_percent_used():
    alerts: list[Alert] = []
    ledger = ledger_with(alerts.append, usd="5")
    for _ in range(50):
        ledger.settle(ledger.reserve("r", "refund", Usage(100_000, 0, 1), None), STEP)
    assert [(a.percent, a.used) for a in alerts] == [(50, Decimal("2.5")), (80, Decimal(4))]
    assert str(alerts[0]) == "run/r has used 50 % of its limit: $2.50 of $5.00"
    assert alerts[0].document() == {
        "account": "run/r",
        "dimension": "usd",
        "percent": 50,
        "used": "2.5",
        "limit": "5",
    }


def test_holds_do_not_alert_and_one_jump_tells_both_thresholds():
    alerts: list[Alert] = []
    ledger = ledger_with(alerts.append, tokens=10)
    hold = ledger.reserve("r", "ask", Usage(0, 10, 1), Budget(calls=2))
    assert alerts == []
    ledger.settle(hold, STEP)
    assert [str(alert) for alert in alerts] == [
        "tool/ask in run/r has used 50 % of its limit: 1 of 2 calls",
        "run/r has used 50 % of its limit: 10 of 10 tokens",
        "run/r has used 80 % of its limit: 10 of 10 tokens",
    ]


def test_threads_raise_each_alert_once_and_outside_of_the_lock():
    alerts = []

    def on_alert(alert):
        alerts.append((alert.percent, ledger.spent("r").calls))  # would wait for ever in the lock

    ledger = ledger_with(on_alert, calls=100)
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda _: ledger.settle(ledger.reserve("r", "t", CALL, None), STEP), range(100)
            )
        )
    assert sorted(percent for percent, _ in alerts) == [50, 80]


def test_a_closed_run_gives_no_hold_and_lets_those_in_flight_settle():
    ledger = ledger_with(calls=5)
    hold = ledger.reserve("r", "refund", CALL, None)
    ledger.close_run("r")
    with pytest.raises(RunClosed):
        ledger.reserve("r", "refund", CALL, None)
    with pytest.raises(RunClosed):
        ledger.replace(hold, CALL)
    ledger.settle(hold, STEP)
    assert ledger.spent("r").calls == 1


def test_below_a_closed_run_nothing_opens_nor_runs():
    ledger = ledger_with()
    ledger.open_run("c", parent_id="r", budget=Budget())
    ledger.close_run("r")
    with pytest.raises(RunClosed):
        ledger.reserve("c", "refund", CALL, None)
    with pytest.raises(RunClosed):
        ledger.open_run("d", parent_id="c", budget=Budget())


def test_an_id_is_used_once():
    ledger = ledger_with()
    with pytest.raises(ConfigError, match="`r`"):
        ledger.open_run("r", parent_id=None, budget=Budget())


def test_closed_runs_leave_nothing_but_their_part_of_the_parents_sums():
    ledger = ledger_with()
    for number in range(50):
        ledger.open_run(f"c{number}", parent_id="r", budget=Budget(calls=1))
        hold = ledger.reserve(f"c{number}", "refund", CALL, None)
        ledger.close_run(f"c{number}")
        assert ledger.reserved("r").calls == 1
        ledger.settle(hold, STEP)
        del hold
    gc.collect()
    assert set(ledger._known) == {"r"}
    assert ledger.spent("r").calls == 50
    ledger.close_run("r")
    gc.collect()
    assert not ledger._known


def test_negative_amounts_and_foreign_holds_are_errors():
    ledger = ledger_with()
    with pytest.raises(ValueError, match="never negative"):
        ledger.spend("r", Usage(micro_usd=-1))
    with pytest.raises(TypeError, match="hold of this ledger"):
        ledger.release(object())
