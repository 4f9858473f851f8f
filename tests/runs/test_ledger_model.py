"""The memory ledger against a naive model that sums up everything anew each time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guardrails.errors import BudgetExceeded, RunClosed
from guardrails.model.budget import Budget, Charge, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.memory import MemoryLedger

if TYPE_CHECKING:
    from guardrails.runs.alerts import Alert

TOOLS = {"search": None, "refund": Budget(calls=3), "pay": Budget(usd="0.000012", tokens=9)}
STEP = Step("t", "read", "allow", "ok")
LIMITS = st.one_of(st.none(), st.integers(0, 20))
PART = st.integers(0, 6)


def budgets():
    return st.builds(
        lambda usd, tokens, calls: Budget(
            usd=None if usd is None else f"{usd / 1_000_000:.6f}", tokens=tokens, calls=calls
        ),
        LIMITS,
        LIMITS,
        LIMITS,
    )


@dataclass
class ModelRun:
    id: str
    parent: ModelRun | None
    limits: tuple[int | None, ...]
    closed: bool = False

    def chain(self):
        run: ModelRun | None = self
        while run is not None:
            yield run
            run = run.parent


@dataclass
class ModelCall:
    run: ModelRun
    tool: str | None
    amount: list[int]
    state: str = "held"
    reported: set[int] = field(default_factory=set)
    overrun: list[int] = field(default_factory=lambda: [0, 0, 0])
    hold: object = None


def triple(budget):
    return (None,) * 3 if budget is None else (budget.micro_usd, budget.tokens, budget.calls)


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.alerts: list[Alert] = []
        self.ledger = MemoryLedger(self.alerts.append)
        self.runs: list[ModelRun] = []
        self.calls: list[ModelCall] = []
        self.tools_used: set[tuple[str, str]] = set()
        self.add_run(None, Budget(usd="0.000030", tokens=30, calls=12))

    def add_run(self, parent, budget):
        run = ModelRun(f"r{len(self.runs)}", parent, triple(budget))
        self.ledger.open_run(run.id, parent_id=parent and parent.id, budget=budget)
        self.runs.append(run)

    def sums(self, run, tool, states):
        found = [
            call
            for call in self.calls
            if call.state in states
            and any(level is run for level in call.run.chain())
            and tool in (None, call.tool)
        ]
        return [sum(call.amount[index] for call in found) for index in range(3)]

    def history(self, run):
        counts = {tool: self.sums(run, tool, {"held", "settled"})[2] for tool in TOOLS}
        return {tool: count for tool, count in counts.items() if count}

    def accounts(self, call_run, tool):
        for level in call_run.chain():
            if tool is not None:
                yield level, tool, triple(TOOLS[tool])
            yield level, None, level.limits

    def fits(self, run, tool, price):
        return all(
            limit is None
            or (
                sum(self.sums(level, name, {state})[index] for state in ("held", "settled"))
                + price[index]
                <= limit
                and not (index == 1 and self.sums(level, name, {"settled"})[1] >= limit > 0)
            )
            for level, name, limits in self.accounts(run, tool)
            for index, limit in enumerate(limits)
        )

    @precondition(lambda self: len(self.runs) < 6)
    @rule(data=st.data(), budget=budgets())
    def open_child(self, data, budget):
        parent = data.draw(st.sampled_from(self.runs))
        if any(level.closed for level in parent.chain()):
            with pytest.raises(RunClosed):
                self.add_run(parent, budget)
        else:
            self.add_run(parent, budget)

    @rule(data=st.data(), tool=st.sampled_from(sorted(TOOLS)), usd=PART, tokens=PART)
    def reserve(self, data, tool, usd, tokens):
        run = data.draw(st.sampled_from(self.runs))
        price = [usd, tokens, 1]
        expected: type[Exception] | None
        if any(level.closed for level in run.chain()):
            expected = RunClosed
        elif self.fits(run, tool, price):
            expected = None
        else:
            expected = BudgetExceeded
        if expected is not None:
            with pytest.raises(expected):
                self.ledger.reserve(run.id, tool, Usage(*price), TOOLS[tool])
            return
        before = self.ledger.remaining(run.id)
        hold = self.ledger.reserve(run.id, tool, Usage(*price), TOOLS[tool])
        snapshot = hold.snapshot
        assert snapshot.history == self.history(run)
        assert snapshot.calls == sum(self.history(run).values())
        assert snapshot.spent == Usage(*self.sums(run, None, {"settled"}))
        assert snapshot.reserved == Usage(*self.sums(run, None, {"held"}))
        assert snapshot.remaining == before
        self.calls.append(ModelCall(run, tool, price, hold=hold))

    def held(self, data):
        return data.draw(st.sampled_from([call for call in self.calls if call.state == "held"]))

    any_held = precondition(lambda self: any(call.state == "held" for call in self.calls))

    @any_held
    @rule(data=st.data(), usd=st.none() | PART, tokens=st.none() | PART)
    def charge(self, data, usd, tokens):
        call = self.held(data)
        self.ledger.charge(call.hold, Charge(usd, tokens))
        for index, part in enumerate((usd, tokens)):
            if part is None:
                continue
            change = part if index in call.reported else part - call.amount[index]
            call.reported.add(index)
            call.amount[index] += change
            call.overrun[index] += max(0, change)

    @any_held
    @rule(data=st.data(), usd=PART, tokens=PART)
    def replace(self, data, usd, tokens):
        call = self.held(data)
        price = [usd, tokens, 1]
        closed = any(level.closed for level in call.run.chain())
        call.state = "replaced"
        fits = self.fits(call.run, call.tool, price)
        if call.reported or closed or not fits:
            expected = ValueError if call.reported else RunClosed if closed else BudgetExceeded
            with pytest.raises(expected):
                self.ledger.replace(call.hold, Usage(*price))
            call.state = "held"
            return
        hold = self.ledger.replace(call.hold, Usage(*price))
        assert hold.snapshot.history == self.history(call.run)
        self.calls.append(ModelCall(call.run, call.tool, price, hold=hold))
        self.ledger.release(call.hold)  # a hold that was replaced holds nothing any more

    @any_held
    @rule(data=st.data(), twice=st.booleans())
    def settle(self, data, twice):
        call = self.held(data)
        for _ in range(1 + twice):
            self.ledger.settle(call.hold, STEP)
        call.state = "settled"

    @any_held
    @rule(data=st.data(), twice=st.booleans())
    def release(self, data, twice):
        call = self.held(data)
        for _ in range(1 + twice):
            self.ledger.release(call.hold)
        call.state = "released"

    @rule(data=st.data(), usd=PART, tokens=PART)
    def spend(self, data, usd, tokens):
        run = data.draw(st.sampled_from(self.runs))
        try:
            self.ledger.spend(run.id, Usage(usd, tokens))
        except RunClosed:
            assert run.closed
        else:
            call = ModelCall(run, None, [usd, tokens, 0], "settled", overrun=[usd, tokens, 0])
            self.calls.append(call)

    @precondition(lambda self: len(self.runs) > 1)
    @rule(data=st.data())
    def close(self, data):
        run = data.draw(st.sampled_from(self.runs[1:]))
        self.ledger.close_run(run.id)
        run.closed = True

    @invariant()
    def sums_agree(self):
        for run in self.runs:
            try:
                spent, reserved = self.ledger.spent(run.id), self.ledger.reserved(run.id)
            except RunClosed:
                assert run.closed
                continue
            assert spent == Usage(*self.sums(run, None, {"settled"}))
            assert reserved == Usage(*self.sums(run, None, {"held"}))

    @invariant()
    def never_more_than_the_limit_and_what_was_reported_over_it(self):
        for run in self.runs:
            for tool in (None, *TOOLS):
                limits = run.limits if tool is None else triple(TOOLS[tool])
                taken = self.sums(run, tool, {"held", "settled"})
                over = [
                    sum(
                        call.overrun[index]
                        for call in self.calls
                        if tool in (None, call.tool) and run in call.run.chain()
                    )
                    for index in range(3)
                ]
                for limit, amount, reported in zip(limits, taken, over, strict=True):
                    assert limit is None or amount <= limit + reported

    @invariant()
    def alerts_once_when_that_much_is_used(self):
        told = [(a.run_id, a.tool, a.dimension, a.percent) for a in self.alerts]
        assert len(told) == len(set(told))
        expected = set()
        for run in self.runs:
            for tool in (None, *TOOLS):
                limits = run.limits if tool is None else triple(TOOLS[tool])
                used = self.sums(run, tool, {"settled"})
                for name, limit, amount in zip(
                    ("usd", "tokens", "calls"), limits, used, strict=True
                ):
                    expected |= {
                        (run.id, tool, name, percent)
                        for percent in (50, 80)
                        if limit and amount * 100 >= limit * percent
                    }
        assert set(told) == expected


TestLedgerModel = LedgerMachine.TestCase
TestLedgerModel.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, derandomize=True
)
