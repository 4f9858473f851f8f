r"""RE2's patterns as trees: the part of the syntax whose meaning can be said in a few words.

Sets of characters, groups, alternatives, repetitions, ``^`` where a branch of the whole pattern
begins, and ``$`` that is not repeated. There are no flags, no ``\b``, no ``\p``, no
``[[:alpha:]]``, no octal numbers: such a pattern, and whatever else is not known here, is outside.

The characters are those of Python's texts. RE2 is given U+FFFD for a lone surrogate (see
:func:`~guardrails.rego.builtins.operands.utf8`); so each set here has all of them or none, as it
has U+FFFD or not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from guardrails.rego.builtins.operands import without_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LAST_CODE: Final = 0x10FFFF

_DEEPEST_GROUP: Final = 20
_SURROGATES: Final = (0xD800, 0xDFFF)
_REPLACEMENT: Final = 0xFFFD

Ranges: TypeAlias = "tuple[tuple[int, int], ...]"
"""A set of characters: first and last codes, in order, with a gap before the next."""

_CLASSES: Final[Mapping[str, Ranges]] = {
    "d": ((0x30, 0x39),),
    "s": ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20)),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
}
_CONTROLS: Final = {"a": 0x07, "f": 0x0C, "n": 0x0A, "r": 0x0D, "t": 0x09, "v": 0x0B}
_HEXADECIMAL: Final = re.compile(r"([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\}")
_COUNTS: Final = re.compile(r"\{(0|[1-9][0-9]{0,3})(?:(,)([1-9][0-9]{0,3}|0)?)?\}")
_GROUP: Final = re.compile(r"\?:|\?P?<[0-9A-Za-z_]+>|(?!\?)")


class OutsideSubset(Exception):  # noqa: N818  # no error: a pattern may well lie outside the subset
    """The pattern has something that is not known here to be the same in both engines."""


class Chars(NamedTuple):
    """One character of a set."""

    ranges: Ranges


class End(NamedTuple):
    """No text, at the text's end."""


class Sequence(NamedTuple):
    """The parts, one after the other."""

    parts: tuple[Node, ...]


class Choice(NamedTuple):
    """One of the branches."""

    branches: tuple[Node, ...]


class Repeat(NamedTuple):
    """The body, `least` to `most` times (None: without bound).

    `most` is no zero, and no :class:`End` is in the body.
    """

    body: Node
    least: int
    most: int | None


Node: TypeAlias = "Chars | End | Sequence | Choice | Repeat"


class Branch(NamedTuple):
    """A branch of the whole pattern, and whether it is held at the text's start."""

    body: Node
    at_start: bool


def read(pattern: str) -> list[Branch]:
    """The branches of a pattern that RE2 accepts.

    Raises:
        OutsideSubset: it has something that is not known here.
    """
    return _Reader(without_surrogates(pattern)).branches()


