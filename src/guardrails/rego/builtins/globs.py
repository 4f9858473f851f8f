r"""Whether two globs of ``regex.globs_match`` share a text.

A glob there is a small regular expression: characters, ``.``, ``[a-z]``, each
with ``*`` or ``+``, and ``\`` before a character that is meant as such. Both
are walked at once, from state to state; the number of states is the product
of the lengths, so that no pattern is slow.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from guardrails.rego.builtins.base import BuiltinError

_LARGEST_GLOB: Final = 1_024
_INVALID: Final = "the input provided is invalid"


class _Token(NamedTuple):
    """One element: the characters it takes (None: every one), and how often."""

    chars: tuple[range, ...] | None
    skippable: bool = False
    repeats: bool = False


def globs_intersect(left: str, right: str) -> bool:
    """Whether some text matches both globs.

    Raises:
        BuiltinError: one of them is no glob, or too long.
    """
    one, two = _Reader(left).tokens(), _Reader(right).tokens()
    if not one or not two:
        return not one and not two
    seen: set[tuple[int, int, bool]] = set()
    pending = [(0, 0, False)]
    while pending:
        state = pending.pop()
        if state in seen:
            continue
        seen.add(state)
        first, second, moved = state
        if first == len(one) and second == len(two):
            if moved:
                return True
            continue
        if first < len(one) and one[first].skippable:
            pending.append((first + 1, second, moved))
        if second < len(two) and two[second].skippable:
            pending.append((first, second + 1, moved))
        if first < len(one) and second < len(two) and _overlap(one[first], two[second]):
            pending.extend(
                (after_first, after_second, True)
                for after_first in _after(one, first)
                for after_second in _after(two, second)
            )
    return False


def _after(tokens: list[_Token], place: int) -> tuple[int, ...]:
    return (place, place + 1) if tokens[place].repeats else (place + 1,)


def _overlap(left: _Token, right: _Token) -> bool:
    if left.chars is None or right.chars is None:
        return True
    return any(
        max(one.start, two.start) < min(one.stop, two.stop)
        for one in left.chars
        for two in right.chars
    )


class _Reader:
    """Reads one glob."""

    def __init__(self, text: str) -> None:
        if len(text) > _LARGEST_GLOB:
            message = f"the glob has {len(text)} characters; at most {_LARGEST_GLOB} are compared"
            raise BuiltinError(message)
        self._text = text
        self._place = 0

    def _error(self, reason: str) -> BuiltinError:
        return BuiltinError(f"input:{self._text}, pos:{self._place}, {reason}: {_INVALID}")

    def _next(self) -> tuple[str, bool]:
        """The next character and whether it was escaped."""
        char = self._text[self._place]
        self._place += 1
        if char != "\\":
            return char, False
        if self._place == len(self._text):
            self._place -= 1
            raise self._error("input ends with a \\ (escape) character")
        char = self._text[self._place]
        self._place += 1
        return char, True

    def tokens(self) -> list[_Token]:
        """All elements of the glob."""
        found: list[_Token] = []
        while self._place < len(self._text):
            char, escaped = self._next()
            chars: tuple[range, ...] | None = (range(ord(char), ord(char) + 1),)
            if not escaped:
                if char == "]":
                    raise self._error("set-close ']' with no preceding '['")
                if char in "+*":
                    raise self._error(f"flag '{char}' must be preceded by a non-flag")
                if char == "[":
                    chars = self._set()
                elif char == ".":
                    chars = None
            flag = self._text[self._place : self._place + 1]
            if flag and flag in "+*":
                self._place += 1
                found.append(_Token(chars, skippable=flag == "*", repeats=True))
            else:
                found.append(_Token(chars))
        return found

    def _set(self) -> tuple[range, ...]:
        ranges: list[range] = []
        before: str | None = None
        while self._place < len(self._text):
            char, escaped = self._next()
            if char == "]" and not escaped:
                return tuple(ranges)
            if char != "-" or escaped:
                ranges.append(range(ord(char), ord(char) + 1))
                before = char
                continue
            if before is None:
                raise self._error("range character '-' must be preceded by a Unicode character")
            if self._place >= len(self._text) - 1:
                raise self._error("range character '-' must be followed by a Unicode character")
            char, escaped = self._next()
            if char in "]-" and not escaped:
                raise self._error("range character '-' cannot be followed by a special symbol")
            if char < before:
                raise self._error(
                    f"range is out of order: '{char}' comes before '{before}' in Unicode"
                )
            ranges.append(range(ord(before), ord(char) + 1))
            before = None
        raise self._error("found [ without matching ]")
