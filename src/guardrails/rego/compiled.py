"""A policy as functions of Python, bound to its data: what decides in microseconds.

The interpreter says what a policy means; this does the same in less time. What the compiler
has no form for, it refuses (:class:`~guardrails.rego.emit.frames.CannotEmit`), and the interpreter
runs such a policy.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, final

from guardrails.errors import EvaluationError
from guardrails.rego import ir
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import BuiltinError, EvaluationContext
from guardrails.rego.emit.artefact import Artefact
from guardrails.rego.emit.linking import link
from guardrails.rego.emit.plain import plain
from guardrails.rego.emit.unit import Unit
from guardrails.rego.exits import with_exits
from guardrails.rego.extents import shared
from guardrails.rego.unrolling import unrolled
from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from guardrails.rego.emit.linking import Linked
    from guardrails.rego.emit.program import Settings
    from guardrails.rego.values import Value

RESULT: Final = "result"
"""The name under which a result set's one object holds an entrypoint's value."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """Compiled plans. Immutable, and free of the state of any evaluation: threads may share it.

    Attributes:
        linked: The functions.
        data: The base documents that they are bound to; UNDEFINED where each evaluation
            brings its own.
    """

    linked: Linked
    data: Value

    def evaluate(
        self, entrypoint: str, document: Value, data: Value, context: EvaluationContext
    ) -> Value:
        """The value of an entrypoint, or UNDEFINED: it shares nothing that could be changed.

        Args:
            entrypoint: The name of a plan.
            document: The input as a Rego value of the shape that was promised; not copied.
            data: The base documents, where none are bound.
            context: The time and the random source.

        Raises:
            EvaluationError: There is no value: a conflict, a builtin's error, a lack of room.
        """
        try:
            found = self.linked.entries[entrypoint](document, data, context)
        except Exception as error:  # the boundary: a fault is never a result
            raise self.error(error) from error
        if entrypoint in self.linked.single:
            return found
        return found[0][RESULT] if found else UNDEFINED

    def run(
        self, entrypoint: str, document: Value, data: Value, context: EvaluationContext
    ) -> list[Value]:
        """The result set of a plan. Arguments and errors as :meth:`evaluate`."""
        try:
            found = self.linked.entries[entrypoint](document, data, context)
        except Exception as error:  # the boundary: a fault is never a result
            raise self.error(error) from error
        if entrypoint not in self.linked.single:
            results: list[Value] = found
            return results
        return [] if found is UNDEFINED else [{RESULT: found}]

    def entrypoint(self, name: str) -> Entrypoint:
        """One plan, to be evaluated with the bound data."""
        return Entrypoint(self, _evaluate(self, name))

    def error(self, error: Exception) -> EvaluationError:
        """What an error inside the functions is to who asked: one at a place in the policy."""
        where = self._place(error.__traceback__)
        if isinstance(error, EvaluationError):
            if error.file is not None:
                return error
            return EvaluationError(error.code, error.message, file=where.file, row=where.row)
        if isinstance(error, BuiltinError):
            return EvaluationError(error.code, str(error), file=where.file, row=where.row)
        code, message = _fault(error)
        return EvaluationError(code, message, file=where.file, row=where.row)

    def _place(self, traceback: TracebackType | None) -> ir.Location:
        """Where in the policy an error arose."""
        found = ir.NOWHERE
        while traceback is not None:
            if traceback.tb_lineno is not None:
                file = traceback.tb_frame.f_code.co_filename
                found = self.linked.place(file, traceback.tb_lineno) or found
            traceback = traceback.tb_next
        return found


@final
@dataclass(frozen=True, slots=True, eq=False)
class Entrypoint:
    """One compiled entrypoint with its data. Threads may share it.

    Attributes:
        compiled: What it belongs to.
        evaluate: The value for one input, or UNDEFINED: it shares nothing that could be changed.
            Takes the input as a Rego value of the shape that was promised, which it neither
            copies nor checks (what has another shape may give anything), and the context; None
            for the machine's time and randomness. Raises an EvaluationError where there is no
            value: a conflict, a builtin's error, a lack of room.
    """

    compiled: Compiled
    evaluate: Evaluate


Evaluate: TypeAlias = "Callable[..., Value]"


def _evaluate(compiled: Compiled, name: str) -> Evaluate:
    """The function that evaluates the plan `name`; what it needs stands in its closure."""
    call, data, fault = compiled.linked.entries[name], compiled.data, compiled.error
    single = name in compiled.linked.single
    timed = any(BUILTINS[each].needs_context for each in compiled.linked.artefact.builtins.values())

    def whole(document: Value, context: EvaluationContext | None = None) -> Value:
        try:
            found = call(document, data, context or EvaluationContext())
        except Exception as error:  # the boundary: a fault is never a result
            raise fault(error) from error
        if single:
            return found
        return found[0][RESULT] if found else UNDEFINED

    def short(document: Value, _context: EvaluationContext | None = None) -> Value:
        try:
            return call(document, data, None)
        except Exception as error:  # the boundary: a fault is never a result
            raise fault(error) from error

    return short if single and not timed else whole


def _fault(error: Exception) -> tuple[str, str]:
    """The code and message of a lack of room, or of what no policy should be able to cause."""
    if isinstance(error, RecursionError):
        limit = sys.getrecursionlimit()
        message = f"the evaluation is nested deeper than Python's stack allows ({limit} frames)"
        return "eval_limit_error", message
    if isinstance(error, MemoryError):
        return "eval_limit_error", "the evaluation needs more memory than there is"
    message = f"the evaluation failed inside: {type(error).__name__}: {error}"
    return "eval_internal_error", message


def artefact_of(policy: ir.Policy, data: Value, settings: Settings) -> Artefact:
    """`policy` compiled for `data`, as plain data. Arguments and errors as `compile_policy`."""
    unit = Unit(plain(with_exits(unrolled(shared(policy)))), data, settings)
    return Artefact.from_program(unit.emit())


def compile_policy(policy: ir.Policy, data: Value, settings: Settings) -> Compiled:
    """`policy` compiled for `data`.

    Args:
        policy: What :func:`guardrails.rego.decoder.decode` gave.
        data: The base documents; UNDEFINED to give them with each evaluation.
        settings: What it is compiled for.

    Raises:
        CannotEmit: The compiler has no form for something in the policy.
    """
    return Compiled(link(artefact_of(policy, data, settings), data, strict=settings.strict), data)
