"""Inputs of the campaign, as JSON text: sound calls, and every way in which they are not.

Numbers are written in many ways that mean the same, so it is the text that counts: one side parses
it, the other is sent it as it is.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.agreement_inputs import Vocabulary, documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from random import Random

Path = tuple[str | int, ...]

JUNK: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2, 2.5, 1e30, -0.5, "", "x", "prod", "read", "moves_money",
    [], [None], [True], ["prod"], ["read"], [[]], [{}], [1, 2], {}, {"x": 1}, {"amount": -5},
    {"": 0}, {"0": 1}, [["read", "write"]], "2026-13-01",
)  # fmt: skip
"""Values of every type, to stand where another is expected."""

_MARK: Final = "\x01"
_MARKED: Final = re.compile(r'"\\u0001([^"]+)"')


def numeral(text: str) -> str:
    """A stand-in for a number that is to be written exactly so."""
    return _MARK + text


NUMERALS: Final = tuple(
    map(
        numeral,
        (
            "0.0", "0.00", "-0", "-0.0", "0e0", "0E+5", "1.0", "10.0", "100.00", "1000.0",
            "4180.00", "1000.50", "1000.5", "1000.01", "100.51", "1e2", "1E2", "1.0e2", "1.5e3",
            "1.50e1", "1.5e-10", "20e-1", "1e-7", "1E-400", "1e400", "-1e400",
            "9223372036854775807", "9223372036854775808", "-9223372036854775809",
            "18446744073709551616", "0.1000000000000000055511151231257827", "0.30000000000000004",
            "1000.0000000000000001",
            "99999999999999999999.99", "1781524800000000000.5", "120.0", "1440.60", "50.250",
        ),
    )
)  # fmt: skip
"""Numbers that are written in ways that engines stumble over."""

TEXTS: Final = (
    "\x00", "a\x00b", "\u2028", "\u202e", "\ufeff", "\ufffd", "\U0001f600", "e\u0301", "\u00e9",
    "\u0130", "\u1e9e", "\u00df", "\u017f", "\u212a", "\u01c5", "\u03a3\u03c2", "\ufb01",
    "\u1e9e@acme.example", "PAT@CUSTOMER.EXAMPLE", "pat@customer.example\n",
    " pat@customer.example", "pat@customer.example\x00",
    "a@acme.example,eve@evil.example", "eve@evil.example ,a@acme.example", "x@\u0130.example",
    "pat@CU\u017fTOMER.example", "\u212a@acme.example", "@", "@acme.example", "a@b@acme.example",
    "\u0430@acme.example", "<script>", "%s%v%d", "{{.}}", "\\", '"', "'; DROP TABLE", "../../etc",
    "true", "null", "0", "-1", "NaN", "Infinity", "Prod", "PROD", "prod ", "moves_money ",
    "data.guardrails", "input", "x" * 5_000, "\U0010ffff",
)  # fmt: skip
"""Texts that engines may fold, cut or quote each in its own way."""


@dataclass(frozen=True, slots=True)
class Case:
    """One input.

    Attributes:
        kind: How it was made.
        text: The document, as JSON.
    """

    kind: str
    text: str


def cases(
    calls: Sequence[Mapping[str, Any]],
    schema: Mapping[str, Any],
    vocabulary: Vocabulary,
    random: Random,
    count: int,
) -> Iterator[Case]:
    """`count` inputs: the sound ones, each with each field missing, then all the rest by turns.

    Args:
        calls: Sound documents.
        schema: The published shape of the input.
        vocabulary: What stands in the policies.
        random: Where choices come from.
        count: How many.
    """
    made = _endless(calls, schema, vocabulary, random)
    for _ in range(count):
        yield next(made)


def vocabulary_of(modules: Mapping[str, str], data: object) -> Vocabulary:
    """What stands in policies and their data: texts, numbers, and the arguments they read."""
    text = "\n".join(modules.values())
    strings = {*re.findall(r'"([^"\\\n]{1,40})"', text), *_leaves(data, str)}
    numbers = {int(each) for each in re.findall(r"\b\d{1,6}\b", text)} | _leaves(data, int)
    paths = {
        tuple(each.split(".")) for each in re.findall(r"\binput\.([a-z_]+(?:\.[a-z_]+)*)", text)
    }
    return Vocabulary(tuple(sorted(strings)), tuple(sorted(numbers)), tuple(sorted(paths)))


def _leaves(value: object, kind: type) -> set[Any]:
    if isinstance(value, dict):
        keys = set(value) if kind is str else set()
        return keys.union(*(_leaves(each, kind) for each in value.values()))
    if isinstance(value, list):
        return set().union(*(_leaves(each, kind) for each in value))
    return {value} if type(value) is kind else set()


def _endless(
    calls: Sequence[Mapping[str, Any]],
    schema: Mapping[str, Any],
    vocabulary: Vocabulary,
    random: Random,
) -> Iterator[Case]:
    for each in calls:
        yield Case("sound", text_of(each))
    for each in calls:
        for path in places(each):
            yield Case("field missing", text_of(_without(each, path)))
    by_schema = documents(schema, vocabulary, random, 1 << 40)
    words = [*vocabulary.strings, *vocabulary.numbers]
    while True:
        base = copy.deepcopy(dict(random.choice(calls)))
        yield Case("junk", text_of(_spoilt(base, JUNK, random, 1)))
        yield Case("number", text_of(_spoilt(base, NUMERALS, random, 2, _is_number)))
        yield Case("text", text_of(_spoilt(base, TEXTS, random, 1, _is_text)))
        yield Case("words", text_of(_spoilt(base, words, random, random.randint(1, 3))))
        everything = (*JUNK, *NUMERALS, *TEXTS, *words)
        yield Case("all at once", text_of(_spoilt(base, everything, random, random.randint(2, 6))))
        # OPA's API takes `{"input": null}` for no input; no document that an engine gets is null.
        found = next(each for each in by_schema if each is not None)
        yield Case("by the schema", text_of(found))


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every path into a document."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def text_of(document: Any) -> str:
    """A document as JSON text, numbers as they are meant to be written."""
    text = json.dumps(document, default=lambda number: _MARK + format(number, "f"))
    return _MARKED.sub(r"\1", text)


def _without(document: Mapping[str, Any], path: Path) -> Any:
    copied = copy.deepcopy(dict(document))
    target: Any = copied
    for key in path[:-1]:
        target = target[key]
    del target[path[-1]]
    return copied


def _spoilt(
    document: Any, values: Sequence[Any], random: Random, times: int, wanted: Any = None
) -> Any:
    """A copy with values put at some places, preferably where such a one stands now."""
    copied = copy.deepcopy(document)
    for _ in range(times):
        found = list(places(copied))
        if wanted is not None and random.random() < 0.8:
            found = [path for path in found if wanted(_at(copied, path))] or found
        if not found:
            break
        path = random.choice(found)
        target = _at(copied, path[:-1])
        target[path[-1]] = copy.deepcopy(random.choice(values))
    return copied


def _at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value.startswith(_MARK)
    return not isinstance(value, bool | list | dict | None)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not value.startswith(_MARK)
