"""Results as plain text of at most 100 columns."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from benchmarks.gates import TOLERANCE, UNITS, Measure, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.gates import Gate, Outcome
    from benchmarks.parts import Curve, Result
    from benchmarks.run import Report
    from benchmarks.statistics import Interval

_WIDTH: Final = 100


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = []
    for row in (header, *rows):
        first = row[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def decisions(report: Report) -> str:
    """One benchmark's variants: microseconds a call, and the ratio to the baseline."""
    samples = report.measurement.samples
    baseline = report.baseline
    if baseline is None:
        return "\n".join([f"{report.benchmark.name}: nothing was measured", *_absent(report)])
    rows = []
    for name, taken in samples.items():
        ratio = report.measurement.ratio(name, baseline)
        cells = [taken.percentile(part) / 1000 for part in (0.5, 0.9, 0.99)]
        cells.append(taken.cpu_median / 1000)
        rows.append([name, *map(_figure, cells), _times(ratio.median), _span(ratio)])
    header = ("µs a call", "p50", "p90", "p99", "CPU", "ratio", "95 % interval")
    title = f"{report.benchmark.name}: {report.benchmark.title}"
    notes = [_note(f"ratio: to {baseline}"), *_absent(report)]
    notes += [_note(f"{name}: {remark}") for name, remark in report.remarks.items()]
    return "\n".join([title, table(header, rows), *notes])


def _absent(report: Report) -> Iterator[str]:
    for name, reason in report.absent.items():
        yield _note(f"not there: {name} ({reason})")


def _note(text: str) -> str:
    """A line below a table, broken where it has to be."""
    return textwrap.fill(text, _WIDTH, initial_indent="  ", subsequent_indent="    ")


def result(name: str, found: Result) -> Iterator[str]:
    """All that a part gave but its gates."""
    if found.report is not None:
        yield decisions(found.report)
    if found.figures:
        rows = [
            [figure, f"{_figure(value.median)} {unit}".rstrip(), _span(value)]
            for figure, (value, unit) in found.figures.items()
        ]
        yield "\n".join([name, table(("", "median", "95 % interval"), rows)])
    for each in found.curves:
        yield curve(each)


def curve(found: Curve) -> str:
    """A figure by size: a column a line."""
    sizes = sorted({size for line in found.lines.values() for size in line})
    rows = [
        [
            f"{size:,}",
            *(_figure(line[size].median) if size in line else "-" for line in found.lines.values()),
        ]
        for size in sizes
    ]
    return f"{found.unit}\n" + table((found.along, *found.lines), rows)


def gates(outcomes: Sequence[Outcome]) -> str:
    """Every gate: what should hold, what was measured, and how it came out."""
    rows = [
        [
            f"{outcome.benchmark}: {outcome.gate.variant}",
            _target(outcome.gate),
            "-" if outcome.measured is None else _measured(outcome.gate, outcome.measured),
            _status(outcome),
        ]
        for outcome in outcomes
    ]
    notes = [
        _note(f"{outcome.benchmark}: {outcome.gate.variant}: {outcome.remark}")
        for outcome in outcomes
        if outcome.remark
    ]
    title = f"gates: a median passes up to {TOLERANCE} × its target"
    return "\n".join([title, table(("", "at most", "median", ""), rows), *notes])


def _is_faster(gate: Gate) -> bool:
    """Whether a gate says `30 times faster`, which is easier read than 0.033."""
    return 0 < gate.target < 1 / 2


def _status(outcome: Outcome) -> str:
    """How the gate came out, and whether its target itself is missed."""
    measured, target = outcome.measured, outcome.gate.target
    if outcome.status is Status.PASSED and measured is not None and measured.median > target:
        return "held; target missed"
    return outcome.status.value


def _target(gate: Gate) -> str:
    what = "" if gate.measure is Measure.WALL else f"{gate.measure.value} of "
    if _is_faster(gate):
        return f"1/{1 / gate.target:.0f} of {what}{gate.baseline}"
    unit = " " if gate.baseline in UNITS else " × "
    return f"{gate.target:g}{unit}{what}{gate.baseline}"


def _measured(gate: Gate, found: Interval) -> str:
    if _is_faster(gate):
        return f"1/{1 / found.median:.0f} [1/{1 / found.low:.0f}, 1/{1 / found.high:.0f}]"
    return f"{found.median:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _figure(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004  # three digits suffice


def _times(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004  # as above


def _span(interval: Interval) -> str:
    return f"[{_times(interval.low)}, {_times(interval.high)}]"
