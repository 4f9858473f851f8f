"""Reading a decision is strict: whatever is not exactly one is refused."""

from __future__ import annotations

import copy
from collections import OrderedDict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import Reason
from guardrails.model.decision import (
    ApprovalDemand,
    Decision,
    Effect,
    MalformedDecision,
    Obligation,
)

DEMAND: dict[Any, Any] = {
    "rule": "money",
    "reason": "over 1000",
    "approvers": ["fin"],
    "quorum": 2,
    "expires_in": 60,
}
ALLOW: dict[Any, Any] = {
    "effect": "allow",
    "reasons": [{"rule": "access", "reason": "ok"}],
    "approvals": [],
    "obligations": [],
}
ASK = {**ALLOW, "effect": "require_approval", "approvals": [DEMAND]}
SHADOW = {**ALLOW, "effect": "shadow", "would": "allow"}


def test_each_effect_is_read():
    allow = Decision.from_document(ALLOW, revision="r", decision_id="d")
    assert allow == Decision(Effect.ALLOW, (Reason("access", "ok"),), revision="r", decision_id="d")
    ask = Decision.from_document(ASK)
    assert ask.approvals == (ApprovalDemand("money", "over 1000", ("fin",), 2, 60),)
    assert ask.rule_ids == ("access", "money")
    assert Decision.from_document(SHADOW).would is Effect.ALLOW
    assert Decision.from_document({**ALLOW, "effect": "deny"}).effect is Effect.DENY


@pytest.mark.parametrize(
    "document",
    [
        None,
        True,
        "allow",
        [],
        {},
        {"allow": True},
        {"allow": False},
        OrderedDict(ALLOW),
        {**ALLOW, "effect": "Allow"},
        {**ALLOW, "effect": True},
        {**ALLOW, "effect": None},
        {**ALLOW, "effect": Effect.ALLOW},
        {**ALLOW, "effect": "unknown"},
        {**ALLOW, "extra": 1},
        {**ALLOW, 1: 1},
        {**ALLOW, "reasons": {}},
        {**ALLOW, "reasons": None},
        {**ALLOW, "reasons": ["text"]},
        {**ALLOW, "reasons": [{"rule": "", "reason": "x"}]},
        {**ALLOW, "reasons": [{"rule": 1, "reason": "x"}]},
        {**ALLOW, "approvals": [DEMAND]},
        {**ASK, "approvals": []},
        {**ALLOW, "would": "allow"},
        {**SHADOW, "would": "deny"},
        {**SHADOW, "would": "shadow"},
        {**ALLOW, "effect": "shadow"},
        {**ALLOW, "obligations": [{"type": "explode", "path": "/args/a"}]},
        {**ALLOW, "obligations": [{"type": "transform", "path": "/args/a"}]},
        {**ALLOW, "obligations": [{"type": "redact", "path": "/args/a", "value": 1}]},
        {**ALLOW, "obligations": [{"type": "redact"}]},
        {**ALLOW, "obligations": ["redact"]},
    ],
    ids=lambda document: repr(document)[-60:],
)
def test_what_is_no_decision_is_refused(document):
    with pytest.raises(MalformedDecision):
        Decision.from_document(document)


@pytest.mark.parametrize("missing", ["effect", "reasons", "approvals", "obligations"])
def test_a_missing_field_is_refused(missing):
    document = copy.deepcopy(ALLOW)
    del document[missing]
    with pytest.raises(MalformedDecision, match=missing):
        Decision.from_document(document)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quorum": 0},
        {"quorum": -1},
        {"quorum": True},
        {"quorum": 1.0},
        {"quorum": Decimal("1.5")},
        {"quorum": 101},
        {"quorum": "1"},
        {"quorum": Decimal("NaN")},
        {"quorum": Decimal("Infinity")},
        {"quorum": Decimal("1E+999999")},
        {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": Decimal("NaN")},
        {"expires_in": Decimal("Infinity")},
        {"expires_in": Decimal("sNaN")},
        {"expires_in": 10**9},
        {"expires_in": True},
        {"expires_in": "4h"},
        {"approvers": []},
        {"approvers": "fin"},
        {"approvers": [""]},
        {"approvers": [1]},
        {"rule": ""},
    ],
    ids=repr,
)
def test_a_demand_that_cannot_be_met_is_refused(wrong):
    with pytest.raises(MalformedDecision):
        Decision.from_document({**ASK, "approvals": [{**DEMAND, **wrong}]})


def test_part_of_a_second_counts_as_the_whole_one():
    demand = {**DEMAND, "expires_in": Decimal("0.5"), "quorum": Decimal("2.0")}
    assert Decision.from_document({**ASK, "approvals": [demand]}).approvals[0].expires_in == 1


def test_long_reasons_are_capped():
    document = {**ALLOW, "reasons": [{"rule": "a", "reason": "x" * 10_000}]}
    assert len(Decision.from_document(document).reasons[0].reason) == 512


def test_obligations_are_read():
    obligations = [
        {"type": "redact", "path": "/args/card"},
        {"type": "label", "path": "pii"},
        {"type": "transform", "path": "/args/limit", "value": 5},
    ]
    assert Decision.from_document({**ALLOW, "obligations": obligations}).obligations == (
        Obligation("redact", "/args/card"),
        Obligation("label", "pii"),
        Obligation("transform", "/args/limit", 5),
    )


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from([ALLOW, ASK, SHADOW]), st.sampled_from(sorted(ALLOW)), junk)
def test_junk_in_any_field_is_refused_or_read_never_another_error(document, field, value):
    try:
        decision = Decision.from_document({**document, field: value})
    except MalformedDecision:
        return
    assert decision.effect in Effect
    assert (decision.effect is Effect.REQUIRE_APPROVAL) is bool(decision.approvals)
