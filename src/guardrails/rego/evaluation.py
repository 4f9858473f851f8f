"""One run of a plan: its signals, its locals and its limits.

A statement's handler gives a signal: :data:`NEXT` to go on, or the number *n* of a
break, which leaves *n* + 1 blocks. An undefined statement is break 0: its block is left
and the next block beside it is run. :meth:`Evaluation.body` gives the signal as it came;
the statement around it takes one off.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.statements import RULE_PARAMETERS
from guardrails.rego.values import UNDEFINED, RegoSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from guardrails.rego.builtins.base import Builtin, BuiltinError, EvaluationContext
    from guardrails.rego.values import Value

NEXT: Final = -1
"""The signal of a statement that succeeded, and of a body that reached its end."""

UNDEFINED_STATEMENT: Final = 0
"""The signal of a statement that is undefined: break 0."""

RETURN: Final = 1 << 30
"""The signal of ReturnLocal; it stands only at the top of a function."""

Frame: TypeAlias = list[Any]
"""The locals of one call."""

Handlers: TypeAlias = "Mapping[type[ir.Statement], Callable[[Evaluation, Any, Frame], int]]"
"""What each statement does: it takes the evaluation, itself and the locals, and gives a signal."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use; passing a limit is an error, never a result.

    Attributes:
        steps: Blocks that are run, each round of a loop counted.
        depth: Calls of rules and functions within one another. Python's own recursion
            limit may stop an evaluation sooner.
    """

    steps: int = 5_000_000
    depth: int = 200


@dataclass(frozen=True, slots=True)
class Executable:
    """A policy with what its evaluation needs; holds no state of one.

    Args:
        policy: What :func:`guardrails.rego.decoder.decode` gave.
        builtins: The builtins it may call, by name; all that it calls must be there.
        limits: What one evaluation may use.

    Attributes:
        rule_paths: The rules as a tree of packages, for references by a value.
    """

    policy: ir.Policy
    builtins: Mapping[str, Builtin]
    limits: Limits = Limits()
    rule_paths: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        paths = _paths_of_rules(self.policy.functions.values())
        object.__setattr__(self, "rule_paths", paths)


class Evaluation:
    """One run of a plan, with its memo and its counters.

    A subclass says by `handlers` what each statement does, and may observe
    :meth:`invoke`, which runs the rules and functions.
    """

    handlers: ClassVar[Handlers]

    def __init__(
        self,
        executable: Executable,
        context: EvaluationContext,
        *,
        strict_builtin_errors: bool = False,
    ) -> None:
        policy = executable.policy
        self.functions = policy.functions
        self.by_path = policy.by_path
        self.rule_paths = executable.rule_paths
        self.builtins = executable.builtins
        self.context = context
        self.strict = strict_builtin_errors
        self.steps_left = executable.limits.steps
        self.depth_left = executable.limits.depth
        self.limits = executable.limits
        self.memo: dict[str, Value] = {}
        self.returned: Value = UNDEFINED
        self.suppressed: BuiltinError | None = None
        self.results = RegoSet()

    def run(self, plan: ir.Plan, document: Value, data: Value) -> list[Value]:
        """The result set of `plan`; see :meth:`~guardrails.rego.interpreter.Interpreter.run`."""
        frame: Frame = [UNDEFINED] * plan.locals
        frame[ir.INPUT] = document
        frame[ir.DATA] = data
        try:
            for body in plan.blocks:
                self.body(body, frame)
            # Key form and back: what the caller gets shares nothing with anything.
            return list(self.results)
        except RecursionError:
            raise EvaluationError(
                "eval_limit_error", "the evaluation is nested deeper than Python's stack allows"
            ) from None

    def body(self, body: ir.Body, frame: Frame) -> int:
        """Run a block and give the signal with which it ended, not yet reduced."""
        self.steps_left -= 1
        if self.steps_left < 0:
            where = body[0].where if body else ir.NOWHERE
            raise error_at("eval_limit_error", f"more than {self.limits.steps} steps", where)
        handlers = self.handlers
        for statement in body:
            signal = handlers[type(statement)](self, statement, frame)
            if signal != NEXT:
                return signal
        return NEXT

    def call(self, function: ir.Function, args: list[Value]) -> Value:
        """The value of a rule or function. Rules are worked out once for each scope of With."""
        if len(args) != RULE_PARAMETERS:
            return self.invoke(function, args)
        memo = self.memo
        value = memo.get(function.name, _UNKNOWN)
        if value is _UNKNOWN:
            value = memo[function.name] = self.invoke(function, args)
        return value

    def invoke(self, function: ir.Function, args: list[Value]) -> Value:
        """The value of `function`, worked out anew."""
        self.depth_left -= 1
        if self.depth_left < 0:
            msg = f"more than {self.limits.depth} calls within one another"
            raise error_at("eval_limit_error", msg, function.where)
        frame = args + [UNDEFINED] * (function.locals - len(args))
        value: Value = UNDEFINED
        for body in function.blocks:
            if self.body(body, frame) == RETURN:
                value = self.returned
                break
        self.depth_left += 1
        return value


_UNKNOWN: Final = object()


def error_at(code: str, message: str, where: ir.Location) -> EvaluationError:
    """An error of the evaluation, with the place of the statement that met it."""
    return EvaluationError(code, message, file=where.file, row=where.row)


def read(operand: ir.Operand, frame: Frame) -> Value:
    """The value of `operand`, which may be UNDEFINED."""
    return frame[operand.index] if type(operand) is ir.Local else operand.value  # type: ignore[union-attr]  # a Constant


def _paths_of_rules(functions: Iterable[ir.Function]) -> dict[str, Any]:
    """The rules by their path below `data`, as a tree of packages."""
    tree: dict[str, Any] = {}
    for function in functions:
        if len(function.params) != RULE_PARAMETERS or function.path[0] != _PLAIN_VERSION:
            continue
        here = tree
        for part in function.path[1:-1]:
            below = here.setdefault(part, {})
            # A rule below another one's path is a part of that one's value.
            if isinstance(below, ir.Function):
                break
            here = below
        else:
            here[function.path[-1]] = function
    return tree


_PLAIN_VERSION: Final = "g0"
"""The head of a path whose function is planned without mocks."""
