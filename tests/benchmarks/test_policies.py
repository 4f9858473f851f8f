"""What is measured is what is said to be measured: cases, their weights, and sizes."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from benchmarks.policies import reference, scaling
from benchmarks.variant import NotThereError, check_agreement, variant
from benchmarks.variants import interpreted
from benchmarks.workload import mixed

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "policies/schemas/input/schema.json").read_text(encoding="utf-8"))
REFERENCES = {"flat": reference.flat, "library": reference.library}


@cache
def policy(name):
    return REFERENCES[name]()


@pytest.mark.parametrize("name", REFERENCES)
def test_every_case_has_the_shape_that_enforcement_gives_the_input(name):
    for case in policy(name).cases:
        jsonschema.validate(json.loads(json.dumps(case.input, default=float)), SCHEMA)


@pytest.mark.parametrize("name", REFERENCES)
def test_every_case_is_decided_as_its_author_meant(name):
    decided = interpreted(policy(name))
    for case in policy(name).cases:
        decide, argument = decided.bind(case.input)
        assert decided.answer(decide(argument))["effect"] == case.effect, case.name


@pytest.mark.parametrize("name", REFERENCES)
def test_allowed_calls_are_four_of_five(name):
    cases = policy(name).cases
    inputs = mixed(cases)
    allowed = sum(case.weight for case in cases if case.effect == "allow")
    assert len(inputs) == sum(case.weight for case in cases)
    assert allowed * 5 == len(inputs) * 4
    assert len({case.name for case in cases}) == len(cases)


def test_each_rule_refuses_or_asks_in_some_case_of_the_library():
    by_hand = policy("library").by_hand
    decisions = [by_hand(case.input) for case in policy("library").cases]
    speaking = {item["rule"] for each in decisions for item in each["reasons"] + each["approvals"]}
    packages = {Path(name).stem for name in policy("library").modules} - {"main"}
    assert speaking == packages | {"guardrails"}


def test_each_denial_of_flat_speaks_in_some_case():
    by_hand = policy("flat").by_hand
    reasons = {reason for case in policy("flat").cases for reason in by_hand(case.input)["reasons"]}
    assert len(reasons) == policy("flat").modules["policy.rego"].count("denials contains") + 1


@pytest.mark.parametrize(
    ("made", "rules", "modules"),
    [
        (lambda: scaling.rules(10, 2), 10, 1),
        (lambda: scaling.rules(1000, 200), 1000, 1),
        (lambda: scaling.packages(1), 500, 3),
        (lambda: scaling.packages(50), 500, 52),
    ],
)
def test_generated_policies_have_the_rules_that_they_are_named_for(made, rules, modules):
    first, again = made(), made()
    assert first.modules == again.modules
    assert len(first.modules) == modules
    generated = [text for name, text in first.modules.items() if name != "main.rego"]
    assert sum(text.count("deny contains") for text in generated) == rules


def test_the_rules_of_a_tool_are_the_same_however_they_are_packed():
    def texts(made):
        return sorted(
            block
            for name, text in made.modules.items()
            if name.startswith("generated")
            for block in text.split("\n\n")[2:]
        )

    def stripped(blocks):
        return sorted(block.strip() for block in blocks)

    assert stripped(texts(scaling.packages(1))) == stripped(texts(scaling.packages(50)))


@pytest.mark.slow
def test_small_and_large_decide_alike():
    for make in (
        lambda: (scaling.rules(10, 2), scaling.rules(30, 6)),
        lambda: (scaling.grants(1), scaling.grants(40)),
        lambda: (scaling.packages(1, rules=30, tools=3), scaling.packages(3, rules=30, tools=3)),
    ):
        small, large = make()
        both = [interpreted(small), interpreted(large)]
        for case in small.cases:
            answers = []
            for each in both:
                decide, argument = each.bind(case.input)
                found = each.answer(decide(argument))
                answers.append((found["effect"], sorted(map(_text, found["reasons"]))))
            assert answers[0] == answers[1]
            assert answers[0][0] == case.effect, case.name


def _text(reason):
    return reason["reason"] if isinstance(reason, dict) else reason


def test_grants_are_as_many_as_the_name_says():
    few, many = scaling.grants(10), scaling.grants(1000)

    def granted(made):
        agents = made.data["guardrails_data"]["agents"].values()
        return sum(len(grant["operations"]) for agent in agents for grant in agent["access"])

    assert granted(many) - granted(few) == 9_900
    assert (few.name, many.name) == ("100 grants more", "10,000 grants more")


def test_a_long_policy_is_as_long_as_asked_for():
    made = scaling.lines(1200)
    assert 1200 <= sum(text.count("\n") for text in made.modules.values()) < 1400


# ------------------------------------------------------------------------------------------- peers


def test_regopy_decides_as_the_hand_written_python():
    from benchmarks.peers.cpp_rego import regopy  # noqa: PLC0415  # beside the others that skip

    flat = policy("flat")
    check_agreement([variant("by hand", flat.by_hand), regopy(flat)], flat.cases)


@pytest.mark.parametrize("name", ["rust_rego.regorus", "cedar.cedarpy", "cpp_rego.regopy"])
def test_an_engine_that_is_not_installed_is_named(name, monkeypatch):
    module, _, function = name.partition(".")
    peer = __import__(f"benchmarks.peers.{module}", fromlist=[function])
    monkeypatch.setitem(__import__("sys").modules, function, None)
    with pytest.raises(NotThereError, match=r"is not installed"):
        getattr(peer, function)(policy("flat"))
