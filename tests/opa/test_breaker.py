"""The breaker as a state machine: permits, late results and abandoned probes in any order."""

from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from guardrails.opa.breaker import Breaker, BreakerState, Permit
from guardrails.testing import FakeClock

FAILURES = 3
PAUSE = 2.0


class Machine(RuleBasedStateMachine):
    """The breaker beside a model that keeps everything it was told."""

    permits = Bundle("permits")

    def __init__(self):
        super().__init__()
        self.clock = FakeClock()
        self.breaker = Breaker(self.clock, failures=FAILURES, pause=PAUSE)
        self.state = BreakerState.CLOSED
        self.since = 0.0
        self.row = 0
        self.valid = set()
        """The permits whose results still count."""
        self.kept = []

    @rule(target=permits)
    def admit(self):
        permit = self.breaker.admit()
        over = self.clock.monotonic() - self.since >= PAUSE
        if self.state is BreakerState.CLOSED:
            assert permit is not None
            assert not permit.is_probe
        elif self.state is BreakerState.OPEN and over:
            assert permit is not None
            assert permit.is_probe
            self.state = BreakerState.HALF_OPEN
        else:
            assert permit is None
        if permit is not None:
            self.kept.append(permit)
            self.valid.add(len(self.kept) - 1)
        return None if permit is None else len(self.kept) - 1

    @rule(permit=consumes(permits), outcome=st.sampled_from(["succeeded", "failed", "abandoned"]))
    def report(self, permit, outcome):
        if permit is None:
            return
        getattr(self.breaker, outcome)(self.kept[permit])
        if permit not in self.valid:
            return
        self.valid.discard(permit)
        is_probe = self.kept[permit].is_probe
        if outcome == "succeeded":
            self.row = 0
            if is_probe:
                self._move(BreakerState.CLOSED)
        elif outcome == "failed":
            self.row += 1
            if is_probe or self.row >= FAILURES:
                self.since = self.clock.monotonic()
                self._move(BreakerState.OPEN)
        elif is_probe:
            self._move(BreakerState.OPEN)

    @rule(seconds=st.sampled_from([0.5, 1.0, PAUSE]))
    def advance(self, seconds):
        self.clock.advance(seconds)

    @invariant()
    def is_as_the_model_says(self):
        assert self.breaker.state is self.state

    @invariant()
    def at_most_one_probe_counts(self):
        assert sum(self.kept[each].is_probe for each in self.valid) <= 1

    def _move(self, state):
        self.state = state
        self.row = 0
        self.valid = set()


TestBreaker = Machine.TestCase


def test_of_many_threads_one_probes():
    clock = FakeClock()
    breaker = Breaker(clock, failures=1, pause=PAUSE)
    for _ in range(50):
        permit = breaker.admit()
        assert permit is not None
        breaker.failed(permit)
        assert breaker.state is BreakerState.OPEN
        clock.advance(PAUSE)
        start = threading.Barrier(8)
        permits: list[Permit | None] = []

        def worker(start=start, permits=permits):
            start.wait()
            permits.append(breaker.admit())

        threads = [threading.Thread(target=worker) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        given = [permit for permit in permits if permit is not None]
        assert len(given) == 1
        breaker.succeeded(given[0])
        assert breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize(("failures", "pause"), [(0, 1.0), (1, -1.0), (1, float("nan"))])
def test_a_breaker_that_cannot_be(failures, pause):
    with pytest.raises(ValueError, match="a breaker opens after"):
        Breaker(FakeClock(), failures=failures, pause=pause)
