"""Exact JSON is read as it is written, or refused in words; never half, and never as a NaN."""

from __future__ import annotations

import decimal
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals.table import Listed
from guardrails.errors import StateUnavailable
from guardrails.model.approval import ApprovalState
from guardrails.model.canonical import canonical
from guardrails.model.exact_text import read_exact

BEYOND = ["1e9999999999999999999", "-1.5E-99999999999999999999", "0e99999999999999999999"]
FAR = ["1e99999", "1e-99999", "1E+999999999999999999"]

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner, max_size=3),
    max_leaves=8,
)


@given(documents)
def test_what_is_written_is_read(document) -> None:
    text = canonical(document)
    assert canonical(read_exact(text)) == canonical(read_exact(text.decode())) == text


@pytest.mark.parametrize("number", BEYOND + FAR)
@pytest.mark.parametrize("traps", [True, False])
def test_a_number_beyond_every_range_is_refused(number, traps) -> None:
    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = traps
        with pytest.raises(ValueError, match="out of range"):
            read_exact(f'{{"amount": [{number}]}}')


@given(st.integers(0, 5000), st.integers(-(10**22), 10**22))
def test_what_is_read_can_be_compared_and_is_near(digits, exponent) -> None:
    try:
        number = read_exact(f"{'7' * digits}1.5e{exponent}")
    except ValueError:
        assert abs(exponent) > 1000 or digits > 1000
        return
    assert math.isfinite(number.adjusted())
    assert number > 0


@pytest.mark.parametrize(
    "text", ["NaN", '{"a":1,"a":2}', "[" * 100_000, b"\xff", b"\xff\xfe1\x00", "", "9" * 5000]
)
def test_what_is_no_exact_json_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        read_exact(text)


@pytest.mark.parametrize("text", [f'{{"amount":{BEYOND[0]}}}', "[]", "{", "\ud800"])
def test_a_list_says_that_arguments_cannot_be_read(text) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    row = Listed("q1", ApprovalState.PENDING, "billing", "refund", "call", 1, raw, b"[]", b"[]")
    with pytest.raises(StateUnavailable, match="q1"):
        _ = row.args
