"""An explanation gives the same result as the evaluation, and says with its place why."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.errors import EvaluationError
from guardrails.rego import UNDEFINED, Program, explain, ir
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.explain import MAX_ENTRIES
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.source_words import SourceWords
from guardrails.rego.values import from_json

ACCESS = """package access

import rego.v1

default allow := false

allow if {
	input.tool.operation == "write"
	listed
	input.args.amount <= 1000
}

listed if {
	some entry in data.matrix
	entry.resource == input.tool.resource
}

deny contains "blocked" if not input.ok

deny contains "too large" if small(input.args.amount)

small(amount) := x if {
	x := amount / input.args.rate
	x < 1
}
"""
DATA = {"matrix": [{"resource": "a"}, {"resource": "b"}]}
GOOD = {"tool": {"operation": "write", "resource": "b"}, "args": {"amount": 5}, "ok": True}


@pytest.fixture(scope="module")
def access():
    return Program.from_modules({"access.rego": ACCESS}, ["access/allow", "access"], data=DATA)


def rule(trace, name):
    return next(found for found in trace.rules() if found.name.startswith(f"data.access.{name}"))


def test_what_holds_is_told_with_its_value_and_place(access):
    trace = access.explain("access/allow", GOOD)
    assert trace.results == [{"result": True}]
    assert (rule(trace, "allow").value, rule(trace, "allow").contributes) == (True, True)
    assert rule(trace, "listed").value is True
    assert str(trace).splitlines()[-1] == "access/allow = true"
    assert "access.rego:13  data.access.listed  = true" in trace.render("notes")


def test_the_first_failure_is_told_with_the_values_in_it(access):
    trace = access.explain("access/allow", GOOD | {"tool": {"operation": "read"}})
    (step,) = rule(trace, "allow").failures
    assert (step.where.file, step.where.row) == ("access.rego", 8)
    assert step.text == 'input.tool.operation == "write"  (input.tool.operation is "read")'
    assert step.text in str(trace)
    assert step.text not in trace.render("notes")


def test_a_comparison_that_fails_shows_what_was_compared(access):
    trace = access.explain("access/allow", GOOD | {"args": {"amount": 4180}})
    (step,) = rule(trace, "allow").failures
    assert step.where.row == 10
    assert step.text == "input.args.amount <= 1000  (input.args.amount is 4180)"


def test_a_missing_field_is_told(access):
    trace = access.explain("access/allow", {"tool": {"operation": "write", "resource": "b"}})
    assert "input.args  (undefined)" in str(trace)


def test_a_rule_that_fails_is_shown_within_the_one_that_asked(access):
    document = {**GOOD, "tool": {"operation": "write", "resource": "c"}}
    trace = access.explain("access/allow", document)
    allow = rule(trace, "allow")
    assert rule(trace, "listed") in allow.entries
    assert rule(trace, "listed").value is UNDEFINED
    texts = [step.text for step in rule(trace, "listed").failures]
    assert len(texts) == 2
    assert all('input.tool.resource is "c"' in text for text in texts)
    assert "undefined" in allow.failures[0].text


def test_what_fails_under_not_is_no_failure(access):
    trace = access.explain("access", GOOD | {"ok": False})
    assert "blocked" in str(trace)
    assert not any("input.ok" in step.text for step in rule(trace, "deny").failures)
    trace = access.explain("access", GOOD)
    assert "not input.ok" in [step.text for step in rule(trace, "deny").failures]


def test_a_builtins_error_is_told_where_it_is_undefined_and_where_it_raises(access):
    document = GOOD | {"args": {"amount": 5, "rate": 0}}
    lenient = access.explain("access", document)
    assert lenient.error is None
    assert "divide by zero" in str(lenient)
    strict = access.explain("access", document, strict_builtin_errors=True)
    assert strict.error is not None
    assert strict.error.code == "eval_builtin_error"
    assert "error: access.rego:23: eval_builtin_error" in str(strict)
    assert rule(strict, "small").value is UNDEFINED


def test_a_function_is_told_with_its_arguments(access):
    trace = access.explain("access", GOOD | {"args": {"amount": 5, "rate": 100}})
    assert rule(trace, "small").name == "data.access.small(5)"


def test_what_a_package_holds_is_told_by_its_name(access):
    trace = access.explain("access", GOOD)
    (whole,) = trace.calls
    assert whole.name == "data.access"
    assert [entry.name for entry in whole.rules()][:2] == ["data.access", "data.access.allow"]
    assert whole.value == trace.results[0]["result"]


def test_a_long_evaluation_is_told_only_in_part(access):
    data = {"matrix": [{"resource": "x"}] * MAX_ENTRIES}
    trace = access.explain("access/allow", GOOD, data)
    assert not trace.complete
    assert sum(len(found.entries) for found in trace.rules()) <= MAX_ENTRIES + 10
    assert "only the first" in str(trace)
    assert trace.results == access.run("access/allow", GOOD, data)


documents = st.fixed_dictionaries(
    {},
    optional={
        "ok": st.booleans(),
        "tool": st.fixed_dictionaries(
            {},
            optional={
                "operation": st.sampled_from(["read", "write", None]),
                "resource": st.sampled_from(["a", "c", 1]),
            },
        ),
        "args": st.fixed_dictionaries(
            {}, optional={"amount": st.integers(0, 2000) | st.text(), "rate": st.integers(0, 3)}
        ),
    },
)


@settings(max_examples=60)
@given(
    document=documents, strict=st.booleans(), entrypoint=st.sampled_from(["access", "access/allow"])
)
def test_an_explanation_changes_nothing(access, document, strict, entrypoint):
    trace = access.explain(entrypoint, document, strict_builtin_errors=strict)
    if trace.error is None:
        assert trace.results == access.run(entrypoint, document, strict_builtin_errors=strict)
    else:
        with pytest.raises(EvaluationError) as caught:
            access.run(entrypoint, document, strict_builtin_errors=strict)
        assert str(caught.value) == str(trace.error)
    for mode in ("notes", "fails", "full"):
        assert trace.render(mode)


# What is told of bodies, and in whose words.

BODIES = """package bodies

