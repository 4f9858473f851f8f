"""The interpreter does what the IR's statements say, shares nothing, and ends."""

from __future__ import annotations

import copy
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import EvaluationError
from guardrails.rego import UNDEFINED, Program, ir
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import EvaluationContext, builtin
from guardrails.rego.decoder import decode
from guardrails.rego.evaluation import Evaluation, Limits, Routine
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.operations import dot
from guardrails.rego.planner import plan_modules
from guardrails.rego.values import RegoSet, equal, from_json

INPUT, DATA = {"type": "local", "value": 0}, {"type": "local", "value": 1}


def stmt(kind, **fields):
    return {"type": f"{kind}Stmt", "stmt": {"file": 0, "row": 1, "col": 1, **fields}}


def local(number):
    return {"type": "local", "value": number}


class Strings:
    """The static strings of a plan that a test writes."""

    def __init__(self):
        self.items = ["result"]

    def __call__(self, item):
        if item not in self.items:
            self.items.append(item)
        return {"type": "string_index", "value": self.items.index(item)}


def program(strings, *blocks, functions=(), limits=None, data=None):
    """A program whose rule `a/x` has `blocks`, and gives what they leave in local 2."""
    rule = {
        "name": "g0.data.a.x",
        "path": ["g0", "a", "x"],
        "params": [0, 1],
        "return": 2,
        "blocks": [
            *({"stmts": list(statements)} for statements in blocks),
            {"stmts": [stmt("ReturnLocal", source=2)]},
        ],
    }
    document = {
        "static": {
            "strings": [{"value": item} for item in strings.items],
            "files": [{"value": "a.rego"}],
        },
        "plans": {
            "plans": [
                {
                    "name": "a/x",
                    "blocks": [
                        {
                            "stmts": [
                                stmt("Call", func="g0.data.a.x", args=[INPUT, DATA], result=2),
                                stmt("MakeObject", target=3),
                                stmt(
                                    "ObjectInsert", key=strings("result"), value=local(2), object=3
                                ),
                                stmt("ResultSetAdd", value=3),
                            ]
                        }
                    ],
                }
            ]
        },
        "funcs": {"funcs": [rule, *functions]},
    }
    return Program.from_plan(document, limits=limits, data=data, checked=False, compiled=False)


def value_of(*statements, input=UNDEFINED, strings=None):
    return program(strings or Strings(), statements).evaluate("a/x", input)


def body(*statements):
    return {"stmts": list(statements)}


def block(*bodies):
    return stmt("Block", blocks=list(bodies))


DONE = stmt("MakeNumberInt", value=1, target=2)
FAIL = stmt("Break", index=0)


def test_an_undefined_statement_leaves_its_block_and_the_next_one_runs():
    assert value_of(block(body(FAIL, DONE), body())) is UNDEFINED
    assert value_of(block(body(FAIL), body(DONE))) == 1


@pytest.mark.parametrize(("index", "value"), [(0, 1), (1, UNDEFINED)])
def test_a_break_leaves_one_block_more_than_its_number(index, value):
    leave = stmt("Break", index=index)
    assert value_of(block(body(leave)), DONE) == value


def test_not_turns_the_end_and_break_0_about_and_passes_other_breaks_on():
    assert value_of(stmt("Not", block=body()), DONE) is UNDEFINED
    assert value_of(stmt("Not", block=body(FAIL)), DONE) == 1
    leave = stmt("Break", index=1)
    assert value_of(block(body(stmt("Not", block=body(leave)), DONE))) is UNDEFINED


def test_continue_in_a_scan_goes_on_with_the_next_item():
    strings = Strings()
    three = [
        stmt("MakeArray", target=2, capacity=0),
        stmt(
            "Scan",
            source=0,
            key=5,
            value=6,
            block=body(
                block(body(stmt("Equal", a=local(6), b=strings("skip")), stmt("Break", index=1))),
                stmt("ArrayAppend", array=2, value=local(6)),
            ),
        ),
    ]
    found = program(strings, three).evaluate("a/x", ["a", "skip", "b"])
    assert found == ["a", "b"]


@pytest.mark.parametrize("scalar", [None, True, 0, "text", UNDEFINED])
def test_a_scan_of_no_collection_is_undefined_and_of_an_empty_one_is_not(scalar):
    scan = stmt("Scan", source=0, key=5, value=6, block=body())
    assert value_of(scan, DONE, input=scalar) is UNDEFINED
    empties: list[object] = [[], {}, RegoSet()]
    for empty in empties:
        assert value_of(scan, DONE, input=empty) == 1


