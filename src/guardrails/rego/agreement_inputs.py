"""Inputs to compare planners by: sound calls, calls with fields missing, and calls full of junk.

They are made from the input's schema and from what stands in the policies: their strings, the
numbers beside their thresholds, the arguments that they read.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from random import Random

_JUNK: Final[tuple[Any, ...]] = (
    None, True, False, 0, 1, -1, Decimal("0.5"), 10**18, "", "x", "5", [], {}, [None], ["x"],
    {"x": 1}, [[]], {"": None},
)  # fmt: skip
_DEEPEST: Final = 6
_FREE: Final = 3


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What stands in policies.

    Attributes:
        strings: Their texts, and the names and texts of the data.
        numbers: Their numbers.
        paths: What they read of the input, as ``("args", "amount")``.
    """

    strings: tuple[str, ...] = ()
    numbers: tuple[int | Decimal, ...] = ()
    paths: tuple[tuple[str, ...], ...] = ()


def documents(
    schema: Mapping[str, Any] | None, vocabulary: Vocabulary, random: Random, count: int
) -> Iterator[Any]:
    """`count` inputs: the first whole and sound, then ever more of them damaged."""
    maker = _Maker(vocabulary, random)
    for number in range(count):
        document = maker.value(schema or {"type": "object"}, 0)
        if isinstance(document, dict):
            for path in vocabulary.paths:
                maker.plant(document, path)
        for _ in range(random.randrange(4) if number % 3 else 0):
            document = maker.damaged(document)
        yield document


def smaller(document: Any) -> Iterator[Any]:
    """`document` with one thing left out, the largest parts first."""
    if isinstance(document, dict):
        for key in document:
            yield {name: value for name, value in document.items() if name != key}
        for key, value in document.items():
            for less in smaller(value):
                yield {**document, key: less}
    elif isinstance(document, list):
        for at in range(len(document)):
            yield document[:at] + document[at + 1 :]
        for at, value in enumerate(document):
            for less in smaller(value):
                yield [*document[:at], less, *document[at + 1 :]]


class _Maker:
    def __init__(self, vocabulary: Vocabulary, random: Random) -> None:
        self._strings = vocabulary.strings or ("x",)
        near = [
            each
            for number in vocabulary.numbers
            for each in (number, number - 1, number + 1, number + Decimal("0.5"), -number)
        ]
        self._numbers = (*near, 0, 1, 100, Decimal("10.50"))
        self._random = random

    def value(self, schema: Any, depth: int) -> Any:  # one return for each type
        """A value that `schema` allows, as far as it is told by types and properties."""
        if not isinstance(schema, dict) or depth > _DEEPEST:
            return self._any()
        if "enum" in schema:
            return self._random.choice(schema["enum"])
        named = schema.get("type")
        kind = self._random.choice(named) if isinstance(named, list) else named
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            items = schema.get("items", {})
            return [self.value(items, depth + 1) for _ in range(self._random.randrange(_FREE))]
        if kind in {"number", "integer"}:
            number = self._random.choice(self._numbers)
            return abs(int(number)) if kind == "integer" else number
        if kind == "string":
            return self._random.choice(self._strings)
        if kind == "boolean":
            return self._random.random() < 0.5  # noqa: PLR2004  # evenly
        return None if kind == "null" else self._any()

    def plant(self, document: dict[str, Any], path: tuple[str, ...]) -> None:
        """Puts something at a path that policies read, where the way to it is free."""
        node: Any = document
        for step in path[:-1]:
            node = node.setdefault(step, {}) if isinstance(node, dict) else None
        if isinstance(node, dict) and path[-1] not in node and self._random.random() < 0.8:  # noqa: PLR2004  # mostly
            node[path[-1]] = self._any()

    def damaged(self, document: Any) -> Any:
        """`document` with one part of it gone or replaced, however deep."""
        if isinstance(document, dict) and document and self._random.random() < 0.9:  # noqa: PLR2004  # mostly
            key = self._random.choice(list(document))
            if self._random.random() < 0.35:  # noqa: PLR2004  # a third is dropped
                return {name: value for name, value in document.items() if name != key}
            return {**document, key: self.damaged(document[key])}
        if isinstance(document, list) and document and self._random.random() < 0.7:  # noqa: PLR2004  # mostly
            at = self._random.randrange(len(document))
            return [*document[:at], self.damaged(document[at]), *document[at + 1 :]]
        return self._any()

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = set(schema.get("required", ()))
        made = {
            name: self.value(inner, depth + 1)
            for name, inner in properties.items()
            if name in required or self._random.random() < 0.5  # noqa: PLR2004  # evenly
        }
        more = schema.get("additionalProperties", True)
        if more is not False:
            for _ in range(self._random.randrange(_FREE)):
                made.setdefault(self._random.choice(self._strings), self.value(more, depth + 1))
        return made

    def _any(self) -> Any:
        chance = self._random.random()
        if chance < 0.35:  # noqa: PLR2004  # texts that policies look for
            return self._random.choice(self._strings)
        if chance < 0.6:  # noqa: PLR2004  # numbers beside their limits
            return self._random.choice(self._numbers)
        if chance < 0.75:  # noqa: PLR2004  # lists of both
            kinds = (self._strings, self._numbers)
            return [self._random.choice(self._random.choice(kinds)) for _ in range(_FREE)]
        return self._random.choice(_JUNK)


__all__ = ["Vocabulary", "documents", "smaller"]
