"""How each statement of the plan is written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import (
    Known,
    Missing,
    Variable,
)
from guardrails.rego.emit.building import (
    PYTHON,
    append,
    insert,
    lend,
    make_array,
    make_null,
    make_number,
    make_object,
    make_set,
    merge,
    own,
    reset,
    set_add,
)
from guardrails.rego.emit.builtin_forms import call_builtin
from guardrails.rego.emit.calls import call_function, fused, rule_value
from guardrails.rego.emit.equality import same
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.lookups import look_up
from guardrails.rego.emit.loops import scan
from guardrails.rego.emit.plain import reach
from guardrails.rego.emit.shapes import DEFINED, UNKNOWN, Kind, Shape
from guardrails.rego.emit.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from guardrails.rego.emit.abstract import Abstract


class Writer(Walk):
    """A walk that knows all statements."""

    def body(self, body: Sequence[ir.Statement]) -> None:
        """Write statements until none is left, or none is reached."""
        place = 0
        while place < len(body) and self.leaving is None:
            statement = body[place]
            self.where = statement.where
            place += 1
            if isinstance(statement, ir.CallFunction):
                done = fused(self, statement, body[place : place + 3])
                if done:
                    place += done
                    continue
            _WRITERS[type(statement)](self, statement)


def _block(walk: Walk, statement: ir.Block) -> None:
    furthest = max((reach(body, 1) for body in statement.blocks), default=0)
    for level in range(furthest):
        # A break in it may leave these, too.
        walk.conditional(walk.frame.regions[-1 - level])
    walk.blocks(statement.blocks)


def _break(walk: Walk, statement: ir.Break) -> None:
    if statement.index:
        group = walk.frame.regions[-1 - statement.index].group
        walk.put(residual.Jump(walk.where, group))
    walk.leaving = statement.index


def _not(walk: Walk, statement: ir.Not) -> None:
    for level in range(reach(statement.body, 1)):
        walk.conditional(walk.frame.regions[-1 - level])
    out, start = walk.out, len(walk.out)
    flag = walk.name("n")
    region = walk.enter(statement.body)
    walk.body(statement.body)
    reached, sure = walk.leaving is None, not region.conditional
    if reached:
        walk.put(residual.Set(statement.where, flag, "False"))
    walk.leave(region, out)
    if walk.left(region):
        return
    if not reached:
        return
    if sure:
        walk.fail()
        return
    out.insert(start, residual.Set(statement.where, flag, "True"))
    walk.where = statement.where
    walk.require(flag)


def _with(walk: Walk, statement: ir.With) -> None:
    frame = walk.frame
    if any(
        statement.local in ir.writes(each)
        for each in ir.statements((statement.body,))
        if not isinstance(each, ir.With)
    ):
        msg = "a local is written while it stands for something else"
        raise CannotEmit(msg)
    region = frame.regions[-1]
    for level in range(max(1, reach(statement.body, 1))):
        walk.conditional(frame.regions[-1 - level])
    value = walk.read(statement.value)
    if statement.path:
        value = walk.defined(value)
        if walk.leaving is not None:
            return
    before, scope = frame.env[statement.local], walk.scope
    replacing = walk.text(value)
    if statement.path:
        path = walk.unit.constant_path(statement.path)
        replacing = f"replaced({walk.text(before)}, {path}, {replacing})"
    document = walk.bind(replacing, Shape(Kind.DEFINED | Kind.UNDEFINED))
    memo = walk.bind(walk.unit.new_memo(), DEFINED)
    frame.env[statement.local] = document
    walk.scope = replace(scope, memo=memo.name)
    if statement.local == ir.INPUT:
        walk.scope = replace(walk.scope, input=document.name, shaped=False)
    elif statement.local == ir.DATA:
        if not scope.data:
            msg = "data is replaced, but was bound"
            raise CannotEmit(msg)
        walk.scope = replace(walk.scope, data=document.name)
    frame.regions.append(region)
    walk.body(statement.body)
    frame.regions.pop()
    frame.env[statement.local] = before
    walk.scope = scope
    if walk.leaving:
        walk.leaving -= 1


def _assign(walk: Walk, statement: ir.AssignVar) -> None:
    value = walk.steady(walk.held(walk.read(statement.source)))
    lend(walk, statement.source)
    walk.write(statement.target, value)


def _assign_once(walk: Walk, statement: ir.AssignVarOnce) -> None:
    value = walk.steady(walk.held(walk.read(statement.source)))
    before = walk.frame.env[statement.target]
    if isinstance(before, Missing):
        lend(walk, statement.source)
        walk.write(statement.target, value)
        return
    agreed = _agreed(walk, before, value)
    if agreed is not None:
        walk.write(statement.target, agreed)
        return
    text = f"once({walk.text(before)}, {walk.text(value)})"
    walk.write(statement.target, walk.bind(text, walk.shape(value)))


def _agreed(walk: Walk, before: Abstract, value: Abstract) -> Known | None:
    """The one value that both have, if they are there; None if that is not sure."""
    given, there = walk.shape(value).only, walk.shape(before).without(Kind.UNDEFINED).only
    if type(given) is type(there) and type(given) in {bool, str, type(None)} and given == there:
        return Known(given)
    return None


def _dot(walk: Walk, statement: ir.Dot) -> None:
    source = walk.steady(walk.read(statement.source))
    key = walk.steady(walk.read(statement.key))
    walk.forget(statement.target)
    value = look_up(walk, source, key)
    if value is not None:
        walk.write(statement.target, value)


def _len(walk: Walk, statement: ir.Len) -> None:
    value = walk.read(statement.source)
    sized = Kind.STRING | Kind.ARRAY | Kind.OBJECT | Kind.SET
    shape = walk.shape(value)
    if not shape.may_be(sized):
        walk.fail()
        return
    value = walk.defined(walk.held(value))
    if walk.leaving is not None:
        return
    if not shape.without(Kind.UNDEFINED).is_only(sized):
        walk.require(f"type({walk.text(value)}) in SIZED")
    text = walk.raw_text(value) or walk.text(value)
    walk.write(statement.target, walk.bind(f"len({text})", Shape(Kind.NUMBER)))


def _equal(walk: Walk, statement: ir.Equal | ir.NotEqual) -> None:
    first, second = walk.defined(walk.read(statement.a)), walk.defined(walk.read(statement.b))
    if walk.leaving is None:
        walk.require_true(same(walk, first, second), true=isinstance(statement, ir.Equal))


def _is_kind(walk: Walk, statement: ir.IsArray | ir.IsObject | ir.IsSet) -> None:
    kind = {ir.IsArray: Kind.ARRAY, ir.IsObject: Kind.OBJECT, ir.IsSet: Kind.SET}[type(statement)]
    value = walk.read(statement.source)
    shape = walk.shape(value)
    if not shape.may_be(kind):
        walk.fail()
    elif not shape.is_only(kind):
        holds = {}
        if isinstance(value, Variable) and not value.changes:
            holds = {value.name: shape.within(kind)}
        walk.require(f"type({walk.text(value)}) is {PYTHON[kind]}", holds)


def _is_defined(walk: Walk, statement: ir.IsDefined | ir.IsUndefined) -> None:
    local = statement.source.index
    value = walk.frame.env[local]
    wanted = isinstance(statement, ir.IsDefined)
    shape = walk.shape(value)
    if shape.defined:
        if not wanted:
            walk.fail()
        return
    if shape.kinds == Kind.UNDEFINED:
        if wanted:
            walk.fail()
        return
    assert isinstance(value, Variable)  # noqa: S101  # nothing else may be either
    region = walk.frame.regions[-1]
    first = not region.conditional
    walk.require(f"{value.name} is {'not ' if wanted else ''}U")
    # From here on, in this block, that much is known of it.
    if wanted:
        shape = shape.without(Kind.UNDEFINED)
        alone = shape.only is not UNKNOWN and local not in walk.frame.pins
        walk.frame.env[local] = Known(shape.only) if alone else replace(value, shape=shape)
    elif local not in walk.frame.pins:
        if first:
            region.filling = local, replace(value, shape=shape.without(Kind.UNDEFINED))
        walk.frame.env[local] = Missing("" if value.raw else value.name)


def _return(walk: Walk, statement: ir.ReturnLocal) -> None:
    walk.give_back(walk.read(statement.source))


def _add_result(walk: Walk, statement: ir.ResultSetAdd) -> None:
    walk.add_result(walk.read(statement.value))


def _call(walk: Walk, statement: ir.CallFunction) -> None:
    args = [walk.steady(walk.held(walk.read(operand))) for operand in statement.args[2:]]
    walk.forget(statement.target)
    value = call_function(walk, statement.function, args)
    if value is not None:
        walk.write(statement.target, value)


def _builtin(walk: Walk, statement: ir.CallBuiltin) -> None:
    args = []
    for operand in statement.args:
        args.append(walk.defined(walk.steady(walk.held(walk.read(operand)))))
        if walk.leaving is not None:
            return
    walk.forget(statement.target)
    found = call_builtin(walk, statement.name, args)
    if found is not None:
        walk.write(statement.target, found)


def _call_dynamic(walk: Walk, statement: ir.CallDynamic) -> None:
    parts = []
    for operand in statement.path:
        parts.append(walk.defined(walk.held(walk.read(operand))))
        if walk.leaving is not None:
            return
    name = walk.name("v")
    walk.put(residual.Set(walk.where, name, "N"))
    for path, function in walk.unit.policy.by_path.items():
        tests = _tests(walk, parts, path)
        if tests is None or len(function.params) != ir.RULE_PARAMETERS:
            continue
        out, facts = walk.out, dict(walk.facts)
        for test in tests:
            node = residual.If(walk.where, test)
            walk.put(node)
            walk.out = node.body
        found = rule_value(walk, function.name)
        walk.put(residual.Set(walk.where, name, walk.text(found)))
        walk.out, walk.facts = out, facts
    walk.require(f"{name} is not N")
    walk.forget(statement.target)
    undefined = residual.If(walk.where, f"{name} is U")
    undefined.body.append(
        residual.Jump(walk.where, walk.frame.regions[-1 - ir.UNDEFINED_CALL_LEAVES].group)
    )
    walk.put(undefined)
    walk.write(statement.target, Variable(name, DEFINED))


def _tests(walk: Walk, parts: Sequence[Abstract], path: tuple[str, ...]) -> list[str] | None:
    """What must hold for `parts` to be `path`; None if they cannot be."""
    if len(parts) != len(path):
        return None
    tests = []
    for part, name in zip(parts, path, strict=True):
        found = same(walk, part, Known(name))
        if isinstance(found, Known):
            if not found.value:
                return None
        else:
            tests.append(walk.text(found))
    return tests


def _cannot(_walk: Walk, statement: ir.Statement) -> None:
    msg = f"{type(statement).__name__} is not compiled"
    raise CannotEmit(msg)


_WRITERS: Final[Mapping[type[ir.Statement], Callable[[Any, Any], None]]] = {
    ir.ArrayAppend: append,
    ir.AssignVar: _assign,
    ir.AssignVarOnce: _assign_once,
    ir.Block: _block,
    ir.Break: _break,
    ir.CallBuiltin: _builtin,
    ir.CallDynamic: _call_dynamic,
    ir.CallFunction: _call,
    ir.Dot: _dot,
    ir.Equal: _equal,
    ir.IsArray: _is_kind,
    ir.IsDefined: _is_defined,
    ir.IsObject: _is_kind,
    ir.IsSet: _is_kind,
    ir.IsUndefined: _is_defined,
    ir.Len: _len,
    ir.MakeArray: make_array,
    ir.MakeNull: make_null,
    ir.MakeNumber: make_number,
    ir.MakeObject: make_object,
    ir.MakeSet: make_set,
    ir.Not: _not,
    ir.NotEqual: _equal,
    ir.ObjectInsert: insert,
    ir.ObjectInsertOnce: insert,
    ir.ObjectMerge: merge,
    ir.Own: own,
    ir.Reference: _cannot,
    ir.ResetLocal: reset,
    ir.ResultSetAdd: _add_result,
    ir.ReturnLocal: _return,
    ir.Scan: scan,
    ir.SetAdd: set_add,
    ir.With: _with,
}