def test_objects_and_sets_are_scanned_in_order():
    keys = [
        stmt("MakeArray", target=2, capacity=0),
        stmt(
            "Scan",
            source=0,
            key=5,
            value=6,
            block=body(stmt("ArrayAppend", array=2, value=local(5))),
        ),
    ]
    assert value_of(*keys, input={"b": 1, "a": 2, "é": 3}) == ["a", "b", "é"]
    assert value_of(*keys, input=RegoSet(["b", 3, "a"])) == [3, "a", "b"]


@pytest.mark.parametrize(
    ("source", "key", "value"),
    [
        ({"a": 1}, "a", 1),
        ({"a": 1}, "b", UNDEFINED),
        (["x", "y"], 1, "y"),
        (["x"], Decimal("0.0"), "x"),
        (["x"], Decimal("0.5"), UNDEFINED),
        (["x"], -1, UNDEFINED),
        (["x", "y"], True, UNDEFINED),
        (["x"], False, UNDEFINED),
        (["x"], 10**30, UNDEFINED),
        (["x"], "0", UNDEFINED),
        (RegoSet([1]), 1, 1),
        (RegoSet([1]), True, UNDEFINED),
        ("text", 0, UNDEFINED),
        (None, "a", UNDEFINED),
        (5, 0, UNDEFINED),
    ],
)
def test_dot(source, key, value):
    found = dot(source, key)
    assert found is value if value is UNDEFINED else equal(found, value)


def test_assigning_once_is_a_conflict_only_with_a_different_value():
    strings = Strings()
    twice = [stmt("AssignVarOnce", source=strings(t), target=2) for t in ("a", "a", "b")]
    assert value_of(*twice[:2], strings=strings) == "a"
    with pytest.raises(EvaluationError, match=r"a\.rego:1: eval_conflict_error"):
        value_of(*twice, strings=strings)


def test_a_key_inserted_once_is_a_conflict_only_with_a_different_value():
    strings = Strings()
    insert = [
        stmt("ObjectInsertOnce", key=strings("k"), value=strings(t), object=2)
        for t in ("a", "a", "b")
    ]
    made = stmt("MakeObject", target=2)
    assert value_of(made, *insert[:2], strings=strings) == {"k": "a"}
    with pytest.raises(EvaluationError, match="eval_conflict_error"):
        value_of(made, *insert, strings=strings)


def test_true_and_1_are_different_keys_and_values():
    insert = [
        stmt("MakeSet", target=2),
        stmt("SetAdd", value={"type": "bool", "value": True}, set=2),
        stmt("MakeNumberInt", value=1, target=5),
        stmt("SetAdd", value=local(5), set=2),
    ]
    assert len(value_of(*insert)) == 2
    once = [
        stmt("AssignVarOnce", source={"type": "bool", "value": True}, target=2),
        stmt("MakeNumberInt", value=1, target=5),
        stmt("AssignVarOnce", source=local(5), target=2),
    ]
    with pytest.raises(EvaluationError, match="eval_conflict_error"):
        value_of(*once)


def merge_program():
    strings = Strings()
    merge = [
        stmt("Dot", source=local(0), key=strings("a"), target=5),
        stmt("Dot", source=local(0), key=strings("b"), target=6),
        stmt("ObjectMerge", a=5, b=6, target=2),
    ]
    return program(strings, merge)


def test_in_a_merge_the_first_wins_at_every_depth():
    first = {"x": 1, "d": {"e": 1, "f": [1]}}
    second = {"x": 2, "y": 3, "d": {"e": 2, "g": 4}}
    merged = merge_program().evaluate("a/x", {"a": first, "b": second})
    assert merged == {"x": 1, "y": 3, "d": {"e": 1, "f": [1], "g": 4}}


def with_program(path, *, target=0):
    strings = Strings()
    places = [strings(name)["value"] for name in path]
    return program(
        strings,
        [
            stmt("MakeArray", target=2, capacity=0),
            stmt(
                "With",
                local=target,
                path=places,
                value=strings("new"),
                block=body(stmt("ArrayAppend", array=2, value=local(target))),
            ),
            stmt("ArrayAppend", array=2, value=local(target)),
        ],
        data={"a": {"b": 1, "c": 2}},
    )


def test_with_replaces_for_its_body_and_is_undone_after_it():
    document = {"a": {"b": 1, "c": 2}}
    before = copy.deepcopy(document)
    inside, after = with_program(["a", "b"]).evaluate("a/x", document)
    assert inside == {"a": {"b": "new", "c": 2}}
    assert after == document == before
    assert with_program(["a", "b"], target=1).evaluate("a/x") == [inside, after]


