"""A report as a CSV table and as one HTML page."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from guardrails.replay.page import moment, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    documents = [sums.document() for sums in agents]
    return environment.get_template("report.html").render(
        agents=documents,
        since=since,
        title=title,
        most=max((each["calls"] + each["refused"] for each in documents), default=0) or 1,
    )


__all__ = ["csv_of", "page_of"]
