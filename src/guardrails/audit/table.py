"""Events as a table for spreadsheets: one row each, nothing in it that a spreadsheet would run."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TextIO

COLUMNS: Final = (
    "time",
    "kind",
    "decision_id",
    "run_id",
    "agent",
    "tool",
    "mode",
    "effect",
    "decided_by",
    "rules",
    "reasons",
    "revision",
    "outcome",
    "by",
    "reason",
    "args",
    "detail",
)
"""The columns, in their order."""

_ACTIVE: Final = ("=", "+", "-", "@", "\t", "\r", "|", "%")
"""How cells begin that spreadsheets take for formulas (OWASP, CSV injection)."""


def write_table(events: Iterable[Mapping[str, Any]], file: TextIO) -> int:
    """Write `events` as CSV (RFC 4180) with a head; how many there were.

    A cell that a spreadsheet would take for a formula begins with an apostrophe.
    """
    writer = csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    count = 0
    for event in events:
        writer.writerow([_cell(each) for each in _row(event)])
        count += 1
    return count


def _row(event: Mapping[str, Any]) -> Iterable[object]:
    detail = event.get("detail") or {}
    said = [*event.get("reasons", ()), *event.get("approvals", ())]
    given = {
        **event,
        "rules": " ".join(dict.fromkeys(each["rule"] for each in said)),
        "reasons": "; ".join(each["reason"] for each in said),
        "outcome": detail.get("outcome", detail.get("code")),
        "by": detail.get("by"),
        "reason": detail.get("reason"),
        "args": (event.get("input") or {}).get("args"),
        "detail": detail or None,
    }
    return (given.get(name) for name in COLUMNS)


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, default=str)
    # A line of its own could begin a formula, too, where a reader splits at it.
    text = "".join(each if each.isprintable() else " " for each in text)
    return f"'{text}" if text.lstrip().startswith(_ACTIVE) or text.startswith(_ACTIVE) else text
