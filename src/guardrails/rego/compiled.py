"""A policy as functions of Python, bound to its data: what decides in microseconds.

The interpreter says what a policy means; this does the same in less time. What the compiler
has no form for, it refuses (:class:`~guardrails.rego.emit.frames.CannotEmit`), and the interpreter
runs such a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, final

from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import EvaluationContext
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

    from guardrails.rego import ir
    from guardrails.rego.emit.linking import Linked
    from guardrails.rego.emit.program import Settings
    from guardrails.rego.input_reads import InputReads
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
        found = self.linked.entries[entrypoint](document, context, data)
        if entrypoint in self.linked.single:
            return found
        return found[0][RESULT] if found else UNDEFINED

    def run(
        self, entrypoint: str, document: Value, data: Value, context: EvaluationContext
    ) -> list[Value]:
        """The result set of a plan. Arguments and errors as :meth:`evaluate`."""
        found = self.linked.entries[entrypoint](document, context, data)
        if entrypoint not in self.linked.single:
            results: list[Value] = found
            return results
        return [] if found is UNDEFINED else [{RESULT: found}]

    def entrypoint(self, name: str) -> Entrypoint:
        """One plan, to be evaluated with the bound data."""
        artefact = self.linked.artefact
        is_timed = any(BUILTINS[each].needs_context for each in artefact.builtins.values())
        evaluate = _evaluate(self, name, is_timed=is_timed)
        return Entrypoint(self, evaluate, is_timed, artefact.reads.get(name))


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
        is_timed: Whether it may ask for what a context gives; else it needs none.
        reads: What it may read of an input; None where that was not worked out.
    """

    compiled: Compiled
    evaluate: Evaluate
    is_timed: bool
    reads: InputReads | None


Evaluate: TypeAlias = "Callable[..., Value]"


def _evaluate(compiled: Compiled, name: str, *, is_timed: bool) -> Evaluate:
    """The function that evaluates the plan `name`; what it needs stands in its closure."""
    call, data = compiled.linked.entries[name], compiled.data
    single = name in compiled.linked.single
    if single and not is_timed and data is not UNDEFINED:
        return call

    def whole(document: Value, context: EvaluationContext | None = None) -> Value:
        found = call(document, context or EvaluationContext(), data)
        if single:
            return found
        return found[0][RESULT] if found else UNDEFINED

    return whole


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
