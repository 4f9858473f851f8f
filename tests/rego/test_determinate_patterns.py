"""What Python's `re` is asked in RE2's place has RE2's answer, after a linear number of steps."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from guardrails.rego.builtins.determinate import search_for
from guardrails.rego.builtins.regex import matches

parser = importlib.import_module("re._parser")

FULL_DATE = (
    r"^2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])"
    r"|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))$"
)


class Piece(NamedTuple):
    """A pattern, and texts that it should match."""

    pattern: str
    texts: st.SearchStrategy[str]


def atom(pattern: str, chars: str) -> Piece:
    return Piece(pattern, st.sampled_from(chars))


ATOMS = [
    atom("a", "a"),
    atom("b", "b"),
    atom("k", "k"),
    atom("é", "é"),
    atom("7", "7"),
    atom("]", "]"),
    atom("}", "}"),
    atom("\n", "\n"),
    atom(r"\.", "."),
    atom(r"\-", "-"),
    atom(r"\x2f", "/"),
    atom(r"\x{212A}", "\u212a"),
    atom(r"\x{fffd}", "\ufffd\ud800\udfff"),
    atom("\udc80", "\ufffd\ud800"),
    atom(r"\n", "\n"),
    atom(r"\x00", "\0"),
    atom(r"\d", "05"),
    atom(r"\D", "x\u0665\ud800\n"),
    atom(r"\w", "aZ_9"),
    atom(r"\W", "-é\u212a\n\udc00"),
    atom(r"\s", " \t\n\f\r"),
    atom(r"\S", "x\v\x85\xa0\ud800"),
    atom(".", "x\r\u2028\ud800"),
    atom("[a-c]", "abc"),
    atom("[^a-c]", "d\nA\ud800"),
    atom("[]-a]", "]^_`a"),
    atom("[^]a]", "b\n"),
    atom("[-k]", "-k"),
    atom("[k-]", "k-"),
    atom("[--/]", "-./"),
    atom(r"[\w.-]", "_.-"),
    atom(r"[^\W\d]", "az_"),
    atom(r"[\]\\]", "]\\"),
    atom("[é-ü]", "éóü"),
    atom(r"[\x{d000}-\x{e000}]", "\ud000\ue000"),
    atom(r"[^\x{fffd}]", "a\U0010ffff"),
    Piece("", st.just("")),
    Piece("()", st.just("")),
    Piece("b{0}", st.just("")),
]

COUNTS = [
    ("?", 0, 1),
    ("*", 0, 4),
    ("+", 1, 4),
    ("*?", 0, 4),
    ("{2}", 2, 2),
    ("{1}", 1, 1),
    ("{0,2}", 0, 2),
    ("{1,3}?", 1, 3),
    ("{2,}", 2, 4),
    ("{0}", 0, 0),
]


def in_sequence(parts: list[Piece]) -> Piece:
    texts = st.tuples(*(part.texts for part in parts)).map("".join)
    return Piece("".join(part.pattern for part in parts), texts)


def in_choice(opening: str, branches: list[Piece]) -> Piece:
    pattern = "|".join(branch.pattern for branch in branches)
    return Piece(f"{opening}{pattern})", st.one_of([branch.texts for branch in branches]))


def repeated(piece: Piece, count: tuple[str, int, int]) -> Piece:
    suffix, least, most = count
    texts = st.lists(piece.texts, min_size=least, max_size=most).map("".join)
    return Piece(f"(?:{piece.pattern}){suffix}", texts)


def grown(pieces: st.SearchStrategy[Piece]) -> st.SearchStrategy[Piece]:
    return st.one_of(
        st.lists(pieces, min_size=2, max_size=3).map(in_sequence),
        st.builds(
            in_choice,
            st.sampled_from(["(", "(?:", "(?P<n>", "(?<m_1>"]),
            st.lists(pieces, min_size=1, max_size=3),
        ),
        st.builds(repeated, pieces, st.sampled_from(COUNTS)),
    )


PIECES = st.recursive(st.sampled_from(ATOMS), grown, max_leaves=6)


def held(piece: Piece, ends: tuple[str, str]) -> Piece:
    return Piece(f"{ends[0]}(?:{piece.pattern}){ends[1]}", piece.texts)


ENDS = [("^", "$"), ("^", ""), ("\\A", "\\z"), ("^", "(?:$|/)"), ("^", "$|^b$")]

WHOLE = st.builds(held, PIECES, st.sampled_from(ENDS))

HOSTILE = st.text(
    "ab7k/.-]}\n\r\v\0\x85éÉK\u017f\u0665\u2028\u212a\ufffd\ud800\udbff\udc00\udfff\ue000\U0001f600",
    max_size=6,
)


def agrees(pattern: str, text: str) -> None:
    search = search_for(pattern)
    if search is not None:
        assert (search(text) is not None) == matches(pattern, text), (pattern, text)


@settings(max_examples=600)
@given(WHOLE, HOSTILE, st.data())
def test_the_answer_is_that_of_re2(piece, hostile, data):
    if search_for(piece.pattern) is None:
        return
    text = data.draw(piece.texts)
    agrees(piece.pattern, text)
    agrees(piece.pattern, hostile)
    agrees(piece.pattern, text + "\n")
    agrees(piece.pattern, text + hostile)
    agrees(piece.pattern, hostile + text)
    agrees(piece.pattern, text[: len(text) // 2] + hostile + text[len(text) // 2 :])
    agrees(piece.pattern, text[:-1])
    agrees(piece.pattern, text.swapcase())


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["a", "b", "ab", r"\.", "é", "\n", "$"]), max_size=5).map("".join),
    st.text("ab.é\n\ud800", max_size=12),
)
@example("", "")
@example("$", "\n")
@example("a$b", "ab")
@example("aab", "aaab")
@example("aab$", "aabaab\n")
def test_literal_text_is_found_where_re2_finds_it(pattern, text):
    assert search_for(pattern) is not None
    agrees(pattern, text)
    agrees(pattern, text + pattern.replace("\\", "").replace("$", ""))


@settings(max_examples=500)
@given(
    st.lists(
        st.sampled_from([*"^$\\[](){}*+?|.,:<>P=!i-abdwszAQEC12", "{2}", "(?", "[^", "[:alpha:]"]),
        max_size=10,
    ).map("".join),
    HOSTILE,
    st.sampled_from(["", "a", "b", "aa", "ab", "-", "]", "^", "a\n", "[", "2"]),
)
def test_no_scrap_of_syntax_is_read_otherwise_than_by_re2(pattern, hostile, text):
    # A pattern that RE2 refuses raises in `matches`: it must give no function at all.
    for whole in (pattern, f"^{pattern}", f"^[{pattern}]", f"^{pattern}$"):
        agrees(whole, text)
        agrees(whole, hostile)


def test_most_generated_patterns_are_in_the_subset_and_many_match():
    reached = []

    @settings(max_examples=400, database=None, derandomize=True)
    @given(WHOLE, st.data())
    def count(piece, data):
        search = search_for(piece.pattern)
        reached.append(search is not None and search(data.draw(piece.texts)) is not None)

    count()
    assert sum(reached) * 2 > len(reached)


EDGES = [0x2FFF, 0xD7FF, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE000, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF]
CODES = [*range(0x600), 0x660, 0x6F5, 0x1E9E, 0x2028, 0x2029, 0x212A, *EDGES, 0x10000, 0x10FFFF]


@pytest.mark.parametrize(
    "one",
    [piece.pattern for piece in ATOMS if piece.pattern not in ("", "()", "b{0}")]
    + [r"[\s\S]", r"[^\n]", r"[\x{d800}-\x{dfff}a]", r"\\", r"[\t-\r]", r"[\a\f\v]"],
)
def test_a_set_has_the_same_characters_in_both(one):
    search = search_for(f"^{one}$")
    assert search is not None
    for code in CODES:
        assert (search(chr(code)) is not None) == matches(f"^{one}$", chr(code)), hex(code)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (r"^[A-Za-z0-9._+'-]+@[A-Za-z0-9.-]+$", "a.b@c.example", "a.b@c.example\n"),
        (r"^[!-~]+$", "a@b", "a b"),
        (r"^/args(/|$)", "/args/to", "/argsx"),
        (r"^/args(/|$)", "/args", "/args\n"),
        (r"^[a-z0-9._-]+@(acme|brandt|helvig)\.example$", "j@brandt.example", "j@brandt.examples"),
        (FULL_DATE, "2026-09-30", "2026-09-31"),
        (FULL_DATE, "2024-02-29", "2024-02-30"),
        (r"^(?P<word>\w+) (?<next>\w+)$", "one two", "one  two"),
        (r"^[a-z0-9]+(-[a-z0-9]+)*$", "a-bc-d", "a--d"),
        (r"^a$|^b", "bc", "ac"),
        ("secret", "a secret text", "a secre"),
        (r"\.pdf$", "a.pdf", "a.pdf\n"),
    ],
)
def test_patterns_of_policies_are_in_the_subset(pattern, yes, no):
    search = search_for(pattern)
    assert search is not None
    assert search(yes) is not None
    assert search(no) is None
    agrees(pattern, yes)
    agrees(pattern, no)


QUADRATIC = ["^a*a*b", r"^[a-z]+\.?[a-z]+$", "^a*(b?)a*$", "^(a|b)*[ab]*$"]
EXPONENTIAL = [
    *("(a+)+$", "^(a+)+$", "^(a|a)*b", "^(a*)*$", "^((ab)+)*$", "^(a|aa)+$", "^(a?a?)+$"),
    *("^(a{1,2}){1,}b", "^(a+b?)+$"),
]


@pytest.mark.parametrize(
    "pattern",
    [
        *QUADRATIC,
        *EXPONENTIAL,
        *("a*a*b", "(a|a)*b", "a+", "a|b", "^a|b", "a|^b", "(^a)", "a^b", "^(a|^b)$", "^^a"),
        # The automaton has the choice, though `re` would not see it, or not for long.
        *("^(a|b|[ab])*$", "^.*foo", r"^[^/]+\.example$"),
        # A loop around what may be empty.
        *("^(a?b?)*$", "^(|a)+$", "^(a?){2}$", "^()*$"),
        # Bounded, but by too large a number: 2 to the power of 5 and of 20.
        "^(a|a)(a|a)(a|a)(a|a)(a|a)$",
        "^" + "(a?|b?)" * 20 + "$",
        "^" + "a?" * 20 + "a" * 20 + "$",
        # Too large, too deep.
        "^" + "a" * 1000,
        "^a{600}$",
        "^" + "(" * 21 + "a" + ")" * 21,
        "^(" + "|".join(f"{chr(0x100 + place)}" for place in range(100)) + ")*$",
        # Not known to mean the same.
        *("(?i)^a", "^(?i:k)$", "^(?m)a$", "^(?s).", r"^\bA", r"^\B", r"^\pL", r"^\p{Greek}"),
        *(
            r"^\Qa\E",
            "^[[:alpha:]]",
            "^[[:^space:]]",
            r"^\012",
            "^($)*a",
            "^(a|$)?",
            "^a{",
            "^a{,2}",
        ),
        *("^a{01}", "^a{1,02}", r"^[\d-z]", "^[a-z-9]", "^[a[]", "^[+--]", r"^\C", r"^[\x{d800}]"),
        # No patterns at all.
        *("^(", "^)", "^a{2,1}", "^a**", "^a{1001}", "^[b-a]", "^[a", "^\\", r"^\y", "^(?P<a>b"),
        *("^(?P<é>b)", "^(?=a)", r"^(a)\1", "^(?#a)", "^(?>a)", "^a++", r"^\x{110000}"),
    ],
)
def test_other_patterns_are_left_to_re2(pattern):
    assert search_for(pattern) is None


def test_a_long_text_of_a_repeated_group_is_left_to_re2():
    search = search_for("^(ab|cd)*$")
    assert search is not None
    for size in (65_534, 65_536, 65_538, 200_000):
        assert search("abcd" * (size // 4)) is not None
        assert search("abcd" * (size // 4) + "a") is None


# What backtracking does, counted: every way to go through `re`'s own reading of a pattern, none
# left out. That is the most that a match can cost, namely one that fails at the very end.


class Steps:
    """Counts the steps of all the ways in which a pattern goes through a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.count = 0

    def ends(self, items, place):
        """The places where `items` can end, each as often as there are ways to it."""
        self.count += 1
        if not items:
            yield place
            return
        for end in self.ends_of(items[0], place):
            yield from self.ends(items[1:], end)

    def ends_of(self, item, place):
        kind, given = item
        match str(kind):
            case "BRANCH":
                for branch in given[1]:
                    yield from self.ends(list(branch), place)
            case "SUBPATTERN":
                yield from self.ends(list(given[3]), place)
            case "MAX_REPEAT":
                least, most, body = given
                yield from self.rounds(least, most, list(body), place)
            case "AT":
                assert str(given) == "AT_END_STRING"
                self.count += 1
                if place == len(self.text):
                    yield place
            case "LITERAL" | "NOT_LITERAL" | "IN":
                self.count += 1
                if place < len(self.text) and self.takes(kind, given, ord(self.text[place])):
                    yield place + 1
            case other:
                raise AssertionError(other)

    def rounds(self, least, most, body, place):
        self.count += 1
        if most is parser.MAXREPEAT or most > 0:
            fewer = most if most is parser.MAXREPEAT else most - 1
            for end in self.ends(body, place):
                if end > place or least > 0:
                    yield from self.rounds(max(least - 1, 0), fewer, body, end)
        if least == 0:
            yield place

    def takes(self, kind, given, code):
        match str(kind):
            case "LITERAL":
                return code == given
            case "NOT_LITERAL":
                return code != given
            case "RANGE":
                return given[0] <= code <= given[1]
        negated = str(given[0][0]) == "NEGATE"
        return negated != any(self.takes(one, it, code) for one, it in given[negated:])


