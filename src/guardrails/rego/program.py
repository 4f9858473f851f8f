"""A policy that can be evaluated: plans, the builtins that they call, and the data bound to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, final

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import analysis, decoder, ir
from guardrails.rego import planner as planning
from guardrails.rego.builtins import BUILTINS, extras
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.evaluation import Limits
from guardrails.rego.explain import trace
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.values import UNDEFINED, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.explain import Trace
    from guardrails.rego.values import Value

RESULT: Final = "result"
"""The name under which a result set's one object holds an entrypoint's value."""


@final
@dataclass(frozen=True, slots=True, repr=False)
class Program:
    """A loaded policy. Make one with :meth:`from_plan` or :meth:`from_modules`.

    Immutable, and free of the state of any evaluation: threads may share it. Inputs and
    data are documents as a JSON decoder gives them (floats become exact decimals), or Rego
    values. Results are new values: changing one changes nothing else.
    """

    interpreter: Interpreter
    data: Value
    checked: bool

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
    ) -> Self:
        """The program that a ``plan.json`` document describes.

        Args:
            plan: The document, as a JSON decoder gives it.
            data: The base documents; None for none.
            origin: What errors call the plan.
            planner: ``opa`` or ``regopy``: who wrote it; None to tell by the document.
            checked: Refuse what OPA's compiler refuses and another planner may let through
                (see :mod:`guardrails.rego.analysis`).
            limits: What one evaluation may use.

        Raises:
            PolicyLoadError: The plan or the data cannot be used.
        """
        policy = decoder.decode(plan, planner=planner, origin=origin)
        _check_builtins(policy, origin)
        interpreter = Interpreter(policy, BUILTINS, limits or Limits())
        return cls(interpreter, {}, checked).with_data({} if data is None else data)

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
    ) -> Self:
        """The program of Rego modules, planned here.

        Args:
            modules: File name to Rego source.
            entrypoints: The rules or packages that can be evaluated, as ``guardrails/decision``.
            data: The base documents; None for none.
            planner: ``regopy``, or ``opa`` for an OPA binary.
            opa: Where the binary is; None to look for it.
            checked: As in :meth:`from_plan`.
            limits: What one evaluation may use.

        Raises:
            PolicyLoadError: A module cannot be planned, or the plan cannot be used.
        """
        plan = planning.plan_modules(modules, entrypoints, planner=planner, opa=opa)
        return cls.from_plan(
            plan.document, data=data, planner=plan.planner, checked=checked, limits=limits
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
        return type(self)(self.interpreter, bound, self.checked)

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
        return self.interpreter.run(
            self._plan(entrypoint),
            _document(input, "input"),
            self._data(data),
            context or EvaluationContext(),
            strict_builtin_errors=strict_builtin_errors,
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
        results = self.run(
            entrypoint, input, data, strict_builtin_errors=strict_builtin_errors, context=context
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
        return trace(
            self.interpreter,
            self._plan(entrypoint),
            _document(input, "input"),
            self._data(data),
            context or EvaluationContext(),
            strict_builtin_errors=strict_builtin_errors,
        )

    def _plan(self, entrypoint: str) -> ir.Plan:
        plan = self.policy.plans.get(entrypoint)
        if plan is None:
            known = ", ".join(f"`{name}`" for name in self.policy.plans) or "none"
            raise EvaluationError(
                "unknown_entrypoint", f"there is no entrypoint `{entrypoint}`; there are: {known}"
            )
        return plan

    def _data(self, data: object) -> Value:
        return self.data if data is None else _document(data, "data")


def _document(document: object, name: str) -> Value:
    if document is UNDEFINED:
        return document
    try:
        return from_json(document)
    except (TypeError, ValueError, RecursionError, MemoryError) as error:
        raise EvaluationError("invalid_document", f"the {name} cannot be used: {error}") from error


def _check_builtins(policy: ir.Policy, origin: str) -> None:
    """Refuse a policy that calls what is no builtin, is not installed, or takes other arguments."""
    callers: list[ir.Function | ir.Plan] = [*policy.functions.values(), *policy.plans.values()]
    for caller in callers:
        for statement in ir.statements(caller.blocks):
            if not isinstance(statement, ir.CallBuiltin):
                continue
            builtin = BUILTINS.get(statement.name)
            if builtin is None:
                msg = (
                    f"the builtin `{statement.name}` is not supported;"
                    f" it is called in `{caller.name}`"
                )
            elif builtin.arity != len(statement.args):
                count = len(statement.args)
                msg = (
                    f"`{statement.name}` takes {builtin.arity} arguments, not {count};"
                    f" it is called in `{caller.name}`"
                )
            elif builtin.extra and not extras.is_installed(builtin.extra):
                msg = (
                    f"the builtin `{statement.name}` needs the extra `{builtin.extra}`:"
                    f" pip install 'guardrails-opa[{builtin.extra}]';"
                    f" it is called in `{caller.name}`"
                )
            else:
                continue
            where = statement.where
            raise PolicyLoadError(msg, file=where.file or origin, row=where.row, col=where.col)
