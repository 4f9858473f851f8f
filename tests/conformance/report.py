"""OPA's own conformance cases through this Rego engine, by two routes, against a two-way ratchet.

``plan``: the plan that OPA compiled for the case. ``modules``: the case's modules and query,
planned by regopy. The ratchet names the cases that are known to fail on a route, each with its
cause; a case that fails without being named there is lost, and one that is named and passes is
to be taken out.

Run as a script it prints the table by category; ``--failures`` lists what fails and why, and
``--write`` brings the ratchet up to date (new entries get the error as their cause).

The corpus is looked for at ``$OPA_CONFORMANCE`` and at ``../shared/opa-conformance`` beside the
project. It is OPA's; it is not part of this repository.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.planner import PlanRequest, plan_many
from guardrails.rego.values import RegoSet, dumps, equal, from_json, key_text, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from guardrails.rego.planner import Plan

ROUTES: Final = ("plan", "modules")
NO_CORPUS: Final = "conformance: no corpus, nothing is compared; set OPA_CONFORMANCE to OPA's cases"
ROOT: Final = Path(__file__).resolve().parents[2]
RATCHET: Final = Path(__file__).with_name("ratchet.json")
BATCH: Final = 400
"""Cases that are planned by one child process."""

UNCHECKED: Final = {"baseandvirtualdocs/base/virtual: conflicts"}
"""Cases with base data on a rule's path, which a program refuses at load."""

Failures = dict[str, str]
"""The name of a case that failed, and how."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the corpus.

    Attributes:
        name: Its note; with a number where several share it.
        category: Its file, without the suffix.
        body: Its fields.
    """

    name: str
    category: str
    body: Mapping[str, Any]


def find_corpus() -> Path | None:
    """The folder of the cases, or None where there is none."""
    named = os.environ.get("OPA_CONFORMANCE")
    folder = Path(named) if named else ROOT / "../shared/opa-conformance"
    cases = folder / "cases"
    return cases if cases.is_dir() else None


def read_cases(folder: Path) -> list[Case]:
    """Every case in `folder`, in the order of the files, under a name that no other has."""
    cases = []
    seen: Counter[str] = Counter()
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text("utf-8"), parse_float=Decimal)
        for body in document["cases"]:
            note = body["note"]
            seen[note] += 1
            name = note if seen[note] == 1 else f"{note} #{seen[note]}"
            cases.append(Case(name, path.stem, body))
    return cases


def sample(cases: list[Case], named: Container[str], part: int) -> list[Case]:
    """What `named` has of `cases`, and one in `part` of the others; the same each time.

    As every named case is in it, one that passes now is found as surely as among all cases.
    """
    chance = random.Random(0)
    return [case for case in cases if chance.randrange(part) == 0 or case.name in named]


def read_ratchet() -> dict[str, Failures]:
    """The known failures of each route, with their causes."""
    document = json.loads(RATCHET.read_text("utf-8"))
    return {route: dict(document[route]) for route in ROUTES}


def run_plans(cases: Iterable[Case], inputs: Mapping[str, object]) -> Failures:
    """What fails when OPA's plans are evaluated."""
    failures = {}
    for case in cases:
        problem = _try(case, inputs, lambda case: (case.body["plan"], "opa"), _plan_results)
        if problem is not None:
            failures[case.name] = problem
    return failures


def run_modules(cases: list[Case], inputs: Mapping[str, object]) -> Failures:
    """What fails when the modules and queries are planned by regopy, and evaluated."""
    failures = {}
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        plans = plan_many([_request(case) for case in batch])
        planned = {case.name: plan for case, plan in zip(batch, plans, strict=True)}

        def source(case: Case, planned: Mapping[str, Any] = planned) -> tuple[object, str]:
            return _planned(planned[case.name])

        for case in batch:
            problem = _try(case, inputs, source, _query_results)
            if problem is not None:
                failures[case.name] = problem
    return failures


RUNS: Final = {"plan": run_plans, "modules": run_modules}
"""The routes, each with what runs it."""


def read_inputs(cases: Iterable[Case]) -> dict[str, object]:
    """The input of each case that has one; a term that is no JSON is evaluated as Rego."""
    inputs: dict[str, object] = {}
    terms: dict[str, str] = {}
    for case in cases:
        term = case.body.get("input_term")
        if "input" in case.body:
            inputs[case.name] = case.body["input"]
        elif term is not None:
            try:
                inputs[case.name] = json.loads(term, parse_float=Decimal)
            except ValueError:
                terms[case.name] = term
    plans = plan_many([PlanRequest({}, query=f"x = {_line(term)}") for term in terms.values()])
    for name, plan in zip(terms, plans, strict=True):
        document, planner = _planned(plan)
        program = Program.from_plan(document, planner=planner, checked=False)
        (result,) = program.run(program.entrypoints[0])
        inputs[name] = result["result"]["bindings"]["x"]
    return inputs


def _line(term: str) -> str:
    return " ".join(term.split())


