"""OPA's own cases pass on both routes, but for those that the ratchet names, which do fail.

Of the route `plan` every case is run. Of the route `modules`, which has to plan them, a seeded
quarter and all that the ratchet names; with ``GUARDRAILS_SOAK=1``, as in ``report.py``, all.
"""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.conformance import corpus, report
from tests.conformance.outcomes import EVALUATORS, Outcome, difference, interpreter, problem

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PARTS = {"plan": 1, "modules": 1 if SOAK else 4}
"""Of how many cases one is run."""


@pytest.fixture(scope="module")
def cases():
    folder = corpus.find_corpus()
    return corpus.read_cases(folder) if folder else []


def test_the_corpus_is_whole_or_its_absence_is_told(cases, capsys):
    if corpus.find_corpus() is None:
        with capsys.disabled():
            print(f"\n{report.NO_CORPUS}")  # noqa: T201  # a pass without the corpus must be seen
        return
    assert len(cases) > 1000
    assert {case.name for case in cases} >= corpus.UNCHECKED


@pytest.mark.timeout(600)  # hundreds of policies, each compiled in every form
@pytest.mark.parametrize(
    "route", ["plan", pytest.param("modules", marks=[pytest.mark.slow, pytest.mark.soak])]
)
def test_what_fails_is_what_the_ratchet_names(cases, route):
    if not cases:
        return
    chosen = corpus.sample(cases, report.read_ratchet()[route], PARTS[route])
    assert not report.faults({route: report.run(route, chosen)})


def test_the_absence_of_the_corpus_is_one_line_and_passes(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("OPA_CONFORMANCE", str(tmp_path))
    assert report.main([]) == 0
    assert capsys.readouterr().out == report.NO_CORPUS + "\n"


def test_a_sample_has_every_named_case_and_a_part_of_the_others():
    cases = [corpus.Case(str(number), "c", {}) for number in range(400)]
    named = {"3", "5", "399"}
    chosen = corpus.sample(cases, named, 4)
    assert named <= {case.name for case in chosen}
    assert 50 < len(chosen) < 200
    assert chosen == corpus.sample(cases, named, 4)
    assert corpus.sample(cases, named, 1) == cases


def test_every_known_failure_has_a_cause_in_one_line():
    for failures in report.read_ratchet().values():
        assert all(failures.values())
        assert not [cause for cause in failures.values() if "\n" in cause]


WHERE = {"file": 0, "row": 1, "col": 1}
PLAN = {
    "static": {"strings": [{"value": "x"}], "files": [{"value": "a.rego"}]},
    "plans": {
        "plans": [
            {
                "name": "eval",
                "blocks": [
                    {
                        "stmts": [
                            {"type": "MakeObjectStmt", "stmt": {"target": 2, **WHERE}},
                            {
                                "type": "ObjectInsertStmt",
                                "stmt": {
                                    "key": {"type": "string_index", "value": 0},
                                    "value": {"type": "local", "value": 0},
                                    "object": 2,
                                    **WHERE,
                                },
                            },
                            {"type": "ResultSetAddStmt", "stmt": {"value": 2, **WHERE}},
                        ]
                    }
                ],
            }
        ]
    },
}
CASE = corpus.Case("echo", "c", {"plan": PLAN, "want_plan_result": [{"x": 1}]}, document=1)


def lazy(source, case):
    """An evaluator that is wrong wherever there is an input."""
    return interpreter(source, replace(case, document=2))


def test_an_evaluator_that_disagrees_is_told():
    (given,) = corpus.sources("plan", [CASE])
    assert problem("plan", CASE, interpreter(given[1], CASE)) is None
    standing = report.run("plan", [CASE], {**EVALUATORS, "lazy": lazy, "same": interpreter})
    assert standing.failed == {}
    assert standing.differs["same"] == {}
    assert standing.differs["lazy"] == {"echo": 'gave [{"x":2}] instead of gave [{"x":1}]'}
    assert report.faults({"plan": standing})[-1].startswith("lazy differs on route plan: echo")


@pytest.mark.parametrize(
    "other",
    [
        Outcome([{"x": True}]),
        Outcome([]),
        Outcome([{"x": 1}, {"x": 1}]),
        Outcome(code="eval_type_error"),
        Outcome(code="load"),
    ],
)
def test_outcomes_differ_by_values_and_by_codes(other):
    same = Outcome([{"x": 1}])
    assert difference((same, same), (same, same)) is None
    assert difference((same, same), (other, same))
    assert difference((same, same), (same, other))
    assert difference((other, other), (other, other)) is None


def test_the_table_counts_supported_builtins_for_themselves():
    cases = [corpus.Case(str(number), "c", {}) for number in range(4)]
    standing = report.Standing(failed={"0": "a", "1": "b"}, unsupported={"0"})
    *_, runnable, supported = report.table(cases, {"plan": standing})
    assert runnable.split()[-1] == "50.00"
    assert supported.split()[-1] == "66.66"
