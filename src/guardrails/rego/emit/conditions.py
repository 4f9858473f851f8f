"""Conditions as texts, and their opposites."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrails.rego.emit.residual import Text


def negated(text: Text) -> Text:
    """The opposite of a condition."""
    if text.startswith("not (") and text.endswith(")") and _closes_last(text, 4):
        return text[5:-1]
    if text.startswith("not not "):
        return text.removeprefix("not ")
    simple = _COMPARISON.fullmatch(text)
    if simple is not None:
        return f"{simple[1]} {_OPPOSITE[simple[2]]} {simple[3]}"
    return f"not ({text})"


_PART: Final = r"[\w.]+(?:\[\w+\])*(?:\([\w, ]*\))?"
_COMPARISON: Final = re.compile(rf"({_PART}) (is not|is|not in|in|==) ({_PART})")
_OPPOSITE: Final = {"is": "is not", "is not": "is", "in": "not in", "not in": "in", "==": "!="}


def _closes_last(text: Text, start: int) -> bool:
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place == len(text) - 1
    return False
