"""A replay as one HTML page: nothing is loaded, nothing runs, every text is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from guardrails.audit.exact_json import exact_json
from guardrails.replay.told import document_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.errors import Finding
    from guardrails.replay.replaying import Replay

_NS = 1_000_000_000
_BARS = 20
_SPANS = 60
_LONGEST = 2000


def page_of(
    found: Replay, findings: Mapping[tuple[int, int], Sequence[Finding]] | None = None
) -> str:
    """The page. Arguments as :func:`guardrails.replay.told.document_of`."""
    environment = Environment(
        loader=PackageLoader("guardrails.replay"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["moment"] = moment
    environment.filters["number"] = "{:,}".format
    document = document_of(found, findings)
    charts = [
        ("tool", _bars(document["tools"], "tool", "flips")),
        ("agent", _bars(document["agents"], "agent", "flips")),
        (
            "rule",
            _bars(
                [{**row, "all": row["newly"] + row["no_longer"]} for row in document["rules"]],
                "rule",
                "all",
            ),
        ),
    ]
    spans = found.tally.timeline.rows(_SPANS)
    return environment.get_template("replay.html").render(
        found=document,
        charts=[chart for chart in charts if chart[1]],
        spans=[
            {**each, "decisions": row[1], "flips": row[2]}
            for row, each in zip(spans, columns(spans), strict=True)
        ],
        tallest=max((all_ for _, all_, _ in spans), default=0),
    )


def _bars(rows: Sequence[Mapping[str, Any]], name: str, value: str) -> list[dict[str, Any]]:
    kept = [row for row in rows if row[value]][:_BARS]
    largest = max((row[value] for row in kept), default=1)
    return [
        {"name": row[name], "value": row[value], "percent": round(100 * row[value] / largest, 2)}
        for row in kept
    ]


def columns(rows: Sequence[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """A time line's rows as the columns of a plot of 600 by 100, each with its `time`."""
    tallest = max((all_ for _, all_, _ in rows), default=0) or 1
    width = 600 / max(len(rows), 1)
    return [
        {
            "x": round(index * width, 2),
            "width": round(width * 0.85, 2),
            "all": round(100 * all_ / tallest, 2),
            "some": round(100 * some / tallest, 2),
            "time": start,
        }
        for index, (start, all_, some) in enumerate(rows)
    ]


def shown(value: object) -> str:
    """`value` as printable text, as JSON where it is none, and not too much of it."""
    text = value if isinstance(value, str) else exact_json(value)
    plain = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in text)
    # Half of a surrogate pair has no bytes.
    plain = plain.encode("utf-8", "backslashreplace").decode()
    return plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"


def moment(ns: int) -> str:
    """UTC nanoseconds as a time to the second, in UTC."""
    try:
        return datetime.fromtimestamp(ns / _NS, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return str(ns)


__all__ = ["columns", "moment", "page_of", "shown"]
