"""Goes through a package whose rules are known without building it.

For ``some name; data.guardrails.rules[name].deny`` regopy plans a scan of the whole package
``guardrails.rules``: all its rules are worked out, of which the body looks at one. Where the body
takes nothing but rules by their names, the scan becomes a block for each package, in the order of
the scan, in which the look-up of a rule is a call of it. So only what is asked for is worked out,
as OPA does it.

Data may stand beside the rules. Then the scan is done as it was planned: which of the two it is
to be, is asked where it runs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Mapping

Tree: TypeAlias = "dict[str, Tree | str]"
"""A package: its packages, and the names of the functions that work out its rules."""


def unrolled(policy: ir.Policy) -> ir.Policy:
    """`policy` with the same results, in which such scans are blocks.

    Args:
        policy: What :func:`guardrails.rego.extents.shared` gave.
    """
    packages = {
        name: found
        for name, function in policy.functions.items()
        if name not in {each.name for each in policy.by_path.values()}
        and (found := _package(function)) is not None
    }
    if not packages:
        return policy
    functions = {name: _unrolled(function, packages) for name, function in policy.functions.items()}
    by_path = {path: functions[each.name] for path, each in policy.by_path.items()}
    return replace(policy, functions=functions, by_path=by_path)


class _Package:
    """What a construction of a package holds.

    Attributes:
        tree: Its packages and rules.
        base: The path below data of what is merged with it.
    """

    def __init__(self, tree: Tree, base: tuple[str, ...]) -> None:
        self.tree = tree
        self.base = base


def _package(function: ir.Function) -> _Package | None:
    """What `function` builds, if it builds a package and does nothing else."""
    try:
        body, last = function.blocks
    except ValueError:
        return None
    if len(last) != 1 or not isinstance(last[0], ir.ReturnLocal) or not body:
        return None
    made: dict[int, Tree | str] = {}
    base: tuple[str, ...] = ()
    first = body[0]
    if not isinstance(first, ir.MakeObject):
        return None
    made[first.target] = {}
    for statement in body[1:]:
        if not isinstance(statement, ir.Block) or base:
            return None
        merged = _base(statement, last[0].source.index)
        if merged:
            base = merged
        elif not all(_read(inner, made) for inner in statement.blocks):
            return None
    tree = made.get(last[0].source.index)
    return _Package(tree, base) if isinstance(tree, dict) and base else None


def _base(block: ir.Block, target: int) -> tuple[str, ...]:
    """The path of the data that `block` merges into `target`; empty if it does something else."""
    if len(block.blocks) != 2:  # noqa: PLR2004  # the look-up, and the merge
        return ()
    path: list[str] = []
    here = ir.DATA
    for statement in block.blocks[0]:
        if not isinstance(statement, ir.Dot) or statement.source != ir.Local(here):
            return ()
        if not isinstance(statement.key, ir.Constant) or type(statement.key.value) is not str:
            return ()
        path.append(statement.key.value)
        here = statement.target
    match block.blocks[1]:
        case (ir.IsDefined(source=there), ir.ObjectMerge(a=a, b=b, target=to)) if (
            there == a == ir.Local(here) and b == ir.Local(target) and to == target
        ):
            return tuple(path)
    return ()


def _read(  # noqa: C901, PLR0912  # one branch a kind of statement
    body: ir.Body, made: dict[int, Tree | str]
) -> bool:
    """Take in one block of a construction; whether it was understood."""
    for statement in body:
        match statement:
            case ir.Dot(source=ir.Local(index=source), key=ir.Constant(value=str(key)), target=to):
                held = made.get(source)
                if not isinstance(held, dict):
                    return False
                below = held.get(key)
                if below is None:
                    made.pop(to, None)
                    return True
                made[to] = below
            case ir.Own():
                continue
            case ir.IsUndefined(source=source):
                if source.index in made:
                    return True
            case ir.IsDefined(source=source):
                if source.index not in made:
                    return True
            case ir.MakeObject(target=to):
                made[to] = {}
            case ir.CallFunction(function=name, target=to):
                made[to] = name
            case (
                ir.ObjectInsert(key=ir.Constant(value=str(key)), value=ir.Local(index=value))
                | ir.ObjectInsertOnce(key=ir.Constant(value=str(key)), value=ir.Local(index=value))
            ):
                target, given = made.get(statement.object.index), made.get(value)
                if not isinstance(target, dict) or given is None:
                    return False
                if isinstance(given, str) and target.get(key, given) != given:
                    return False
                target[key] = given
            case _:
                return False
    return True


def _unrolled(function: ir.Function, packages: Mapping[str, _Package]) -> ir.Function:
    worker = _Unrolling(function, packages)
    blocks = tuple(worker.body(body) for body in function.blocks)
    return replace(function, blocks=blocks, locals=worker.locals)


class _Unrolling:
    """Unrolls the scans in one function."""

    def __init__(self, function: ir.Function, packages: Mapping[str, _Package]) -> None:
        self.packages = packages
        self.locals = function.locals
        self.blocks = function.blocks

    def body(self, body: ir.Body) -> ir.Body:
        found: list[ir.Statement] = []
        place = 0
        while place < len(body):
            statement = body[place]
            place += 1
            if isinstance(statement, ir.CallFunction) and statement.function in self.packages:
                length = self.scan_behind(statement, body[place:])
                if length:
                    scanned = body[place - 1 : place + length]
                    block = self.unroll(self.packages[statement.function], scanned)
                    if block is not None:
                        found.append(block)
                        place += length
                        continue
            if isinstance(statement, ir.Block):
                inner = tuple(self.body(each) for each in statement.blocks)
                statement = replace(statement, blocks=inner)
            elif isinstance(statement, ir.Scan | ir.Not | ir.With):
                statement = replace(statement, body=self.body(statement.body))
            found.append(statement)
        return tuple(found)

    def scan_behind(self, call: ir.CallFunction, rest: ir.Body) -> int:
        """How many statements of `rest` go through what `call` gave, if nothing else reads it."""
        length = 0
        if rest and rest[0] == ir.NotEqual(
            rest[0].where, ir.Local(call.target), ir.Constant(value=False)
        ):
            length = 1
        loop = rest[length] if length < len(rest) else None
        if not isinstance(loop, ir.Scan) or loop.source != ir.Local(call.target):
            return 0
        reads = sum(
            local == call.target
            for statement in ir.statements(self.blocks)
            for local in ir.reads(statement)
        )
        return length + 1 if reads == length + 1 else 0

    def unroll(self, package: _Package, scanned: ir.Body) -> ir.Block | None:
        """The blocks for what `scanned` goes through; None if it does not only take rules."""
        loop = scanned[-1]
        assert isinstance(loop, ir.Scan)  # noqa: S101  # scan_behind said so
        names = _aliases(loop)
        if names is None or not _is_flat(package.tree):
            return None
        where = loop.where
        base = self.locals
        self.locals += len(package.base)
        steps = [
            ir.Dot(
                where,
                ir.Local(base + place - 1 if place else ir.DATA),
                ir.Constant(name),
                base + place,
            )
            for place, name in enumerate(package.base)
        ]
        found = ir.Local(base + len(steps) - 1)
        planned = (
            ir.ResetLocal(where, found.index),
            ir.Block(where, (tuple(steps),)),
            ir.IsDefined(where, found),
            *scanned,
        )
        each = tuple(
            (
                ir.AssignVar(where, ir.Constant(name), loop.key),
                *_taking(loop.body, names, package.tree[name]),
            )
            for name in sorted(package.tree)
        )
        apart = (ir.IsUndefined(where, found), ir.Block(where, each))
        return ir.Block(where, (planned, apart))


def _is_flat(tree: Tree) -> bool:
    """Whether `tree` holds packages that hold nothing but rules."""
    return all(
        isinstance(package, dict) and all(isinstance(rule, str) for rule in package.values())
        for package in tree.values()
    )


def _aliases(loop: ir.Scan) -> frozenset[int] | None:
    """The locals that hold the value scanned, if a rule is all that is ever taken from it."""
    names = {loop.value}
    inside = list(ir.statements((loop.body,)))
    for statement in inside:
        if isinstance(statement, ir.AssignVar) and statement.source == ir.Local(loop.value):
            names.add(statement.target)
    for statement in inside:
        writes = set(ir.writes(statement)) & names
        reads = set(ir.reads(statement)) & names
        if isinstance(statement, ir.AssignVar) and reads == {loop.value}:
            continue
        if writes:
            return None
        if reads and not _takes_a_name(statement):
            return None
    return frozenset(names)


def _takes_a_name(statement: ir.Statement) -> bool:
    return (
        isinstance(statement, ir.Dot)
        and isinstance(statement.key, ir.Constant)
        and type(statement.key.value) is str
    )


def _taking(body: ir.Body, names: frozenset[int], package: Tree | str) -> ir.Body:
    """`body` for one package: what it takes from it is called."""
    found: list[ir.Statement] = []
    for statement in body:
        if isinstance(statement, ir.AssignVar) and _is_one_of(statement.source, names):
            continue
        if isinstance(statement, ir.Dot) and _is_one_of(statement.source, names):
            assert isinstance(statement.key, ir.Constant)  # noqa: S101  # _aliases said so
            held = package.get(str(statement.key.value)) if isinstance(package, dict) else None
            if not isinstance(held, str):
                found.append(ir.Break(statement.where, 0))
                break
            found.append(ir.CallFunction(statement.where, held, _ARGUMENTS, statement.target))
        elif isinstance(statement, ir.Block):
            inner = tuple(_taking(each, names, package) for each in statement.blocks)
            found.append(replace(statement, blocks=inner))
        elif isinstance(statement, ir.Scan | ir.Not | ir.With):
            found.append(replace(statement, body=_taking(statement.body, names, package)))
        else:
            found.append(statement)
    return tuple(found)


def _is_one_of(operand: ir.Operand, names: frozenset[int]) -> bool:
    return isinstance(operand, ir.Local) and operand.index in names


_ARGUMENTS: Final = (ir.Local(ir.INPUT), ir.Local(ir.DATA))
