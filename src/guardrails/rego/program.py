"""A policy that can be evaluated: plans, the builtins that they call, and the data bound to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, final

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import analysis, decoder
from guardrails.rego import planner as planning
from guardrails.rego.archive import DEFAULT_LIMITS
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.bundle import open_bundle
from guardrails.rego.called_builtins import check_builtins
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.schemas import with_parts
from guardrails.rego.emit.shapes import ANYTHING, DOCUMENT, Kind
from guardrails.rego.evaluation import Limits
from guardrails.rego.explain import trace
from guardrails.rego.input_reads import input_reads
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.lazy_code import LazyCode, entrypoint_of
from guardrails.rego.values import UNDEFINED, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from guardrails.rego import ir
    from guardrails.rego.archive import ArchiveLimits
    from guardrails.rego.compiled import Compiled, Entrypoint
    from guardrails.rego.emit.shapes import Shape
    from guardrails.rego.explain import Trace
    from guardrails.rego.input_reads import InputReads
    from guardrails.rego.values import Value

RESULT: Final = "result"
"""The name under which a result set's one object holds an entrypoint's value."""


@final
@dataclass(frozen=True, slots=True, repr=False)
class Program:
    """A loaded policy, made of a plan, of modules or of a bundle.

    Immutable, and free of the state of any evaluation: threads may share it. Inputs and
    data are documents as a JSON decoder gives them (floats become exact decimals), or Rego
    values. Results are new values: changing one changes nothing else.

    It is compiled to Python when it is first evaluated (:mod:`guardrails.rego.compiled`), once
    for strict and once for lenient builtin errors. What has no compiled form is interpreted; so
    is a program that was given limits, for compiled code does not count its steps.
    """

    interpreter: Interpreter
    data: Value
    checked: bool
    code: LazyCode | None = None

    @classmethod
    def from_plan(  # noqa: PLR0913  # options, by name
        cls,
        plan: object,
        *,
        data: object = None,
        origin: str = "plan.json",
        planner: str | None = None,
        checked: bool = True,
        limits: Limits | None = None,
        compiled: bool = True,
    ) -> Self:
        """The program that a ``plan.json`` document describes.

        Args:
            plan: The document, as a JSON decoder gives it.
            data: The base documents; None for none.
            origin: What errors call the plan.
            planner: ``opa`` or ``regopy``: who wrote it; None to tell by the document.
            checked: Refuse what OPA's compiler refuses and another planner may let through
                (see :mod:`guardrails.rego.analysis`).
            limits: What one evaluation may use. They choose the checked mode, in which every
                step is counted: the interpreter.
            compiled: Compile it; else it is always interpreted.

        Raises:
            PolicyLoadError: The plan or the data cannot be used.
        """
        policy = decoder.decode(plan, planner=planner, origin=origin)
        check_builtins(policy, origin)
        interpreter = Interpreter(policy, BUILTINS, limits or Limits())
        code = LazyCode(policy, {}) if compiled and limits is None else None
        return cls(interpreter, {}, checked, code).with_data({} if data is None else data)

    @classmethod
    def from_modules(  # noqa: PLR0913  # options, by name
        cls,
        modules: Mapping[str, str],
        entrypoints: Sequence[str],
        *,
        data: object = None,
        planner: planning.PlannerName = "regopy",
        opa: str | None = None,
        checked: bool = True,
        limits: Limits | None = None,
        compiled: bool = True,
    ) -> Self:
        """The program of Rego modules, planned here.

        Args:
            modules: File name to Rego source.
            entrypoints: The rules or packages that can be evaluated, as ``guardrails/decision``.
            data: The base documents; None for none.
            planner: ``regopy``, or ``opa`` for an OPA binary.
            opa: Where the binary is; None to look for it.
            checked: As in :meth:`from_plan`.
            limits: As in :meth:`from_plan`.
            compiled: As in :meth:`from_plan`.

        Raises:
            PolicyLoadError: A module cannot be planned, or the plan cannot be used.
        """
        plan = planning.plan_modules(modules, entrypoints, planner=planner, opa=opa)
        return cls.from_plan(
            plan.document,
            data=data,
            planner=plan.planner,
            checked=checked,
            limits=limits,
            compiled=compiled,
        )

    @classmethod
    def from_bundle(  # noqa: PLR0913  # options, by name
        cls,
        bundle: str | Path | bytes,
        entrypoints: Sequence[str] | None = None,
        *,
        data: Mapping[str, object] | None = None,
        planner: planning.PlannerName = "regopy",
        opa: str | None = None,
        checked: bool = True,
        limits: Limits | None = None,
        archive_limits: ArchiveLimits = DEFAULT_LIMITS,
        compiled: bool = True,
    ) -> Self:
        """The program of a bundle of OPA's: its plan where it has one, else its modules.

        A signature is not looked at here; whoever loads a bundle that others made verifies it
        first (:mod:`guardrails.opa.signatures`).

        Args:
            bundle: A ``bundle.tar.gz``, a directory, or the archive's content.
            entrypoints: What can be evaluated; None for the plan's, or, where there is no plan,
                for each package of the modules.
            data: Base documents besides the bundle's; no root of the bundle's data may be in it.
            planner: As in :meth:`from_modules`, where there is no plan for `entrypoints`.
            opa: As in :meth:`from_modules`.
            checked: As in :meth:`from_plan`.
            limits: As in :meth:`from_plan`.
            archive_limits: How much the bundle may hold.
            compiled: As in :meth:`from_plan`.

        Raises:
            PolicyLoadError: The bundle is refused, or its policy cannot be used.
        """
        found = open_bundle(bundle, archive_limits)
        if found.is_delta:
            msg = "a delta bundle changes another one's data; it is no policy"
            raise PolicyLoadError(msg, file=found.name)
        twice = sorted(found.data.keys() & (data or {}).keys())
        if twice:
            msg = f"`{twice[0]}` is in the bundle's data, too"
            raise PolicyLoadError(msg, file=found.name)
        base = {**found.data, **(data or {})}
        plan = found.plan_for(entrypoints)
        if plan is not None:
            return cls.from_plan(
                plan,
                data=base,
                origin=f"{found.name}:plan.json",
                planner="opa",
                checked=checked,
                limits=limits,
                compiled=compiled,
            )
        return cls.from_modules(
            found.modules,
            found.packages() if entrypoints is None else entrypoints,
            data=base,
            planner=planner,
            opa=opa,
            checked=checked,
            limits=limits,
            compiled=compiled,
        )

    def __repr__(self) -> str:
        return f"Program(entrypoints={self.entrypoints!r})"

    @property
    def policy(self) -> ir.Policy:
        """The decoded plans and functions."""
        return self.interpreter.policy

    @property
    def entrypoints(self) -> tuple[str, ...]:
        """What can be evaluated, in the order of the plan."""
        return tuple(self.policy.plans)

    def with_data(self, data: object) -> Self:
        """The same program, bound to `data`.

        Raises:
            PolicyLoadError: `data` has no JSON form, or stands on the path of a rule.
        """
        try:
            bound = from_json(data)
        except (TypeError, ValueError, RecursionError) as error:
            raise PolicyLoadError(f"the data cannot be used: {error}") from error
        if self.checked:
            analysis.check(self.policy, bound)
        code = None if self.code is None else LazyCode(self.policy, bound)
        return type(self)(self.interpreter, bound, self.checked, code)

    def compile(
        self,
        entrypoint: str,
        *,
        shape: Shape | None = None,
        known: Mapping[str, object] | None = None,
        strict: bool = True,
    ) -> Entrypoint | Interpreted:
        """One entrypoint with the bound data, compiled now for the inputs that it will get.

        What has no compiled form is interpreted. Neither copies its input, which has to be a
        Rego value as it is.

        Args:
            entrypoint: One of :attr:`entrypoints`.
            shape: What is promised of every input
                (:func:`~guardrails.rego.emit.schemas.shape_of_schema`); None for nothing. It is
                not checked: what another input gives is not defined.
            known: The values of some of the input's fields, promised likewise.
            strict: Raise when a builtin fails; else its call is undefined.

        Raises:
            EvaluationError: No such entrypoint, or `known` has no JSON form.
        """
        plan = self._plan(entrypoint)
        promised = ANYTHING if shape is None else shape
        if known is not None:
            given = _document(dict(known), "known part of the input")
            within = DOCUMENT if shape is None else shape
            promised = with_parts(within.within(Kind.OBJECT), given)
        if self.code is not None:
            settings = Settings(strict=strict, input=promised)
            found = entrypoint_of(self.policy, plan, self.data, settings)
            if found is not None:
                return found
        return Interpreted(self.interpreter, plan, self.data, strict)

    def run(
        self,
        entrypoint: str,
        input: object = UNDEFINED,
        data: object = None,
        *,
        strict_builtin_errors: bool = False,
        context: EvaluationContext | None = None,
    ) -> list[Value]:
        """The result set of `entrypoint`: a list of distinct objects, empty if undefined.

        Args:
            entrypoint: One of :attr:`entrypoints`.
            input: The input document; leave it out for an undefined input.
            data: The base documents; None for those bound at load.
            strict_builtin_errors: Raise when a builtin fails; else its call is undefined.
            context: The time and the random source; None for those of the machine.

        Raises:
            EvaluationError: There is no result: a conflict, a limit, a builtin's error in
                strict mode, an input or data without JSON form, or no such entrypoint.
        """
        plan, document, base = self._asked(entrypoint, input, data)
        context = context or EvaluationContext()
        code = self._code(data, strict=strict_builtin_errors)
        if code is not None:
            return code.run(entrypoint, document, base, context)
        return self.interpreter.run(
            plan, document, base, context, strict_builtin_errors=strict_builtin_errors
        )

    def evaluate(
        self,
        entrypoint: str,
        input: object = UNDEFINED,
        data: object = None,
        *,
        strict_builtin_errors: bool = False,
        context: EvaluationContext | None = None,
    ) -> Value:
        """The value of `entrypoint`, or UNDEFINED. Arguments and errors as :meth:`run`."""
        plan, document, base = self._asked(entrypoint, input, data)
        context = context or EvaluationContext()
        code = self._code(data, strict=strict_builtin_errors)
        if code is not None:
            return code.evaluate(entrypoint, document, base, context)
        results = self.interpreter.run(
            plan, document, base, context, strict_builtin_errors=strict_builtin_errors
        )
        return results[0][RESULT] if results else UNDEFINED

    def explain(
        self,
        entrypoint: str,
        input: object = UNDEFINED,
        data: object = None,
        *,
        strict_builtin_errors: bool = False,
        context: EvaluationContext | None = None,
    ) -> Trace:
        """What :meth:`run` does and why: the rules that ran, with what made each undefined.

        An evaluation that fails gives a trace that ends in its error. Arguments as :meth:`run`.

        Raises:
            EvaluationError: No such entrypoint, or an input or data without JSON form.
        """
        plan, document, base = self._asked(entrypoint, input, data)
        return trace(
            self.interpreter,
            plan,
            document,
            base,
            context or EvaluationContext(),
            strict_builtin_errors=strict_builtin_errors,
        )

    def reads(self, entrypoint: str) -> InputReads:
        """The parts of the input that `entrypoint` may read.

        Raises:
            EvaluationError: No such entrypoint.
        """
        return input_reads(self.policy, self._plan(entrypoint))

    def _plan(self, entrypoint: str) -> ir.Plan:
        plan = self.policy.plans.get(entrypoint)
        if plan is None:
            known = ", ".join(f"`{name}`" for name in self.policy.plans) or "none"
            raise EvaluationError(
                "unknown_entrypoint", f"there is no entrypoint `{entrypoint}`; there are: {known}"
            )
        return plan

    def _asked(self, entrypoint: str, input: object, data: object) -> tuple[ir.Plan, Value, Value]:
        """What is to be evaluated: the plan, the input, the base documents."""
        plan = self._plan(entrypoint)
        document = _document(input, "input")
        return plan, document, self.data if data is None else _document(data, "data")

    def _code(self, data: object, *, strict: bool) -> Compiled | None:
        return None if self.code is None else self.code.get(strict=strict, bound=data is None)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Interpreted:
    """One entrypoint with its data, interpreted; used as the compiled one. Threads may share it.

    Attributes:
        interpreter: Of its policy.
        plan: Its plan.
        data: The base documents.
        strict: Errors of builtins are errors of the evaluation.
        reason: Why it is not compiled, where that is known.
    """

    interpreter: Interpreter
    plan: ir.Plan
    data: Value
    strict: bool
    reason: str = ""

    @property
    def is_timed(self) -> bool:
        """Whether it may ask for what a context gives; it is not looked into."""
        return True

    @property
    def reads(self) -> InputReads:
        """What it may read of an input; worked out anew each time."""
        return input_reads(self.interpreter.policy, self.plan)

    def evaluate(self, document: Value, context: EvaluationContext | None = None) -> Value:
        """The value for one input, or UNDEFINED; see :meth:`.compiled.Entrypoint.evaluate`."""
        results = self.interpreter.run(
            self.plan,
            document,
            self.data,
            context or EvaluationContext(),
            strict_builtin_errors=self.strict,
        )
        return results[0][RESULT] if results else UNDEFINED


def _document(document: object, name: str) -> Value:
    if document is UNDEFINED:
        return document
    try:
        return from_json(document)
    except (TypeError, ValueError, RecursionError, MemoryError) as error:
        raise EvaluationError("invalid_document", f"the {name} cannot be used: {error}") from error
