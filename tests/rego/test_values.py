"""Laws of Rego values: keys, order, equality and JSON form agree with one another and with OPA."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.rego.numerals import parse_number
from guardrails.rego.values import (
    UNDEFINED,
    RegoSet,
    Undefined,
    compare,
    dumps,
    equal,
    from_json,
    from_key,
    sorted_keys,
    sorted_values,
    to_json,
    to_key,
    type_name,
)

decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000)
numbers = st.integers(-3, 3) | decimals | st.sampled_from([Decimal("1.0"), Decimal("-0.0")])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
scalars = st.none() | st.booleans() | numbers | texts


def _object(pairs):
    return {to_key(key): value for key, value in pairs}


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(inner, inner), max_size=3).map(_object)
        | st.lists(inner, max_size=3).map(RegoSet)
    ),
    max_leaves=8,
)

SAMPLE = [
    None,
    False,
    True,
    -1,
    0,
    Decimal("0.5"),
    1,
    "",
    "a",
    "ä",
    "€",
    "\U0001f600",
    [],
    [0],
    [1],
    [1, 0],
    {},
    {"a": 1},
    {"a": 2},
    {"b": 0},
    RegoSet(),
    RegoSet([1]),
    RegoSet([1, 2]),
    RegoSet([2]),
]


@given(values)
def test_a_key_stands_for_its_value(value):
    back = from_key(to_key(value))
    assert equal(back, value)
    assert type_name(back) == type_name(value)
    assert to_key(back) == to_key(value)


@given(values, values)
def test_equality_keys_and_order_agree(one, two):
    same = equal(one, two)
    assert same == (compare(one, two) == 0)
    assert same == (to_key(one) == to_key(two))
    assert compare(one, two) == -compare(two, one)
    if same:
        assert hash(to_key(one)) == hash(to_key(two))


@given(values, values, values)
def test_the_order_is_transitive(one, two, three):
    low, middle, high = sorted([one, two, three], key=functools.cmp_to_key(compare))
    assert compare(low, middle) <= 0
    assert compare(middle, high) <= 0
    assert compare(low, high) <= 0


@given(st.lists(values, max_size=6))
def test_sorting_is_by_the_order(items):
    ordered = sorted_values(items)
    assert len(ordered) == len(items)
    assert all(compare(one, two) <= 0 for one, two in itertools.pairwise(ordered))


def test_the_order_is_that_of_opa():
    assert sorted_values(reversed(SAMPLE)) == SAMPLE
    for place, value in enumerate(SAMPLE):
        for later in SAMPLE[place + 1 :]:
            assert compare(value, later) == -1
            assert not equal(value, later)


@pytest.mark.parametrize(
    ("boolean", "number"),
    [(True, 1), (True, Decimal("1.0")), (False, 0), (False, Decimal(0))],
)
def test_a_boolean_is_never_a_number(boolean, number):
    assert not equal(boolean, number)
    assert not equal([boolean], [number])
    assert not equal({"k": boolean}, {"k": number})
    assert len(RegoSet([boolean, number])) == 2
    assert number not in RegoSet([boolean])
    assert len(_object([(boolean, 1), (number, 2)])) == 2
    assert len(RegoSet([[boolean], [number]])) == 2


def test_equal_numbers_are_one_key():
    assert len(RegoSet([1, Decimal("1.0"), Decimal(1)])) == 1
    assert Decimal("1.00") in RegoSet([1])
    assert equal({"k": [1]}, {"k": [Decimal("1.0")]})


@given(values)
def test_json_text_reads_back_as_the_json_form(value):
    read = from_json(json.loads(dumps(value), parse_float=Decimal))
    assert equal(read, from_json(to_json(value)))


@given(values)
def test_json_form_shares_nothing_and_has_only_json_types(value):
    form = to_json(value)
    json.dumps(form, default=float)
    if isinstance(form, list | dict):
        assert form is not value


def test_a_key_that_is_no_string_becomes_its_json_text():
    assert to_json(_object([(1, "a"), (True, "b"), ([1], "c")])) == {
        "1": "a",
        "true": "b",
        "[1]": "c",
    }


def test_a_set_becomes_a_sorted_array():
    assert to_json(RegoSet(["b", 2, "a", None])) == [None, 2, "a", "b"]
    assert list(RegoSet([3, 1, 2])) == [1, 2, 3]


def test_objects_are_scanned_in_the_order_of_their_keys():
    mixed = _object([("b", 1), (2, 1), (True, 1), ([], 1), ("a", 1), (None, 1)])
    assert [from_key(key) for key in sorted_keys(mixed)] == [None, True, 2, "a", "b", []]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_what_is_no_json_number_is_refused(bad):
    with pytest.raises(ValueError, match="no JSON form"):
        from_json({"a": [bad]})


@pytest.mark.parametrize("bad", [object(), b"x", {1: 2}, {True: 1}, {("a",): 1}, {1, 2}, 1j])
def test_what_has_no_json_form_is_refused(bad):
    with pytest.raises(TypeError, match="no JSON form"):
        from_json([bad])


class _Text(str):
    __slots__ = ()


class _Number(int):
    pass


@pytest.mark.parametrize("bad", [_Text("x"), _Number(1), type("D", (dict,), {})()])
def test_subclasses_are_refused_since_they_may_lie(bad):
    with pytest.raises(TypeError):
        from_json(bad)
    with pytest.raises(TypeError):
        to_key(bad)


def test_a_float_becomes_the_decimal_that_it_shows():
    assert equal(from_json(0.1), Decimal("0.1"))
    assert from_json(1e300) == Decimal("1e300")


@given(st.integers() | st.integers().map(lambda n: Decimal(n).scaleb(-2)))
def test_a_written_number_reads_back(number):
    assert parse_number(dumps(number)) == number


@pytest.mark.parametrize(
    "text",
    ["", "01", "1.", ".5", "+1", "0x1", "1_0", "NaN", "Infinity", "1e", "\u0661", "1\n", " 1"],
)
def test_what_json_does_not_write_is_no_number(text):
    with pytest.raises(ValueError, match="no number"):
        parse_number(text)


@pytest.mark.parametrize("text", ["1e999999", "1e-999999", "9" * 5000])
def test_a_number_too_large_to_work_with_is_refused(text):
    with pytest.raises(ValueError, match="too large"):
        parse_number(text)


def test_undefined_is_one_and_is_neither_true_nor_false():
    assert Undefined() is UNDEFINED
    assert copy.deepcopy(UNDEFINED) is UNDEFINED
    assert pickle.loads(pickle.dumps(UNDEFINED)) is UNDEFINED  # noqa: S301  # made one line before
    with pytest.raises(TypeError, match="is UNDEFINED"):
        bool(UNDEFINED)