import rego.v1

pick(item, limit) := item.price if {
	item.price < limit
}

some_deny contains "a" if input.a

some_deny contains "b" if {
	input.b
	pick(input.item, 10) > 3
}

deep(x) := [y | y := x[_]; y != x]

ended := deep(input.never)
"""


@pytest.fixture(scope="module", params=["regopy", "opa"])
def bodies(request):
    if request.param == "opa" and find_opa() is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    modules = {"b.rego": BODIES}
    return Program.from_modules(modules, ["bodies/some_deny"], planner=request.param)


def told(program, document, *, sources=None):
    plan = program.policy.plans["bodies/some_deny"]
    context = EvaluationContext()
    return explain.trace(
        program.interpreter, plan, from_json(document), {}, context, sources=sources
    )


@given(document=st.dictionaries(st.sampled_from("ab"), st.booleans()))
def test_a_body_fails_at_one_place_unless_it_held(bodies, document):
    (rule,) = told(bodies, document | {"item": {"price": 5}}).calls
    held = {"a": bool(document.get("a")), "b": bool(document.get("b"))}
    assert len(rule.held) == sum(held.values()) == len(rule.value)
    failed = {step.where.row for step, more in rule.first_failures if more == 0}
    assert failed == {row for name, row in (("a", 9), ("b", 12)) if not held[name]}


def test_the_line_of_the_source_stands_below_a_failure(bodies):
    trace = told(bodies, {"b": True, "item": {"price": 50}}, sources={"b.rego": BODIES})
    lines = [line.strip() for line in trace.render("fails", {"b.rego": BODIES}).splitlines()]
    (at,) = [n for n, line in enumerate(lines) if line.startswith("b.rego:6  fails: ")]
    assert lines[at].startswith("b.rego:6  fails: item.price < limit")
    assert "item.price is 50" in lines[at]
    assert lines[at + 1] == "| item.price < limit"
    assert "|" not in trace.render("fails")


def test_the_very_same_run_of_a_rule_is_told_once():
    source = (
        "package c\n\nf(x) if {\n\tx > 3\n}\n\n"
        "a contains x if {\n\tsome x in [1, 1, 2, 2]\n\tf(x)\n}\n"
    )
    trace = Program.from_modules({"c.rego": source}, ["c/a"]).explain("c/a")
    calls = [line.strip() for line in str(trace).splitlines() if "data.c.f(" in line]
    runs = [line for line in calls if line.startswith("c.rego:3  data.c.f(")]
    assert [line.split("  ", 1)[1] for line in runs] == [
        "data.c.f(1)  undefined",
        "data.c.f(1)  undefined  (as above)",
        "data.c.f(2)  undefined",
        "data.c.f(2)  undefined  (as above)",
    ]
    assert "as above" not in trace.render("full")


def test_without_sources_a_parameter_is_told_by_its_value(bodies):
    trace = told(bodies, {"b": True, "item": {"price": 50}})
    assert "limit" not in str(trace)


def test_the_words_of_a_source_end_where_the_expression_does():
    source = 'p if {\n\ta := f(")", [1,\n\t\t2]) # }\n\tx := {y | y := 1; y > 2}\n}\nf(a, b) := 1\n'
    words = SourceWords({"w.rego": source + "f(c, b) := 2\n"})
    at = ir.Location
    assert words.expression(at("w.rego", 2, 2)) == 'a := f(")", [1, 2])'
    assert words.expression(at("w.rego", 4, 12)) == "y := 1"
    assert words.expression(at("w.rego", 4, 20)) == "y > 2"
    assert words.expression(at("w.rego", 99, 1)) is None
    assert words.expression(at("other.rego", 1, 1)) is None
    assert list(words.parameters("w.rego", "f")) == [None, "b"]
    assert list(words.parameters("w.rego", "g")) == []
