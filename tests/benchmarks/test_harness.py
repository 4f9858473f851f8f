"""The harness on a clock of its own: variants say how long they take, the machine adds noise."""

from __future__ import annotations

import gc
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from benchmarks.harness import Clock, Timed, measure


@dataclass
class Machine:
    """A machine whose clock moves only by work, slowed down by phases and single hiccups."""

    rng: random.Random = field(default_factory=lambda: random.Random(11))
    now: float = 0.0
    phase: float = 1.0
    left: int = 0

    def works(self, nanoseconds):
        """A callable that takes about so long here."""

        def work(_):
            if self.left == 0:
                self.phase = self.rng.choice([1.0, 1.0, 1.4, 3.0])
                self.left = self.rng.randrange(2_000, 20_000)
            self.left -= 1
            hiccup = 200_000 if self.rng.random() < 0.0005 else 0
            self.now += nanoseconds * self.phase * self.rng.uniform(0.9, 1.1) + hiccup

        return work

    @property
    def clock(self):
        return Clock(lambda: int(self.now), lambda: int(self.now / 2))


def timed(machine, **nanoseconds):
    return [Timed(name, [(machine.works(each), None)] * 20) for name, each in nanoseconds.items()]


def test_a_planted_slowdown_of_30_percent_is_noticed():
    machine = Machine()
    taken = measure(
        timed(machine, base=700, twin=700, slowed=910),
        rounds=80,
        batch_ns=50_000,
        clock=machine.clock,
    )
    slowed, twin = taken.ratio("slowed", "base"), taken.ratio("twin", "base")
    assert slowed.low > 1.15 > twin.high
    assert slowed.low < 1.3 < slowed.high
    assert twin.low < 1 < twin.high


def test_what_is_noticed_is_the_slowdown_and_not_the_order():
    machine = Machine()
    taken = measure(
        timed(machine, slowed=910, base=700),
        rounds=80,
        batch_ns=50_000,
        clock=machine.clock,
        seed=5,
    )
    assert taken.ratio("base", "slowed").high < 1 / 1.15


def test_figures_are_nanoseconds_of_one_call():
    now = 0

    def work(_):
        nonlocal now
        now += 500

    clock = Clock(lambda: now, lambda: now // 2)
    calls = [(work, None)] * 10
    both = [Timed("plain", calls), Timed("half", calls, count=5)]
    taken = measure(both, rounds=3, batch_ns=1, clock=clock)
    assert taken.samples["plain"].wall == [500, 500, 500]
    assert taken.samples["plain"].cpu == [250, 250, 250]
    assert taken.samples["half"].wall == [1000, 1000, 1000]


def test_batches_of_slow_and_fast_variants_last_as_long_as_asked_for():
    now = 0
    seen: Counter[str] = Counter()

    def works(name, nanoseconds):
        def work(_):
            nonlocal now
            now += nanoseconds
            seen[name] += 1

        return work

    clock = Clock(lambda: now, lambda: now)
    both = [
        Timed("fast", [(works("fast", 10), None)]),
        Timed("slow", [(works("slow", 9_000), None)]),
    ]
    measure(both, rounds=1, batch_ns=10_000, clock=clock)
    before = dict(seen)
    measure(both, rounds=6, batch_ns=10_000, clock=clock)
    per_round = {name: (seen[name] - 2 * before[name]) / 5 for name in seen}
    assert per_round["fast"] * 10 >= 10_000
    assert per_round["slow"] == 2


def test_every_round_runs_every_variant_once_in_an_order_that_changes():
    def orders(seed):
        seen: list[str] = []
        now = 0

        def works(name):
            def work(_):
                nonlocal now
                now += 10
                seen.append(name)

            return work

        all_of_them = [Timed(name, [(works(name), None)]) for name in "abcd"]
        measure(
            all_of_them, rounds=12, batch_ns=1, clock=Clock(lambda: now, lambda: now), seed=seed
        )
        rounds = seen[4:]  # the first four found out how long a batch is
        return [tuple(rounds[start : start + 4]) for start in range(0, len(rounds), 4)]

    first = orders(1)
    assert all(sorted(each) == list("abcd") for each in first)
    assert len(first) == 12
    assert len(set(first)) > 3
    assert first == orders(1)
    assert first != orders(2)


@pytest.mark.parametrize("fails", [False, True])
def test_the_collector_is_off_in_a_batch_and_on_after_it(fails):
    seen = []

    def work(_):
        seen.append(gc.isenabled())
        if fails:
            raise RuntimeError("planted")

    assert gc.isenabled()
    if fails:
        with pytest.raises(RuntimeError, match="planted"):
            measure([Timed("one", [(work, None)])], rounds=1)
    else:
        measure([Timed("one", [(work, None)])], rounds=2, batch_ns=1)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert not any(seen)


def test_a_batch_elsewhere_counts_what_was_told_there():
    told = []

    def elsewhere(passes):
        told.append(passes)
        return passes * 3_000, passes * 1_000

    machine = Machine()
    taken = measure(
        [Timed("there", (), count=10, elsewhere=elsewhere), *timed(machine, here=150)],
        rounds=5,
        batch_ns=30_000,
        clock=machine.clock,
    )
    assert taken.samples["there"].wall == [300] * 5
    assert taken.samples["there"].cpu == [100] * 5
    assert told[-1] == 10


def test_cpu_and_overhead_are_compared_round_by_round():
    def runs(wall, cpu):
        return lambda passes: (passes * wall, passes * cpu)

    taken = measure(
        [
            Timed("call", (), count=1, elsewhere=runs(60, 30)),
            Timed("peer", (), count=1, elsewhere=runs(210, 10)),
            Timed("body", (), count=1, elsewhere=runs(10, 10)),
        ],
        rounds=3,
        batch_ns=1,
    )
    assert taken.cpu_ratio("call", "body").median == 3
    assert taken.overhead_ratio("call", "peer", "body").median == 0.25
