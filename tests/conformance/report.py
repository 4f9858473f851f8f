"""OPA's own conformance cases through this Rego engine, by two routes, against a two-way ratchet.

``plan``: the plan that OPA compiled for the case. ``modules``: the case's modules and query,
planned by regopy. The ratchet names the cases that are known to fail on a route, each with its
cause; a case that fails without being named there is lost, and one that is named and passes is
to be taken out. Every evaluator has to come to what the interpreter comes to, in every case.

Run as a module (``python -m tests.conformance.report``) it prints what passes by category, and
what fails with its cause in a line each; ``--write`` brings the ratchet up to date (new entries
get the error as their cause).
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.conformance.corpus import find_corpus, read_cases, sources
from tests.conformance.outcomes import EVALUATORS, UNSUPPORTED, difference, problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.conformance.corpus import Case
    from tests.conformance.outcomes import Evaluator

ROUTES: Final = ("plan", "modules")
NO_CORPUS: Final = "conformance: no corpus, nothing is compared; set OPA_CONFORMANCE to OPA's cases"
RATCHET: Final = Path(__file__).with_name("ratchet.json")

Failures = dict[str, str]
"""The name of a case that failed, and how."""


@dataclass(slots=True)
class Standing:
    """How the cases stand on one route.

    Attributes:
        failed: What fails, by the reference.
        unsupported: Those of the failed that call a builtin which is not supported.
        differs: For each other evaluator, where it does not come to what the reference does.
    """

    failed: Failures = field(default_factory=dict)
    unsupported: set[str] = field(default_factory=set)
    differs: dict[str, Failures] = field(default_factory=dict)


def read_ratchet() -> dict[str, Failures]:
    """The known failures of each route, with their causes."""
    document = json.loads(RATCHET.read_text("utf-8"))
    return {route: dict(document[route]) for route in ROUTES}


def run(
    route: str, cases: list[Case], evaluators: Mapping[str, Evaluator] = EVALUATORS
) -> Standing:
    """How `cases` stand on a route; the first of `evaluators` is the reference."""
    (_, reference), *others = evaluators.items()
    standing = Standing(differs={name: {} for name, _ in others})
    with warnings.catch_warnings():
        # One case has a certificate with the serial number 0, of which `cryptography` warns.
        warnings.filterwarnings("ignore", "Parsed a serial number")
        for case, source in sources(route, cases):
            found = reference(source, case)
            wrong = problem(route, case, found)
            if wrong is not None:
                standing.failed[case.name] = " ".join(wrong.split())
                if found[0].code == UNSUPPORTED:
                    standing.unsupported.add(case.name)
            for name, evaluator in others:
                differs = difference(found, evaluator(source, case))
                if differs is not None:
                    standing.differs[name][case.name] = " ".join(differs.split())
    return standing


def table(cases: list[Case], standings: Mapping[str, Standing]) -> list[str]:
    """What passes, by category and route, and of how many."""
    totals = Counter(case.category for case in cases)
    lost = {
        route: Counter(case.category for case in cases if case.name in standing.failed)
        for route, standing in standings.items()
    }
    head = f"{'category':<34}{'cases':>6}" + "".join(f"{route:>9}" for route in standings)
    lines = [head]
    for category, total in sorted(totals.items()):
        row = "".join(f"{total - lost[route][category]:>9}" for route in standings)
        lines.append(f"{category:<34}{total:>6}{row}")
    passed = {route: len(cases) - len(each.failed) for route, each in standings.items()}
    lines.append(f"{'all':<34}{len(cases):>6}" + "".join(f"{n:>9}" for n in passed.values()))
    runnable = "".join(f"{_percent(n, len(cases)):>9}" for n in passed.values())
    lines.append(f"{'of all runnable, per cent':<40}{runnable}")
    supported = "".join(
        f"{_percent(passed[route], len(cases) - len(each.unsupported)):>9}"
        for route, each in standings.items()
    )
    lines.append(f"{'of those with supported builtins':<40}{supported}")
    return lines


def _percent(part: int, whole: int) -> str:
    # Never rounded up: 100 is all of them.
    return f"{100 * 100 * part // whole / 100:.2f}" if whole else "-"


def causes(standings: Mapping[str, Standing]) -> list[str]:
    """What fails, a line each: by its cause where the ratchet has one."""
    known = read_ratchet()
    return [
        f"{route}: {name}: {known[route].get(name, wrong)}"
        for route, standing in standings.items()
        for name, wrong in standing.failed.items()
    ]


def faults(standings: Mapping[str, Standing]) -> list[str]:
    """What must not be: lost cases, named ones that pass, evaluators that disagree."""
    known = read_ratchet()
    lines = []
    for route, standing in standings.items():
        lost = sorted(standing.failed.keys() - known[route].keys())
        lines += [f"lost on route {route}: {name}: {standing.failed[name]}" for name in lost]
        gained = sorted(known[route].keys() - standing.failed.keys())
        lines += [f"passes on route {route}, take it out of {RATCHET.name}: {x}" for x in gained]
        for evaluator, differing in standing.differs.items():
            told = f"{evaluator} differs on route {route}"
            lines += [f"{told}: {name}: {how}" for name, how in differing.items()]
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Print the report; 1 if it differs from the ratchet, or evaluators do from each other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--route", choices=ROUTES, action="append", help="only this route")
    parser.add_argument("--only", help="only the categories that contain this text")
    parser.add_argument("--write", action="store_true", help="bring the ratchet up to date")
    options = parser.parse_args(arguments)
    folder = find_corpus()
    if folder is None:
        print(NO_CORPUS)
        return 0
    cases = [case for case in read_cases(folder) if (options.only or "") in case.category]
    standings = {route: run(route, cases) for route in options.route or ROUTES}
    _print(table(cases, standings))
    _print(causes(standings))
    for name in list(EVALUATORS)[1:]:
        agree = sum(len(cases) - len(each.differs[name]) for each in standings.values())
        print(f"{name}: as the interpreter in {agree} of {len(cases) * len(standings)}")
    if options.write:
        _write(standings)
        return 0
    found = [] if options.only else faults(standings)
    _print(found)
    return 1 if found else 0


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)


def _write(standings: Mapping[str, Standing]) -> None:
    known = read_ratchet() if RATCHET.exists() else {route: {} for route in ROUTES}
    for route, standing in standings.items():
        failed = standing.failed
        known[route] = {name: known[route].get(name, failed[name]) for name in sorted(failed)}
    text = json.dumps(known, indent=1, ensure_ascii=False)
    RATCHET.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