def steps(source: str, text: str) -> int:
    counter = Steps(text)
    for _ in counter.ends(list(parser.parse(source)), 0):
        pass
    return counter.count


def source_of(pattern: str) -> str:
    """The pattern that `re` is given."""
    search = search_for(pattern)
    if not hasattr(search, "__self__"):
        (search,) = (
            cell.cell_contents
            for cell in search.__closure__
            if hasattr(cell.cell_contents, "__self__")
        )
    return search.__self__.pattern


LINEAR_ROUNDS = (12, 24, 36, 48)
EXPONENTIAL_ROUNDS = (2, 5, 8, 11)


def growth(source: str, texts: list[str]) -> list[int]:
    """The steps that each text costs more than the one before."""
    return [large - small for small, large in pairwise(steps(source, text) for text in texts)]


def is_linear(costs: list[int]) -> bool:
    """Whether as many rounds more cost about as many steps more, wherever they are added.

    Where the steps grow with the square, the third cost is 5/3 of the second; a loop that the
    rounds do not divide adds one turn.
    """
    return costs[2] <= costs[1] * 1.25 + 30


@settings(max_examples=150)
@given(WHOLE, st.data())
def test_steps_grow_with_the_length_of_the_text_only(piece, data):
    if search_for(piece.pattern) is None:
        return
    text = data.draw(piece.texts)
    cut = data.draw(st.integers(0, len(text)))
    again = text[cut : cut + data.draw(st.sampled_from([1, 2]))] or "a"
    rest = text[cut + len(again) :] + "!"
    texts = [text[:cut] + again * rounds + rest for rounds in LINEAR_ROUNDS]
    costs = growth(source_of(piece.pattern), texts)
    assert is_linear(costs), (piece.pattern, text, again, costs)


@pytest.mark.parametrize("pattern", [*QUADRATIC, *EXPONENTIAL])
def test_what_is_refused_for_its_steps_does_take_them(pattern):
    source = pattern.lstrip("^").replace("$", r"\Z")
    unit = "ab" if "(ab)" in pattern else "a"
    rounds = LINEAR_ROUNDS if pattern in QUADRATIC else EXPONENTIAL_ROUNDS
    assert not is_linear(growth(source, [unit * count + "!" for count in rounds]))
