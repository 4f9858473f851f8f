"""OPA's own cases pass on both routes, but for those that the ratchet names, which do fail."""

from __future__ import annotations

import pytest
from tests.conformance import report


@pytest.fixture(scope="module")
def cases():
    folder = report.find_corpus()
    return report.read_cases(folder) if folder else []


@pytest.fixture(scope="module")
def inputs(cases):
    return report.read_inputs(cases) if cases else {}


def test_the_corpus_is_whole_or_its_absence_is_told(cases, capsys):
    if report.find_corpus() is None:
        with capsys.disabled():
            print(f"\n{report.NO_CORPUS}")  # noqa: T201  # a pass without the corpus must be seen
        return
    assert len(cases) > 1000
    assert {case.name for case in cases} >= report.UNCHECKED


@pytest.mark.parametrize("route", ["plan", pytest.param("modules", marks=pytest.mark.slow)])
def test_what_fails_is_what_the_ratchet_names(cases, inputs, route):
    failed = report.RUNS[route](cases, inputs)
    known = report.read_ratchet()[route] if cases else {}
    lost = {name: failed[name] for name in sorted(failed.keys() - known.keys())}
    gained = sorted(known.keys() - failed.keys())
    assert not lost, "these cases passed before"
    assert not gained, f"these cases pass now: take them out of {report.RATCHET.name}"


def test_every_known_failure_has_a_cause():
    for failures in report.read_ratchet().values():
        assert all(failures.values())
