"""What an evaluator makes of a case, and what is wrong with it.

An evaluator is a function from a program's source and a case to two outcomes: with builtin errors
as undefined, and with strict ones. :data:`EVALUATORS` has them all; the first is the reference,
with which the others are compared, result for result.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.builtins import EvaluationContext
from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.program import Settings
from guardrails.rego.values import RegoSet, dumps, equal, from_json, key_text, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.conformance.corpus import Case, Source

NOW_NS: Final = time.time_ns()
LOAD: Final = "load"
UNSUPPORTED: Final = "unsupported"
CRASH: Final = "crash"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one evaluation came to.

    Attributes:
        results: The result set; None if there is none.
        code: The code of the error; :data:`LOAD` or :data:`UNSUPPORTED` where the program was
            refused, :data:`CRASH` for what should never happen; empty if there is no error.
        message: The error's text.
    """

    results: list[Any] | None = None
    code: str = ""
    message: str = ""


Outcomes: TypeAlias = tuple[Outcome, Outcome]
Evaluator: TypeAlias = "Callable[[Source, Case], Outcomes]"


def context() -> EvaluationContext:
    """The same time and the same random numbers for every evaluation."""
    return EvaluationContext(lambda: NOW_NS, random=random.Random(0))


def interpreter(source: Source, case: Case) -> Outcomes:
    """The reference."""

    def load() -> Callable[[bool], list[Any]]:
        program = _program(source, case)
        return lambda strict: _interpreted(program, case, strict=strict)

    return outcomes(load, source)


def _program(source: Source, case: Case) -> Program:
    return Program.from_plan(
        source.plan,
        planner=source.planner,
        data=case.body.get("data"),
        checked=case.checked,
        compiled=False,
    )


def _interpreted(program: Program, case: Case, *, strict: bool) -> list[Any]:
    name = program.entrypoints[0]
    return program.run(name, case.document, strict_builtin_errors=strict, context=context())


def compiled(*, optimised: bool, bound: bool) -> Evaluator:
    """The compiler; what it has no form for, the interpreter runs, as in a program.

    Args:
        optimised: Write rules in place, and drop what has no effect.
        bound: The data are known to the compiler.
    """

    def evaluate(source: Source, case: Case) -> Outcomes:
        def load() -> Callable[[bool], list[Any]]:
            program = _program(source, case)
            document = case.document
            if document is not UNDEFINED:
                document = from_json(document)

            def run(strict: bool) -> list[Any]:
                settings = Settings(strict=strict, optimised=optimised)
                data = program.data if bound else UNDEFINED
                try:
                    made = compile_policy(program.policy, data, settings)
                except CannotEmit:
                    return _interpreted(program, case, strict=strict)
                return made.run(program.entrypoints[0], document, program.data, context())

            return run

        return outcomes(load, source)

    return evaluate


def outcomes(load: Callable[[], Callable[[bool], list[Any]]], source: Source) -> Outcomes:
    """What comes of loading a program and running it, not strict and strict.

    Args:
        load: Makes the program, and gives what runs it; its argument is whether builtin errors
            are strict.
        source: Whose refusal, if there is one, is the outcome.
    """
    if source.refusal is not None:
        return _refused(source.refusal)
    try:
        run = load()
    except PolicyLoadError as error:
        return _refused(error)
    except Exception as error:  # noqa: BLE001  # one fault must not hide the other cases
        crashed = Outcome(code=CRASH, message=f"crashed: {type(error).__name__}: {error}")
        return crashed, crashed
    return _outcome(run, strict=False), _outcome(run, strict=True)


def _refused(error: PolicyLoadError) -> Outcomes:
    code = UNSUPPORTED if "is not supported" in str(error) else LOAD
    refused = Outcome(code=code, message=str(error))
    return refused, refused


def _outcome(run: Callable[[bool], list[Any]], *, strict: bool) -> Outcome:
    try:
        return Outcome(run(strict))
    except EvaluationError as error:
        return Outcome(code=error.code, message=str(error))
    except Exception as error:  # noqa: BLE001  # one fault must not hide the other cases
        return Outcome(code=CRASH, message=f"crashed: {type(error).__name__}: {error}")