def _request(case: Case) -> PlanRequest:
    modules = {f"module-{n}.rego": text for n, text in enumerate(case.body.get("modules") or [])}
    return PlanRequest(modules, query=case.body["query"])


def _planned(plan: Plan | PolicyLoadError) -> tuple[object, str]:
    if isinstance(plan, PolicyLoadError):
        raise plan
    return plan.document, plan.planner


def _plan_results(results: list[Any], case: Case) -> tuple[list[Any], list[Any]]:
    return results, case.body["want_plan_result"]


def _query_results(results: list[Any], case: Case) -> tuple[list[Any], list[Any]]:
    """The bindings that regopy's query plans wrap, without the variables that OPA generates."""
    found = [result["result"].get("bindings", {}) for result in results]
    wanted = case.body["want_result"]
    names = {name for binding in wanted for name in binding}
    if names:
        found = [{key: item for key, item in one.items() if key in names} for one in found]
    return found, wanted


def _try(
    case: Case,
    inputs: Mapping[str, object],
    source: Callable[[Case], tuple[object, str]],
    compared: Callable[[list[Any], Case], tuple[list[Any], list[Any]]],
) -> str | None:
    """None if the case passes, else what went wrong."""
    body = case.body
    expects_error = "want_error_code" in body or "want_error" in body
    strict = bool(body.get("strict_error"))
    try:
        plan, planner = source(case)
        program = Program.from_plan(
            plan, planner=planner, data=body.get("data"), checked=case.name not in UNCHECKED
        )
        entrypoint = program.entrypoints[0]
        document = inputs.get(case.name, UNDEFINED)
        if not expects_error or body.get("want_plan_result") is not None:
            results = program.run(
                entrypoint, document, strict_builtin_errors=strict and not expects_error
            )
            found, wanted = compared(results, case)
            matches = _Comparison(loose=bool(body.get("sort_bindings"))).matches
            if not matches(found, from_json(wanted)):
                return f"gave {_short(found)} instead of {_short(wanted)}"
        if expects_error:
            return _expect_error(program, entrypoint, document, body, strict=strict)
    except (PolicyLoadError, EvaluationError) as error:
        return str(error)
    except Exception as error:  # noqa: BLE001  # one fault must not hide the other cases
        return f"crashed: {type(error).__name__}: {error}"
    return None


def _expect_error(
    program: Program, entrypoint: str, document: object, body: Mapping[str, Any], *, strict: bool
) -> str | None:
    code = body.get("want_error_code")
    try:
        results = program.run(entrypoint, document, strict_builtin_errors=strict)
    except EvaluationError as error:
        if code in {None, error.code}:
            return None
        return f"failed with {error.code} instead of {code}"
    return f"gave {_short(results)} instead of {code}"


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


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 if it differs from the ratchet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--route", choices=ROUTES, action="append", help="only this route")
    parser.add_argument("--failures", action="store_true", help="list what fails and why")
    parser.add_argument("--write", action="store_true", help="bring the ratchet up to date")
    options = parser.parse_args(arguments)
    folder = find_corpus()
    if folder is None:
        print(NO_CORPUS)
        return 0
    cases = read_cases(folder)
    inputs = read_inputs(cases)
    failures = {route: RUNS[route](cases, inputs) for route in options.route or ROUTES}
    _print_table(cases, failures)
    if options.failures:
        for route, failed in failures.items():
            for name, problem in failed.items():
                print(f"{route}: {name}: {problem}")
    if options.write:
        _write(failures)
        return 0
    return _print_differences(failures)


def _print_table(cases: list[Case], failures: Mapping[str, Failures]) -> None:
    totals = Counter(case.category for case in cases)
    failed = {
        route: Counter(case.category for case in cases if case.name in names)
        for route, names in failures.items()
    }
    print(f"{'category':<34}{'cases':>6}" + "".join(f"{route:>9}" for route in failures))
    for category, total in sorted(totals.items()):
        row = "".join(f"{total - failed[route][category]:>9}" for route in failures)
        print(f"{category:<34}{total:>6}{row}")
    row = "".join(f"{len(cases) - len(names):>9}" for names in failures.values())
    print(f"{'all':<34}{len(cases):>6}{row}")


def _print_differences(failures: Mapping[str, Failures]) -> int:
    known = read_ratchet()
    differs = 0
    for route, failed in failures.items():
        for name in sorted(failed.keys() - known[route].keys()):
            print(f"lost on route {route}: {name}: {failed[name]}")
            differs = 1
        for name in sorted(known[route].keys() - failed.keys()):
            print(f"passes on route {route}, take it out of {RATCHET.name}: {name}")
            differs = 1
    return differs


def _write(failures: Mapping[str, Failures]) -> None:
    known = read_ratchet() if RATCHET.exists() else {route: {} for route in ROUTES}
    for route, failed in failures.items():
        known[route] = {name: known[route].get(name, failed[name]) for name in sorted(failed)}
    text = json.dumps(known, indent=1, ensure_ascii=False)
    RATCHET.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
