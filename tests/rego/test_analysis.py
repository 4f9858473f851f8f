"""The analysis of plans: what is refused at load, and that nothing else is."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import pytest

from guardrails.errors import PolicyLoadError
from guardrails.rego import analysis
from guardrails.rego.decoder import decode
from guardrails.rego.planner import PlannerName, find_opa, plan_modules

if TYPE_CHECKING:
    from guardrails.rego import ir

RULES = "package guardrails.rules.probe\n\nimport future.keywords.not\n\n"
MAIN = """package guardrails

import data.guardrails.rules

decision := [contributed | some contributed in rules]
"""


@functools.cache
def policy(source: str, planner: PlannerName = "regopy", file: str = "p.rego") -> ir.Policy:
    modules = {file: source, "main.rego": MAIN}
    plan = plan_modules(modules, ["guardrails/decision"], planner=planner)
    return decode(plan.document, planner=plan.planner)


def found(source: str, data: object = None, planner: PlannerName = "regopy") -> list[str]:
    return [str(problem) for problem in analysis.problems(policy(source, planner), data)]


PLANNERS: list[PlannerName] = ["regopy", "opa"]


@pytest.fixture(params=PLANNERS)
def planner(request: pytest.FixtureRequest) -> PlannerName:
    if request.param == "opa" and find_opa() is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    name: PlannerName = request.param
    return name


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ('deny contains "m" if inpt.args == 1', 5),
        ('deny contains "m" if {\n\tinput.x\n\tnot y == 1\n}', 7),
        ("deny contains m if input.x", 5),
        ("f(x) := y if input.x == x", 5),
        ('deny contains "m" if not f(z)\nf(x) := x', 5),
    ],
)
def test_a_variable_that_nobody_assigns_is_found(body: str, row: int) -> None:
    (problem,) = found(RULES + body + "\n")
    assert problem.startswith(f"p.rego:{row}:")
    assert "never assigned" in problem


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("a if b\nb if a", "data.guardrails.rules.probe.a"),
        ("a if a", "data.guardrails.rules.probe.a"),
        ("f(x) := f(x - 1)", "data.guardrails.rules.probe.f"),
        ("a if b\nb if c\nc if b", "data.guardrails.rules.probe.b"),
    ],
)
def test_recursion_is_found(body: str, path: str) -> None:
    (problem,) = found(f"{RULES}{body}\n")
    assert "recursion" in problem
    assert f"`{path}`" in problem


@pytest.mark.parametrize(
    "body",
    [
        "a := data.guardrails.rules.probe[input.name]",
        "a := data.guardrails.rules.probe[input.name].part",
        "a := data.guardrails.rules[input.name]",
        "a if b\nb if data.guardrails.rules.probe[input.name]",
    ],
)
def test_recursion_by_a_value_is_found(body: str, planner: PlannerName) -> None:
    if planner == "opa":
        with pytest.raises(PolicyLoadError, match="recursi"):
            found(f"{RULES}{body}\n", planner=planner)
        return
    problems = found(f"{RULES}{body}\n")
    assert problems
    assert all("recursion: `data.guardrails.rules.probe." in problem for problem in problems)


def test_a_reference_by_a_value_to_other_rules_is_no_recursion(planner: PlannerName) -> None:
    body = "a := data.guardrails_data[input.name]\nb := data.guardrails.rules.other[input.name]\n"
    assert found(RULES + body, planner=planner) == []


def test_a_shared_helper_is_no_recursion(planner: PlannerName) -> None:
    body = 'deny contains "m" if { a\n b }\na if c\nb if c\nc if input.x\n'
    assert found(RULES + body, planner=planner) == []


@pytest.mark.parametrize(
    "data",
    [
        {"guardrails": {"decision": 1}},
        {"guardrails": {"decision": None}},
        {"guardrails": {"rules": {"probe": {"deny": []}}}},
        {"guardrails": {"rules": {"probe": 5}}},
        {"guardrails": []},
        {"guardrails": {"rules": False}},
        [],
        "text",
    ],
)
def test_data_over_a_rule_is_found(data: object, planner: PlannerName) -> None:
    problems = found(f'{RULES}deny contains "m" if input.x\n', data, planner)
    assert problems
    assert all("data" in problem for problem in problems)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"guardrails_data": {"decision": 1}},
        {"guardrails": {"other": 1}},
        {"guardrails": {}},
    ],
)
def test_data_beside_the_rules_is_no_problem(data: object, planner: PlannerName) -> None:
    assert found(f'{RULES}deny contains "m" if input.x\n', data, planner) == []


@pytest.mark.parametrize(
    "source",
    [
        'package guardrails.rules\ndeny contains "m" if input.x\n',
        'package guardrails.rules.a.b\ndeny contains "m" if input.x\n',
        "package guardrails.rules.a\nlimits.usd := 5\n",
    ],
)
def test_a_rule_package_of_another_form_is_found(source: str) -> None:
    (problem,) = found(source)
    assert "exactly three parts" in problem


@pytest.mark.parametrize("kind", analysis.CONTRIBUTIONS)
@pytest.mark.parametrize(
    "rule",
    [
        "{} if input.x",
        '{} := "m"',
        '{} := {{"m"}}',
        "{} := {{m | m := input.x}}",
        "{}[m] := 1 if m := input.x",
    ],
)
def test_a_contribution_must_be_a_partial_set(kind: str, rule: str, planner: PlannerName) -> None:
    (problem,) = found(f"{RULES}{rule.format(kind)}\n", planner=planner)
    assert "is not a partial set" in problem
    assert f"`{kind} contains" in problem


def test_a_contribution_that_is_a_function_is_found() -> None:
    (problem,) = found(f"{RULES}deny(x) := x\n")
    assert "is a function" in problem


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("denny", "deny"),
        ("Deny", "deny"),
        ("alow", "allow"),
        ("shaddow", "shadow"),
        ("require_aproval", "require_approval"),
        ("requires_approval", "require_approval"),
        ("obligation", "obligations"),
    ],
)
def test_a_misspelt_contribution_is_found(name: str, meant: str) -> None:
    (problem,) = found(f'{RULES}{name} contains "m" if input.x\n')
    assert f"did you mean `{meant}`?" in problem


@pytest.mark.parametrize(
    "rule",
    [
        "allowed if input.x",
        "denied if input.x",
        "good if input.x",
        "within(x) if x == 1",
        "limits := {1, 2}",
        "names contains x if x := input.x",
        "approvers contains x if x := input.x",
        "shadowed := 1",
        "identity(x) := x",
        "default open := false",
    ],
)
def test_helpers_are_left_alone(rule: str) -> None:
    assert found(f'{RULES}{rule}\ndeny contains "m" if input.x\n') == []


def test_check_raises_the_first_problem_with_its_place() -> None:
    wrong = policy(f"{RULES}deny if input.x\n")
    with pytest.raises(PolicyLoadError) as caught:
        analysis.check(wrong)
    assert (caught.value.file, caught.value.row) == ("p.rego", 5)
    analysis.check(policy(f'{RULES}deny contains "m" if input.x\n'), {})


def test_every_check_finds_something_that_no_other_finds() -> None:
    examples = {
        analysis.unassigned_locals: ('deny contains "m" if inpt.x\n', None),
        analysis.recursion: ("a if a\n", None),
        analysis.data_over_rules: ("a := 1\n", {"guardrails": 1}),
        analysis.rule_packages: ("a.b := 1\n", None),
        analysis.contributions: ("deny if input.x\n", None),
    }
    assert set(examples) == set(analysis.CHECKS)
    for check, (source, data) in examples.items():
        finders = [one for one in analysis.CHECKS if list(one(policy(RULES + source), data))]
        assert finders == [check]
