"""Whether two planners mean the same: one policy, planned by both, evaluated over many inputs.

OPA's plan is the reference. regopy's planner differs from it in what is known (``not``) and may
differ in what is not: it has read memory that it had freed, and made a plan that was sound to
look at and wrong. Inputs are made from a seed, so that every run finds the same; what they
disagree about is shrunk until nothing can be left out of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import EvaluationError
from guardrails.rego.agreement_inputs import Vocabulary, documents, smaller
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.evaluation import Limits
from guardrails.rego.planner import plan_modules
from guardrails.rego.program import Program
from guardrails.rego.values import UNDEFINED, compare, dumps, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INPUTS: Final = 300
"""How many inputs are compared where nothing else is said."""

SECONDS: Final = 20.0
"""How long the comparison may take, planning aside; with the time gone it ends, and says so."""

_LIMITS: Final = Limits(steps=200_000)
_NOW: Final = 1_781_524_800_000_000_000
_SHOWN: Final = 240
_SHRINKS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Divergence:
    """One input over which the planners disagree.

    Attributes:
        entrypoint: What was evaluated.
        document: The input, as short as it could be made.
        opa: What OPA's plan gives: JSON text, ``undefined``, or an error's code.
        regopy: What regopy's plan gives.
        file: The source of the rule.
        row: Its line; None if it is not known.
    """

    entrypoint: str
    document: Any
    opa: str
    regopy: str
    file: str | None
    row: int | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a comparison found.

    Attributes:
        compared: How many inputs were evaluated by both.
        divergences: The first of each entry point.
    """

    compared: int
    divergences: tuple[Divergence, ...]


def compared(  # noqa: PLR0913  # options, by name
    modules: Mapping[str, str],
    entrypoints: Sequence[str],
    *,
    opa: str | None = None,
    data: Mapping[str, Any] | None = None,
    input_schema: Mapping[str, Any] | None = None,
    vocabulary: Vocabulary | None = None,
    inputs: int = INPUTS,
    seed: int = 0,
    seconds: float = SECONDS,
) -> Agreement:
    """What `modules` give over generated inputs as OPA plans them, and as regopy does.

    Args:
        modules: The sources by name, without tests.
        entrypoints: What to evaluate.
        opa: The OPA binary; None looks for one.
        data: The base data.
        input_schema: The JSON schema by which inputs are made.
        vocabulary: What stands in the policies, to put into the inputs.
        inputs: How many inputs.
        seed: The seed by which they are made.
        seconds: When to stop, even if not all were compared.

    Raises:
        PolicyLoadError: One of the planners refuses the modules.
    """
    pair = _Pair(
        *(
            Program.from_plan(plan.document, data=data, planner=plan.planner, limits=_LIMITS)
            for plan in (
                plan_modules(modules, entrypoints, planner="opa", opa=opa),
                plan_modules(modules, entrypoints),
            )
        )
    )
    end = time.monotonic() + seconds
    random = Random(seed)  # noqa: S311  # inputs of a test, made again from the seed
    pending = list(entrypoints)
    found: list[Divergence] = []
    count = 0
    for document in documents(input_schema, vocabulary or Vocabulary(), random, inputs):
        if not pending or time.monotonic() > end:
            break
        count += 1
        for entrypoint in list(pending):
            if pair.disagree(entrypoint, document):
                pending.remove(entrypoint)
                found.append(pair.divergence(entrypoint, document, end))
    return Agreement(count, tuple(found))


@dataclass(frozen=True, slots=True)
class _Pair:
    """The same policy, planned twice."""

    opa: Program
    regopy: Program

    def disagree(self, entrypoint: str, document: Any) -> bool:
        one, other = (self._outcome(p, entrypoint, document) for p in (self.opa, self.regopy))
        if one is UNDEFINED or other is UNDEFINED:
            return one is not other
        if isinstance(one, EvaluationError) or isinstance(other, EvaluationError):
            return not (isinstance(one, EvaluationError) and isinstance(other, EvaluationError))
        return compare(one, other) != 0

    def divergence(self, entrypoint: str, document: Any, end: float) -> Divergence:
        """The divergence over `document`, after leaving out all that can be."""
        tries = 0
        changed = True
        while changed:
            changed = False
            for candidate in smaller(document):
                tries += 1
                if tries > _SHRINKS or time.monotonic() > end + SECONDS:
                    changed = False
                    break
                if self.disagree(entrypoint, candidate):
                    document, changed = candidate, True
                    break
        where = self._place(entrypoint)
        return Divergence(
            entrypoint,
            document,
            self._text(self.opa, entrypoint, document),
            self._text(self.regopy, entrypoint, document),
            *where,
        )

    def _place(self, entrypoint: str) -> tuple[str | None, int | None]:
        path = tuple(entrypoint.split("/"))
        for function in self.opa.policy.functions.values():
            if function.path[1 : len(path) + 1] == path and function.where.file:
                return function.where.file, function.where.row
        return None, None

    def _outcome(self, program: Program, entrypoint: str, document: Any) -> Any:
        context = EvaluationContext(lambda: _NOW, random=Random(0))  # noqa: S311  # the same for both
        try:
            return program.evaluate(
                entrypoint, document, strict_builtin_errors=True, context=context
            )
        except EvaluationError as error:
            return error

    def _text(self, program: Program, entrypoint: str, document: Any) -> str:
        outcome = self._outcome(program, entrypoint, document)
        if outcome is UNDEFINED:
            return "undefined"
        if isinstance(outcome, EvaluationError):
            return f"an error ({outcome.code})"
        text = dumps(to_json(outcome))
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


__all__ = ["INPUTS", "SECONDS", "Agreement", "Divergence", "compared"]
