"""Scans: a loop over what is known only when it runs.

What a loop carries from one round to the next stands in a variable before it begins; so does
every collection that the loop adds to. The order of the rounds is Rego's where it can be seen,
which it seldom is: a set that is added to has none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import (
    LITERALS,
    MISSING,
    ArrayLiteral,
    Known,
    ObjectLiteral,
    SetLiteral,
    Variable,
)
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.lookups import look_up
from guardrails.rego.emit.plain import reach
from guardrails.rego.emit.shapes import (
    ANYTHING,
    DEFINED,
    NUMBER,
    STRING,
    Kind,
    Shape,
    exactly,
    join,
    shape_of_keys,
)
from guardrails.rego.liveness import changes, written
from guardrails.rego.values import RegoSet, from_key, sorted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.walk import Walk

DEEPEST: Final = 12
"""Loops within one another in one function; Python allows 20 blocks."""

_COLLECTION: Final = Kind.ARRAY | Kind.OBJECT | Kind.SET


def scan(walk: Walk, statement: ir.Scan) -> None:
    """Write the loop of `statement`."""
    source = walk.held(walk.read(statement.source))
    if isinstance(source, Variable) and source.raw:
        source = walk.defined(source)
        if walk.leaving is not None:
            return
    shape = walk.shape(source)
    if not shape.may_be(_COLLECTION):
        walk.fail()
        return
    if _is_empty(source):
        return
    for level in range(reach(statement.body, 1)):
        walk.conditional(walk.frame.regions[-1 - level])
    for form in (joined_by_key, _goes_once, _round_by_round):
        if form(walk, statement, source):
            return
    if walk.loops >= DEEPEST:
        msg = f"more than {DEEPEST} loops stand within one another"
        raise CannotEmit(msg)
    ordered = order_shows(walk, statement)
    loop = _Loop(walk, statement, source, ordered=ordered)
    if not shape.is_only(_COLLECTION) or len(loop.kinds) > 1:
        items = walk.bind(f"items({walk.text(source)})", DEFINED)
        walk.require(f"{items.name} is not None")
        loop.anything(items.name)
    carried = carry(walk, statement)
    loop.write()
    release(walk, carried)


def _is_empty(source: Abstract) -> bool:
    if isinstance(source, Known):
        return not len(source.value)
    if isinstance(source, ObjectLiteral):
        return not source.fields
    if isinstance(source, ArrayLiteral):
        return not source.items
    return isinstance(source, SetLiteral) and not source.members


def _goes_once(walk: Walk, statement: ir.Scan, source: Abstract) -> bool:
    """Write a condition in place of a loop through a set that has one member, or none."""
    member = walk.shape(source).items().only
    if not isinstance(source, Variable) or not source.raw or type(member) is not str:
        return False
    if {statement.key, statement.value} & walk.frame.live.behind[id(statement.body)]:
        return False
    out = walk.out
    region = walk.enter(statement.body)
    walk.require(source.name)
    walk.write(statement.key, Known(member))
    walk.write(statement.value, Known(member))
    walk.body(statement.body)
    walk.leave(region, out)
    walk.left(region)
    return True


def _round_by_round(walk: Walk, statement: ir.Scan, source: Abstract) -> bool:
    """Write a loop through a few items that are known, or in a literal, without a loop."""
    pairs = _pairs(source)
    if pairs is None or not walk.unit.settings.optimised:
        return False
    size = sum(1 for _ in ir.statements((statement.body,)))
    if size * len(pairs) > _COPIED:
        return False
    walk.copies += 1
    for key, value in pairs:
        out = walk.out
        region = walk.enter(statement.body)
        walk.write(statement.key, key)
        walk.write(statement.value, value)
        walk.body(statement.body)
        walk.leave(region, out)
        if walk.left(region):
            break
    walk.copies -= 1
    return True


def _pairs(source: Abstract) -> list[tuple[Abstract, Abstract]] | None:
    """The few keys and values that a scan of `source` goes through, in order."""
    if isinstance(source, ArrayLiteral) and len(source.items) <= _FEW:
        return [(Known(place), item) for place, item in enumerate(source.items)]
    if not isinstance(source, Known) or len(source.value) > _FEW:
        return None
    value, origin = source.value, source.origin
    if type(value) is RegoSet:
        return [(Known(member), Known(member)) for member in value]
    keys = range(len(value)) if type(value) is list else sorted_keys(value)
    return [
        (Known(from_key(key)), Known(value[key], None if origin is None else (*origin, key)))
        for key in keys
    ]


_FEW: Final = 3
_COPIED: Final = 150
"""Items of a loop that is written round by round, and statements that this makes."""


def joined_by_key(walk: Walk, statement: ir.Scan, source: Abstract) -> bool:
    """Write a look-up in place of a loop whose body wants one key: ``some k, v in x; k == y``."""
    shape = walk.shape(source)
    if not shape.is_only(Kind.OBJECT):
        return False
    wanted = _wanted_key(walk, statement)
    if wanted is None:
        return False
    out = walk.out
    region = walk.enter(statement.body)
    walk.conditional(region)
    value = look_up(walk, source, wanted)
    if value is not None:
        walk.write(statement.key, wanted)
        walk.write(statement.value, value)
        walk.body(statement.body)
    walk.leave(region, out)
    walk.left(region)
    return True


def _wanted_key(  # noqa: C901, PLR0912  # one branch a kind of statement
    walk: Walk, statement: ir.Scan
) -> Abstract | None:
    """The one key that a body goes on with, if it is a string that is known before the loop."""
    frame, body = walk.frame, statement.body
    own = written(body)
    seen = frame.live.behind[id(body)]
    if {statement.key, statement.value} & seen:
        return None
    keys = {statement.key}
    found: dict[int, Abstract] = {}
    for each in body:
        if any(local in frame.live.behind[id(body)] for local in ir.writes(each)):
            return None
        match each:
            case ir.AssignVar(source=ir.Local(index=index), target=target):
                if index in keys:
                    keys.add(target)
                elif index in found:
                    found[target] = found[index]
            case ir.Dot(source=ir.Local(index=index), key=ir.Constant(value=str(name))):
                held = found.get(index) if index in own else frame.env[index]
                root = walk.root(held) if held is not None else None
                if held is not None and root is not None:
                    if not root.is_only(Kind.OBJECT) or not root.at(name).defined:
                        return None
                    below = look_up(walk, held, Known(name))
                    if below is not None:
                        found[each.target] = below
                elif index != statement.value:
                    return None
            case ir.Equal(a=a, b=b):
                other = b if a in _locals(keys) else a
                if {a, b} & _locals(keys) and other not in _locals(keys):
                    return _as_key(walk, other, own, found)
                return None
            case ir.NotEqual() | ir.IsDefined() | ir.MakeNumber() | ir.MakeNull():
                continue
            case _:
                return None
    return None


def _locals(numbers: set[int]) -> set[ir.Operand]:
    return {ir.Local(number) for number in numbers}


def _as_key(
    walk: Walk, operand: ir.Operand, own: Mapping[int, None], found: Mapping[int, Abstract]
) -> Abstract | None:
    value: Abstract | None = None
    if isinstance(operand, ir.Constant):
        value = Known(operand.value)
    elif operand.index in found:
        value = found[operand.index]
    elif operand.index not in own:
        value = walk.frame.env[operand.index]
    if value is None or not walk.shape(value).is_only(Kind.STRING):
        return None
    return None if isinstance(value, Variable) and value.changes else value


class _Loop:
    """The head of a loop, and what its variables hold.

    Attributes:
        kinds: Of what it goes through.
    """

    def __init__(self, walk: Walk, statement: ir.Scan, source: Abstract, *, ordered: bool) -> None:
        self.walk = walk
        self.statement = statement
        self.source = source
        self.ordered = ordered
        self.key_name, self.value_name = walk.name("x"), walk.name("x")
        shape = walk.shape(source)
        self.kinds = [kind for kind in (Kind.ARRAY, Kind.OBJECT, Kind.SET) if shape.may_be(kind)]
        self.item = shape.items()
        if isinstance(source, Known):
            self.item = walk.unit.shape_of_items(source)
        live, body = walk.frame.live, id(statement.body)
        self.keyed = statement.key in live.before[body] | live.behind[body]
        self.key: Abstract = MISSING
        self.target = self.head = ""
        if self.kinds == [Kind.ARRAY]:
            self._array()
        elif self.kinds == [Kind.SET]:
            self._set()
        elif self.kinds == [Kind.OBJECT]:
            self._object(shape)

    def _array(self) -> None:
        self._take_over()
        text = self.walk.text(self.source)
        self.key = Variable(self.key_name, NUMBER)
        if self._grows():
            text = f"{text}.copy()"
        self.target = f"{self.key_name}, {self.value_name}" if self.keyed else self.value_name
        self.head = f"enumerate({text})" if self.keyed else text

    def _take_over(self) -> None:
        """What nobody changes has parts that nobody changes."""
        if self.walk.is_fixed(self.source):
            self.walk.fixed.update((self.key_name, self.value_name))

    def _grows(self) -> bool:
        """Whether the loop may add to what it goes through."""
        return self.statement.source.index in changes(self.statement.body)

    def _set(self) -> None:
        walk = self.walk
        raw = walk.raw_text(self.source)
        text = raw if raw is not None else f"{walk.text(self.source)}.keys"
        plain = self.item.is_only(Kind.PLAIN)
        self.key = Variable(self.value_name, self.item)
        self.target = self.value_name
        if self.ordered:
            in_order = "in_order" if raw is None else "members"
            string = self.item.is_only(Kind.STRING)
            self.head = f"sorted({text})" if string else f"{in_order}({text})"
        elif plain:
            self.head = f"{text}.copy()" if self._grows() else text
        elif raw is not None:
            self.head = f"list({raw}.values())" if self._grows() else f"{raw}.values()"
        else:
            self.head = (
                f"map(from_key, {text}.copy())" if self._grows() else f"map(from_key, {text})"
            )
        walk.fixed.add(self.value_name)  # a set has what its members were

    def _object(self, shape: Shape) -> None:
        self._take_over()
        walk = self.walk
        text = walk.text(self.source)
        keys = STRING if shape.json or shape.named else DEFINED
        if isinstance(self.source, Known):
            keys = shape_of_keys(self.source.value)
        self.key = Variable(self.key_name, keys)
        self.target = f"{self.key_name}, {self.value_name}"
        if not keys.is_only(Kind.PLAIN):
            self.head = f"fields({text})"
        elif self.ordered or self._grows():
            self.head = (
                f"sorted({text}.items(), key=first)" if keys == STRING else f"fields({text})"
            )
        elif self.keyed:
            self.head = f"{text}.items()"
        else:
            self.target, self.head = self.value_name, f"{text}.values()"

    def anything(self, items: str) -> None:
        """Go through `items`, pairs of a key and a value, whatever they come from."""
        self.key = Variable(self.key_name, DEFINED)
        self.target, self.head = f"{self.key_name}, {self.value_name}", items

    def write(self) -> None:
        """Write the loop."""
        walk, statement = self.walk, self.statement
        walk.where = statement.where
        out, facts = walk.out, dict(walk.facts)
        walk.loops += 1
        region = walk.enter(statement.body)
        group = region.group
        out.pop()  # the group stands in the loop
        walk.conditional(region)
        walk.write(statement.key, self.key)
        walk.write(statement.value, Variable(self.value_name, self.item))
        walk.body(statement.body)
        walk.leave(region, out)
        walk.leaving = None  # the next round, or none
        walk.loops -= 1
        walk.facts = facts
        walk.put(residual.For(statement.where, self.target, self.head, group))


def carry(walk: Walk, statement: ir.Scan) -> dict[int, tuple[Variable | None, Shape]]:
    """Put what the loop carries into variables; gives what they were before."""
    frame, body = walk.frame, statement.body
    before, behind = frame.live.before[id(body)], frame.live.behind[id(body)]
    sink = frame.sink[0] if frame.sink is not None else None
    for local in changes(body):
        held = frame.env[local]
        if local not in before or local == sink:
            continue
        if isinstance(held, Known):
            copy = walk.bind(f"own({walk.text(held)})", walk.shape(held).plain())
            walk.write(local, copy)
        elif isinstance(held, LITERALS):
            walk.contain(local, held)
    heads = _heads(body)
    carried: dict[int, tuple[Variable | None, Shape]] = {}
    for local in {**written(body), statement.key: None, statement.value: None}:
        if local not in (behind if local in {statement.key, statement.value} else before | behind):
            continue
        value = frame.env[local]
        entry = walk.shape(value)
        if local in frame.live.changed:
            entry = entry.plain()
        shape = join(entry, heads[local]) if local in heads else ANYTHING
        outer = frame.pins.get(local)
        name = outer.name if outer is not None else walk.name("v")
        if outer is None:
            walk.put(residual.Set(statement.where, name, walk.own_text(local, value)))
        carried[local] = (outer, entry)
        frame.pins[local] = Variable(name, entry, changes=True)
        frame.env[local] = Variable(name, shape, changes=True)
    return carried


def release(walk: Walk, carried: Mapping[int, tuple[Variable | None, Shape]]) -> None:
    """Behind the loop: the variables hold what the last round left, or what was before."""
    frame = walk.frame
    for local, (outer, _) in carried.items():
        pin = frame.pins.pop(local)
        if outer is not None:
            frame.pins[local] = replace(outer, shape=join(outer.shape, pin.shape))
        frame.env[local] = pin
        walk.note(local)


def _heads(body: ir.Body) -> dict[int, Shape]:
    """The locals that a loop gives known values alone, with what these are."""
    found: dict[int, Shape] = {}
    others: set[int] = set()
    for statement in ir.statements((body,)):
        for local in ir.writes(statement):
            if isinstance(statement, ir.AssignVar | ir.AssignVarOnce) and isinstance(
                statement.source, ir.Constant
            ):
                shape = exactly(statement.source.value)
                found[local] = join(found[local], shape) if local in found else shape
            elif isinstance(statement, ir.ResetLocal):
                shape = Shape(Kind.UNDEFINED)
                found[local] = join(found[local], shape) if local in found else shape
            else:
                others.add(local)
    return {local: shape for local, shape in found.items() if local not in others}


def order_shows(walk: Walk, statement: ir.Scan) -> bool:
    """Whether the order of the rounds can be told by what they leave."""
    body = statement.body
    behind = walk.frame.live.behind[id(body)]
    live = walk.frame.live.before[id(body)] | behind
    if statement.key in behind or statement.value in behind:
        return True
    for each in ir.statements((body,)):
        match each:
            case ir.ArrayAppend(array=held) if held.index in live:
                return True
            case ir.ObjectInsert(object=held) if held.index in live:
                return True
            case ir.AssignVar(source=ir.Constant()) | ir.AssignVarOnce() | ir.ResetLocal():
                continue
        if any(local in live for local in ir.writes(each)) and not isinstance(
            each, ir.SetAdd | ir.ObjectInsertOnce
        ):
            return True
    return False
