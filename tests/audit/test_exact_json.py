"""Text for records is one line of printable ASCII, exact, and never fails because of a value."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.audit.exact_json import exact_json

# With lone surrogates: whatever a program may have in a string.
TEXTS = st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        TEXTS,
        st.integers(-(10**30), 10**30),
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def read_back(text):
    return json.loads(text, parse_float=Decimal)


@given(VALUES)
def test_reading_gives_back_every_value(value):
    assert read_back(exact_json(value)) == value


@given(VALUES)
def test_it_is_one_line_of_printable_ascii(value):
    text = exact_json(value)
    assert text.isascii()
    assert text.isprintable()


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_value(number):
    assert json.loads(exact_json(number)) == number


def test_a_decimal_keeps_all_its_digits():
    assert exact_json(Decimal("0.1000000000000000000000000001")) == "0.1000000000000000000000000001"


class Hostile(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError

    def __repr__(self):
        raise RuntimeError


class Silent:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, '{"$unrecordable":"float"}'),
        (math.inf, '{"$unrecordable":"float"}'),
        (Decimal("NaN"), '{"$unrecordable":"Decimal"}'),
        (Decimal("1e999999"), '{"$unrecordable":"Decimal"}'),
        (10**5000, '{"$unrecordable":"int"}'),
        (Silent(), '{"$unrecordable":"Silent"}'),
        (b"x", '{"$unrecordable":"bytes"}'),
        ({1, 2}, '{"$unrecordable":"set"}'),
        ({1: 2}, '{"$unrecordable":"mapping with a key that is no text"}'),
        (Hostile("a\nb"), '"a\\nb"'),
        ({Hostile("k"): [Hostile("v")]}, '{"k":["v"]}'),
        ((1, "two"), '[1,"two"]'),
    ],
    ids=lambda value: type(value).__name__,  # pytest would ask the values for their own text
)
def test_what_json_cannot_hold_is_named_and_not_asked(value, written):
    assert exact_json(value) == written


def test_a_value_that_holds_itself_is_cut():
    loop: list[object] = []
    loop.append(loop)
    assert '"$unrecordable":"list"' in exact_json(loop)
