"""Runs benchmarks: checks that the variants agree, measures them, and judges the gates."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.gates import Gate, Outcome, Status, judged
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.judging import AGAIN
from benchmarks.variant import check_agreement
from benchmarks.variants import PENDING
from benchmarks.workload import mixed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.harness import Measurement
    from benchmarks.suite import Benchmark, Field


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark gave.

    Attributes:
        benchmark: Which.
        measurement: All samples.
        remarks: What is special about a variant, by name.
        absent: Variants that are not there, with the reason.
        outcomes: Of the gates.
    """

    benchmark: Benchmark
    measurement: Measurement
    remarks: Mapping[str, str]
    absent: Mapping[str, str]
    outcomes: tuple[Outcome, ...]

    @property
    def baseline(self) -> str | None:
        """What the ratios of a table are to; None where nothing was measured."""
        samples = self.measurement.samples
        named = self.benchmark.baseline
        return named if named in samples else next(iter(samples), None)


def run(
    benchmark: Benchmark,
    *,
    rounds: int,
    only_gates: bool = False,
    batch_ns: int = BATCH_NS,
    clock: Clock | None = None,
) -> Report:
    """What `benchmark` gives.

    Args:
        benchmark: What runs.
        rounds: How many.
        only_gates: Leave out the variants that no gate is about.
        batch_ns: As for :func:`~benchmarks.harness.measure`.
        clock: As for :func:`~benchmarks.harness.measure`.

    Raises:
        DisagreementError: the variants decide differently.
    """
    wanted = None
    if only_gates:
        wanted = {name for gate in benchmark.gates for name in (gate.variant, gate.baseline)}
    with contextlib.ExitStack() as stack:
        field = benchmark.open(stack, wanted)
        check_agreement(field.variants, field.cases)
        timed = _timed(field)
        taken = measure(timed, rounds=rounds, batch_ns=batch_ns, clock=clock)
        outcomes = []
        for gate in benchmark.gates:
            outcome = _outcome(benchmark.name, gate, taken, field.absent)
            if outcome.status is Status.FAILED and outcome.measured is not None:
                pair = [each for each in timed if each.name in (gate.variant, gate.baseline)]
                more = measure(pair, rounds=rounds * AGAIN, seed=2, batch_ns=batch_ns, clock=clock)
                measured = more.ratio(gate.variant, gate.baseline)
                outcome = judged(benchmark.name, gate, measured, "measured again")
            outcomes.append(outcome)
        remarks = {each.name: each.remark for each in field.variants if each.remark}
    return Report(benchmark, taken, remarks, field.absent, tuple(outcomes))


def _timed(field: Field) -> Sequence[Timed]:
    inputs = mixed(field.cases)
    return [Timed(each.name, [each.bind(one) for one in inputs]) for each in field.variants]


def _outcome(name: str, gate: Gate, taken: Measurement, absent: Mapping[str, str]) -> Outcome:
    missing = [side for side in (gate.variant, gate.baseline) if side not in taken.samples]
    if not missing:
        return judged(name, gate, taken.ratio(gate.variant, gate.baseline))
    side = missing[0]
    # A kind's name comes first where a row is of one kind and one size.
    pending = PENDING.get(side.partition(",")[0])
    if pending is not None:
        return Outcome(name, gate, Status.PENDING, remark=pending)
    return Outcome(name, gate, Status.FAILED, remark=absent.get(side, f"`{side}` is not there"))
