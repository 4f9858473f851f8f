"""Both ledgers against a plain reference, whatever processes do, also die, and whoever sets limits.

*Executed cost ≤ limit + overruns that tools reported*, for every account at every moment.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.budgets.stand import SOAK, STEP, Stand, more, terms

from guardrails.errors import BudgetExceeded
from guardrails.model.account import Window
from guardrails.model.budget import Charge, Usage
from guardrails.runs.ledgers.amounts import is_over, limits_of
from guardrails.runs.ledgers.overview import Overview
from guardrails.runs.windows import Calendar

MEMORY = Path("/dev/shm")  # noqa: S108  # where there is one, nothing waits for a disk
ASKED = more(usd="0.000010", calls=3)
ACCOUNTS = {
    "a": (
        terms("agent/a", calls=9, usd="0.000040"),
        terms("agent/a", "minute", calls=5),
        terms("env/prod", "day", ASKED, usd="0.000060", tokens=50, calls=14),
    ),
    "b": (terms("env/prod", "day", ASKED, usd="0.000060", tokens=50, calls=14),),
}
PART = st.integers(0, 6)


@dataclass
class Call:
    lines: tuple
    amount: list
    hold: Any
    ledger: Any
    reported: set = field(default_factory=set)


class SharedMachine(RuleBasedStateMachine):
    kind = "sqlite"
    holders = 3
    dies = True
    lease = 3

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.stand = Stand(self.kind, Path(self.folder.name))
        self.calendar = Calendar("UTC")
        self.running = [self.new() for _ in range(self.holders)]
        self.held: list[Call] = []
        self.spent: dict = {}
        self.known: dict = {}  # the same, as far as a process spent it itself
        self.over: dict = {}
        self.limits: dict = {}
        self.dead = 0
        self.numbers = itertools.count()

    def new(self):
        ledger = self.stand.ledger(**({"lease": self.lease} if self.kind == "sqlite" else {}))
        return ledger, {name: self.stand.run(ledger, *terms) for name, terms in ACCOUNTS.items()}

    def lines(self, name):
        now = self.stand.clock.now_ns()
        found = []
        for each in ACCOUNTS[name]:
            line = (each.account, each.window.value, self.calendar.span(each.window, now).start)
            self.limits.setdefault(line, list(limits_of(each.limits)))
            found.append(line)
        return tuple(found)

    def add(self, sums, line, amount):
        known = sums.setdefault(line, [0, 0, 0])
        for index, part in enumerate(amount):
            known[index] += part

    def taken(self, line):
        held = [call.amount for call in self.held if line in call.lines]
        spent = self.spent.get(line, [0, 0, 0])
        return [spent[index] + sum(each[index] for each in held) for index in range(3)]

    @rule(data=st.data(), name=st.sampled_from("ab"), usd=PART, tokens=PART, yes=st.booleans())
    def reserve(self, data, name, usd, tokens, yes):
        ledger, runs = data.draw(st.sampled_from(self.running))
        lines, price = self.lines(name), [usd, tokens, 1]
        fits = all(
            limit is None
            or (
                self.taken(line)[index] + price[index] <= limit
                and not is_over(index, self.spent.get(line, [0, 0, 0])[index], limit)
            )
            for line in lines
            for index, limit in enumerate(self.limits[line])
        )
        try:
            hold = ledger.reserve(runs[name], "t", Usage(*price), None)
        except BudgetExceeded as refused:
            # With several processes one may be refused while another still has what it needs.
            assert not fits or (self.kind == "sqlite" and (self.holders > 1 or self.dead))
            self.answered(ledger, refused, yes=yes)
        else:
            assert fits or self.holders > 1, "what another process overran is heard of later"
            for line in lines:
                known = self.known.get((id(ledger), line), [0, 0, 0])
                for index, limit in enumerate(self.limits[line]):
                    assert not is_over(index, known[index], limit), "nothing is left of it"
            self.held.append(Call(lines, price, hold, ledger))

    def answered(self, ledger, refused, *, yes):
        """What people say where they are asked: the limit goes up once."""
        asked = refused.top_up
        if asked is None or not yes:
            return
        line = (asked.account, asked.window, asked.start)
        if ledger.raise_limit(asked, request_id=f"ap-{next(self.numbers)}", by="d"):
            for index, by in enumerate(limits_of(asked.top_up.by)):
                if self.limits[line][index] is not None:
                    self.limits[line][index] += by or 0

    any_held = precondition(lambda self: self.held)

    @any_held
    @rule(data=st.data(), usd=st.none() | PART, tokens=st.none() | PART)
    def charge(self, data, usd, tokens):
        call = data.draw(st.sampled_from(self.held))
        call.ledger.charge(call.hold, Charge(usd, tokens))
        for index, part in enumerate((usd, tokens)):
            if part is None:
                continue
            change = part if index in call.reported else part - call.amount[index]
            call.reported.add(index)
            call.amount[index] += change
            for line in call.lines:
                self.add(self.over, line, [max(0, change) if at == index else 0 for at in range(3)])

    @any_held
    @rule(data=st.data())
    def settle(self, data):
        call = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        call.ledger.settle(call.hold, STEP)
        for line in call.lines:
            self.add(self.spent, line, call.amount)
            self.add(self.known, (id(call.ledger), line), call.amount)

    @any_held
    @rule(data=st.data())
    def release(self, data):
        call = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        call.ledger.release(call.hold)
        if call.reported:  # it did report, and still did not run: nothing of it counts
            for line in call.lines:
                self.add(self.over, line, [0, 0, 0])

    @rule(seconds=st.sampled_from([1, 30, 60, 3600, 90_000]))
    def wait(self, seconds):
        self.stand.clock.advance(seconds)

    @rule(data=st.data())
    def renew(self, data):
        if self.kind == "sqlite":
            ledger, _ = data.draw(st.sampled_from(self.running))
            ledger._next_report = 0.0
            ledger.renew(data.draw(st.sampled_from([0.5, 1e9])))

    @precondition(lambda self: self.kind == "sqlite" and self.dies and self.dead < 3)
    @rule(data=st.data())
    def die(self, data):
        """A process is gone at once, with what it had taken; another one starts."""
        at = data.draw(st.integers(0, len(self.running) - 1))
        ledger, _ = self.running[at]
        with ledger._exchange.database.transaction() as connection:
            connection.execute(
                "UPDATE holder SET started = 'gone' WHERE id = ?", (ledger._exchange.holder,)
            )
        # Its calls have run, as far as anybody can know: their cost is executed.
        for call in [call for call in self.held if call.ledger is ledger]:
            self.held.remove(call)
            for line in call.lines:
                self.add(self.spent, line, call.amount)
        ledger._closed = True
        ledger._exchange.database.close()
        self.dead += 1
        self.running[at] = self.new()

    @invariant()
    def never_more_than_the_limit_and_what_was_reported_over_it(self):
        for line, limits in self.limits.items():
            taken, over = self.taken(line), self.over.get(line, [0, 0, 0])
            for index, limit in enumerate(limits):
                assert limit is None or taken[index] <= limit + over[index], (line, index)

    def teardown(self):
        try:
            self.agrees_in_the_end()
        finally:
            for ledger in self.stand.ledgers:
                ledger.close()
            self.folder.cleanup()

    def agrees_in_the_end(self):
        for call in self.held:
            call.ledger.settle(call.hold, STEP)
            for line in call.lines:
                self.add(self.spent, line, call.amount)
        self.held = []
        if self.kind != "sqlite":
            return
        for ledger, _ in self.running:
            ledger.close()
        every = {(each.account, each.window): each for group in ACCOUNTS.values() for each in group}
        overview = Overview(
            self.stand.folder / "budgets.sqlite", tuple(every.values()), self.calendar
        )
        found = {
            (each.account, each.window, each.start): each
            for each in overview.stands(self.stand.clock.now_ns())
        }
        overview.close()
        for (account, window, start), each in found.items():
            if window not in set(Window):
                continue
            spent = tuple(self.spent.get((account, window, start), [0, 0, 0]))
            assert each.taken == (0, 0, 0)
            if self.dead:  # what a dead process had taken is charged with what it had not reported
                sums = [a + b for a, b in zip(each.spent, each.crashed, strict=True)]
                for index, limit in enumerate(each.limits):
                    if limit is not None:
                        # But for overruns that it had heard of and told nobody.
                        lost = self.over.get((account, window, start), [0, 0, 0])[index]
                        assert sums[index] + lost >= min(spent[index], limit)
            else:
                assert each.spent == spent


class MemoryMachine(SharedMachine):
    kind, holders, dies = "memory", 1, False


class OneProcessMachine(SharedMachine):
    holders, dies = 1, False


class UnleasedMachine(SharedMachine):
    lease = 1


SAMPLE = settings(
    max_examples=400 if SOAK else 15, stateful_step_count=40, deadline=None, derandomize=not SOAK
)
TestMemory = MemoryMachine.TestCase
TestMemory.settings = SAMPLE
TestOneProcess = OneProcessMachine.TestCase
TestOneProcess.settings = SAMPLE
TestProcesses = SharedMachine.TestCase
TestProcesses.settings = SAMPLE
TestUnleased = UnleasedMachine.TestCase
TestUnleased.settings = SAMPLE