def test_with_makes_objects_on_its_way():
    assert with_program(["a", "b"]).evaluate("a/x", {"a": 5})[0] == {"a": {"b": "new"}}
    assert with_program(["a", "b"]).evaluate("a/x", None)[0] == {"a": {"b": "new"}}
    assert with_program([]).evaluate("a/x", 1) == ["new", 1]


def test_a_rule_is_worked_out_anew_under_with():
    program = Program.from_modules(
        {
            "a.rego": "package a\n\nimport rego.v1\n\n"
            "one := input.n\n\nx := [one, two, one] if {\n\ttwo := one with input.n as 2\n}\n"
        },
        ["a/x"],
    )
    assert program.evaluate("a/x", {"n": 1}) == [1, 2, 1]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


def spoil(value):
    """Change every collection in `value`, in place."""
    if type(value) is list:
        for item in value:
            spoil(item)
        value.append("spoilt")
    elif type(value) is dict:
        for item in value.values():
            spoil(item)
        value["spoilt"] = 1
    elif type(value) is RegoSet:
        value.add("spoilt")


SHARING = """package a

import rego.v1

constant := {"list": [1, {"k": "v"}], "set": {1, 2}}

x := {"input": input, "data": data.base, "constant": constant, "twice": [constant, constant]}
"""


@pytest.fixture(scope="module")
def sharing():
    return Program.from_modules(
        {"a.rego": SHARING}, ["a/x"], data={"base": {"k": [1]}}, compiled=False
    )


@given(document=json_values)
def test_a_result_shares_nothing_with_input_data_constants_or_the_next_result(sharing, document):
    given_before = copy.deepcopy(document)
    first = sharing.evaluate("a/x", document)
    expected = copy.deepcopy(first)
    spoil(first)
    assert document == given_before
    assert equal(from_json(sharing.data), {"base": {"k": [1]}})
    assert equal(sharing.evaluate("a/x", document), expected)


def test_a_found_object_that_is_added_to_is_copied_first():
    strings = Strings()
    take = [
        stmt("Dot", source=local(1), key=strings("o"), target=5),
        stmt("ObjectInsert", key=strings("new"), value=strings("v"), object=5),
        stmt("AssignVar", source=local(5), target=2),
    ]
    data = {"o": {"k": 1}}
    made = program(strings, take, data=data)
    assert made.evaluate("a/x") == {"k": 1, "new": "v"}
    assert made.data == {"o": {"k": 1}}


def endless(strings):
    return {
        "name": "g0.data.a.f",
        "path": ["g0", "a", "f"],
        "params": [0, 1, 2],
        "return": 3,
        "blocks": [
            body(
                stmt("Call", func="g0.data.a.f", args=[INPUT, DATA, local(2)], result=3),
                stmt("ReturnLocal", source=3),
            )
        ],
    }


@pytest.mark.parametrize("depth", [50, 1_000_000])
def test_endless_recursion_is_an_error(depth):
    strings = Strings()
    call = stmt("Call", func="g0.data.a.f", args=[INPUT, DATA, INPUT], result=2)
    looped = program(strings, [call], functions=[endless(strings)], limits=Limits(depth=depth))
    with pytest.raises(EvaluationError, match="eval_limit_error"):
        looped.evaluate("a/x")


def test_too_many_steps_are_an_error_also_under_not():
    scan = stmt("Scan", source=0, key=5, value=6, block=body())
    small = program(Strings(), [stmt("Not", block=body(scan, FAIL)), DONE], limits=Limits(steps=50))
    assert small.evaluate("a/x", [1] * 40) == 1
    with pytest.raises(EvaluationError, match="eval_limit_error: more than 50 steps"):
        small.evaluate("a/x", [1] * 60)


def test_a_deep_input_is_an_error_or_a_result_never_a_crash():
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EvaluationError, match="input"):
        program(Strings(), [stmt("AssignVar", source=INPUT, target=2)]).evaluate("a/x", deep)


DIVISION = "package a\n\nimport rego.v1\n\nx := 1 / input.n\n\ny if not x\n"


@pytest.fixture(scope="module")
def division():
    return Program.from_modules({"a.rego": DIVISION}, ["a/x", "a/y"], compiled=False)


def test_a_builtins_error_is_undefined_unless_strict(division):
    assert division.evaluate("a/x", {"n": 2}) == Decimal("0.5")
    assert division.evaluate("a/x", {"n": 0}) is UNDEFINED
    assert division.evaluate("a/y", {"n": 0}) is True
    for entrypoint in ("a/x", "a/y"):
        with pytest.raises(EvaluationError, match=r"a\.rego:5: eval_builtin_error") as caught:
            division.evaluate(entrypoint, {"n": 0}, strict_builtin_errors=True)
        assert (caught.value.file, caught.value.row) == ("a.rego", 5)


