"""A replay as one HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.pages import bars, columns, rendered
from guardrails.replay.told import document_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.errors import Finding
    from guardrails.replay.replaying import Replay

_SPANS: Final = 60


def page_of(
    found: Replay, findings: Mapping[tuple[int, int], Sequence[Finding]] | None = None
) -> str:
    """The page. Arguments as :func:`guardrails.replay.told.document_of`."""
    document = document_of(found, findings)
    rules = [{**row, "all": row["newly"] + row["no_longer"]} for row in document["rules"]]
    charts = [
        ("tool", bars(document["tools"], "tool", "flips")),
        ("agent", bars(document["agents"], "agent", "flips")),
        ("rule", bars(rules, "rule", "all")),
    ]
    spans = found.tally.timeline.rows(_SPANS)
    return rendered(
        "guardrails.replay",
        "replay.html",
        found=document,
        charts=[chart for chart in charts if chart[1]],
        # Of the two counts the flips stand below.
        spans=columns([(start, counts[::-1]) for start, counts in spans], ("some", "all")),
        tallest=max((sum(counts) for _, counts in spans), default=0),
    )


__all__ = ["page_of"]
