"""What ``guardrails policy test --coverage`` prints: a line a file, and the rows not reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.cli.console import output, plain
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from guardrails.rego.coverage import CoverageReport

WHOLE = 100.0
"""The most that a threshold can ask for."""


def check_threshold(threshold: float | None) -> None:
    """Refuse what is no percentage.

    Raises:
        ConfigError: it is below 0, above 100, or no number.
    """
    if threshold is not None and not 0 <= threshold <= WHOLE:
        msg = f"--threshold: `{threshold:g}` is no percentage; give one from 0 to 100"
        raise ConfigError(msg)


def is_met(report: CoverageReport, threshold: float | None) -> bool:
    """Whether as much is covered as is asked for."""
    return threshold is None or report.percent >= threshold


def print_coverage(report: CoverageReport, threshold: float | None) -> None:
    """Print the share of every file with the rows that no test reached; then the sum."""
    screen = output()
    for name, file in report.files.items():
        full = not file.not_covered_rows
        line = plain(f"{_percent(file.percent, full=full):>7}  ", "green" if full else "yellow")
        screen.print(line + plain(name), soft_wrap=True)
        for first, last in ranges(file.not_covered_rows):
            place = f"{name}:{first}" if first == last else f"{name}:{first}-{last}"
            screen.print(plain(f"         not covered: {place}"), soft_wrap=True)
    total = report.covered_rows + report.not_covered_rows
    share = _percent(report.percent, full=not report.not_covered_rows)
    words = f"coverage: {share} ({report.covered_rows} of {total} rows)"
    if is_met(report, threshold):
        screen.print(plain(words, "bold green"), soft_wrap=True)
    else:
        screen.print(
            plain(f"{words}, below the threshold {threshold:g}%", "bold red"), soft_wrap=True
        )


def ranges(rows: Iterable[int]) -> Iterator[tuple[int, int]]:
    """The first and the last row of each run of rows without a gap."""
    first = last = None
    for row in sorted(rows):
        if first is not None and last is not None and row == last + 1:
            last = row
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = row
    if first is not None and last is not None:
        yield first, last


def _percent(share: float, *, full: bool) -> str:
    # Rounding never makes a whole of what is not.
    return f"{share if full else min(share, 99.99):.2f}%"
