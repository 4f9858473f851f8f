"""The walk through a function that leaves a program behind: what is known is done right here.

A block of the plan can be left at each of its statements. Here that becomes an ``if`` in
which the rest of the block stands; so behind the block both ways meet. Where they meet with
different values for a local that is still read, the local becomes a variable of Python that
gets its value on each way (:meth:`Walk.leave`); else nothing is left of it.

INVARIANT: what stands in a variable that does not change, and what is noted in
:attr:`Walk.facts`, holds wherever the code being written can be reached.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import (
    MISSING,
    ArrayLiteral,
    Known,
    Missing,
    ObjectLiteral,
    SetLiteral,
    Test,
    Variable,
)
from guardrails.rego.emit.conditions import negated
from guardrails.rego.emit.frames import Region
from guardrails.rego.emit.known import known_size, same_form
from guardrails.rego.emit.shapes import (
    ANYTHING,
    BOOLEAN,
    DEFINED,
    UNKNOWN,
    Kind,
    Shape,
    join,
)
from guardrails.rego.emit.texts import Texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.frames import Scope
    from guardrails.rego.emit.residual import Body, Text
    from guardrails.rego.emit.unit import Unit


class Walk(Texts):
    """Writes one function of Python.

    Args:
        unit: The program that it belongs to.
        scope: What its rules are worked out from.

    Attributes:
        out: Where the next statement goes.
        head: What is done before all else: look-ups and small rules that cannot fail.
        lasting: What was worked out there.
        members: What was put into the collections that are built in variables.
        fixed: The variables whose values nothing changes in place any more.
        named: The objects that are built in variables: whether all keys are strings.
        where: The place of the statement of the plan that is being written.
        leaving: How many blocks around the innermost one are left here, too; None where the
            next statement is reached.
        outermost: The scope in which the function begins.
        plan: It is a plan that is written, which is what an evaluation begins with.
        loops: How many loops stand around here.
        copies: How many loops are written round by round around here.
        uncertain: How many of the blocks around here were perhaps left already.
    """

    def __init__(self, unit: Unit, scope: Scope) -> None:
        super().__init__(unit)
        self.scope = scope
        self.outermost = scope
        self.plan = False
        self.head = residual.Slot(ir.NOWHERE)
        self.nodes: Body = [self.head]
        self.out: Body = self.nodes
        self.lasting: dict[object, Abstract] = {}
        shape = unit.settings.input if scope.shaped else ANYTHING
        self._roots: dict[str, Shape] = {"i0": shape}
        self.members: dict[str, Shape] = {}
        self.fixed: set[str] = {"i0"}
        self.named: dict[str, bool] = {}
        self.where = ir.NOWHERE
        self.leaving: int | None = None
        self.loops = 0
        self.copies = 0
        self.uncertain = 0
        self.inlined: list[str] = []
        self.size = 0
        self._temporaries = 0

    @property
    def repeated(self) -> bool:
        """Whether what is written here may be done several times."""
        return bool(self.loops or self.copies)

    # Code.

    def put(self, node: residual.Node) -> None:
        """Write one statement."""
        self.size += 1
        self.out.append(node)

    def name(self, letter: str = "t") -> str:
        """A new variable."""
        self._temporaries += 1
        return f"{letter}{self._temporaries}"

    def bind(self, text: Text, shape: Shape, *, raw: bool = False) -> Variable:
        """A new variable with the value of `text`."""
        name = self.name()
        self.put(residual.Set(self.where, name, text))
        return Variable(name, shape, raw=raw)

    def root(self, value: Abstract) -> Shape | None:
        """What is known of `value` where the function begins; None if it is not there yet."""
        return self._roots.get(value.name) if isinstance(value, Variable) else None

    def keep(self, value: Variable) -> None:
        """Note that a variable has its value before all else."""
        self._roots[value.name] = value.shape

    def before_all(self, fact: object, text: Text, shape: Shape) -> Variable:
        """A variable with the value of `text`, worked out where the function begins.

        `text` cannot fail, and reads nothing but such variables and constants.
        """
        name = self.name()
        self.head.body.append(residual.Set(self.where, name, text, hoisted=True))
        found = self.lasting[fact] = Variable(name, shape)
        self.keep(found)
        return found

    def define(self, text: Text, shape: Shape) -> Abstract:
        """The value of `text`; the block is left if that is undefined."""
        if shape.kinds == Kind.UNDEFINED:
            self.put(residual.Do(self.where, text))
            self.fail()
            return MISSING
        found = self.bind(text, shape)
        if not shape.defined:
            self.require(f"{found.name} is not U")
            found = replace(found, shape=shape.without(Kind.UNDEFINED))
        if found.shape.only is not UNKNOWN:
            return Known(found.shape.only)
        return found

    def require(self, text: Text, holds: Mapping[str, Shape] | None = None) -> None:
        """Leave the block unless `text` is true."""
        if text == "True":
            return
        text = text.removeprefix("not not ")
        self.conditional(self.frame.regions[-1])
        node = residual.If(self.where, text)
        self.put(node)
        self.out = node.body
        for name, shape in (holds or {}).items():
            self.facts["shape", name] = shape

    def require_true(self, value: Abstract, *, true: bool = True) -> None:
        """Leave the block unless `value`, a boolean, is `true`."""
        if isinstance(value, Known):
            if value.value is not true:
                self.fail()
        elif isinstance(value, Test):
            if true:
                self.require(value.text, value.holds)
            else:
                self.require(negated(value.text), value.fails)
        else:
            self.require(f"{self.text(value)} is {true}")

    def defined(self, value: Abstract) -> Abstract:
        """`value`, behind a test that it is there; the block is left if it is not."""
        shape = self.shape(value)
        if isinstance(value, Missing) or shape.kinds == Kind.UNDEFINED:
            self.fail()
        elif not shape.defined and isinstance(value, Variable):
            shape = shape.without(Kind.UNDEFINED)
            self.require(f"{value.name} is not U", {} if value.changes else {value.name: shape})
            return replace(value, shape=shape)
        return value

    def fail(self) -> None:
        """Leave the block: nothing that follows in it is reached."""
        self.leaving = 0

    # Values.

    def steady(self, value: Abstract) -> Abstract:
        """The value as it is now, also after the variable that holds it got another one."""
        if isinstance(value, Variable) and value.changes:
            copy = self.bind(value.name, value.shape, raw=value.raw)
            if value.name in self.own:
                self.own.add(copy.name)
            return copy
        return value

    def held(self, value: Abstract) -> Abstract:
        """`value` as something that may be used several times without working it out again."""
        if isinstance(value, Test):
            return self.bind(value.text, BOOLEAN)
        return value

    # Locals.

    def read(self, operand: ir.Operand) -> Abstract:
        """The value of an operand."""
        if isinstance(operand, ir.Local):
            return self.frame.env[operand.index]
        return Known(operand.value)

    def write(self, local: int, value: Abstract) -> None:
        """Give a local a value."""
        frame = self.frame
        pin = frame.pins.get(local)
        if pin is not None:
            value = self._pinned(local, pin, value)
        elif isinstance(value, Variable):
            # What is known of it here is not known everywhere.
            value = replace(value, shape=self.shape(value))
        frame.env[local] = value
        self.note(local)

    def forget(self, local: int) -> None:
        """Make a local undefined whose new value may turn out to be, if that is seen behind."""
        if isinstance(self.frame.env[local], Missing) and local not in self.frame.pins:
            return
        if any(local in region.behind for region in self.frame.regions):
            self.write(local, MISSING)

    def _pinned(self, local: int, pin: Variable, value: Abstract) -> Variable:
        text = self.own_text(local, value)
        if not self.is_own(value):
            self.own.discard(pin.name)
        if text != pin.name:
            self.put(residual.Set(self.where, pin.name, text))
        shape = self.shape(value)
        if local in self.frame.live.changed:
            shape = shape.plain()
        self.frame.pins[local] = replace(pin, shape=join(pin.shape, shape))
        return Variable(pin.name, shape, changes=True)

    def note(self, local: int) -> None:
        """Remember a write for the blocks that may have been left before it."""
        slot: residual.Slot | None = None
        seen: list[Region] = []
        for region in self.frame.regions:
            if region.conditional and local in region.behind and region not in seen:
                seen.append(region)
                if slot is None:
                    slot = residual.Slot(self.where)
                    self.out.append(slot)
                value = self.frame.env[local]
                region.writes.setdefault(local, []).append((value, slot))

    def contain(self, local: int, held: Abstract) -> Variable:
        """Put a collection that was only written down so far into a variable, to be changed."""
        name, raw = self.name("v"), self.raw_text(held)
        self.put(residual.Set(self.where, name, raw or self.text(held)))
        self.members[name] = self._members([held]) if raw else self.shape(held).items()
        if isinstance(held, ArrayLiteral | ObjectLiteral) and not known_size(held):
            self.members[name] = Shape(Kind(0))
        self.named[name] = isinstance(held, ObjectLiteral) and all(
            type(key) is str for key in held.fields
        )
        if raw is None and self.is_own(held):
            self.own.add(name)
        value = Variable(name, self.shape(held).plain(), raw=raw is not None)
        self.write(local, value)
        return value

    def add_member(self, name: str, value: Abstract) -> None:
        """Put a member into the set whose keys stand in the variable `name`."""
        key, member = self.member(value)
        text = f"{name}.setdefault({key}, {member})"
        self.put(residual.Do(self.where, text, idempotent=True))
        self.members[name] = join(self.members.get(name, DEFINED), self.shape(value))

    def put_in(self, name: str, value: Abstract, text: Text, key: Abstract | None = None) -> None:
        """Change the collection in the variable `name`, by `text`, so that it holds `value`."""
        self.members[name] = join(self.members.get(name, DEFINED), self.shape(value))
        if key is not None and not self.shape(key).is_only(Kind.STRING):
            self.named[name] = False
        if not self.is_own(value):
            self.own.discard(name)
        self.put(residual.Do(self.where, text))

    # What a function gives back; a plan has results instead.

    def give_back(self, value: Abstract) -> None:
        """Leave the function with `value`."""
        raise NotImplementedError

    def add_result(self, value: Abstract) -> None:
        """Add `value` to the results of the plan."""
        raise NotImplementedError

    # Blocks.

    def conditional(self, region: Region) -> None:
        """From here on `region` may have been left."""
        if region.conditional:
            region.filling = None  # here it may not be there yet
            return
        region.conditional = True
        self.uncertain += 1
        region.env = list(self.frame.env)
        region.facts = dict(self.facts)
        region.slot = residual.Slot(self.where)
        self.out.append(region.slot)

    def enter(self, body: ir.Body) -> Region:
        """Begin a block of the plan; its code is a group of its own."""
        group = residual.Group(self.where)
        self.out.append(group)
        self.out = group.body
        region = Region(self.frame.live.behind[id(body)], group)
        self.frame.regions.append(region)
        return region

    def leave(self, region: Region, out: Body) -> None:
        """End a block, and go on behind it in `out`: there all the ways out of it meet."""
        self.frame.regions.pop()
        self.out = out
        if not region.conditional:
            return
        self.uncertain -= 1
        self.frame.env[:] = region.env
        self.facts = region.facts
        if region.filling is not None and region.filling[0] in region.writes:
            local, value = region.filling
            self.frame.env[local] = value
        for local, writes in region.writes.items():
            self._meet(region, local, writes)

    def _meet(
        self, region: Region, local: int, writes: list[tuple[Abstract, residual.Slot]]
    ) -> None:
        """Give `local` one form behind `region`, whichever way was taken."""
        env = self.frame.env
        values = [env[local], *(value for value, _ in writes)]
        same = same_form(values)
        if same is None:
            same = self._variable(region, local, values, writes)
        env[local] = same
        if same is not values[0]:
            self.note(local)

    def _variable(
        self,
        region: Region,
        local: int,
        values: list[Abstract],
        writes: list[tuple[Abstract, residual.Slot]],
    ) -> Variable:
        if local not in self.frame.live.changed:
            values = [self.listed(value) for value in values]
        raws = [self.raw_text(value) for value in values]
        raw = all(text is not None for text in raws) and not all(text == "U" for text in raws)
        # A variable that holds one of them already may as well hold the others.
        name = next(
            (
                value.name
                for value in values
                if isinstance(value, Variable) and value.changes and value.raw is raw
            ),
            "",
        )
        if not name and not raw:
            name = next((value.held for value in values if isinstance(value, Missing)), "")
        name = name or self.name("v")
        assert region.slot is not None  # noqa: S101  # it was left, so there is one
        slots = [region.slot, *(slot for _, slot in writes)]
        fresh = isinstance(values[0], SetLiteral) and not values[0].members
        for value, text, slot in zip(values, raws, slots, strict=True):
            if raw and fresh and isinstance(value, SetLiteral) and len(value.members) == 1:
                adding = f"{name}.setdefault({', '.join(self.member(value.members[0]))})"
                slot.body.append(residual.Do(slot.where, adding, idempotent=True))
                continue
            given = text if raw and text is not None else self.own_text(local, value)
            if isinstance(value, Missing) and value.held == name:
                continue  # it is so already
            if given != name:
                slot.body.append(residual.Set(slot.where, name, given))
        shape = self.shape(values[0])
        for value in values[1:]:
            shape = join(shape, self.shape(value))
        if raw:
            self.members[name] = self._members(values)
        if not raw and all(map(self.is_own, values)):
            self.own.add(name)
        else:
            self.own.discard(name)
        if not raw and local in self.frame.live.changed:
            self._gather(name, values)
        if raw or local in self.frame.live.changed:
            shape = shape.plain()  # what it holds may change in place
        return Variable(name, shape, changes=True, raw=raw)

    def _gather(self, name: str, values: Sequence[Abstract]) -> None:
        """Note what is in the collection in the variable `name`, which is one of `values`."""
        found, named = Shape(Kind(0)), True
        for value in values:
            if isinstance(value, Missing):
                continue
            shape = self.shape(value)
            if isinstance(value, Variable) and value.name in self.members:
                found = join(found, self.members[value.name])
                named = named and self.named.get(value.name, False)
            else:
                found = join(found, shape.items())
                named = named and (shape.named or shape.json or not shape.may_be(Kind.OBJECT))
        self.members[name], self.named[name] = found, named

    def _members(self, values: Sequence[Abstract]) -> Shape:
        """What is in some sets that were built here."""
        found = Shape(Kind(0))
        for value in values:
            if isinstance(value, SetLiteral):
                found = join(found, self.shape(value).items()) if value.members else found
            elif isinstance(value, Variable):
                found = join(found, self.members.get(value.name, DEFINED))
        return found

    def blocks(self, blocks: Sequence[ir.Body]) -> None:
        """Write blocks that stand one behind the other."""
        for body in blocks:
            out = self.out
            region = self.enter(body)
            self.body(body)
            self.leave(region, out)
            if self.left(region):
                return

    def left(self, region: Region) -> bool:
        """Behind `region`: whether what left it for sure leaves the block around it, too."""
        if self.leaving is not None:
            through = self.leaving > 0 and not region.conditional
            self.leaving = self.leaving - 1 if through else None
        return self.leaving is not None

    def body(self, body: Sequence[ir.Statement]) -> None:
        """Write statements until none is left, or none is reached."""
        raise NotImplementedError
