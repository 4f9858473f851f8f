"""What a package holds is worked out once, where that changes nothing but the time it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.rego import ir
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.decoder import decode
from guardrails.rego.evaluation import Evaluation, Limits
from guardrails.rego.extents import shared
from guardrails.rego.interpreter import BUILDERS, Interpreter
from guardrails.rego.linking import link
from guardrails.rego.planner import plan_modules
from guardrails.rego.values import equal

MODULES = {
    "main.rego": """package main

import rego.v1

import data.rules

kinds := {"deny": denied, "allow": allowed, "other": other, "whole": rules}

denied contains [name, reason] if some reason in rules[name].deny

allowed contains name if {
\tsome name
\tcount(rules[name].allow) > 0
}

other := found if {
\tfound := [count(denied), rules.two] with input.b as 5
}
""",
    "one.rego": "package rules.one\n\nimport rego.v1\n\n"
    'deny contains "a" if input.a > 1\n\ndeny contains "b" if input.b\n',
    "two.rego": "package rules.two\n\nimport rego.v1\n\n"
    'allow contains "yes" if input.a == 1\n\nhelper := input.b\n',
    "three.rego": "package rules.deep.three\n\nimport rego.v1\n\nx := [input.a, data.base]\n",
}
DATA = {"base": {"k": 1}, "rules": {"plain": {"deny": ["d"]}, "two": {"beside": 2}}}


@pytest.fixture(scope="module")
def policy():
    plan = plan_modules(MODULES, ["main/kinds"])
    return decode(plan.document, planner=plan.planner)


def results(policy, document):
    linked = link(policy, BUILTINS, BUILDERS)
    return Evaluation(EvaluationContext(), Limits()).run(linked.plans["main/kinds"], document, DATA)


values = st.none() | st.booleans() | st.integers(0, 3)


@given(document=st.dictionaries(st.sampled_from(["a", "b"]), values))
def test_the_results_are_those_of_the_plan_as_it_was(policy, document):
    (as_it_was,) = results(policy, document)
    (found,) = results(shared(policy), document)
    assert equal(found, as_it_was)


def test_equal_constructions_become_one_rule_that_no_path_leads_to(policy):
    found = shared(policy)
    made = {found.functions[name].path: name for name in found.functions.keys() - policy.functions}
    assert made.keys() == {("g0", "rules"), ("g0", "rules", "two")}
    calls = [
        statement
        for name in policy.functions
        for statement in ir.statements(found.functions[name].blocks)
        if isinstance(statement, ir.CallFunction) and statement.function == made["g0", "rules"]
    ]
    assert len(calls) >= 2
    assert found.by_path is policy.by_path


def test_a_name_of_the_plan_is_not_taken(policy):
    taken = {**policy.functions, "extent 0": policy.functions["g0.data.main.denied"]}
    found = shared(replace(policy, functions=taken))
    assert len(found.functions) == len(taken) + 2


WHERE = ir.Location("a.rego", 1, 1)
MAKE = ir.MakeObject(WHERE, 3)
CALL = ir.CallFunction(WHERE, "r", (ir.Local(0), ir.Local(1)), 4)
INSERT = ir.ObjectInsert(WHERE, ir.Constant("r"), ir.Local(4), ir.Local(3))
BUILD = ir.Block(WHERE, ((CALL, INSERT),))
GIVE = ir.AssignVar(WHERE, ir.Local(3), 2)
RETURN = ir.ReturnLocal(WHERE, ir.Local(2))


def policy_of(*body):
    rule = ir.Function("r", ("g0", "r"), (0, 1), ((ir.ReturnLocal(WHERE, ir.Local(0)),),), 2, WHERE)
    asks = ir.Function("f", ("g0", "f"), (0, 1), (body, (RETURN,)), 9, WHERE)
    plan = ir.Plan("p", ((replace(CALL, function="f"), ir.ResultSetAdd(WHERE, ir.Local(4))),), 5)
    functions = {"r": rule, "f": asks}
    by_path = {function.path: function for function in functions.values()}
    return ir.Policy({"p": plan}, functions, by_path, ("a.rego",), "opa")


def inside(*body):
    return (ir.Block(WHERE, ((*body,),)),)


@pytest.mark.parametrize(
    "body",
    [
        (MAKE, BUILD, GIVE),
        inside(MAKE, BUILD, GIVE),
        (ir.Not(WHERE, (MAKE, BUILD, GIVE, ir.Break(WHERE, 0))),),
    ],
)
def test_a_construction_is_found(body):
    made = policy_of(*body)
    assert len(shared(made).functions) == 3
    assert run(shared(made)) == run(made)


def run(policy):
    interpreter = Interpreter(policy, {}, Limits())
    return interpreter.run(policy.plans["p"], [1, {"k": 2}], {}, EvaluationContext())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param((MAKE, GIVE), id="nothing is called"),
        pytest.param(
            (ir.Scan(WHERE, ir.Local(0), 5, 6, (MAKE, BUILD, GIVE)),), id="it stands in a loop"
        ),
        pytest.param(
            (MAKE, ir.Block(WHERE, ((CALL, INSERT, ir.Break(WHERE, 0)),)), GIVE), id="it leaves"
        ),
        pytest.param(
            (
                ir.MakeNull(WHERE, 5),
                MAKE,
                ir.Block(WHERE, ((CALL, replace(INSERT, value=ir.Local(5))),)),
                GIVE,
            ),
            id="it reads another local",
        ),
        pytest.param(
            (MAKE, BUILD, ir.AssignVar(WHERE, ir.Local(4), 2)), id="its locals are used elsewhere"
        ),
        pytest.param((MAKE, BUILD, INSERT, GIVE), id="its locals are used after it"),
        pytest.param(
            (MAKE, BUILD, replace(INSERT, value=ir.Local(0)), GIVE), id="its object is changed"
        ),
        pytest.param(
            (
                MAKE,
                ir.Block(WHERE, ((CALL, INSERT, ir.Dot(WHERE, ir.Local(3), ir.Constant("x"), 3)),)),
                GIVE,
            ),
            id="its object may be undefined",
        ),
    ],
)
def test_what_is_not_sure_to_be_the_same_stays_as_it_is(body):
    made = policy_of(*body)
    assert shared(made) == made
