r"""Patterns that Python's ``re`` may match in RE2's place: same answers, linear time.

Python's ``re`` is several times faster than RE2 on a short text (no copy into UTF-8, a thinner
wrapper), but it backtracks. It is used only for a pattern that this module has read whole,
written anew (every set of characters as explicit ranges), and shown to leave ``re`` next to
nothing to choose.

What is shown. Take the positions of the pattern's character sets, and after each the positions
that can come next, with the number of ways that lead there past optional and repeated parts: the
position automaton, counted as in Book, Even, Greibach and Ott, "Ambiguity in Graphs and
Expressions" (IEEE Transactions on Computers C-20, 1971). Backtracking walks the runs of this
automaton over the text, no run twice. Let ``ways`` be numbers of at least 1, one for a position,
such that ``ways[p]`` is at least the sum, over the positions after `p` whose sets share a
character, of the ways to reach them times their own. Then by induction on its length, no text has
more than ``ways[p]`` runs from `p`; so each place of the text is reached at most ``ways[start]``
times, and what is tried there depends on the pattern alone. (By this number of runs, matchers are
classified in Weideman, van der Merwe, Berglund and Watson, "Analyzing Matching Time Behavior of
Backtracking Regular Expression Matchers by Using Ambiguity of NFA", CIAA 2016.) A pattern is
taken if small such numbers exist. Where each is 1, it is one-unambiguous in the sense of
Brüggemann-Klein and Wood, "One-Unambiguous Regular Languages" (Information and Computation 142,
1998): each character says what comes next. A choice inside a loop adds to itself, so that none is
ever taken; nor is a loop whose body may be empty.

A search from every place would undo this: a pattern begins with ``^``, or is literal text, which
``re`` finds with a table of overlaps, as Knuth, Morris and Pratt do.

Possessive quantifiers would prove the same, but before Python 3.11.5 a repeated group has wrong
matches with them (CPython issue 106052).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.re2syntax import (
    LAST_CODE,
    Branch,
    Chars,
    Choice,
    End,
    Node,
    OutsideSubset,
    Ranges,
    Repeat,
    Sequence,
    all_but,
    read,
)
from guardrails.rego.builtins.regex import compiled, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LARGEST_PATTERN: Final = 1_000
_MOST_POSITIONS: Final = 512
_MOST_LINKS: Final = 4_096
_MOST_WAYS: Final = 16
_MOST_ROUNDS: Final = 16

_LONGEST_FOR_LOOPS: Final = 64 * 1024
"""Characters of the longest text on which a group is repeated without bound: ``re`` keeps some 60
bytes for each round, where RE2 keeps none."""

_END: Final[Ranges] = ((LAST_CODE + 1, LAST_CODE + 1),)
"""As if the text's end were one more character, read as often as ``$`` asks for it, and at last
where the pattern is done."""


def search_for(pattern: str) -> Callable[[str], object | None] | None:
    """What finds the RE2 pattern in a text as :func:`regex.matches` does, None for no match.

    It is a bound method of a compiled pattern of Python's ``re``, save for a pattern that repeats
    a group without bound: there a function that leaves long texts to RE2.

    Returns:
        The function, or None where RE2 itself is to be asked: for a pattern that is none, that is
        not certain to take linear time, or whose meaning is not certain to be the same.
    """
    if len(pattern) > _LARGEST_PATTERN:
        return None
    try:
        compiled(pattern)
        branches = read(pattern)
        if not all(branch.at_start for branch in branches):
            return _literal_search(branches)
        if not _Automaton(branches).is_bounded():
            return None
    except (BuiltinError, OutsideSubset):
        return None
    match = re.compile("|".join(_python(branch.body) for branch in branches)).match
    if not any(_repeats_groups(branch.body) for branch in branches):
        return match

    def match_unless_long(text: str) -> object | None:
        if len(text) <= _LONGEST_FOR_LOOPS:
            return match(text)
        return matches(pattern, text) or None

    return match_unless_long


def _literal_search(branches: list[Branch]) -> Callable[[str], object | None] | None:
    """The search for one literal text, if that is the whole pattern."""
    body = branches[0].body
    if len(branches) > 1 or not _is_literal(body):
        return None
    return re.compile(_python(body)).search


def _is_literal(node: Node) -> bool:
    match node:
        case Chars(((low, high),)):
            return low == high
        case End():
            return True
        case Sequence(parts):
            return all(map(_is_literal, parts))
    return False


def _repeats_groups(node: Node) -> bool:
    """Whether something else than one set of characters is repeated without bound."""
    match node:
        case Repeat(body, _, most):
            return (most is None and type(body) is not Chars) or _repeats_groups(body)
        case Sequence(parts) | Choice(parts):
            return any(map(_repeats_groups, parts))
    return False


class _Part(NamedTuple):
    """A part of the pattern: in how many ways it takes no text, begins and ends at a position."""

    empty: int
    first: dict[int, int]
    last: dict[int, int]


_NOTHING: Final = _Part(1, {}, {})


def _sum(one: dict[int, int], other: dict[int, int], times: int = 1) -> dict[int, int]:
    if not times or not other:
        return one
    out = dict(one)
    for position, ways in other.items():
        out[position] = out.get(position, 0) + ways * times
    return out


class _Automaton:
    """The positions of a pattern, and in how many ways each follows another."""

    def __init__(self, branches: list[Branch]) -> None:
        """Build it.

        Raises:
            OutsideSubset: it would be too large, or a loop has a body that may be empty.
        """
        self._sets: list[Ranges] = []
        self._after: list[dict[int, int]] = []
        self._links = 0
        start = self._position(())
        whole = Choice(tuple(Sequence((branch.body, End())) for branch in branches))
        self._then(start, self._add(whole))

    def is_bounded(self) -> bool:
        """Whether every text has few runs."""
        distinct = sorted(set(self._sets))
        meeting = {one: [other for other in distinct if _meet(one, other)] for one in distinct}
        ways = [1] * len(self._sets)
        for _ in range(_MOST_ROUNDS):
            settled = True
            for position in reversed(range(len(ways))):
                needed = self._needed(position, ways, meeting)
                if needed > _MOST_WAYS:
                    return False
                if needed > ways[position]:
                    ways[position] = needed
                    settled = False
            if settled:
                return True
        return False

    def _needed(
        self, position: int, ways: list[int], meeting: Mapping[Ranges, list[Ranges]]
    ) -> int:
        """The most runs that go on from the position with one character."""
        onward: dict[Ranges, int] = {}
        for after, count in self._after[position].items():
            chars = self._sets[after]
            onward[chars] = onward.get(chars, 0) + count * ways[after]
        return max(
            (sum(onward.get(other, 0) for other in meeting[one]) for one in onward), default=1
        )

    def _position(self, ranges: Ranges) -> _Part:
        position = len(self._sets)
        if position >= _MOST_POSITIONS:
            raise OutsideSubset
        self._sets.append(ranges)
        self._after.append({})
        return _Part(0, {position: 1}, {position: 1})

    def _link(self, last: dict[int, int], first: dict[int, int]) -> None:
        self._links += len(last) * len(first)
        if self._links > _MOST_LINKS:
            raise OutsideSubset
        for position, ways in last.items():
            self._after[position] = _sum(self._after[position], first, ways)

    def _then(self, one: _Part, other: _Part) -> _Part:
        self._link(one.last, other.first)
        return _Part(
            one.empty * other.empty,
            _sum(one.first, other.first, one.empty),
            _sum(other.last, one.last, other.empty),
        )

    def _add(self, node: Node) -> _Part:
        match node:
            case Chars(ranges):
                return self._position(ranges)
            case End():
                return self._position(_END)
            case Sequence(parts):
                whole = _NOTHING
                for part in parts:
                    whole = self._then(whole, self._add(part))
                return whole
            case Choice(branches):
                whole = _Part(0, {}, {})
                for branch in branches:
                    added = self._add(branch)
                    whole = _Part(
                        whole.empty + added.empty,
                        _sum(whole.first, added.first),
                        _sum(whole.last, added.last),
                    )
                return whole
            case Repeat(body, least, most):
                return self._add_repeat(body, least, most)

    def _add_repeat(self, body: Node, least: int, most: int | None) -> _Part:
        """``x{2,4}`` as ``xx(x(x)?)?``, and ``x{2,}`` as ``xx+``: the order of ``re``'s choices."""
        rounds = [self._add(body) for _ in range(most or max(least, 1))]
        if rounds[0].empty and most != 1:
            raise OutsideSubset
        if most is None:
            self._link(rounds[-1].last, rounds[-1].first)
        whole = _NOTHING
        for index in reversed(range(len(rounds))):
            whole = self._then(rounds[index], whole)
            if index >= least:
                whole = whole._replace(empty=whole.empty + 1)
        return whole


def _meet(one: Ranges, other: Ranges) -> bool:
    return any(a <= d and c <= b for a, b in one for c, d in other)


def _python(node: Node) -> str:
    """The pattern for ``re`` of the node."""
    match node:
        case Chars(((low, high),)) if low == high:
            return re.escape(chr(low))
        case Chars(ranges):
            others = all_but(ranges)
            if others and len(others) < len(ranges):
                return f"[^{_python_ranges(others)}]"
            return f"[{_python_ranges(ranges)}]"
        case End():
            return r"\Z"
        case Sequence(parts):
            return "".join(map(_python, parts))
        case Choice(branches):
            return f"(?:{'|'.join(map(_python, branches))})"
        case Repeat(body, least, most):
            return f"(?:{_python(body)}){{{least},{'' if most is None else most}}}"


def _python_ranges(ranges: Ranges) -> str:
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges)
