"""The reference evaluator: does what each node of a policy says, one after the other.

It is the meaning of a policy; whatever else evaluates one is checked against it. Here are
the statements that direct the walk: blocks, loops, `with`, and calls. Blocks are run where
they stand, not by one common function: every call of Python's would be taken from the depth
to which rules may call one another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import extents, ir
from guardrails.rego.evaluation import (
    NOT_YET,
    RETURN,
    UNDEFINED_STATEMENT,
    Evaluation,
    Routine,
)
from guardrails.rego.exits import with_exits
from guardrails.rego.linking import link
from guardrails.rego.operations import OPERATIONS, dot
from guardrails.rego.unrolling import unrolled
from guardrails.rego.values import UNDEFINED, RegoSet, from_key, sorted_keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.builtins.base import Builtin, EvaluationContext
    from guardrails.rego.evaluation import Action, Code, Frame, Limits, Signal
    from guardrails.rego.linking import Builders, Linked, Linker, Observer
    from guardrails.rego.values import Value

# Control.


def _block(statement: ir.Block, linker: Linker) -> Action:
    bodies = [linker.code(body) for body in statement.blocks]

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        for body in bodies:
            for action in body:
                signal = action(evaluation, frame)
                if signal is not None:
                    if signal > 0:
                        return signal - 1
                    break
        return None

    return run


def _break(statement: ir.Break, _: Linker) -> Action:
    index = statement.index
    return lambda _evaluation, _frame: index


def _not(statement: ir.Not, linker: Linker) -> Action:
    body = linker.code(statement.body)

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        for action in body:
            signal = action(evaluation, frame)
            if signal is not None:
                return signal - 1 if signal > 0 else None
        return UNDEFINED_STATEMENT

    return run


def _scan(statement: ir.Scan, linker: Linker) -> Action:
    source, key, value = statement.source.index, statement.key, statement.value
    body, where = linker.code(statement.body), statement.where

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        items = _items(frame[source])
        if items is None:
            return UNDEFINED_STATEMENT
        evaluation.spend(len(items), where)
        for frame[key], frame[value] in items:
            for action in body:
                signal = action(evaluation, frame)
                if signal is not None:
                    if signal > 0:
                        return signal - 1
                    break
        return None

    return run


def _items(source: Value) -> list[tuple[Value, Value]] | None:
    """What a scan goes through, in order; None for what is no collection.

    A new list, for a body may add to the collection that is scanned.
    """
    kind = type(source)
    if kind is list:
        return list(enumerate(source))
    if kind is dict:
        return [(from_key(key), source[key]) for key in sorted_keys(source)]
    if kind is RegoSet:
        return [(member, member) for member in source]
    return None


def _with(statement: ir.With, linker: Linker) -> Action:
    local, path, source = statement.local, statement.path, linker.place(statement.value)
    body = linker.code(statement.body)

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        value = frame[source]
        # Without a path the value may be undefined: OPA so restores an input that is.
        if value is UNDEFINED and path:
            return UNDEFINED_STATEMENT
        before, memo = frame[local], evaluation.memo
        frame[local] = _replaced(before, path, value)
        evaluation.memo = {}
        signal = _run(body, evaluation, frame)
        frame[local], evaluation.memo = before, memo
        return signal - 1 if signal else signal

    return run


def _run(body: Code, evaluation: Evaluation, frame: Frame) -> Signal:
    """Run a block and give the signal with which it ended, not yet reduced."""
    for action in body:
        signal = action(evaluation, frame)
        if signal is not None:
            return signal
    return None


def _replaced(document: Value, path: tuple[str, ...], value: Value) -> Value:
    """`document` with `value` at `path`; only the objects on the way are new."""
    if not path:
        return value
    root = here = document.copy() if type(document) is dict else {}
    for name in path[:-1]:
        below = here.get(name)
        here[name] = below.copy() if type(below) is dict else {}
        here = here[name]
    here[path[-1]] = value
    return root


# Calls and results.


def _call_function(statement: ir.CallFunction, linker: Linker) -> Action:
    routine, target = linker.linked.functions[statement.function], statement.target
    if routine.is_rule:
        return _call_rule(routine, target)
    gather = linker.gather(statement.args)

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        value = evaluation.invoke(routine, gather(frame))
        frame[target] = value
        return UNDEFINED_STATEMENT if value is UNDEFINED else None

    return run


def _call_rule(rule: Routine, target: int) -> Action:
    """As :meth:`Evaluation.value`, without its place on Python's stack."""

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        memo = evaluation.memo
        value = memo.get(rule, NOT_YET)
        if value is NOT_YET:
            value = memo[rule] = evaluation.invoke(rule, frame[: ir.RULE_PARAMETERS])
        frame[target] = value
        return UNDEFINED_STATEMENT if value is UNDEFINED else None

    return run


def _call_dynamic(statement: ir.CallDynamic, linker: Linker) -> Action:
    path, target, by_path = linker.gather(statement.path), statement.target, linker.linked.by_path

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        parts = path(frame)
        if not all(type(part) is str for part in parts):
            return UNDEFINED_STATEMENT
        routine = by_path.get(parts)
        if routine is None or not routine.is_rule:
            return UNDEFINED_STATEMENT
        value = evaluation.value(routine, frame)
        frame[target] = value
        return ir.UNDEFINED_CALL_LEAVES if value is UNDEFINED else None

    return run


