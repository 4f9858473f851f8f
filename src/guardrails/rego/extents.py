"""Makes what a package holds a rule of its own, so that it is worked out once.

For `data.guardrails.rules[name]` a planner builds the whole package `guardrails.rules` at
each place that refers to it. Such a construction reads nothing but input and data, as a
rule does; so here it becomes one, and a rule has one value in each scope of With.

A construction is a MakeObject with the Blocks that follow it, where that is sure to change
nothing but the time it takes:

* In it are only the statements of :data:`_PARTS`: it cannot fail nor leave other blocks.
* It reads input, data and the locals that it writes; those, but for the object, are used
  nowhere else. It stands in no loop, so they are undefined when it begins, as in a new frame.
* The object is not changed in place elsewhere: the memo's values are shared.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_PARTS: Final = (
    ir.Block,
    ir.CallFunction,
    ir.Dot,
    ir.IsDefined,
    ir.IsUndefined,
    ir.MakeObject,
    ir.ObjectInsert,
    ir.ObjectInsertOnce,
    ir.ObjectMerge,
    ir.Own,
)


def shared(policy: ir.Policy) -> ir.Policy:
    """`policy` with the same results, in which equal constructions of packages are one rule.

    The new rules are called by name alone: no path leads to them.
    """
    sharing = _Sharing(policy.functions)
    functions = {
        name: replace(function, blocks=sharing.blocks(function.blocks))
        for name, function in policy.functions.items()
    }
    plans = {
        name: replace(plan, blocks=sharing.blocks(plan.blocks))
        for name, plan in policy.plans.items()
    }
    made = {function.name: function for function in sharing.made.values()}
    return replace(policy, plans=plans, functions=functions | made)


class _Sharing:
    """The constructions that were found in a policy, each with the rule that replaces it."""

    def __init__(self, functions: Mapping[str, ir.Function]) -> None:
        self.functions = functions
        self.made: dict[ir.Body, ir.Function] = {}
        names = (f"extent {number}" for number in itertools.count())
        self.names = (name for name in names if name not in functions)

    def blocks(self, blocks: tuple[ir.Body, ...]) -> tuple[ir.Body, ...]:
        """The blocks of a function or plan, with calls for the constructions."""
        return self.inner(blocks, _uses(blocks), _changes(blocks))

    def inner(
        self, blocks: tuple[ir.Body, ...], uses: Counter[int], changes: Counter[int]
    ) -> tuple[ir.Body, ...]:
        return tuple(self.body(body, uses, changes) for body in blocks)

    def body(self, body: ir.Body, uses: Counter[int], changes: Counter[int]) -> ir.Body:
        found: list[ir.Statement] = []
        place = 0
        while place < len(body):
            statement = body[place]
            length = 0
            if isinstance(statement, ir.MakeObject):
                length = self.length(body[place:], uses, changes)
            if length:
                found.append(self.call(body[place : place + length]))
            elif isinstance(statement, ir.Block):
                blocks = self.inner(statement.blocks, uses, changes)
                found.append(replace(statement, blocks=blocks))
            elif isinstance(statement, ir.Not | ir.With):
                found.append(replace(statement, body=self.body(statement.body, uses, changes)))
            else:
                found.append(statement)
            place += length or 1
        return tuple(found)

    def length(self, body: ir.Body, uses: Counter[int], changes: Counter[int]) -> int:
        """How many statements of `body` are a construction; 0 if it does not begin with one."""
        length = 1 + sum(1 for _ in itertools.takewhile(self.is_block_of_parts, body[1:]))
        if length == 1:
            return 0
        construction = (body[:length],)
        (target,) = ir.writes(body[0])
        inside = _uses(construction)
        written = {ir.INPUT, ir.DATA}
        for statement in ir.statements(construction):
            written.update(ir.writes(statement))
            if target in ir.writes(statement) and not isinstance(statement, _GIVE_AN_OBJECT):
                return 0
        closed = written.issuperset(inside)
        apart = all(uses[local] == inside[local] for local in written - _OUTER - {target})
        unchanged = changes[target] == _changes(construction)[target]
        calls = any(isinstance(item, ir.CallFunction) for item in ir.statements(construction))
        return length if calls and closed and apart and unchanged else 0

    def is_block_of_parts(self, statement: ir.Statement) -> bool:
        return isinstance(statement, ir.Block) and self.is_part(statement)

    def is_part(self, statement: ir.Statement) -> bool:
        """Whether `statement`, with what stands in it, may be part of a construction."""
        if isinstance(statement, ir.CallFunction):
            return len(self.functions[statement.function].params) == ir.RULE_PARAMETERS
        if isinstance(statement, ir.Block):
            return all(map(self.is_part, itertools.chain(*statement.blocks)))
        return isinstance(statement, _PARTS)

    def call(self, construction: ir.Body) -> ir.CallFunction:
        """The call that gives what `construction` makes."""
        numbers = {ir.INPUT: ir.INPUT, ir.DATA: ir.DATA}
        body = _renumbered(construction, numbers)
        where = construction[0].where
        key = _without_places(body)
        function = self.made.get(key)
        if function is None:
            (target,) = ir.writes(body[0])
            function = self.made[key] = ir.Function(
                name=next(self.names),
                path=self.package(construction),
                params=(ir.INPUT, ir.DATA),
                blocks=(body, (ir.ReturnLocal(where, ir.Local(target)),)),
                locals=len(numbers),
                where=where,
            )
        (target,) = ir.writes(construction[0])
        return ir.CallFunction(where, function.name, _ARGUMENTS, target)

    def package(self, construction: ir.Body) -> tuple[str, ...]:
        """What explanations call it: the package in which all the rules lie that it calls."""
        paths = [
            self.functions[statement.function].path[:-1]
            for statement in ir.statements((construction,))
            if isinstance(statement, ir.CallFunction)
        ]
        alike = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
        return tuple(parts[0] for parts in alike)


_OUTER: Final = {ir.INPUT, ir.DATA}
_ARGUMENTS: Final = (ir.Local(ir.INPUT), ir.Local(ir.DATA))
_GIVE_AN_OBJECT: Final = (ir.MakeObject, ir.ObjectMerge)


def _uses(blocks: tuple[ir.Body, ...]) -> Counter[int]:
    """How often each local is read or written in `blocks`."""
    return Counter(
        local
        for statement in ir.statements(blocks)
        for local in (*ir.reads(statement), *ir.writes(statement))
    )


def _changes(blocks: tuple[ir.Body, ...]) -> Counter[int]:
    """How often the collection in each local is changed in place in `blocks`."""
    return Counter(_changed(ir.statements(blocks)))


def _changed(statements: Iterable[ir.Statement]) -> Iterator[int]:
    for statement in statements:
        match statement:
            case ir.ArrayAppend(array=held) | ir.SetAdd(set=held):
                yield held.index
            case ir.ObjectInsert(object=held) | ir.ObjectInsertOnce(object=held):
                yield held.index


def _renumbered(body: ir.Body, numbers: dict[int, int]) -> ir.Body:
    """`body` with its locals numbered in the order in which they occur; `numbers` grows."""

    def number(local: int) -> int:
        return numbers.setdefault(local, len(numbers))

    found = []
    for statement in body:
        changed: dict[str, object] = {}
        for field in fields(statement):
            value = getattr(statement, field.name)
            if isinstance(value, ir.Local):
                changed[field.name] = ir.Local(number(value.index))
            elif field.name in statement.WRITES:
                changed[field.name] = number(value)
        if isinstance(statement, ir.Block):
            changed["blocks"] = tuple(_renumbered(inner, numbers) for inner in statement.blocks)
        found.append(replace(statement, **changed))  # type: ignore[arg-type]  # its own fields
    return tuple(found)


def _without_places(body: ir.Body) -> ir.Body:
    """`body` without places, by which equal constructions would differ."""
    return tuple(
        replace(
            statement,
            where=ir.NOWHERE,
            blocks=tuple(map(_without_places, statement.blocks)),
        )
        if isinstance(statement, ir.Block)
        else replace(statement, where=ir.NOWHERE)
        for statement in body
    )
