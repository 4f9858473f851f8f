"""Judges the gates of a measurement; one that fails is measured once more, in more rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.gates import Measure, Status, judged
from benchmarks.harness import BATCH_NS, Clock, measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.gates import Gate, Outcome
    from benchmarks.harness import Measurement, Timed
    from benchmarks.statistics import Interval

AGAIN: Final = 3
"""How many times the rounds a failing gate is measured in again, once."""

BODY: Final = "the bare function"
"""What an overhead is over."""


def found(gate: Gate, taken: Measurement) -> Interval:
    """The figure of a gate."""
    if gate.measure is Measure.CPU:
        return taken.cpu_ratio(gate.variant, gate.baseline)
    if gate.measure is Measure.OVERHEAD:
        return taken.overhead_ratio(gate.variant, gate.baseline, BODY)
    return taken.ratio(gate.variant, gate.baseline)


def outcomes(  # noqa: PLR0913  # what was measured, and how to measure it again
    benchmark: str,
    gates: Iterable[Gate],
    timed: Sequence[Timed],
    taken: Measurement,
    *,
    rounds: int,
    batch_ns: int = BATCH_NS,
    clock: Clock | None = None,
) -> tuple[Outcome, ...]:
    """The outcomes of `gates` whose sides are all there.

    Args:
        benchmark: Where they belong.
        gates: What should hold.
        timed: What was measured.
        taken: What it took.
        rounds: In how many rounds.
        batch_ns: As for :func:`~benchmarks.harness.measure`.
        clock: As there.
    """
    judgements = []
    for gate in gates:
        outcome = judged(benchmark, gate, found(gate, taken))
        if outcome.status is Status.FAILED:
            sides = {gate.variant, gate.baseline, BODY}
            some = [each for each in timed if each.name in sides]
            more = measure(some, rounds=rounds * AGAIN, seed=2, batch_ns=batch_ns, clock=clock)
            outcome = judged(benchmark, gate, found(gate, more), "measured again")
        judgements.append(outcome)
    return tuple(judgements)