class _Reader:
    """Reads a pattern that RE2 has accepted; what it does not know is outside the subset."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._place = 0

    def branches(self) -> list[Branch]:
        """The branches of the whole pattern."""
        branches = [self._branch()]
        while self._takes("|"):
            branches.append(self._branch())
        if self._place < len(self._pattern):
            raise OutsideSubset
        return branches

    def _branch(self) -> Branch:
        at_start = self._takes("^") or self._takes("\\A")
        return Branch(self._sequence(0), at_start)

    def _ahead(self, size: int = 1) -> str:
        return self._pattern[self._place : self._place + size]

    def _takes(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._place)
        self._place += len(text) * found
        return found

    def _next(self) -> str:
        char = self._ahead()
        if not char:
            raise OutsideSubset
        self._place += 1
        return char

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._ahead() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self, depth: int) -> Node:
        if self._takes("$") or self._takes("\\z"):
            return End()
        char = self._next()
        if char == "(":
            return self._group(depth + 1)
        if char == "[":
            return self._class()
        if char == ".":
            return _chars(all_but([(0x0A, 0x0A)]))
        if char == "\\":
            return _chars(self._escape())
        if char in "^*+?{":
            raise OutsideSubset
        return _chars([(ord(char), ord(char))])

    def _group(self, depth: int) -> Node:
        opening = _GROUP.match(self._pattern, self._place)
        if depth > _DEEPEST_GROUP or opening is None:
            raise OutsideSubset
        self._place = opening.end()
        branches = [self._sequence(depth)]
        while self._takes("|"):
            branches.append(self._sequence(depth))
        if not self._takes(")"):
            raise OutsideSubset
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _repeated(self, body: Node) -> Node:
        least = 1
        most: int | None = 1
        if self._takes("*"):
            least, most = 0, None
        elif self._takes("+"):
            most = None
        elif self._takes("?"):
            least = 0
        elif self._ahead() == "{":
            counts = _COUNTS.match(self._pattern, self._place)
            if counts is None:
                raise OutsideSubset
            self._place = counts.end()
            least = int(counts[1])
            most = int(counts[3]) if counts[3] else None if counts[2] else least
        else:
            return body
        if _holds_end(body):
            raise OutsideSubset
        self._takes("?")  # fewest first: the same answer, as only yes or no is asked
        if most == 0:
            return Sequence(())
        return body if least == most == 1 else Repeat(body, least, most)

    def _escape(self) -> Ranges:
        char = self._next()
        if char in _CONTROLS:
            code = _CONTROLS[char]
        elif char == "x":
            digits = _HEXADECIMAL.match(self._pattern, self._place)
            if digits is None:
                raise OutsideSubset
            self._place = digits.end()
            code = int(digits[1] or digits[2], 16)
        elif char.lower() in _CLASSES:
            ranges = _CLASSES[char.lower()]
            return ranges if char.islower() else all_but(ranges)
        elif char.isascii() and not char.isalnum():
            code = ord(char)
        else:
            raise OutsideSubset
        return ((code, code),)

    def _class(self) -> Node:
        negated = self._takes("^")
        ranges: list[tuple[int, int]] = []
        start = self._place
        while self._ahead() != "]" or self._place == start:
            # A hyphen is taken as itself at the two ends, and between the ends of a range only.
            if self._ahead() == "-" and self._place > start and self._ahead(2) != "-]":
                raise OutsideSubset
            low = self._class_char()
            if self._ahead() == "-" and self._ahead(2) != "-]":
                self._place += 1
                if self._ahead() == "-":
                    raise OutsideSubset
                high = self._class_char()
                if not (_is_one(low) and _is_one(high)):
                    raise OutsideSubset
                low = ((low[0][0], high[0][0]),)
            ranges += low
        self._place += 1
        return _chars(all_but(ranges) if negated else ranges)

    def _class_char(self) -> Ranges:
        char = self._next()
        if char == "\\":
            return self._escape()
        if char == "[":
            raise OutsideSubset
        return ((ord(char), ord(char)),)


def _holds_end(node: Node) -> bool:
    match node:
        case End():
            return True
        case Sequence(parts) | Choice(parts):
            return any(map(_holds_end, parts))
    return False


def _is_one(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _merged(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The ranges in order, none touching the next."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(high, out[-1][1]))
        else:
            out.append((low, high))
    return tuple(out)


def all_but(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Every character outside the ranges."""
    out: list[tuple[int, int]] = []
    start = 0
    for low, high in _merged(ranges):
        if start < low:
            out.append((start, low - 1))
        start = high + 1
    if start <= LAST_CODE:
        out.append((start, LAST_CODE))
    return tuple(out)


def _chars(ranges: Iterable[tuple[int, int]]) -> Chars:
    """The set as Python's texts need it: RE2 is given U+FFFD in place of each lone surrogate."""
    first, last = _SURROGATES
    seen: list[tuple[int, int]] = []
    for low, high in ranges:
        seen += [(low, min(high, first - 1)), (max(low, last + 1), high)]
        if low <= _REPLACEMENT <= high:
            seen.append(_SURROGATES)
    exact = _merged((low, high) for low, high in seen if low <= high)
    if not exact:
        raise OutsideSubset
    return Chars(exact)
