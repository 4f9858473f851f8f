"""Times variants in turn, in short batches, so that all of them meet the same machine.

A round runs one batch of every variant, in an order of its own. The collector is off inside a
batch and runs between rounds. What is kept is the time of one call on average over a batch, by
the wall and by the process's CPU, once a round.
"""

from __future__ import annotations

import contextlib
import gc
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.statistics import Interval, median_interval, percentile, ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BATCH_NS: Final = 2_000_000
"""How long a batch lasts at least: long against a clock's tick, short against a slow phase."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Nanoseconds by the wall and of this process."""

    wall: Callable[[], int] = time.perf_counter_ns
    cpu: Callable[[], int] = time.process_time_ns


@dataclass(frozen=True, slots=True)
class Timed:
    """What is timed under one name.

    Attributes:
        name: Of the variant.
        calls: One pass: each callable with its one argument.
        count: How many calls a pass counts for; None for as many as it makes.
        elsewhere: Runs so many passes elsewhere, as in another process, and gives what they took
            there, by the wall and of that process's CPU; None for passes that run here.
    """

    name: str
    calls: Sequence[tuple[Callable[[Any], Any], Any]]
    count: int | None = None
    elsewhere: Callable[[int], tuple[int, int]] | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """What one variant took, in nanoseconds a call, round by round."""

    wall: Sequence[float]
    cpu: Sequence[float]

    def percentile(self, part: float) -> float:
        """Wall-clock nanoseconds a call that `part` (0 to 1) of the batches stayed below."""
        return percentile(self.wall, part)

    @property
    def cpu_median(self) -> float:
        """The median of the process's CPU, in nanoseconds a call."""
        return percentile(self.cpu, 0.5)


@dataclass(frozen=True, slots=True)
class Measurement:
    """The samples of all variants that ran together, by name."""

    samples: Mapping[str, Samples]

    def ratio(self, name: str, baseline: str) -> Interval:
        """How many times `baseline`'s time `name` takes, with its interval."""
        return median_interval(ratios(self.samples[name].wall, self.samples[baseline].wall))

    def cpu_ratio(self, name: str, baseline: str) -> Interval:
        """The same in CPU of the process that does the work."""
        return median_interval(ratios(self.samples[name].cpu, self.samples[baseline].cpu))

    def overhead_ratio(self, name: str, baseline: str, body: str) -> Interval:
        """How many times `baseline`'s overhead over `body` alone `name` has."""
        alone = self.samples[body].wall
        mine, other = (
            [one - less for one, less in zip(self.samples[side].wall, alone, strict=True)]
            for side in (name, baseline)
        )
        return median_interval(ratios(mine, other))


def measure(
    timed: Sequence[Timed],
    *,
    rounds: int,
    seed: int = 1,
    batch_ns: int = BATCH_NS,
    clock: Clock | None = None,
) -> Measurement:
    """The samples of `rounds` rounds.

    Args:
        timed: What runs in each round; their names differ.
        rounds: How many.
        seed: Of the orders within the rounds.
        batch_ns: How long a batch lasts at least, in nanoseconds.
        clock: The machine's where none is given.
    """
    clock = clock or Clock()
    order = random.Random(seed)  # noqa: S311  # an order, no secret
    walls: dict[str, list[float]] = {each.name: [] for each in timed}
    cpus: dict[str, list[float]] = {each.name: [] for each in timed}
    with _own_heap():
        passes = {each.name: _passes(each, batch_ns, clock) for each in timed}
        turn = list(timed)
        for _ in range(rounds):
            gc.collect()
            order.shuffle(turn)
            for each in turn:
                number = passes[each.name]
                wall, cpu = _batch(each, number, clock)
                calls = number * (len(each.calls) if each.count is None else each.count)
                walls[each.name].append(wall / calls)
                cpus[each.name].append(cpu / calls)
    return Measurement({name: Samples(wall, cpus[name]) for name, wall in walls.items()})


def _passes(timed: Timed, batch_ns: int, clock: Clock) -> int:
    """How many passes make a batch of `batch_ns`; finding out warms the variant up, too."""
    number = 1
    while True:
        wall, _ = _batch(timed, number, clock)
        if wall >= batch_ns:
            return number
        # By what is missing, but never far beyond: the first pass may have been a cold one.
        number = max(number + 1, min(number * 10, number * batch_ns // max(wall, 1) + 1))


def _batch(timed: Timed, passes: int, clock: Clock) -> tuple[int, int]:
    """The nanoseconds of some passes, by the wall and of the process."""
    if timed.elsewhere is not None:
        return timed.elsewhere(passes)
    calls = timed.calls
    wall, cpu = clock.wall, clock.cpu
    turns = range(passes)
    gc.disable()
    try:
        cpu_start = cpu()
        start = wall()
        for _ in turns:
            for decide, argument in calls:
                decide(argument)
        return wall() - start, cpu() - cpu_start
    finally:
        gc.enable()


@contextlib.contextmanager
def _own_heap() -> Iterator[None]:
    """Keeps what was made before out of the collections between the rounds."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
