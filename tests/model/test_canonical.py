"""Canonical JSON: equal documents are equal text, different ones never are."""

from __future__ import annotations

import json
from decimal import Decimal, localcontext
from enum import IntEnum, StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.model.canonical import NotExactJSON, call_key, canonical, digest, number_text

numbers = st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=6)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def same(one, other):
    """Equality of JSON values: booleans are no numbers, and numbers are equal by value."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


@given(documents, documents)
def test_digests_are_equal_exactly_where_values_are(one, other):
    assert (digest(one) == digest(other)) is same(one, other)


@given(documents)
def test_the_text_is_json_of_the_same_value(document):
    text = canonical(document).decode()
    assert same(json.loads(text, parse_float=Decimal), document)


@given(st.dictionaries(texts, st.integers()))
def test_keys_stand_in_the_order_of_their_utf16_code_units(document):
    names = list(json.loads(canonical(document)))
    assert names == sorted(names, key=lambda name: name.encode("utf-16-be"))


def test_the_example_of_rfc_8785_for_sorting():
    # RFC 8785, section 3.2.3
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical(dict.fromkeys(names)))) == ordered


def test_strings_are_escaped_as_rfc_8785_says():
    short = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    for code in range(0x20):
        character = chr(code)
        expected = short.get(character, f"\\u{code:04x}")
        assert canonical(character).decode() == f'"{expected}"'
    assert canonical('"\\/\x7f\u2028é').decode() == '"\\"\\\\/\x7f\u2028é"'


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-7, "-7"),
        (2**80, "1208925819614629174706176"),
        (Decimal("-0.0"), "0"),
        (Decimal("20.00"), "20"),
        (Decimal("2E+3"), "2000"),
        (Decimal("0.10"), "0.1"),
        (Decimal("-12.0340"), "-12.034"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("123456789012345678901234567890.1"), "123456789012345678901234567890.1"),
    ],
)
def test_numbers_keep_their_exact_value_in_plain_notation(number, text):
    assert number_text(number) == text
    with localcontext(prec=3):
        assert number_text(number) == text


class _Number(IntEnum):
    ONE = 1


class _Word(StrEnum):
    ONE = "one"


@pytest.mark.parametrize(
    "document",
    [
        1.5,
        (1,),
        {1: 2},
        {True: 1},
        {_Word.ONE: 1},
        _Number.ONE,
        [_Word.ONE],
        b"x",
        object(),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1E+999999"),
        Decimal("1E-999999"),
        10**5000,
        "\ud800",
        {"\udfff": 1},
    ],
    ids=lambda document: str(type(document)),
)
def test_what_is_no_exact_json_is_refused(document):
    with pytest.raises(NotExactJSON):
        canonical(document)


def test_a_cycle_is_refused():
    cycle: list[object] = []
    cycle.append(cycle)
    with pytest.raises(NotExactJSON, match="deeper"):
        canonical(cycle)


@settings(max_examples=30)
@given(st.tuples(texts, st.dictionaries(texts, documents), texts, st.none() | texts, texts))
def test_a_call_key_changes_with_each_of_its_parts(parts):
    key = call_key(*parts)
    assert key.startswith("sha256:")
    assert len(key) == len("sha256:") + 64
    for index, part in enumerate(parts):
        changed = list(parts)
        changed[index] = {"other": part} if isinstance(part, dict) else f"{part}x"
        assert call_key(*changed) != key


def test_no_principal_is_not_the_principal_none():
    assert call_key("t", {}, "a", None, "r") != call_key("t", {}, "a", "null", "r")


def plainly(document):
    """The text by the general way: within a list nothing is looked at as a whole."""
    try:
        return canonical([document])[1:-1]
    except NotExactJSON as error:
        return str(error)


def at_once(document):
    try:
        return canonical(document)
    except NotExactJSON as error:
        return str(error)


characters = st.characters() | st.sampled_from(
    '"\\/\b\f\n\r\t\x00\x1f\x7f\x80\u2028\ud800\U0001f600'
)
simple = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**12_002), 2**12_002)
) | st.text(characters, max_size=8)
strange = st.sampled_from(
    [1.0, float("nan"), b"x", (), _Word.ONE, _Number.ONE, Decimal("1.50"), {}]
)
ascii_names = st.text(st.characters(max_codepoint=127), max_size=8)
anything = st.text(characters, max_size=4) | st.just(_Word.ONE) | st.just(1) | st.none()


@given(st.dictionaries(ascii_names | anything, simple | strange, max_size=6))
def test_a_few_simple_values_are_written_at_once_as_one_by_one(document):
    assert at_once(document) == plainly(document)


@pytest.mark.parametrize("bits", [62, 63, 64, 65, 9_965, 9_966, 11_999, 12_000, 12_001, 20_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_so_is_a_number_however_long(bits, sign):
    for number in (2**bits - 1, 2**bits, 2**bits + 1):
        assert at_once({"n": sign * number}) == plainly({"n": sign * number})


def test_so_are_many_of_them():
    assert at_once({"n": "x" * 5_000}) == plainly({"n": "x" * 5_000})
    many = {str(number): number for number in range(2_000)}
    assert at_once(many) == plainly(many)
