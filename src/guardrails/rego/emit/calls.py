"""Calls of the policy's own rules and functions: in place, by a call, or not at all.

A rule has one value in an evaluation. Where only one place asks for it, it is worked out in
that place; else its value is kept in the evaluation's memo. A set that is made only to be gone
through is never made: what would be done with a member is done where the member is found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import MISSING, Known, Missing, Variable
from guardrails.rego.emit.frames import Frame
from guardrails.rego.emit.lookups import look_up
from guardrails.rego.emit.loops import carry, order_shows, release
from guardrails.rego.emit.plain import reach
from guardrails.rego.emit.shapes import DEFINED, UNKNOWN, Kind, join, set_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.program import Emitted
    from guardrails.rego.emit.walk import Walk

LARGEST: Final = 50_000
"""Statements of a function of Python beyond which nothing more is written in place into it."""


def call_function(walk: Walk, name: str, args: Sequence[Abstract]) -> Abstract | None:
    """The value of a rule or function; None if the block is left for sure."""
    function = walk.unit.policy.functions[name]
    is_rule = len(function.params) == ir.RULE_PARAMETERS
    value = walk.defined(rule_value(walk, name) if is_rule else _value(walk, function, args))
    if walk.leaving is not None:
        return None
    shape = walk.shape(value)
    return Known(shape.only) if shape.only is not UNKNOWN and shape.defined else value


def rule_value(walk: Walk, name: str) -> Abstract:
    """The value of a rule, perhaps undefined; the same as before, where it was asked for."""
    fact = ("rule", walk.scope.memo, name)
    found = walk.lasting.get(fact) or walk.facts.get(fact)
    if isinstance(found, Known | Variable | Missing):
        return found
    several = not walk.unit.used_once(name) or walk.repeated
    if several and walk.unit.is_cheap(name) and walk.scope == walk.outermost:
        return _before_all(walk, name, fact)
    value = walk.facts[fact] = _value(walk, walk.unit.policy.functions[name], ())
    return value


def _value(walk: Walk, function: ir.Function, args: Sequence[Abstract]) -> Abstract:
    is_rule = len(function.params) == ir.RULE_PARAMETERS
    if is_rule:
        always = _kept(walk, function.name)
        if always is not None:
            return always
    if walk.unit.inlines(function.name) and walk.size < LARGEST and not (is_rule and walk.repeated):
        given = returned(function)
        if given is not None:
            return in_place(walk, function, args, given)
    walk.unit.note_arguments(function.name, list(map(walk.shape, args)), shaped=walk.scope.shaped)
    callee = walk.unit.function(function.name, shaped=walk.scope.shaped)
    if callee.constant is not None:
        return callee.constant
    if callee.echo is not None and isinstance(args[callee.echo], Known | Variable):
        return args[callee.echo]
    call = callee.call(walk.scope, [walk.text(arg) for arg in args])
    if not is_rule or (walk.unit.used_once(function.name) and not walk.repeated):
        return _fixed(walk, walk.bind(call, callee.result, raw=callee.raw))
    kept = f"{walk.scope.memo}[{walk.unit.place(function.name)}]"
    found = _fixed(walk, walk.bind(kept, callee.result, raw=callee.raw))
    work = residual.If(walk.where, f"{found.name} is N")
    walk.put(work)
    shared = _worked_out(walk, function, callee, work)
    work.body.append(residual.Set(walk.where, found.name, shared or call))
    work.body.append(residual.Set(walk.where, kept, found.name))
    return found


def _worked_out(
    walk: Walk, function: ir.Function, callee: Emitted, work: residual.If
) -> residual.Text | None:
    """Write a rule where a plan always comes by; an expression for its value, None if it is not.

    Others that ask for it find its value in the memo.
    """
    given = returned(function)
    if given is None or walk.uncertain or walk.repeated or not walk.plan:
        return None
    if walk.scope != walk.outermost or not walk.unit.shares(function.name):
        return None
    out, facts, leaving = walk.out, walk.facts, walk.leaving
    walk.out, walk.facts = work.body, dict(facts)
    walk.uncertain += 1
    value = in_place(walk, function, (), given)
    walk.uncertain -= 1
    walk.out, walk.facts, walk.leaving = out, facts, leaving
    text = walk.raw_text(value) if callee.raw else walk.text(value)
    if text is None or (isinstance(value, Variable) and value.raw is not callee.raw):
        work.body.clear()
        return None
    return text


def _kept(walk: Walk, name: str) -> Abstract | None:
    """The value of a rule that is kept across evaluations; None if it is not."""
    if not walk.outermost.shaped or walk.scope != walk.outermost:
        return None
    lookup = walk.unit.lookup(name)
    if lookup is None:
        return None
    text, found = lookup
    callee = walk.unit.function(name, shaped=True)
    if callee.constant is not None:
        return callee.constant
    key: Abstract = Known(None)
    if not found.path:
        settled = walk.unit.always(found)
        if settled is not None:
            return settled
    else:
        key = Variable("i0", walk.unit.settings.input)
        for each in found.path:
            part = look_up(walk, key, Known(each))
            assert part is not None  # noqa: S101  # it is promised to be there
            key = part
    return _fixed(walk, walk.bind(f"{text}[{walk.text(key)}]", callee.result, raw=callee.raw))


def _fixed(walk: Walk, value: Variable) -> Variable:
    """`value`, which a function gave: nobody changes it any more."""
    walk.fixed.add(value.name)
    return value


def _before_all(walk: Walk, name: str, fact: object) -> Abstract:
    """Work a rule out where the function begins: it cannot fail and costs next to nothing."""
    function = walk.unit.policy.functions[name]
    given = returned(function)
    assert given is not None  # noqa: S101  # else it were not cheap
    out, facts, leaving = walk.out, walk.facts, walk.leaving
    loops, copies = walk.loops, walk.copies
    # What it needs worked out before all else comes before it.
    slot = residual.Slot(walk.where)
    walk.out, walk.facts, walk.loops, walk.copies = slot.body, {}, 0, 0
    value = in_place(walk, function, (), given)
    walk.out, walk.facts, walk.leaving = out, facts, leaving
    walk.loops, walk.copies = loops, copies
    walk.head.body.append(slot)
    walk.lasting[fact] = value
    if isinstance(value, Variable):
        walk.keep(value)
    return value


def returned(function: ir.Function) -> tuple[tuple[ir.Body, ...], int] | None:
    """The blocks of a function and the local that it gives back; None if it has another form."""
    *blocks, last = function.blocks or ((),)
    if not last or not isinstance(last[-1], ir.ReturnLocal):
        return None
    local = last[-1].source
    before = [each for each in last[:-1] if each != ir.IsDefined(each.where, local)]
    if before or any(isinstance(each, ir.ReturnLocal) for each in ir.statements(tuple(blocks))):
        return None
    return tuple(blocks), local.index


def new_frame(walk: Walk, function: ir.Function, args: Sequence[Abstract]) -> Frame:
    """The locals of `function` when it begins."""
    env: list[Abstract] = [MISSING] * function.locals
    env[ir.INPUT], env[ir.DATA] = walk.frame.env[ir.INPUT], walk.frame.env[ir.DATA]
    for param, value in zip(function.params[ir.RULE_PARAMETERS :], args, strict=True):
        env[param] = value
    return Frame(function, env, walk.unit.liveness(function))


def in_place(
    walk: Walk,
    function: ir.Function,
    args: Sequence[Abstract],
    given: tuple[tuple[ir.Body, ...], int],
    sink: Callable[[Abstract], None] | None = None,
) -> Abstract:
    """Write the body of a function here; gives its value."""
    blocks, local = given
    caller, where = walk.frame, walk.where
    frame = new_frame(walk, function, args)
    if sink is not None:
        frame.sink = (local, sink)
    walk.frame = frame
    walk.inlined.append(function.name)
    walk.blocks(blocks)
    walk.leaving = None
    value = finished(walk, frame.env[local])
    if isinstance(value, Variable) and len(function.params) == ir.RULE_PARAMETERS:
        walk.fixed.add(value.name)
    walk.frame, walk.where = caller, where
    return value


def finished(walk: Walk, value: Abstract) -> Abstract:
    """What a function gives back, when nothing changes it any more."""
    value = walk.settled(walk.held(value))
    if isinstance(value, Variable):
        shape = walk.shape(value)
        if value.raw:
            members = set_of(walk.members.get(value.name, DEFINED))
            shape = replace(members, kinds=shape.kinds)
        elif value.name in walk.members and shape.item is None and not shape.fields:
            named = walk.named.get(value.name, False)
            shape = replace(shape, item=walk.members[value.name], named=named)
        value = replace(value, shape=shape, changes=False)
    elif not isinstance(value, Known) and not isinstance(value, Missing):
        raw = walk.raw_text(value)
        shape = walk.shape(value)
        own = walk.is_own(value)
        value = walk.bind(raw or walk.text(value), shape, raw=raw is not None)
        if own and raw is None:
            walk.own.add(value.name)
    return value


def fused(walk: Walk, statement: ir.CallFunction, rest: Sequence[ir.Statement]) -> int:
    """Write a call of a set's rule together with the scan of it that follows.

    Returns:
        How many statements after the call are done with it; 0 if nothing was written.
    """
    name, target = statement.function, statement.target
    if not walk.unit.fuses(name) or walk.repeated or walk.size >= LARGEST:
        return 0
    if ("rule", walk.scope.memo, name) in walk.facts:
        return 0
    place = 0
    if rest and rest[0] == ir.NotEqual(rest[0].where, ir.Local(target), ir.Constant(value=False)):
        place = 1
    loop = rest[place] if place < len(rest) else None
    if not isinstance(loop, ir.Scan) or loop.source.index != target:
        return 0
    function = walk.unit.policy.functions[name]
    given = returned(function)
    if given is None or not _only_adds(function, given[1]) or order_shows(walk, loop):
        return 0
    if reach(loop.body, 1):
        return 0
    if target in walk.frame.live.before[id(loop.body)] | walk.frame.live.behind[id(loop.body)]:
        return 0
    _fuse(walk, function, given, loop)
    return place + 1


def _fuse(
    walk: Walk, function: ir.Function, given: tuple[tuple[ir.Body, ...], int], loop: ir.Scan
) -> None:
    caller = walk.frame
    found = DEFINED.within(Kind(0))

    def take(member: Abstract) -> None:
        nonlocal found
        callee, where, out = walk.frame, walk.where, walk.out
        found = join(found, walk.shape(member))
        walk.frame = caller
        region = walk.enter(loop.body)
        walk.conditional(region)
        walk.write(loop.key, member)
        walk.write(loop.value, member)
        walk.body(loop.body)
        walk.leave(region, out)
        walk.leaving = None
        walk.frame, walk.where = callee, where

    carried = carry(walk, loop)
    in_place(walk, function, (), given, take)
    release(walk, carried)
    # Its members went where they were wanted; who asks for more finds no such variable.
    gone = Variable(walk.name("g"), set_of(found), raw=True)
    walk.unit.gone.setdefault(gone.name, set()).add(function.name)
    walk.facts["rule", walk.scope.memo, function.name] = gone


def _only_adds(function: ir.Function, local: int) -> bool:
    """Whether `function` makes one set and does nothing with it but add to it."""
    made = 0
    for statement in ir.statements(function.blocks):
        if isinstance(statement, ir.MakeSet) and statement.target == local:
            made += 1
        elif isinstance(statement, ir.ResetLocal | ir.SetAdd | ir.ReturnLocal | ir.IsDefined):
            if isinstance(statement, ir.SetAdd) and statement.value == ir.Local(local):
                return False
        elif local in ir.reads(statement) or local in ir.writes(statement):
            return False
    return made == 1
