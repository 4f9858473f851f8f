"""What an approver reads cannot act on the terminal or the page, and shows that it was cut."""

from __future__ import annotations

import unicodedata
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals.display import plain, render, short, value_text
from guardrails.model.canonical import digest


def test_a_call_reads_like_a_call():
    args = {
        "invoice": "INV-2077",
        "amount": Decimal("4180.50"),
        "to": None,
        "urgent": True,
        "lines": [1, {"a": "b"}],
    }
    assert render("pay", args) == (
        'pay(invoice="INV-2077", amount=4180.5, to=null, urgent=true, lines=[ 1, {"a": "b"} ])'
    )


@given(st.text(max_size=30))
def test_nothing_shown_can_act(text):
    shown = plain(text)
    assert not any(character in "[]<>&`" for character in shown)
    for character in shown:
        assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
        assert character == " " or not character.isspace()


@given(st.text(max_size=12), st.text(max_size=12))
def test_different_texts_are_shown_differently(one, other):
    assert (plain(one) == plain(other)) is (one == other)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J", "\\u001b\\u005b2J"),
        ("a\nb", "a\\u000ab"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("[bold]", "\\u005bbold\\u005d"),
        ("<script>", "\\u003cscript\\u003e"),
        ('"', '\\"'),
        ("\\", "\\\\"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("\u3164", "\\u3164"),
        ("\u2003", "\\u2003"),
        ("é", "é"),
        ("e\u0301\u0301\u0301", "e\u0301\u0301\\u0301"),
    ],
    ids=ascii,
)
def test_hostile_text_is_escaped(hostile, shown):
    assert plain(hostile) == shown


def test_the_same_escape_cannot_be_forged():
    assert plain("\\u202e") != plain("\u202e")


def test_hostile_names_are_escaped_too():
    assert "\x1b" not in render("pay\x1b[2J", {"a\x1b": {"b\x1b": ["\x1b"]}})


@given(st.text(min_size=200, max_size=400))
def test_a_long_value_is_cut_with_its_length_and_digest(text):
    shown = value_text(text, longest=50)
    assert len(shown) < 130
    assert short(digest(text)) in shown if text.isascii() else "characters" in shown
    assert "characters" in shown


def test_a_cut_leaves_no_half_escape():
    for longest in range(1, 40):
        head = value_text("\x1b" * 30, longest=longest).partition("…")[0]
        assert head.lstrip('"').replace("\\u001b", "") == ""


def test_short():
    assert short("sha256:" + "9c1e" * 16) == "sha256:9c1e9c1e…"
    assert short("sha256:" + "9c1e" * 16, digits=4) == "sha256:9c1e…"
