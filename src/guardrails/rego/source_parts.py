"""The parts of a Rego source that can be reached: the heads of rules and their expressions.

They come from the parser's syntax tree, whose sizes leave out closing brackets, and are found
again by the places that a plan gives to its statements. OPA's plans name the place of every
expression; regopy's give some definitions the place of the rule's first one, so that these are
told apart by their order.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.rego.syntax import place_of, row_starts, rule_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrails.rego import ir
    from guardrails.rego.definitions import Definition
    from guardrails.rego.syntax import Module, Node

_LEXEME: Final = re.compile(rb'"(?:\\.|[^"\\\n])*"|`[^`]*`|#[^\n]*|[(\[{]|[)\]}]')


class Span(NamedTuple):
    """A part of a file, rows and columns from 1; it ends before its last column, as OPA's do."""

    row: int
    col: int
    end_row: int
    end_col: int

    def rows(self) -> range:
        """The rows on which something of it stands."""
        return range(self.row, self.end_row + 1)

    def as_object(self) -> dict[str, dict[str, int]]:
        """As OPA's report writes it."""
        return {
            "start": {"row": self.row, "col": self.col},
            "end": {"row": self.end_row, "col": self.end_col},
        }


class Held(NamedTuple):
    """A definition whose body held, and where its plan says that it is."""

    where: ir.Location
    definition: Definition
    in_order: bool


@dataclass(slots=True)
class _Part:
    """A head or an expression on its way into a report."""

    span: Span
    start: int
    end: int
    rule: _Rule | None = None
    holder: _Part | None = None
    head: _Part | None = None
    planned: bool = False
    reached: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Rule:
    """One definition in the source; its parts are its head and those of its `else` branches."""

    path: tuple[str, ...]
    default: bool
    heads: list[_Part]


