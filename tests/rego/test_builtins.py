"""Laws of the builtins that need no OPA: purity, bounds, one time per evaluation.

Every builtin is called with a few random arguments, and with many if ``GUARDRAILS_SOAK=1``.
"""

from __future__ import annotations

import copy
import os
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.rego.builtins import (
    BUILTINS,
    BuiltinError,
    BuiltinTypeError,
    EvaluationContext,
)
from guardrails.rego.builtins.templates import UnsupportedTemplate
from guardrails.rego.values import UNDEFINED, RegoSet, equal

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"

ARGUMENTS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-20, 20),
        st.sampled_from([Decimal("1.5"), Decimal("1e3")]),
        st.text("ab%{[.*/:\\1", max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(RegoSet),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    ),
    max_leaves=5,
)


def call(name, *args, context=None):
    entry = BUILTINS[name]
    given = (context or EvaluationContext(),) if entry.needs_context else ()
    return entry.call(*given, *args)


@pytest.mark.soak
@pytest.mark.parametrize("name", BUILTINS)
@settings(max_examples=200 if SOAK else 8, deadline=None)
@given(data=st.data())
def test_a_builtin_changes_no_argument_and_raises_nothing_but_its_own_error(name, data):
    args = [data.draw(ARGUMENTS) for _ in range(BUILTINS[name].arity)]
    before = copy.deepcopy(args)
    failure = ""
    try:
        call(name, *args)
    except BuiltinError as error:
        failure = str(error)
    except UnsupportedTemplate:
        assert name == "strings.render_template"
    assert not failure or failure.startswith(f"{name}: ")
    assert equal(args, before)


def test_the_table_cannot_be_changed():
    with pytest.raises(TypeError):
        BUILTINS["plus"] = BUILTINS["minus"]  # what is refused
    assert all(entry.name == name for name, entry in BUILTINS.items())


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("numbers.range", [0, 10**12]),
        ("numbers.range_step", [0, 10**12, 2]),
        ("bits.lsh", [1, 10**12]),
        ("mul", [10**4000, 10**4000]),
        ("product", [[10**4000, 10**4000]]),
        ("plus", [Decimal("1e1000000000"), 1]),
        ("plus", [Decimal("1e-1000000000"), Decimal("0.5")]),
        ("round", [Decimal("1e1000000000")]),
        ("to_number", ["1e1000000000"]),
        ("to_number", ["9" * 5000]),
        ("json.unmarshal", ["9" * 5000]),
        ("json.unmarshal", ["[" * 100_000]),
        ("json.unmarshal", ["NaN"]),
        ("json.unmarshal", ["[-Infinity]"]),
        ("yaml.unmarshal", ["[" * 3000]),
        ("yaml.unmarshal", ["a: .nan"]),
        (
            "yaml.unmarshal",
            [
                "a: &a [x, x]\n"
                + "".join(
                    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}]\n"
                    for old, new in zip("abcdefghijk", "bcdefghijkl", strict=True)
                )
            ],
        ),
        ("yaml.unmarshal", ["a: &a [*a]"]),
        ("units.parse_bytes", ["1e99999"]),
        ("replace", ["a" * 10_000, "a", "b" * 10_000]),
        ("strings.replace_n", [{"a": "b" * 10_000}, "a" * 10_000]),
        ("concat", ["x" * 10_000, ["a"] * 10_000]),
        ("sprintf", ["%999999d" * 50, [1] * 50]),
        ("regex.match", ["a" * 100_000, "a"]),
        ("regex.match", ["(a{1000}){1000}", "a"]),
        ("net.cidr_expand", ["10.0.0.0/8"]),
        ("net.cidr_expand", ["::/0"]),
        (
            "graph.reachable_paths",
            [{str(n): [str(m) for m in range(12)] for n in range(12)}, ["0"]],
        ),
        ("time.add_date", [0, 10**15, 0, 0]),
        ("time.add_date", [0, 0, 0, 2**62]),
        ("time.format", [[0, "../../etc/passwd"]]),
        ("time.format", [[0, "Local"]]),
    ],
)
def test_what_would_cost_too_much_or_means_nothing_is_an_error(name, args):
    with pytest.raises(BuiltinError):
        call(name, *args)