EVALUATORS: Final[dict[str, Evaluator]] = {
    "interpreter": interpreter,
    "compiled": compiled(optimised=True, bound=True),
    "compiled, data given later": compiled(optimised=True, bound=False),
    "compiled, not optimised": compiled(optimised=False, bound=True),
}
"""By name; the first is the reference."""


def problem(route: str, case: Case, found: Outcomes) -> str | None:
    """None if the case passes, else what is wrong."""
    body = case.body
    expects_error = "want_error_code" in body or "want_error" in body
    lenient, strict = found
    if not expects_error or body.get("want_plan_result") is not None:
        given = strict if body.get("strict_error") and not expects_error else lenient
        if given.results is None:
            return given.message
        if not _gives(route, case, given.results):
            wanted = body["want_plan_result" if route == "plan" else "want_result"]
            return f"gave {_short(given.results)} instead of {_short(wanted)}"
    if expects_error:
        return _wrong_error(strict if body.get("strict_error") else lenient, body)
    return None


def _wrong_error(given: Outcome, body: Mapping[str, Any]) -> str | None:
    code = body.get("want_error_code")
    if given.results is not None:
        return f"gave {_short(given.results)} instead of {code}"
    if given.code in {LOAD, UNSUPPORTED, CRASH}:
        return given.message
    return None if code in {None, given.code} else f"failed with {given.code} instead of {code}"


def _gives(route: str, case: Case, results: list[Any]) -> bool:
    wanted = case.body["want_plan_result" if route == "plan" else "want_result"]
    if route == "modules":
        # regopy's query plans wrap the bindings, also those of variables that OPA makes up.
        results = [result["result"].get("bindings", {}) for result in results]
        names = {name for binding in wanted for name in binding}
        if names:
            results = [{key: one[key] for key in one if key in names} for one in results]
    comparison = _Comparison(loose=bool(case.body.get("sort_bindings")))
    return comparison.matches(results, from_json(wanted))


def difference(reference: Outcomes, other: Outcomes) -> str | None:
    """None if both evaluators came to the same, else how they differ."""
    for kind, one, two in zip(("", "strict: "), reference, other, strict=True):
        if (one.results is None) != (two.results is None) or one.code != two.code:
            return f"{kind}{_told(two)} instead of {_told(one)}"
        if one.results is not None and not equal(one.results, two.results):
            return f"{kind}{_told(two)} instead of {_told(one)}"
    return None


def _told(outcome: Outcome) -> str:
    if outcome.results is None:
        return f"{outcome.code} ({outcome.message[:200]})"
    return f"gave {_short(outcome.results)}"


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Compares a result with what the corpus wants.

    Attributes:
        loose: Whether the corpus has sorted the arrays, too (``sort_bindings``).
    """

    loose: bool

    def matches(self, found: Iterable[Any], wanted: list[Any]) -> bool:
        """Whether each of `found` is one of `wanted` and none is left, in whatever order."""
        left = list(wanted)
        for item in found:
            place = next((n for n, other in enumerate(left) if self.same(item, other)), None)
            if place is None:
                return False
            del left[place]
        return not left

    def same(self, found: object, wanted: object) -> bool:
        """Whether `wanted` is the JSON form of `found`; the corpus orders sets in its own way."""
        if isinstance(wanted, list) and isinstance(found, RegoSet):
            return self.matches(found, wanted)
        if isinstance(wanted, list) and isinstance(found, list):
            if self.loose:
                return self.matches(found, wanted)
            return len(found) == len(wanted) and all(map(self.same, found, wanted))
        if isinstance(wanted, dict) and isinstance(found, dict):
            texts = {key_text(key): item for key, item in found.items()}
            return texts.keys() == wanted.keys() and all(
                self.same(texts[key], wanted[key]) for key in wanted
            )
        return type(found) is not RegoSet and equal(found, wanted)


def _short(results: list[Any]) -> str:
    return dumps(from_json(to_json(results)))[:160]
