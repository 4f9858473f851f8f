"""Gates: a variant's time against another's in the same run, and what has to hold of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.statistics import Interval

TOLERANCE: Final = 1.3
"""How far beyond its target a median may lie before the gate fails."""

UNITS: Final = frozenset({"s", "ms", "blocks", "of 8"})
"""What a gate's baseline is where its figure is no ratio."""


class Status(enum.StrEnum):
    """How a gate came out."""

    PASSED = "passed"
    FAILED = "FAILED"
    PENDING = "pending"
    """What it measures is declared as not made yet."""


class Measure(enum.StrEnum):
    """What of two sides a gate compares."""

    WALL = "time"
    CPU = "CPU"
    """Of the processes that do the work, with all writers drained."""
    OVERHEAD = "overhead"
    """The time less what the governed function alone takes."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What has to hold of a figure.

    Attributes:
        variant: Whose time, or which figure of a load.
        baseline: In whose times; for a figure that is no ratio, its unit.
        target: The figure is at most this; beside a slower peer a fraction, as 1/30.
        reached: What is reached where the target is missed: the gate sees to it that it gets no
            worse.
        reason: Why it is missed, in a sentence; the README has it beside the figure.
        measure: What of the two sides is compared.
    """

    variant: str
    baseline: str
    target: float
    reached: float | None = None
    reason: str = ""
    measure: Measure = Measure.WALL

    @property
    def limit(self) -> float:
        """What the median may not exceed."""
        return (self.reached or self.target) * TOLERANCE

    def holds(self, measured: Interval) -> bool:
        """Whether the gate passes."""
        return measured.median <= self.limit


@dataclass(frozen=True, slots=True)
class Outcome:
    """A gate with what was measured.

    Attributes:
        benchmark: Where it belongs.
        gate: What should hold.
        status: Whether it does.
        measured: The figure; None where there is none.
        remark: Why there is none, or that it was measured again.
    """

    benchmark: str
    gate: Gate
    status: Status
    measured: Interval | None = None
    remark: str = ""


def judged(benchmark: str, gate: Gate, measured: Interval, remark: str = "") -> Outcome:
    """The outcome of a gate whose figure is there."""
    status = Status.PASSED if gate.holds(measured) else Status.FAILED
    return Outcome(benchmark, gate, status, measured, remark)