def test_an_undefined_argument_of_a_builtin_is_no_error(division):
    assert division.evaluate("a/x", {}, strict_builtin_errors=True) is UNDEFINED


REFERENCES = {
    "a.rego": "package a\n\nimport rego.v1\n\n"
    "x := data.b[input.name]\n\n"
    "lacking if not data.b[input.name]\n\n"
    "deep := data.b[input.name][input.key]\n",
    "b.rego": 'package b\n\nimport rego.v1\n\nrule := {"k": 1}\n\nno if input.never\n',
    "c.rego": "package b.c\n\nimport rego.v1\n\ninner := 2\n\nno if input.never\n",
}


@pytest.fixture(scope="module")
def references():
    data = {"b": {"base": 7, "c": {"beside": 3}}}
    return Program.from_modules(
        REFERENCES, ["a/x", "a/lacking", "a/deep"], data=data, compiled=False
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rule", {"k": 1}),
        ("base", 7),
        ("c", {"inner": 2, "beside": 3}),
        ("no", UNDEFINED),
        ("missing", UNDEFINED),
        (None, UNDEFINED),
        (1, UNDEFINED),
    ],
)
def test_a_reference_by_a_value_finds_rules_packages_and_base_data(references, name, value):
    assert references.evaluate("a/x", {"name": name}) == value
    lacking = UNDEFINED if value is not UNDEFINED else True
    assert references.evaluate("a/lacking", {"name": name}) is lacking


def test_a_reference_goes_on_into_what_it_finds(references):
    assert references.evaluate("a/deep", {"name": "rule", "key": "k"}) == 1
    assert references.evaluate("a/deep", {"name": "c", "key": "inner"}) == 2
    assert references.evaluate("a/deep", {"name": "base", "key": "k"}) is UNDEFINED


COUNTS = "package a\n\nimport rego.v1\n\nx := count(input)\n\ny if not count(input) == 1\n"


@pytest.fixture(scope="module")
def counts():
    plan = plan_modules({"a.rego": COUNTS}, ["a/x", "a/y"])
    return decode(plan.document, planner=plan.planner)


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (RecursionError("deep"), "eval_limit_error"),
        (MemoryError(), "eval_limit_error"),
        (AttributeError("no such thing"), "eval_internal_error"),
        (KeyError("k"), "eval_internal_error"),
        (AssertionError(), "eval_internal_error"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("entrypoint", ["a/x", "a/y"])
def test_a_fault_inside_a_builtin_is_an_error_in_both_modes_also_under_not(
    counts, failure, code, strict, entrypoint
):
    @builtin("count", arity=1)
    def count(_):
        raise failure

    interpreter = Interpreter(counts, {**BUILTINS, "count": count}, Limits())
    plan = counts.plans[entrypoint]
    with pytest.raises(EvaluationError, match=r"a\.rego:\d+: .*`count`") as caught:
        interpreter.run(plan, [], {}, EvaluationContext(), strict_builtin_errors=strict)
    assert caught.value.code == code


@pytest.mark.parametrize("failure", [MemoryError(), RecursionError(), TypeError("odd")])
def test_a_fault_anywhere_in_an_evaluation_is_an_error(failure):
    class Failing:
        def __iter__(self):
            raise failure

    evaluation = Evaluation(EvaluationContext(), Limits())
    plan = Routine((), ir.NOWHERE, is_rule=False)
    plan.rest = Failing()  # type: ignore[assignment]  # what is wrong is what is tested
    with pytest.raises(EvaluationError, match=r"eval_(limit|internal)_error"):
        evaluation.run(plan, None, {})


def chain(length, limits=None):
    """A program whose rule `r0` needs `length` others, one within the other."""
    rules = [f"r{number} if not not_r{number}\n" for number in range(length)]
    rules += [f"not_r{number} if not r{number + 1}\n" for number in range(length)]
    source = "\n".join(["package a\n\nimport rego.v1\n", *rules, f"r{length} if input.x\n"])
    return Program.from_modules({"a.rego": source}, ["a/r0"], limits=limits)


def test_a_chain_of_rules_is_as_long_as_the_limit_says():
    assert chain(97).evaluate("a/r0", {"x": 1}) is True
    with pytest.raises(EvaluationError, match="more than 200 calls within one another"):
        chain(105).evaluate("a/r0", {"x": 1})


def test_a_chain_that_ends_at_pythons_stack_names_that_limit():
    frames = sys.getrecursionlimit()
    with pytest.raises(EvaluationError, match=f"eval_limit_error.*Python's stack.*{frames}"):
        chain(frames // 3, Limits(depth=10**9)).evaluate("a/r0", {"x": 1})
