"""A report as a CSV table and as one HTML page."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from guardrails.replay.page import columns, moment, shown
from guardrails.report.sums import days

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    environment = Environment(
        loader=PackageLoader("guardrails.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["moment"] = moment
    environment.filters["day"] = lambda ns: moment(ns)[:10]
    environment.filters["number"] = _number
    documents = [{**sums.document(), "plot": _plot(sums.days)} for sums in agents]
    together = days()
    for sums in agents:
        together.add(sums.days)
    return environment.get_template("report.html").render(
        agents=documents,
        since=since,
        title=title,
        plot=_plot(together),
        most=max((each["calls"] + each["refused"] for each in documents), default=0) or 1,
    )


def _plot(found: Timeline) -> list[dict[str, Any]]:
    rows = found.rows(_SPANS)
    return [
        {**column, "total": all_, "calls": all_ - some, "refused": some}
        for (_, all_, some), column in zip(rows, columns(rows), strict=True)
    ]


_SPANS: Final = 60
"""Columns of a plot over time."""


def _number(value: object) -> str:
    """A number as people read it: thousands apart, no zeros behind."""
    if not isinstance(value, Decimal):
        return f"{value:,}"
    text = f"{value:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


__all__ = ["csv_of", "page_of"]
