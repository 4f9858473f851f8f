"""What a part of the suite gives: outcomes of gates, tables, figures with units, curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.gates import Outcome
    from benchmarks.run import Report
    from benchmarks.statistics import Interval


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure that moves with a size.

    Attributes:
        name: The plot's file.
        along: What grows.
        unit: Of the figures.
        lines: The figures by size, by the name of the line.
    """

    name: str
    along: str
    unit: str
    lines: Mapping[str, Mapping[int, Interval]]


@dataclass(frozen=True, slots=True)
class Result:
    """What a part gave.

    Attributes:
        outcomes: Of its gates.
        report: The table of a benchmark whose variants are compared.
        figures: Others, with their units, by name.
        curves: What is plotted.
    """

    outcomes: Sequence[Outcome] = ()
    report: Report | None = None
    figures: Mapping[str, tuple[Interval, str]] = field(default_factory=dict)
    curves: Sequence[Curve] = ()


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Of what is measured in rounds.
        loads: Of what takes seconds.
        calls: Of what is looked at call by call.
    """

    rounds: int
    loads: int
    calls: int


class Measured(Protocol):
    """Measures a part."""

    def __call__(self, effort: Effort, *, only_gates: bool) -> Result:
        """What it gives."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One part, for ``--only``.

    Attributes:
        name: Its own.
        title: What it measures, in a few words.
        measure: Does; where only the gates count, it may leave out the rest.
        is_gated: Whether it has gates; one that has none is left out where only they count.
    """

    name: str
    title: str
    measure: Measured
    is_gated: bool = True
