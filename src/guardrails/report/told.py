"""A report as a CSV table and as one HTML page."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Final

from guardrails.pages import columns, duration, number, rendered, shown
from guardrails.report.sums import Day, days

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from decimal import Decimal

    from guardrails.replay.timeline import Timeline
    from guardrails.report.sums import AgentSums

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With what a cell begins that spreadsheets take for a formula."""


def csv_of(agents: Sequence[AgentSums]) -> str:
    """One line for each agent and version; no text of the record is a formula.

    Source: OWASP, "CSV Injection".
    """
    text = io.StringIO()
    rows = [sums.row() for sums in agents]
    names = list(rows[0]) if rows else ["agent", "version"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row[name]) for name in names])
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value)
    text = shown(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def page_of(agents: Sequence[AgentSums], *, since: int, title: str) -> str:
    """One page: nothing is loaded, nothing runs, every text of the record is escaped.

    Args:
        agents: What is shown.
        since: UTC nanoseconds from which on events count; 0 for all.
        title: The heading.
    """
    together = days()
    for sums in agents:
        together.add(sums.days)
    most = max((_calls(sums) for sums in agents), default=0) or 1
    return rendered(
        "guardrails.report",
        "report.html",
        agents=[_shown(sums, most) for sums in agents],
        since=since,
        title=title,
        plot=_plot(together),
    )


def _shown(sums: AgentSums, most: int) -> dict[str, Any]:
    """One agent on the page; `most` calls are a whole bar."""
    document = sums.document()
    parts = (("all", sums.calls), ("held", sums.shadowed), ("some", sums.refused))
    return {
        "name": f"{sums.agent}@{sums.version}",
        "owner": sums.owner,
        "calls": sums.calls,
        "shadowed": sums.shadowed,
        "refused": sums.refused,
        "bar": [(style, 100 * count / most) for style, count in parts],
        "plot": _plot(sums.days),
        "facts": [
            (label, words(document[name]))
            for name, label, words in _FACTS
            if document[name] or name in _ALWAYS
        ],
        "lists": [(label, document[name]) for name, label in _LISTS],
    }


def _calls(sums: AgentSums) -> int:
    return sums.calls + sums.refused + sums.shadowed


def _plot(found: Timeline) -> list[dict[str, Any]]:
    rows = found.rows(_SPANS)
    return columns(
        [(start, (row[Day.REFUSED], row[Day.SHADOWED], row[Day.RAN])) for start, row in rows],
        ("some", "held", "all"),
    )


def _dollars(value: Decimal) -> str:
    """Money to the cent; what is less than a dollar to four places."""
    return f"${value:,.2f}" if value >= 1 else f"${number(round(value, 4))}"


_SPANS: Final = 60
"""Columns of a plot over time."""

_ALWAYS: Final = frozenset({"runs", "calls", "refused"})

_FACTS: Final[tuple[tuple[str, str, Callable[[Any], str]], ...]] = (
    ("runs", "runs", number),
    ("calls", "calls that ran", number),
    ("refused", "refused", number),
    ("shadowed", "withheld", number),
    ("would_run", "of them would have run", number),
    ("errors", "errors", number),
    ("approvals_asked", "approvals asked for", number),
    ("approved", "approved", number),
    ("rejected", "rejected", number),
    ("expired", "expired", number),
    ("seconds_waited", "mean wait for an answer", duration),
    ("usd", "cost", _dollars),
    ("usd_per_run", "cost of a run", _dollars),
    ("usd_per_completed_task", "cost of a completed task", _dollars),
    ("tokens", "tokens", number),
    ("loops", "breakers spoke", number),
    ("candidate_differs", "candidate decides otherwise", number),
    ("feedback", "feedback", number),
    ("score", "mean score", number),
)
"""What is told of an agent: the name of its number, what people call it, and how it is written."""

_LISTS: Final = (
    ("refusals_by_code", "Refusals by code"),
    ("refusals_by_rule", "Refusals by rule"),
    ("outcomes", "Outcomes"),
)


__all__ = ["csv_of", "page_of"]
