"""Conditions as texts, and their opposites."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def shorter(text: Text, uses: Mapping[str, int]) -> Text:
    """A condition that asks the same in less time.

    Args:
        text: The condition.
        uses: How often each local is read in the function that it stands in.
    """
    own = re.findall(r"\b[a-z]\d+\b", text)
    for pattern, given in _SHORTER:
        text = pattern.sub(given, text)
    twice = _TWICE.search(text)
    # Behind the test it has the same value; nobody may read it elsewhere.
    if twice is not None and own.count(twice[2]) == uses[twice[2]]:
        text = _TWICE.sub(r"(\2 := \1None)) is None or type(\2)", text, count=1)
    asked = _ABSENT.search(text)
    if asked is not None and _is_read_behind(text, asked, uses):
        # Mostly it is not there, and then nothing is taken out.
        text = _ABSENT.sub(r"\3 not in \2 or (\1 := \2[\3]) is None or ", text, count=1)
    return text


def _is_read_behind(text: Text, asked: re.Match[str], uses: Mapping[str, int]) -> bool:
    """Whether what `asked` takes out is read nowhere but behind, where it is there."""
    depth = 0
    place = asked.end()
    while place < len(text) and depth >= 0:
        depth += (text[place] in "([{") - (text[place] in ")]}")
        place += 1
    behind = text[asked.end() : place]
    own = re.findall(rf"\b{asked[1]}\b", behind)
    return len(own) + 1 == uses[asked[1]] and " if " not in behind


_TWICE: Final = re.compile(r"(\b\w+\.get\(\w+, )None\) is None or type\(\((t\d+) := \1U\)\)\)")

_ABSENT: Final = re.compile(r"(?:^|(?<=\())\((t\d+) := (\w+)\.get\((K\d+), None\)\) is None or ")


_VALUE: Final = r"(?:[^()]|\([^()]*\))*"
_SHORTER: Final = (
    (
        re.compile(
            rf"\((t\d+) := ({_VALUE})\) is not U and type\(\1\) (in NUMBERS|is (?!not\b)\w+)"
        ),
        r"type((\1 := \2)) \3",
    ),
    (re.compile(r"\b(t\d+) is not U and type\(\1\) (in NUMBERS|is (?!not\b)\w+)"), r"type(\1) \2"),
    (re.compile(r"\b(t\d+) is None or \1 is not None and "), r"\1 is None or "),
)

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