def test_a_catastrophic_pattern_is_matched_in_linear_time():
    assert call("regex.match", "^(a+)+$", "a" * 50_000 + "b") is False


def test_an_anchored_pattern_does_not_match_before_a_final_newline():
    assert call("regex.match", r"^[a-z]+@example\.com$", "a@example.com\n") is False


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_two_walks_over_the_same_document_are_equal_but_share_no_path(left, right):
    document = {"a": left, "b": right}
    first, second = call("walk", document), call("walk", document)
    assert equal(first, second)
    assert all(one[0] is not two[0] for one, two in zip(first, second, strict=True))


def test_walk_gives_every_value_with_its_path_parents_first():
    document = {"b": [1, RegoSet(["x"])], "a": None}
    assert call("walk", document) == [
        [[], document],
        [["a"], None],
        [["b"], document["b"]],
        [["b", 0], 1],
        [["b", 1], RegoSet(["x"])],
        [["b", 1, "x"], "x"],
    ]


def test_time_is_read_once_for_an_evaluation():
    ticks = iter(range(100, 200))
    context = EvaluationContext(lambda: next(ticks))
    assert call("time.now_ns", context=context) == 100
    assert call("time.now_ns", context=context) == 100


YEARS = st.sampled_from([0, 1, 1600, 1677, 1678, 1970, 2023, 2024, 2100, 2262, 9999])
INSTANTS = st.tuples(
    YEARS | st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
    *(st.integers(0, 24), st.integers(0, 60), st.integers(0, 60)),
).map(lambda parts: "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*parts))


@given(INSTANTS)
def test_whole_seconds_in_utc_are_read_as_by_their_layout(text):
    def read(name, *args):
        try:
            return call(name, *args)
        except BuiltinError:
            return UNDEFINED

    assert read("time.parse_rfc3339_ns", text) == read("time.parse_ns", "RFC3339", text)


def test_random_values_depend_on_their_name_and_on_the_given_source_only():
    one = EvaluationContext(random=random.Random(7))
    two = EvaluationContext(random=random.Random(7))
    for name in ("x", "y", "x"):
        assert call("rand.intn", name, 1000, context=one) == call(
            "rand.intn", name, 1000, context=two
        )
        assert call("uuid.rfc4122", name, context=one) == call("uuid.rfc4122", name, context=two)
    assert call("uuid.rfc4122", "x", context=one) == call("uuid.rfc4122", "x", context=one)
    assert call("uuid.rfc4122", "x", context=one) != call("uuid.rfc4122", "z", context=one)
    assert call("rand.intn", "x", 0, context=one) == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [("+1", 1), (".5", Decimal("0.5")), ("1.", 1), ("007", 7), ("-0", 0), ("1e3", 1000)],
)
def test_numerals_that_json_does_not_know_are_numbers(text, number):
    assert call("to_number", text) == number


@pytest.mark.parametrize("text", ["1_000", "0x10", "\u0661", "nan", "", "1e", "."])
def test_other_spellings_are_no_numbers(text):
    with pytest.raises(BuiltinError):
        call("to_number", text)


def test_json_numbers_keep_their_digits():
    assert call("json.marshal", call("json.unmarshal", "[5.0, 1.10]")) == "[5.0,1.10]"
    text = "123456789012345678901234567890.12345678901234567890"
    assert call("json.marshal", call("json.unmarshal", text)) == text


def test_an_error_names_the_builtin_and_the_operand():
    with pytest.raises(BuiltinTypeError) as caught:
        call("array.concat", [], 1)
    assert str(caught.value) == "array.concat: operand 2 must be array but got number"
    assert caught.value.code == "eval_type_error"


def test_nothing_is_the_largest_of_none():
    assert call("max", []) is UNDEFINED
    assert call("min", RegoSet()) is UNDEFINED


def test_the_environment_does_not_reach_a_policy():
    assert call("opa.runtime") == {}
