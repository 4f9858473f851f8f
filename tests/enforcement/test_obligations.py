"""Obligations: transforms and redactions go exactly where they point, or refuse."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.audit.redaction import REDACTED, hide
from guardrails.enforcement.obligations import (
    InapplicableObligation,
    apply_transforms,
    check,
    labels,
)
from guardrails.model.decision import Obligation

DOCUMENT = {
    "amount": 5000,
    "to": {"iban": "DE89", "a/b": {"~": 1}, "": "empty"},
    "items": [{"price": 1}, {"price": 2}],
}


def transform(path, value=1):
    return Obligation("transform", path, value)


def put(path, value=1):
    return apply_transforms(DOCUMENT, [transform(path, value)])


def test_a_transform_gives_the_whole_new_value_of_its_parameter():
    before = copy.deepcopy(DOCUMENT)
    assert put("/args/amount", Decimal("1.5")) == {"amount": Decimal("1.5")}
    assert put("/args/items/1/price", 9) == {"items": [{"price": 1}, {"price": 9}]}
    assert put("/args/to/a~1b/~0", None)["to"]["a/b"] == {"~": None}
    assert put("/args/to/", "x")["to"][""] == "x"
    both = [transform("/args/items/0/price", 7), transform("/args/items/1", [])]
    assert apply_transforms(DOCUMENT, both) == {"items": [{"price": 7}, []]}
    assert before == DOCUMENT


def test_a_transform_shares_nothing():
    value = {"list": [1]}
    made = put("/args/to/iban", value)
    made["to"]["iban"]["list"].append(2)
    made["to"]["a/b"]["~"] = 2
    assert value == {"list": [1]}
    assert DOCUMENT["to"] == {"iban": "DE89", "a/b": {"~": 1}, "": "empty"}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/args",
        "args/amount",
        "/argsx/amount",
        "/Args/amount",
        "/run/id",
        "/args/unknown",
        "/args/",
        "/args/amount/0",
        "/args/items/2",
        "/args/items/-",
        "/args/items/01",
        "/args/items/-1",
        "/args/items/1.0",
        "/args/items/\u0661",
        "/args/items/99999999999999999999",
        "/args/to/a~2b",
        "/args/to/a/b",
        "/args/to/iban/0",
        "/args/to/~",
    ],
)
@pytest.mark.parametrize("kind", ["transform", "redact"])
def test_a_path_that_leads_nowhere_refuses(path, kind):
    with pytest.raises(InapplicableObligation):
        check([Obligation(kind, path, 1)], DOCUMENT)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("/args/to", "/args/to/iban"),
        ("/args/to/iban", "/args/to"),
        ("/args/amount", "/args/amount"),
        ("/args/to/", "/args/to"),
    ],
)
def test_transforms_that_touch_each_other_refuse(one, two):
    with pytest.raises(InapplicableObligation, match="two transforms"):
        apply_transforms(DOCUMENT, [transform(one), transform(two)])


def test_names_that_only_begin_alike_do_not_touch():
    document = {"to": 1, "total": 2}
    changes = apply_transforms(document, [transform("/args/to", 3), transform("/args/total", 4)])
    assert changes == {"to": 3, "total": 4}


@pytest.mark.parametrize(
    "value", [1.5, (1,), {1: 2}, object(), float("nan"), Decimal("NaN"), "\ud800"]
)
def test_a_transform_to_what_is_no_json_refuses(value):
    with pytest.raises(InapplicableObligation):
        put("/args/amount", value)


@pytest.mark.parametrize("kind", ["", "explode", "Redact"])
def test_an_unknown_obligation_refuses(kind):
    with pytest.raises(InapplicableObligation, match="unknown"):
        apply_transforms(DOCUMENT, [Obligation(kind, "/args/amount")])


def test_redaction_hides_in_a_copy():
    before = copy.deepcopy(DOCUMENT)
    hidden = hide(
        DOCUMENT, [Obligation("redact", "/args/to/iban"), Obligation("redact", "/args/items/0")]
    )
    assert hidden["to"]["iban"] == REDACTED
    assert hidden["items"] == [REDACTED, {"price": 2}]
    assert hidden["amount"] == 5000
    assert before == DOCUMENT


def test_redactions_inside_one_another_hide_the_outer_one():
    duties = [Obligation("redact", "/args/to/iban"), Obligation("redact", "/args/to")]
    for order in (duties, duties[::-1]):
        assert hide(DOCUMENT, order)["to"] == REDACTED


def test_a_redaction_that_cannot_be_followed_hides_everything():
    assert hide(DOCUMENT, [Obligation("redact", "args.to")]) == dict.fromkeys(DOCUMENT, REDACTED)


def test_redaction_of_what_is_not_there_hides_nothing_else():
    assert hide(DOCUMENT, [Obligation("redact", "/args/card")]) == DOCUMENT


def test_labels_are_listed_once_each():
    duties = [
        Obligation("label", "pii"),
        Obligation("redact", "/args/to"),
        Obligation("label", "pii"),
        Obligation("label", "a"),
    ]
    assert labels(duties) == ("pii", "a")
    check(duties, DOCUMENT)


paths = st.lists(st.text("a/~0", max_size=3), min_size=1, max_size=3)


def pointer(steps):
    return "/args/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)


def nested(steps, value):
    for step in reversed(steps):
        value = {step: value}
    return value


@given(paths)
def test_every_key_can_be_pointed_at(steps):
    document = nested(steps, "secret")
    assert hide(document, [Obligation("redact", pointer(steps))]) == nested(steps, REDACTED)
    changes = apply_transforms(document, [transform(pointer(steps), 5)])
    assert changes == nested(steps, 5)
