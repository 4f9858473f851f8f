"""The reference evaluator: walks the nodes of a policy and does what each says.

It is the meaning of a policy; whatever else evaluates one is checked against it. Here are
the statements that direct the walk: blocks, loops, `with`, and calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego import ir
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.evaluation import (
    NEXT,
    RETURN,
    UNDEFINED_STATEMENT,
    Evaluation,
    Executable,
    error_at,
    read,
)
from guardrails.rego.operations import OPERATIONS, dot
from guardrails.rego.values import UNDEFINED, RegoSet, from_key, sorted_keys

if TYPE_CHECKING:
    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.evaluation import Frame, Handlers
    from guardrails.rego.values import Value

# Control.


def _block(evaluation: Evaluation, statement: ir.Block, frame: Frame) -> int:
    for body in statement.blocks:
        signal = evaluation.body(body, frame)
        if signal > 0:
            return signal - 1
    return NEXT


def _break(_: Evaluation, statement: ir.Break, __: Frame) -> int:
    return statement.index


def _not(evaluation: Evaluation, statement: ir.Not, frame: Frame) -> int:
    signal = evaluation.body(statement.body, frame)
    return UNDEFINED_STATEMENT if signal == NEXT else signal - 1


def _scan(evaluation: Evaluation, statement: ir.Scan, frame: Frame) -> int:
    source = frame[statement.source.index]
    kind = type(source)
    if kind is list:
        return _scan_array(evaluation, statement, frame, source)
    if kind is dict:
        return _scan_object(evaluation, statement, frame, source)
    if kind is RegoSet:
        return _scan_set(evaluation, statement, frame, source)
    return UNDEFINED_STATEMENT


def _scan_array(
    evaluation: Evaluation, statement: ir.Scan, frame: Frame, source: list[Value]
) -> int:
    for index, item in enumerate(source):
        frame[statement.key] = index
        frame[statement.value] = item
        signal = evaluation.body(statement.body, frame)
        if signal > 0:
            return signal - 1
    return NEXT


def _scan_object(
    evaluation: Evaluation, statement: ir.Scan, frame: Frame, source: dict[Any, Value]
) -> int:
    for key in sorted_keys(source):
        frame[statement.key] = from_key(key)
        frame[statement.value] = source[key]
        signal = evaluation.body(statement.body, frame)
        if signal > 0:
            return signal - 1
    return NEXT


def _scan_set(evaluation: Evaluation, statement: ir.Scan, frame: Frame, source: RegoSet) -> int:
    for member in source:
        frame[statement.key] = frame[statement.value] = member
        signal = evaluation.body(statement.body, frame)
        if signal > 0:
            return signal - 1
    return NEXT


def _with(evaluation: Evaluation, statement: ir.With, frame: Frame) -> int:
    value = read(statement.value, frame)
    if value is UNDEFINED and statement.path:
        return UNDEFINED_STATEMENT
    # Without a path the value may be undefined: OPA so restores an input that is.
    before = frame[statement.local]
    memo = evaluation.memo
    frame[statement.local] = _replaced(before, statement.path, value)
    evaluation.memo = {}
    signal = evaluation.body(statement.body, frame)
    frame[statement.local] = before
    evaluation.memo = memo
    return signal - 1 if signal > 0 else signal


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


def _call_function(evaluation: Evaluation, statement: ir.CallFunction, frame: Frame) -> int:
    function = evaluation.functions[statement.function]
    value = evaluation.call(function, [read(arg, frame) for arg in statement.args])
    frame[statement.target] = value
    return UNDEFINED_STATEMENT if value is UNDEFINED else NEXT


def _call_dynamic(evaluation: Evaluation, statement: ir.CallDynamic, frame: Frame) -> int:
    path = tuple([read(part, frame) for part in statement.path])
    if not all(type(part) is str for part in path):
        return UNDEFINED_STATEMENT
    function = evaluation.by_path.get(path)
    if function is None:
        return UNDEFINED_STATEMENT
    value = evaluation.call(function, [read(arg, frame) for arg in statement.args])
    frame[statement.target] = value
    return ir.UNDEFINED_CALL_LEAVES if value is UNDEFINED else NEXT


def _reference(evaluation: Evaluation, statement: ir.Reference, frame: Frame) -> int:
    path = [read(part, frame) for part in statement.path]
    if any(part is UNDEFINED for part in path):
        return UNDEFINED_STATEMENT
    value = _referred(evaluation, path, [read(arg, frame) for arg in statement.args])
    frame[statement.target] = value
    return UNDEFINED_STATEMENT if value is UNDEFINED else NEXT


def _referred(evaluation: Evaluation, path: list[Value], args: list[Value]) -> Value:
    """The value of the reference `data` with `path`, as OPA's evaluator finds it."""
    base = args[ir.DATA]
    virtual = evaluation.rule_paths
    for place, part in enumerate(path):
        base = UNDEFINED if base is UNDEFINED else dot(base, part)
        virtual = virtual.get(part, {}) if type(part) is str else {}
        if isinstance(virtual, ir.Function):
            value = evaluation.call(virtual, args)
            for below in path[place + 1 :]:
                value = UNDEFINED if value is UNDEFINED else dot(value, below)
            return value
    if not virtual:
        return base
    return _extent(evaluation, virtual, base if type(base) is dict else {}, args)


def _extent(
    evaluation: Evaluation, virtual: dict[str, Any], base: dict[Any, Value], args: list[Value]
) -> dict[Any, Value]:
    """What a package holds: its base data, and over it the values of its rules."""
    found = dict(base)
    for name, below in virtual.items():
        if isinstance(below, ir.Function):
            value = evaluation.call(below, args)
        else:
            under = base.get(name)
            value = _extent(evaluation, below, under if type(under) is dict else {}, args)
        if value is not UNDEFINED:
            found[name] = value
    return found


def _call_builtin(evaluation: Evaluation, statement: ir.CallBuiltin, frame: Frame) -> int:
    args = [read(arg, frame) for arg in statement.args]
    for arg in args:
        if arg is UNDEFINED:
            return UNDEFINED_STATEMENT
    builtin = evaluation.builtins[statement.name]
    try:
        if builtin.needs_context:
            value = builtin.call(evaluation.context, *args)
        else:
            value = builtin.call(*args)
    except BuiltinError as error:
        if evaluation.strict:
            raise error_at(error.code, str(error), statement.where) from error
        evaluation.suppressed = error
        value = UNDEFINED
    frame[statement.target] = value
    return UNDEFINED_STATEMENT if value is UNDEFINED else NEXT


def _add_result(evaluation: Evaluation, statement: ir.ResultSetAdd, frame: Frame) -> int:
    value = frame[statement.value.index]
    if value is UNDEFINED:
        return UNDEFINED_STATEMENT
    evaluation.results.add(value)
    return NEXT


def _return(evaluation: Evaluation, statement: ir.ReturnLocal, frame: Frame) -> int:
    evaluation.returned = frame[statement.source.index]
    return RETURN


HANDLERS: Final[Handlers] = {
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


class _Evaluation(Evaluation):
    handlers = HANDLERS


@dataclass(frozen=True, slots=True)
class Interpreter(Executable):
    """Evaluates the plans of one policy; arguments as :class:`Executable`."""

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
            EvaluationError: A conflict, a builtin's error in strict mode, or a limit.
        """
        evaluation = _Evaluation(self, context, strict_builtin_errors=strict_builtin_errors)
        return evaluation.run(plan, document, data)
