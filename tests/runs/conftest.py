"""A stand-in for the governor: real ledger and kill switch, a clock by hand, a record in a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from guardrails.model.budget import Budget
from guardrails.model.facts import AgentFacts, Mode
from guardrails.runs.cancellation import cancellable
from guardrails.runs.context import current_run
from guardrails.runs.inflight import InFlight
from guardrails.runs.kill import MemoryKillSwitch
from guardrails.runs.ledgers.memory import MemoryLedger
from guardrails.runs.run import Run
from guardrails.runs.scope import RunScope

if TYPE_CHECKING:
    from guardrails.model.call import Event
    from guardrails.ports import Enforcer
    from guardrails.runs.alerts import Alert


class HandClock:
    def __init__(self):
        self.seconds = 1000.0

    def now_ns(self):
        return int(self.seconds * 1e9)

    def monotonic(self):
        return self.seconds

    def tick(self, seconds):
        self.seconds += seconds


class ListRecord:
    def __init__(self):
        self.events: list[Event] = []
        self.fault: Exception | None = None

    def write(self, event):
        if self.fault is not None:
            raise self.fault
        self.events.append(event)

    def close(self):
        pass


class Stand:
    """What runs need of a governor, and words to open runs."""

    def __init__(self):
        self.alerts: list[Alert] = []
        self.ledger = MemoryLedger(self.alerts.append)
        self.kill_switch = MemoryKillSwitch()
        self.in_flight = InFlight(self.kill_switch)
        self.record = ListRecord()
        self.clock = HandClock()
        self.modes = frozenset(Mode)

    def run(self, id="r", *, agent="billing", parent=None, budget=None, **words):
        facts = AgentFacts(agent, "3", "dana@acme.example", "prod")
        return Run(
            id=id,
            agent=facts,
            governor=cast("Enforcer", self),  # runs ask no more of it than is here
            budget=budget if budget is not None else Budget(),
            mode=Mode.ENFORCE,
            parent=parent,
            **words,
        )

    def current(self):
        return current_run()

    def governed(self, body, *, run=None, tool="refund"):
        run = run or current_run()
        assert run is not None
        return cancellable(body, run=run, tool=tool, in_flight=self.in_flight)

    def scope(self, id="r", **words):
        return RunScope(self.run(id, **words))


@pytest.fixture
def stand():
    return Stand()
