"""OPA's own cases pass on both routes, but for those that the ratchet names, which do fail.

Of the route `plan` every case is run. Of the route `modules`, which has to plan them, a seeded
quarter and all that the ratchet names; with ``GUARDRAILS_SOAK=1``, as in ``report.py``, all.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest


def _load_report():
    """The script beside this file. Tests are no package, so it is found by its path alone."""
    name = "conformance_report"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("report.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


report = _load_report()

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PARTS = {"plan": 1, "modules": 1 if SOAK else 4}
"""Of how many cases one is run."""


@pytest.fixture(scope="module")
def cases():
    folder = report.find_corpus()
    return report.read_cases(folder) if folder else []


def test_the_corpus_is_whole_or_its_absence_is_told(cases, capsys):
    if report.find_corpus() is None:
        with capsys.disabled():
            print(f"\n{report.NO_CORPUS}")  # noqa: T201  # a pass without the corpus must be seen
        return
    assert len(cases) > 1000
    assert {case.name for case in cases} >= report.UNCHECKED


@pytest.mark.parametrize(
    "route", ["plan", pytest.param("modules", marks=[pytest.mark.slow, pytest.mark.soak])]
)
def test_what_fails_is_what_the_ratchet_names(cases, route):
    known = report.read_ratchet()[route] if cases else {}
    chosen = report.sample(cases, known, PARTS[route])
    failed = report.RUNS[route](chosen, report.read_inputs(chosen) if chosen else {})
    lost = {name: failed[name] for name in sorted(failed.keys() - known.keys())}
    gained = sorted(known.keys() - failed.keys())
    assert not lost, "these cases passed before"
    assert not gained, f"these cases pass now: take them out of {report.RATCHET.name}"


def test_a_sample_has_every_named_case_and_a_part_of_the_others():
    cases = [report.Case(str(number), "c", {}) for number in range(400)]
    named = {"3", "5", "399"}
    chosen = report.sample(cases, named, 4)
    assert named <= {case.name for case in chosen}
    assert 50 < len(chosen) < 200
    assert chosen == report.sample(cases, named, 4)
    assert report.sample(cases, named, 1) == cases


def test_every_known_failure_has_a_cause():
    for failures in report.read_ratchet().values():
        assert all(failures.values())
