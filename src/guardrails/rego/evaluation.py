"""One run of a plan: its signals, its locals and its limits.

A statement gives a signal: None to go on, or the number *n* of a break, which leaves
*n* + 1 blocks. An undefined statement is break 0: its block is left and the next block
beside it is run. What runs a block takes one off the signal that ended it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.values import UNDEFINED, RegoSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.rego.builtins.base import EvaluationContext
    from guardrails.rego.values import Value

Signal: TypeAlias = "int | None"
"""How a statement ended: None if it succeeded, else a break."""

UNDEFINED_STATEMENT: Final = 0
"""The signal of a statement that is undefined: break 0."""

RETURN: Final = 1 << 30
"""The signal of ReturnLocal; it stands only at the top of a function."""

Frame: TypeAlias = list[Any]
"""The locals of one call, and after them the constants that its statements read."""

Action: TypeAlias = "Callable[[Evaluation, Frame], Signal]"
"""A statement, ready to run."""

Code: TypeAlias = "tuple[Action, ...]"
"""The statements of a block, ready to run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one evaluation may use; passing a limit is an error, never a result.

    Attributes:
        steps: Calls that are run and rounds of loops, together.
        depth: Calls of rules and functions within one another. Python's own recursion
            limit stops an evaluation sooner where the calls stand in many nested blocks,
            or where the caller's own stack is deep.
    """

    steps: int = 5_000_000
    depth: int = 200


class Routine:
    """A rule, a function or a plan, ready to run.

    Attributes:
        path: Of a rule or function, as in :class:`ir.Function`; none of a plan.
        where: The place of its first statement that has one.
        is_rule: Whether it takes input and data alone, so that it has one value in each
            scope of With.
        rest: What a frame holds after the arguments when the routine starts.
        blocks: Its blocks.
    """

    __slots__ = ("blocks", "is_rule", "path", "rest", "where")

    def __init__(self, path: tuple[str, ...], where: ir.Location, *, is_rule: bool) -> None:
        self.path = path
        self.where = where
        self.is_rule = is_rule
        self.rest: tuple[Value, ...] = ()
        self.blocks: tuple[Code, ...] = ()


class Evaluation:
    """One run of a plan, with its memo and its counters. A subclass may observe :meth:`invoke`.

    Args:
        context: What its builtins share.
        limits: What it may use.
        strict_builtin_errors: Make a builtin's error the evaluation's; else it is undefined.

    Attributes:
        memo: The values of the rules that were worked out in this scope of With.
        returned: The value of the function that just returned.
        suppressed: The last error of a builtin that became undefined.
        results: The result set, so far.
    """

    def __init__(
        self, context: EvaluationContext, limits: Limits, *, strict_builtin_errors: bool = False
    ) -> None:
        self.context = context
        self.limits = limits
        self.strict = strict_builtin_errors
        self.steps_left = limits.steps
        self.depth_left = limits.depth
        self.memo: dict[Routine, Value] = {}
        self.returned: Value = UNDEFINED
        self.suppressed: BuiltinError | None = None
        self.results = RegoSet()

    def run(self, plan: Routine, document: Value, data: Value) -> list[Value]:
        """The result set of `plan`; see :meth:`~guardrails.rego.interpreter.Interpreter.run`."""
        try:
            self.invoke(plan, (document, data))
            # Key form and back: what the caller gets shares nothing with anything.
            return list(self.results)
        except EvaluationError:
            raise
        except Exception as error:  # the boundary: a fault is never a result
            raise self.fault(error, "the evaluation", ir.NOWHERE) from error

    def invoke(self, routine: Routine, args: Iterable[Value]) -> Value:
        """The value of `routine`, worked out anew."""
        self.steps_left -= 1
        self.depth_left -= 1
        if self.depth_left < 0 or self.steps_left < 0:
            raise self.exceeded(routine.where)
        frame = [*args, *routine.rest]
        value: Value = UNDEFINED
        for body in routine.blocks:
            for action in body:
                signal = action(self, frame)
                if signal is not None:
                    break
            else:
                continue
            if signal == RETURN:
                value = self.returned
                break
        self.depth_left += 1
        return value

    def value(self, rule: Routine, frame: Frame) -> Value:
        """The value of a rule, worked out once in each scope of With."""
        value = self.memo.get(rule, NOT_YET)
        if value is NOT_YET:
            value = self.memo[rule] = self.invoke(rule, frame[: ir.RULE_PARAMETERS])
        return value

    def spend(self, rounds: int, where: ir.Location) -> None:
        """Count the rounds of a loop, before it begins."""
        self.steps_left -= rounds
        if self.steps_left < 0:
            raise self.exceeded(where)

    def exceeded(self, where: ir.Location) -> EvaluationError:
        """The error of what passes a limit."""
        passed = f"{self.limits.depth} calls within one another"
        if self.steps_left < 0:
            passed = f"{self.limits.steps} steps"
        return error_at("eval_limit_error", f"more than {passed}", where)

    def builtin_failed(self, error: Exception, name: str, where: ir.Location) -> Value:
        """What a failed builtin gives: undefined, if it refused its arguments and may do so.

        Raises:
            EvaluationError: Builtin errors are strict, or the failure is not about the
                arguments. That is never undefined, which a `not` could turn into a result.
        """
        if not isinstance(error, BuiltinError):
            raise self.fault(error, f"`{name}`", where) from error
        if self.strict:
            raise error_at(error.code, str(error), where) from error
        self.suppressed = error
        return UNDEFINED

    def fault(self, error: Exception, what: str, where: ir.Location) -> EvaluationError:
        """The error for a fault that no policy should be able to cause, or for a lack of room."""
        if isinstance(error, RecursionError):
            limit = sys.getrecursionlimit()
            msg = f"{what} is nested deeper than Python's stack allows ({limit} frames in all)"
            return error_at("eval_limit_error", msg, where)
        if isinstance(error, MemoryError):
            return error_at("eval_limit_error", f"{what} needs more memory than there is", where)
        msg = f"{what} failed inside: {type(error).__name__}: {error}"
        return error_at("eval_internal_error", msg, where)


NOT_YET: Final = object()
"""Stands for the value of a rule that is not in the memo; any Rego value may be."""


def error_at(code: str, message: str, where: ir.Location) -> EvaluationError:
    """An error of the evaluation, with the place of the statement that met it."""
    return EvaluationError(code, message, file=where.file, row=where.row)
