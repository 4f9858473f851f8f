"""Ledgers for tests: a clock by hand, and a thread that does not run, so that tests may."""

from __future__ import annotations

import itertools
import os

from guardrails.errors import BudgetExceeded
from guardrails.model.account import Terms, TopUp, Window
from guardrails.model.budget import Budget, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.memory import MemoryLedger
from guardrails.runs.ledgers.sqlite import SqliteLedger
from guardrails.testing import FakeClock

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
STEP = Step("t", "write", "allow", "ok")
CALL = Usage(calls=1)


class StillLedger(SqliteLedger):
    """A ledger whose reports are made by the test alone."""

    def _start(self):
        pass


class Stand:
    """Ledgers of one kind: with SQLite each one is what another process would have."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.folder = folder
        self.clock = FakeClock()
        self.alerts = []
        self.acts = []
        self.ledgers = []
        self._numbers = itertools.count()

    def ledger(self, **settings):
        clock = settings.pop("clock", self.clock)
        zone = settings.pop("time_zone", "UTC")
        if self.kind == "memory":
            made = MemoryLedger(self.alerts.append, clock=clock, time_zone=zone)
        else:
            kind = settings.pop("kind", StillLedger)
            made = kind(
                self.folder / "budgets.sqlite",
                self.alerts.append,
                on_act=lambda kind, detail: self.acts.append((kind, detail)),
                clock=clock,
                time_zone=zone,
                **settings,
            )
        self.ledgers.append(made)
        return made

    def run(self, ledger, *terms, parent=None, **limits):
        run_id = f"r{next(self._numbers)}"
        ledger.open_run(run_id, parent_id=parent, budget=Budget(**limits), terms=terms)
        return run_id

    def renew(self):
        """What the threads do, now."""
        for ledger in self.ledgers:
            if self.kind == "sqlite" and not ledger._closed:
                ledger._next_report = 0.0
                ledger.renew(1e9)


def terms(account, window="day", top_up=None, thresholds=(50, 80), **limits):
    return Terms(account, Window(window), Budget(**limits), top_up, thresholds)


def more(**by):
    return TopUp(Budget(**by), ("finance-ops",))


def call(ledger, run_id, cost=CALL, tool="t", limits=None):
    """One call, executed: 1, or 0 where it is refused."""
    try:
        hold = ledger.reserve(run_id, tool, cost, limits)
    except BudgetExceeded:
        return 0
    ledger.settle(hold, STEP)
    return 1
