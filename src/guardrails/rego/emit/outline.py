"""Parts of large functions as functions of their own.

* Rules that each begin with another value of one thing (``input.tool.name == "refund"``) are put
  behind a table: what does not apply is not even looked at, however many rules there are.
* What is left of a function that is still large is cut into pieces, so that no single step of
  loading holds the interpreter for long.

Only statements that leave nothing behind but what they do to collections are moved.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from guardrails.rego.emit import residual
from guardrails.rego.emit.residual import Do, For, If, Jump, Return, Set, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.rego.emit.residual import Body, Node, Text
    from guardrails.rego.emit.unit import Unit

LARGEST: Final = 400
"""Statements of one function beyond which it is cut."""

PIECE: Final = 120
"""Statements of a piece."""

_FEWEST_KEYS: Final = 4
"""Values below which a table costs more than the tests."""

_TEST: Final = re.compile(r"([tpx]\d+) (==|in) (K\d+)")


def outlined(unit: Unit, body: Body) -> Body:
    """`body`, parts of which are now functions of `unit`."""
    outliner = _Outliner(unit, body)
    body = outliner.dispatched(body)
    if _size(body) > LARGEST:
        body = outliner.cut(body)
    return body


def _size(body: Sequence[Node]) -> int:
    return sum(1 for _ in residual.walk(body))


class _Outliner:
    def __init__(self, unit: Unit, body: Body) -> None:
        self.unit = unit
        self.names = 0
        self.reads, self.writes = _counts(body)

    # Tables.

    def dispatched(self, body: Body) -> Body:
        """`body` with tables in place of runs of tests of one thing."""
        found: Body = []
        place = 0
        while place < len(body):
            run = self.run(body[place:])
            if run is not None:
                found += self.table(run)
                place += len(run)
                continue
            node = body[place]
            for inner in residual.children(node):
                inner[:] = self.dispatched(inner)
            found.append(node)
            place += 1
        return found

    def run(self, body: Sequence[Node]) -> list[tuple[str, list[str], If]] | None:
        """The tests of one thing with which `body` begins, if they are enough for a table."""
        found: list[tuple[str, list[str], If]] = []
        for node in body:
            test = self.test(node)
            if test is None or (found and test[0] != found[0][0]):
                break
            found.append((*test, node))  # type: ignore[arg-type]  # only an If is such a test
        keys = {key for _, each, _ in found for key in each}
        if len(keys) < _FEWEST_KEYS or not self.may_move([node for _, _, node in found]):
            return None
        return found

    def test(self, node: Node) -> tuple[str, list[str]] | None:
        """What `node` asks first: a variable, and the constants one of which it must be."""
        if not isinstance(node, If) or node.orelse:
            return None
        for text in conjuncts(node.condition):
            asked = _TEST.fullmatch(text)
            if asked is not None:
                keys = self.unit.text_keys(asked[3], several=asked[2] == "in")
                return None if keys is None else (asked[1], keys)
            if self.unit.may_raise(text):
                return None
        return None

    def table(self, run: Sequence[tuple[str, list[str], If]]) -> Body:
        """A look-up in a table, and a call of what is found there."""
        subject, where = run[0][0], run[0][2].where
        by_key: dict[str, Body] = {}
        for _, keys, node in run:
            for key in keys:
                by_key.setdefault(key, []).append(node)
        nodes = [node for _, _, node in run]
        params = self.free(nodes)
        functions: dict[tuple[int, ...], str] = {}
        entries: dict[str, str] = {}
        for key, inner in by_key.items():
            same = tuple(map(id, inner))
            if same not in functions:
                functions[same] = self.unit.outline(params, inner)
            entries[key] = functions[same]
        table = self.unit.table(entries)
        self.names += 1
        chosen = f"q{self.names}"
        wanted = f"{table}.get({subject}) if type({subject}) is str else None"
        call = If(where, f"{chosen} is not None", [Do(where, f"{chosen}({', '.join(params)})")])
        return [Set(where, chosen, wanted), call]

    # Pieces.

    def cut(self, body: Body) -> Body:
        """`body`, in which pieces are calls."""
        found: Body = []
        piece: Body = []
        for node in body:
            if _size([node]) > LARGEST:
                for inner in residual.children(node):
                    inner[:] = self.cut(inner)
            if self.may_move([node]) and not isinstance(node, Set):
                piece.append(node)
                if _size(piece) >= PIECE:
                    found += self.call(piece)
                    piece = []
            elif isinstance(node, Set) and self.stays_inside(node, piece):
                found += self.call(piece)
                piece = []
                found.append(node)
            else:
                found += self.call(piece)
                piece = []
                found.append(node)
        return found + self.call(piece)

    def stays_inside(self, node: Set, piece: Body) -> bool:
        return bool(piece) and not residual.fallible(node.value)

    def call(self, piece: Body) -> Body:
        """A call of `piece`, if it is worth one."""
        if _size(piece) < PIECE // 4:
            return list(piece)
        params = self.free(piece)
        name = self.unit.outline(params, list(piece))
        return [Do(piece[0].where, f"{name}({', '.join(params)})")]

    # What may be moved.

    def may_move(self, nodes: Sequence[Node]) -> bool:
        """Whether `nodes` leave no value behind that something else reads, and no loop."""
        inside = list(residual.walk(nodes))
        groups = {id(node.body if isinstance(node, For) else node) for node in inside}
        for node in inside:
            if isinstance(node, Return) or (
                isinstance(node, Jump) and id(node.group) not in groups
            ):
                return False
        reads, writes = _counts(nodes)
        return not _stops(nodes) and all(
            reads[name] == self.reads[name] and count == self.writes[name]
            for name, count in writes.items()
        )

    def free(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        """What `nodes` read and do not give a value to themselves."""
        reads, writes = _counts(nodes)
        return tuple(name for name in sorted(reads) if name not in writes)


def _counts(nodes: Sequence[Node]) -> tuple[Counter[str], Counter[str]]:
    """How often each local is read in `nodes`, and how often it is given a value."""
    reads: Counter[str] = Counter()
    writes: Counter[str] = Counter()
    for node in residual.walk(nodes):
        writes.update(residual.assigned(node))
        for text in residual.texts(node):
            reads.update(residual.names(text))
    return reads, writes


def _stops(nodes: Sequence[Node]) -> bool:
    """Whether `nodes` leave a loop in which they stand."""
    for node in nodes:
        if isinstance(node, Stop):
            return True
        if not isinstance(node, For) and any(map(_stops, residual.children(node))):
            return True
    return False


def conjuncts(condition: Text) -> list[Text]:
    """The parts of a condition that must all hold; itself where it is no such list."""
    parts, depth, start = [], 0, 0
    place = 0
    while place < len(condition):
        char = condition[place]
        depth += (char in "([{") - (char in ")]}")
        if depth == 0 and condition.startswith(" or ", place):
            return [condition]
        if depth == 0 and condition.startswith(" if ", place):
            return [condition]
        if depth == 0 and condition.startswith(" and ", place):
            parts.append(condition[start:place])
            place += 5
            start = place
            continue
        place += 1
    return [*parts, condition[start:]]
