"""An explanation gives the same result as the evaluation, and says with its place why."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.errors import EvaluationError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.explain import MAX_ENTRIES

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
