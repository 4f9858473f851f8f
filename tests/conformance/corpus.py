"""OPA's own conformance cases, and the programs that they ask for.

The corpus is looked for at ``$OPA_CONFORMANCE`` and at ``../shared/opa-conformance`` beside the
project. It is OPA's; it is not part of this repository.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.planner import PlanRequest, plan_many

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from guardrails.rego.planner import Plan

ROOT: Final = Path(__file__).resolve().parents[2]
BATCH: Final = 400
"""Cases that are planned by one child process."""

UNCHECKED: Final = {"baseandvirtualdocs/base/virtual: conflicts"}
"""Cases with base data on a rule's path, which a program refuses at load."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case of the corpus.

    Attributes:
        name: Its note; with a number where several share it.
        category: Its file, without the suffix.
        body: Its fields.
        document: Its input; UNDEFINED for none.
    """

    name: str
    category: str
    body: Mapping[str, Any]
    document: Any = UNDEFINED

    @property
    def checked(self) -> bool:
        """Whether its program is checked at load as any other."""
        return self.name not in UNCHECKED


@dataclass(frozen=True, slots=True)
class Source:
    """What a program is made of: a plan, and who wrote it; or why there is none."""

    plan: object = None
    planner: str = "opa"
    refusal: PolicyLoadError | None = None


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
    return _with_inputs(cases)


def sample(cases: list[Case], named: Container[str], part: int) -> list[Case]:
    """What `named` has of `cases`, and one in `part` of the others; the same each time.

    As every named case is in it, one that passes now is found as surely as among all cases.
    """
    chance = random.Random(0)
    return [case for case in cases if chance.randrange(part) == 0 or case.name in named]


def sources(route: str, cases: list[Case]) -> Iterator[tuple[Case, Source]]:
    """The cases with what their programs are made of, on a route.

    ``plan``: the plan that OPA compiled for the case. ``modules``: the case's modules and query,
    planned by regopy, many cases in one child process.
    """
    if route == "plan":
        for case in cases:
            yield case, Source(case.body["plan"])
        return
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        plans = plan_many([_request(case) for case in batch])
        yield from zip(batch, map(_planned, plans), strict=True)


def _request(case: Case) -> PlanRequest:
    modules = {f"module-{n}.rego": text for n, text in enumerate(case.body.get("modules") or [])}
    return PlanRequest(modules, query=case.body["query"])


def _planned(plan: Plan | PolicyLoadError) -> Source:
    if isinstance(plan, PolicyLoadError):
        return Source(refusal=plan)
    return Source(plan.document, plan.planner)


def _with_inputs(cases: Iterable[Case]) -> list[Case]:
    """The cases with their inputs; a term that is no JSON is evaluated as Rego."""
    found = []
    terms: dict[int, str] = {}
    for place, case in enumerate(cases):
        term = case.body.get("input_term")
        document: Any = case.body.get("input", UNDEFINED)
        if document is UNDEFINED and term is not None:
            try:
                document = json.loads(term, parse_float=Decimal)
            except ValueError:
                terms[place] = " ".join(term.split())
        found.append(replace(case, document=document))
    plans = plan_many([PlanRequest({}, query=f"x = {term}") for term in terms.values()])
    for place, plan in zip(terms, map(_planned, plans), strict=True):
        program = Program.from_plan(plan.plan, planner=plan.planner, checked=False)
        (result,) = program.run(program.entrypoints[0])
        found[place] = replace(found[place], document=result["result"]["bindings"]["x"])
    return found