def _reference(statement: ir.Reference, linker: Linker) -> Action:
    path, target, rules = linker.gather(statement.path), statement.target, linker.linked.rule_paths

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        parts = path(frame)
        if any(part is UNDEFINED for part in parts):
            return UNDEFINED_STATEMENT
        value = _referred(evaluation, parts, rules, frame)
        frame[target] = value
        return UNDEFINED_STATEMENT if value is UNDEFINED else None

    return run


def _referred(
    evaluation: Evaluation, path: tuple[Value, ...], rules: Mapping[str, Any], frame: Frame
) -> Value:
    """The value of the reference `data` with `path`, as OPA's evaluator finds it."""
    base = frame[ir.DATA]
    virtual: Any = rules
    for place, part in enumerate(path):
        base = UNDEFINED if base is UNDEFINED else dot(base, part)
        virtual = virtual.get(part, {}) if type(part) is str else {}
        if isinstance(virtual, Routine):
            value = evaluation.value(virtual, frame)
            for below in path[place + 1 :]:
                value = UNDEFINED if value is UNDEFINED else dot(value, below)
            return value
    if not virtual:
        return base
    return _extent(evaluation, virtual, base if type(base) is dict else {}, frame)


def _extent(
    evaluation: Evaluation, virtual: Mapping[str, Any], base: dict[Any, Value], frame: Frame
) -> dict[Any, Value]:
    """What a package holds: its base data, and over it the values of its rules."""
    found = dict(base)
    for name, below in virtual.items():
        if isinstance(below, Routine):
            value = evaluation.value(below, frame)
        else:
            under = base.get(name)
            value = _extent(evaluation, below, under if type(under) is dict else {}, frame)
        if value is not UNDEFINED:
            found[name] = value
    return found


def _call_builtin(statement: ir.CallBuiltin, linker: Linker) -> Action:
    builtin, gather = linker.builtins[statement.name], linker.gather(statement.args)
    name, target, where = statement.name, statement.target, statement.where
    call, needs_context = builtin.call, builtin.needs_context

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        args = gather(frame)
        for arg in args:
            if arg is UNDEFINED:
                return UNDEFINED_STATEMENT
        try:
            value = call(evaluation.context, *args) if needs_context else call(*args)
        except Exception as error:  # noqa: BLE001  # refused, or an error: decided in one place
            value = evaluation.builtin_failed(error, name, where)
        frame[target] = value
        return UNDEFINED_STATEMENT if value is UNDEFINED else None

    return run


def _add_result(statement: ir.ResultSetAdd, _: Linker) -> Action:
    source = statement.value.index

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        value = frame[source]
        if value is UNDEFINED:
            return UNDEFINED_STATEMENT
        evaluation.results.add(value)
        return None

    return run


def _return(statement: ir.ReturnLocal, _: Linker) -> Action:
    source = statement.source.index

    def run(evaluation: Evaluation, frame: Frame) -> Signal:
        evaluation.returned = frame[source]
        return RETURN

    return run


BUILDERS: Final[Builders] = {
    **OPERATIONS,
    ir.Block: _block,
    ir.Break: _break,
    ir.CallBuiltin: _call_builtin,
    ir.CallDynamic: _call_dynamic,
    ir.CallFunction: _call_function,
    ir.Not: _not,
    ir.Reference: _reference,
    ir.ResultSetAdd: _add_result,
    ir.ReturnLocal: _return,
    ir.Scan: _scan,
    ir.With: _with,
}
"""What each statement does."""


@dataclass(frozen=True, slots=True, eq=False)
class Interpreter:
    """Evaluates the plans of one policy; holds no state of an evaluation.

    Args:
        policy: What :func:`guardrails.rego.decoder.decode` gave.
        builtins: The builtins it may call, by name; all that it calls must be there.
        limits: What one evaluation may use.
    """

    policy: ir.Policy
    builtins: Mapping[str, Builtin]
    limits: Limits
    _shared: ir.Policy = field(init=False, repr=False)
    _links: dict[Observer | None, Linked] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shared", with_exits(unrolled(extents.shared(self.policy))))
        self.linked()

    def linked(self, observer: Observer | None = None) -> Linked:
        """The policy ready to run, with `observer` around each statement; made once for each."""
        linked = self._links.get(observer)
        if linked is None:
            linked = link(self._shared, self.builtins, BUILDERS, observer)
            self._links[observer] = linked
        return linked

    def run(
        self,
        plan: ir.Plan,
        document: Value,
        data: Value,
        context: EvaluationContext,
        *,
        strict_builtin_errors: bool = False,
    ) -> list[Value]:
        """The result set of `plan`: new values that share nothing with policy, input or data.

        Args:
            plan: One of the policy's plans.
            document: The input, or UNDEFINED.
            data: The base documents.
            context: The time and the random source of this evaluation.
            strict_builtin_errors: Make a builtin's error the evaluation's; else it is undefined.

        Raises:
            EvaluationError: A conflict, a builtin's error in strict mode, a limit, or a fault.
        """
        evaluation = Evaluation(context, self.limits, strict_builtin_errors=strict_builtin_errors)
        return evaluation.run(self.linked().plans[plan.name], document, data)
