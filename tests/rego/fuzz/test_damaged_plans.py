"""A damaged plan is refused at load, or evaluates within its limits: nothing else ever happens."""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rego.fuzz.plan_damage import as_text, damaged
from tests.rego.fuzz.policies import batch
from tests.rego.fuzz.terms import Options

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.evaluation import Limits
from guardrails.rego.opa_binary import build_plan
from guardrails.rego.planner import Plan, PlanRequest, plan_many
from guardrails.rego.values import dumps

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PLANS = 12
LIMITS = Limits(steps=20_000, depth=60)
"""So few that what they stop takes no time."""


@pytest.fixture(scope="module")
def policies():
    return batch("damage", PLANS)


@pytest.fixture(scope="module")
def regopy_plans(policies):
    requests = [PlanRequest(policy.modules, policy.entrypoints) for policy in policies]
    plans = [plan.document for plan in plan_many(requests) if isinstance(plan, Plan)]
    assert len(plans) > PLANS / 2
    return plans


def outcome(document, planner, policy):
    """``refused``, ``failed`` or ``gave``; whatever else is raised is a defect."""
    try:
        program = Program.from_plan(document, planner=planner, data=policy.data, limits=LIMITS)
    except PolicyLoadError:
        return "refused"
    found = "gave"
    for entrypoint in program.entrypoints:
        for given_input in policy.inputs[:3]:
            try:
                results = program.run(entrypoint, given_input)
            except EvaluationError as error:
                if error.code == "eval_internal_error":
                    raise AssertionError(str(error)) from error
                found = "failed"
            else:
                assert all(result is not UNDEFINED for result in results)
                dumps(results)
    return found


def campaign(plans, planner, policy, seed, rounds):
    chance = random.Random(seed)
    seen = {"refused": 0, "failed": 0, "gave": 0}
    for _ in range(rounds):
        document = damaged(chance.choice(plans), chance)
        try:
            seen[outcome(document, planner, policy)] += 1
        except Exception as error:
            error.add_note(as_text(document))
            raise
    return seen


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100 if SOAK else 1))
def test_damaged_plans_of_regopy(policies, regopy_plans, seed):
    seen = campaign(regopy_plans, "regopy", policies[seed % PLANS], seed, 120)
    assert min(seen["refused"], seen["gave"]) > 0


@pytest.mark.opa
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100 if SOAK else 1))
def test_damaged_plans_of_opa(opa, seed):
    policies = batch(f"damage {seed % 5}", PLANS, Options(opa_only=True))
    plans = [build_plan(opa, policy.modules, policy.entrypoints, timeout=60) for policy in policies]
    seen = campaign(plans, "opa", policies[seed % PLANS], seed, 120)
    assert min(seen["refused"], seen["gave"]) > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["static", "plans", "funcs", "strings", "files", "blocks", "stmts"])
            | st.sampled_from(["name", "path", "params", "return", "type", "stmt", "value"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=30,
)


@settings(max_examples=3_000 if SOAK else 100)
@given(document=JSON, planner=st.sampled_from([None, "opa", "regopy"]))
def test_what_is_no_plan_is_refused(document, planner):
    with pytest.raises(PolicyLoadError):
        Program.from_plan(document, planner=planner)


@pytest.mark.opa
def test_a_plan_of_functions_alone_has_no_files_and_is_read(opa):
    plan = build_plan(opa, {"a.rego": "package a\n\nf(x) := x\n"}, ["a"], timeout=60)
    assert not plan["static"].get("files")
    assert Program.from_plan(plan, planner="opa").evaluate("a") == {}
