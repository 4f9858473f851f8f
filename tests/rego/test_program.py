"""A program is loaded whole or refused, and gives one decision whoever planned it."""

from __future__ import annotations

import os
import random
import shutil
import threading
from decimal import Decimal
from pathlib import Path

import pytest

import guardrails.rego
from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.planner import find_opa, plan_modules

PAY = """package pay

import rego.v1

default allow := false

allow if {
	input.amount <= data.limits[input.currency]
	startswith(input.to, "DE")
}

tags contains tag if {
	some tag in input.tags
	not tag in data.hidden
}

half := input.amount / 2
"""
DATA = {"limits": {"EUR": 100}, "hidden": ["x"]}
ENTRYPOINTS = ["pay/allow", "pay/tags", "pay/half", "pay"]


@pytest.fixture(scope="module")
def pay():
    return Program.from_modules({"pay.rego": PAY}, ENTRYPOINTS, data=DATA)


def test_the_package_exports_what_it_promises():
    assert sorted(guardrails.rego.__all__) == ["Program", "UNDEFINED"]


def test_run_gives_the_result_set_and_evaluate_its_value(pay):
    document = {"amount": 5, "currency": "EUR", "to": "DE89"}
    assert pay.entrypoints == tuple(ENTRYPOINTS)
    assert pay.run("pay/allow", document) == [{"result": True}]
    assert pay.evaluate("pay/allow", document) is True
    assert pay.run("pay/half", {}) == []
    assert pay.evaluate("pay/half", {}) is UNDEFINED
    assert pay.evaluate("pay/half") is UNDEFINED


def test_numbers_are_exact(pay):
    assert pay.evaluate("pay/half", {"amount": 0.3}) == Decimal("0.15")
    large = 2**60
    assert pay.evaluate("pay/half", {"amount": 2 * large}) == large


def test_data_is_that_of_the_load_unless_another_is_given(pay):
    document = {"amount": 500, "currency": "EUR", "to": "DE89"}
    raised = {"limits": {"EUR": 1000}, "hidden": []}
    assert pay.evaluate("pay/allow", document) is False
    assert pay.evaluate("pay/allow", document, raised) is True
    rebound = pay.with_data(raised)
    assert rebound.evaluate("pay/allow", document) is True
    assert pay.evaluate("pay/allow", document) is False


def test_data_changed_by_its_owner_does_not_reach_the_program():
    limits = {"EUR": 100}
    data = {"limits": limits, "hidden": []}
    program = Program.from_modules({"pay.rego": PAY}, ["pay/allow"], data=data)
    limits["EUR"] = 10**6
    document = {"amount": 500, "currency": "EUR", "to": "DE89"}
    assert program.evaluate("pay/allow", document) is False


def test_an_unknown_entrypoint_names_those_that_there_are(pay):
    with pytest.raises(EvaluationError, match="no entrypoint `pay/deny`; there are: `pay/allow`"):
        pay.evaluate("pay/deny", {})


@pytest.mark.parametrize(
    "bad", [{"amount": float("nan")}, {"a": object()}, {1: 2}, {"a": {1, 2}}, b"x"]
)
def test_an_input_without_json_form_is_an_error(pay, bad):
    for read in (pay.run, pay.evaluate, pay.explain):
        with pytest.raises(EvaluationError, match="invalid_document: the input cannot be used"):
            read("pay/allow", bad)
    with pytest.raises(EvaluationError, match="the data cannot be used"):
        pay.run("pay/allow", {}, bad)
    with pytest.raises(PolicyLoadError, match="the data cannot be used"):
        pay.with_data(bad)


def called(name, count):
    plan = plan_modules({"pay.rego": PAY}, ["pay/half"]).document
    for function in plan["funcs"]["funcs"]:
        for block in function["blocks"]:
            for outer in block["stmts"]:
                for inner in outer["stmt"].get("blocks", []):
                    for statement in inner["stmts"]:
                        if statement["stmt"].get("func") == "div":
                            statement["stmt"]["func"] = name
                            del statement["stmt"]["args"][count:]
    return plan


def test_an_unknown_builtin_is_refused_with_its_name_and_place():
    with pytest.raises(PolicyLoadError, match="the builtin `divide` is not supported") as caught:
        Program.from_plan(called("divide", 2))
    assert (caught.value.file, caught.value.row) == ("pay.rego", 17)
    assert "g0.data.pay.half" in str(caught.value)


def test_a_builtin_called_with_too_few_arguments_is_refused():
    with pytest.raises(PolicyLoadError, match="`div` takes 2 arguments, not 1"):
        Program.from_plan(called("div", 1))


def test_data_on_the_path_of_a_rule_is_refused_also_later(pay):
    hostile = {"pay": {"allow": True}}
    for load in (
        lambda: pay.with_data(hostile),
        lambda: Program.from_modules({"pay.rego": PAY}, ENTRYPOINTS, data=hostile),
    ):
        with pytest.raises(PolicyLoadError, match=r"data\.pay\.allow"):
            load()


def test_a_misspelt_variable_is_refused():
    source = "package a\n\nimport rego.v1\n\nallow if inptu.x == 1\n"
    with pytest.raises(PolicyLoadError, match=r"a\.rego:5"):
        Program.from_modules({"a.rego": source}, ["a/allow"])


CLOCK = "package a\n\nimport rego.v1\n\nx := [time.now_ns(), time.now_ns()]\n"


def test_time_comes_from_the_context_and_stands_still_in_an_evaluation():
    program = Program.from_modules({"a.rego": CLOCK}, ["a/x"])
    ticks = iter(range(5, 100))
    context = EvaluationContext(clock=lambda: next(ticks), random=random.Random(1))
    assert program.evaluate("a/x", context=context) == [5, 5]
    first, second = program.evaluate("a/x")
    assert first == second > 1_600_000_000 * 10**9


def test_threads_share_a_program(pay):
    wrong = []

    def ask(amount):
        document = {"amount": amount, "currency": "EUR", "to": "DE89", "tags": ["x", str(amount)]}
        for _ in range(50):
            if pay.evaluate("pay/allow", document) is not (amount <= 100):
                wrong.append(amount)
            if list(pay.evaluate("pay/tags", document)) != [str(amount)]:
                wrong.append(amount)

    threads = [threading.Thread(target=ask, args=(amount,)) for amount in (1, 99, 101, 5000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def opa_binary():
    found = find_opa(None)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no OPA binary; `make opa` puts one at .tools/opa")
    if found is None:
        pytest.skip("there is no OPA binary; `make opa` puts one at .tools/opa")
    assert shutil.which(str(found)) or Path(found).is_file()
    return str(found)


@pytest.mark.opa
def test_both_planners_give_the_same_decisions(pay):
    reference = Program.from_modules(
        {"pay.rego": PAY}, ENTRYPOINTS, data=DATA, planner="opa", opa=opa_binary()
    )
    documents = [
        UNDEFINED,
        {},
        None,
        [],
        {"amount": 5, "currency": "EUR", "to": "DE1", "tags": ["x", "y"]},
        {"amount": 500, "currency": "EUR", "to": "DE1", "tags": {"k": "v"}},
        {"amount": "5", "currency": "EUR", "to": 1, "tags": "x"},
        {"amount": None, "currency": "USD", "tags": [None, 1, True]},
    ]
    for document in documents:
        for entrypoint in ENTRYPOINTS:
            assert pay.run(entrypoint, document) == reference.run(entrypoint, document)