class SourceParts:
    """The heads and the expressions of one module."""

    def __init__(self, module: Module) -> None:
        self._source = module.source.encode()
        self._rows = row_starts(self._source)
        self._package = module.package
        self._rules: list[_Rule] = []
        self._heads: list[_Part] = []
        self._literals: list[_Part] = []
        for rule in module.rules:
            self._add_rule(rule)
        self._heads.sort(key=lambda part: part.start)
        self._literals.sort(key=lambda part: (part.start, -part.end))

    def covered(
        self,
        planned: Iterable[ir.Location],
        reached: Iterable[ir.Location],
        held: Iterable[Held],
    ) -> tuple[list[Span], list[Span]]:
        """What is covered and what is not, by the places of what is planned, ran, and held."""
        for part in (*self._heads, *self._literals):
            part.planned = part.reached = False
        for where in planned:
            if (literal := self._literal_at(where)) is not None:
                literal.planned = True
        for where in reached:
            if (literal := self._literal_at(where)) is not None:
                literal.reached = literal.planned = True
        for each in held:
            if (head := self._head_of(each)) is not None:
                head.reached = True
        for literal in self._literals:
            # A body that held was reached in full; what has no statement goes with what holds it.
            whole = literal.holder is None and literal.head is not None and literal.head.reached
            above = literal.holder is not None and literal.holder.reached and not literal.planned
            literal.reached = literal.reached or whole or above
        parts = sorted([*self._heads, *self._literals], key=lambda part: (part.start, part.end))
        return (
            list(dict.fromkeys(part.span for part in parts if part.reached)),
            list(dict.fromkeys(part.span for part in parts if not part.reached)),
        )

    def _add_rule(self, rule: Node) -> None:
        head = rule.child("rulehead")
        if head is None:
            return
        part = self._part(head)
        is_default = any(child.kind == "true" for child in rule.children)
        self._rules.append(_Rule((*self._package, *rule_path(rule)), is_default, []))
        self._add_head(part)
        for value in head.children:
            self._add_literals(value, None, part)
        for body in rule.children:
            if body.kind == "rulebodyseq":
                self._add_bodies(body, part)

    def _add_head(self, part: _Part) -> None:
        part.rule = self._rules[-1]
        part.rule.heads.append(part)
        self._heads.append(part)

    def _add_bodies(self, body: Node, head: _Part) -> None:
        for child in body.children:
            if child.kind == "else":
                query = child.child("query")
                above = [node for node in child.children if node is not query]
                branch = self._part(child, above)
                self._add_head(branch)
                for node in above:
                    self._add_literals(node, None, branch)
                if query is not None:
                    self._add_query(query, None, branch)
            elif child.kind == "query":
                self._add_query(child, None, head)
            else:
                self._add_bodies(child, head)

    def _add_query(self, query: Node, holder: _Part | None, head: _Part | None) -> None:
        for literal in query.children:
            inner = literal.children[0]
            # `some x` alone declares; nothing of it is evaluated.
            if inner.kind == "somedecl" and inner.child("undefined") is not None:
                continue
            part = self._part(literal, literal.children)
            part.holder, part.head = holder, head
            self._literals.append(part)
            negated = next(iter(inner.children), None) if inner.kind == "not-expr" else None
            if negated is not None and negated.kind == "query" and len(negated.children) == 1:
                inner = negated.children[0]
            for node in inner.children:
                self._add_literals(node, part, None)
            for node in literal.children[1:]:
                self._add_literals(node, part, None)

    def _add_literals(self, node: Node, holder: _Part | None, head: _Part | None) -> None:
        """The expressions in comprehensions, `every` and blocks within `node`."""
        if node.kind == "query":
            # What stands in a value of the head is no part of the body.
            self._add_query(node, holder, None)
            return
        for child in node.children:
            self._add_literals(child, holder, head)

    def _part(self, node: Node, within: Sequence[Node] | None = None) -> _Part:
        """The part that `node` covers, as far as `within` it goes (as OPA, not to the `if`)."""
        leaves = [
            leaf
            for top in (within if within is not None else node.children)
            for leaf in top.walk()
            # An empty `withseq` reaches to the next expression.
            if leaf.start is not None and not leaf.children and leaf.kind != "withseq"
        ]
        start = node.start or 0
        least = max(
            (leaf.start + leaf.size for leaf in leaves if leaf.start is not None), default=start + 1
        )
        if not leaves and node.kind == "else":
            least = start + len(b"else")
        end = self._closed(start, least)
        row, col = place_of(self._source, self._rows, start)
        end_row, end_col = place_of(self._source, self._rows, end)
        return _Part(Span(row, col, end_row, end_col), start, end)

    def _closed(self, start: int, least: int) -> int:
        """The end of what begins at `start`; the tree's sizes leave out closing brackets."""
        depth, end = 0, least
        for found in _LEXEME.finditer(self._source, start):
            if found.start() >= least and depth == 0:
                break
            byte = found.group()[:1]
            if byte in b"([{":
                depth += 1
            elif byte in b")]}":
                depth -= 1
            if found.start() < least or byte in b")]}":
                end = max(end, found.end()) if byte != b"#" else end
        return end

    def _offset(self, where: ir.Location) -> int:
        row, col = where.row or 1, where.col or 1
        if row > len(self._rows):
            return len(self._source)
        begin = self._rows[row - 1]
        line = self._source[begin:].partition(b"\n")[0].decode("utf-8", "replace")
        return begin + len(line[: col - 1].encode())

    def _head_of(self, held: Held) -> _Part | None:
        """The head that came about: by its place, which regopy gives for the first one only."""
        offset = self._offset(held.where)
        at = bisect_right([part.start for part in self._heads], offset) - 1
        found = self._heads[at] if at >= 0 else None
        if found is None or found.rule is None or not held.in_order:
            return found
        meant = held.definition
        rules = [
            rule
            for rule in self._rules
            if rule.path == meant.path[1:] and rule.default == meant.default
        ]
        if meant.default and rules:
            return rules[0].heads[0]
        if len(rules) != meant.among:
            return found
        heads = rules[meant.number].heads
        if len(heads) == meant.branches:
            return heads[meant.branch]
        return found if found.rule is rules[meant.number] else heads[0]

    def _literal_at(self, where: ir.Location) -> _Part | None:
        """The innermost expression that `where` stands in."""
        offset = self._offset(where)
        found: _Part | None = None
        for part in self._literals:
            if part.start > offset:
                break
            if offset < part.end:
                found = part
        return found


__all__ = ["Held", "SourceParts", "Span"]
