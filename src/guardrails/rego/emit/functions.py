"""Rules, functions and plans of the policy, each as one function of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego import ir
from guardrails.rego.emit import residual
from guardrails.rego.emit.abstract import MISSING, Known, Missing, ObjectLiteral, Variable
from guardrails.rego.emit.calls import finished, new_frame
from guardrails.rego.emit.frames import CannotEmit, Frame, Scope
from guardrails.rego.emit.program import Emitted
from guardrails.rego.emit.shapes import ANYTHING, DOCUMENT, NOTHING, join
from guardrails.rego.emit.simplify import simplified
from guardrails.rego.emit.statements import Writer
from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.unit import Unit
    from guardrails.rego.emit.walk import Walk


class FunctionWriter(Writer):
    """Writes one rule or function of the policy as a function of Python."""

    def __init__(self, unit: Unit, function: ir.Function, *, shaped: bool) -> None:
        scope = Scope(data="" if unit.data is not UNDEFINED else "d0", shaped=shaped)
        super().__init__(unit, scope)
        self.function = function
        self.results: list[Abstract] = []

    def emit(self) -> Emitted:
        """The function."""
        shapes = self.unit.arguments(self.function, shaped=self.scope.shaped)
        args = [Variable(self.name("p"), shape) for shape in shapes]
        self.fixed.update(arg.name for arg in args)
        self.frame = Frame(self.function, _roots(self), self.unit.liveness(self.function))
        self.frame = new_frame(self, self.function, args)
        self.blocks(self.function.blocks)
        undefined = self.leaving is None
        name = f"F{len(self.unit.functions)}"  # those that it calls have theirs
        body = simplified(self.unit, self.nodes)
        result = NOTHING if undefined else None
        raws = {isinstance(value, Variable) and value.raw for value in self.results}
        for value in self.results:
            shape = self.shape(value)
            result = shape if result is None else join(result, shape)
        used = residual.used(body)
        params = tuple(p for p in _IMPLICIT if p in used) + tuple(arg.name for arg in args)
        raw = raws == {True}
        emitted = Emitted(name, params, body, result or NOTHING, raw)
        texts = (text for node in residual.walk(body) for text in residual.texts(node))
        only = self.results[0] if len(self.results) == len(body) == 1 else None
        if any(map(self.unit.may_raise, texts)):
            self.unit.fallible.add(name)
        elif isinstance(only, Known) and not undefined:
            emitted.constant = only
        names = [arg.name for arg in args]
        if len(body) == 1 and isinstance(body[0], residual.Return) and body[0].value in names:
            emitted.echo = names.index(body[0].value)
        return emitted

    def give_back(self, value: Abstract) -> None:
        """Leave the function with `value`."""
        value = finished(self, value)
        raw = self.raw_text(value)
        mixed = any(not (isinstance(each, Variable) and each.raw) for each in self.results)
        if (
            raw is not None
            and not isinstance(value, Known)
            and not mixed
            and not isinstance(value, Missing)
        ):
            self.put(residual.Return(self.where, raw))
        else:
            if any(isinstance(each, Variable) and each.raw for each in self.results):
                msg = "a function gives sets in two forms"
                raise CannotEmit(msg)
            self.put(residual.Return(self.where, self.text(value)))
        self.results.append(value)
        self.leaving = len(self.frame.regions)


_IMPLICIT: Final = ("i0", "m0", "d0", "c0")


def _roots(walk: Walk) -> list[Abstract]:
    """What the input and data are where a function begins."""
    unit = walk.unit
    shape = unit.settings.input if walk.scope.shaped else ANYTHING
    bound = unit.data is not UNDEFINED
    data: Abstract = Known(unit.data, ()) if bound else Variable("d0", DOCUMENT)
    return [Variable("i0", shape), data]


class _NotOne(Exception):  # noqa: N818  # a signal: the plan has another form than it seemed
    """A plan that seemed to give one value gives something else."""


def plan_function(unit: Unit, plan: ir.Plan, number: int) -> Emitted:
    """The function of a plan."""
    results = [each for each in ir.statements(plan.blocks) if isinstance(each, ir.ResultSetAdd)]
    loops = any(isinstance(each, ir.Scan) for each in ir.statements(plan.blocks))
    if len(results) == 1 and not loops:
        try:
            return PlanWriter(unit, plan, number, single=True).emit()
        except _NotOne:
            pass
    return PlanWriter(unit, plan, number, single=False).emit()


class PlanWriter(Writer):
    """Writes a plan as a function of Python.

    The plan of an entrypoint has one result, an object of one field; its function gives what
    stands in it. That of any other gives a list of its results.
    """

    def __init__(self, unit: Unit, plan: ir.Plan, number: int, *, single: bool) -> None:
        super().__init__(unit, Scope(data="" if unit.data is not UNDEFINED else "d0"))
        self.source = plan
        self.number = number
        self.single = single

    def emit(self) -> Emitted:
        """The function."""
        plan = self.source
        env = [*_roots(self), *[MISSING] * (plan.locals - ir.RULE_PARAMETERS)]
        self.frame = Frame(plan, env, self.unit.liveness(plan))
        if not self.single:
            self.put(residual.Set(ir.NOWHERE, "r0", "set()"))
        self.plan = True
        self.blocks(plan.blocks)
        if not self.single:
            self.put(residual.Return(ir.NOWHERE, "in_order(r0)"))
        body = simplified(self.unit, self.nodes)
        if "m0" in residual.used(body):
            body.insert(0, residual.Set(ir.NOWHERE, "m0", "MEMO.copy()"))
        params = ("i0", "d0", "c0")
        return Emitted(f"E{self.number}{'' if self.single else 'S'}", params, body)

    def add_result(self, value: Abstract) -> None:
        """Give `value` as the result, or as one of them."""
        value = self.defined(value)
        if self.leaving is not None:
            return
        if not self.single:
            self.put(residual.Do(self.where, f"r0.add(to_key({self.text(value)}))"))
            return
        if not (isinstance(value, ObjectLiteral) and set(value.fields) == {"result"}):
            raise _NotOne
        self.put(residual.Return(self.where, self.fresh_text(value.fields["result"])))
        self.leaving = len(self.frame.regions)
