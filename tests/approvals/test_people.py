"""One person counts once, however the name is spelt; look-alikes are refused."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.people import identity, person, same_person


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dana@acme.example", "DANA@Acme.Example"),
        ("dana@acme.example", "\uff44\uff41\uff4e\uff41@acme.example"),
        ("ﬁona", "fiona"),
        ("jos\u00e9", "jose\u0301"),
        ("STRASSE", "straße"),
        ("ana\u212a", "anak"),
        ("dana①", "dana1"),
        ("d\u0131ll", "dill"),
        ("İlker", "i\u0307lker"),
        ("Dana  Ruiz", "dana ruiz"),
    ],
)
def test_spellings_of_one_name_are_one_person(one, other):
    assert identity(one) == identity(other)
    assert same_person(one, other)


@pytest.mark.parametrize(
    "tagged", ["dana+2@acme.example", "DANA+x+y@Acme.example", "dana\uff0b2@acme.example"]
)
def test_an_address_with_a_tag_is_its_owner_s_where_people_are_told_apart(tagged):
    """And nowhere else: it may be another's mailbox, who has no right by that."""
    assert person(tagged) == person("dana@acme.example") == "dana@acme.example"
    assert same_person(tagged, "dana@acme.example")
    assert identity(tagged) != identity("dana@acme.example")
    assert Approvers([Approver("dana@acme.example", frozenset({"fin"}))]).find(tagged) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dana@acme.example", "dana@acme+2.example"),
        ("dana+2", "dana"),
        ("+1@acme.example", "+2@acme.example"),
    ],
)
def test_what_is_no_tag_of_an_address_tells_people_apart(one, other):
    assert not same_person(one, other)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " dana",
        "dana ",
        "dana\u200b",
        "da\u00adna",
        "dana\u202e",
        "dana\n",
        "da\x00na",
        "dana\ufe0f",
        "dana\u3164",
        "dana\u034f",
        "d\u0430na@acme.example",
        "\u03bfwner",
        "\ud800",
        "x" * 321,
        "dana\ufeff",
        "dana\U000e0041",
        "d\u0251na",  # a phonetician's a
        "d\u1d00na",
        "\ua4d3ana",  # Lisu
        "dan\u13aa",  # Cherokee
        "\u10d3ana",  # Georgian among Latin
        "dana\u0966",  # a digit of Devanagari
        "dana\u2010ruiz",  # a hyphen that is none
        "o\u2019brien",
        "o\u02bcbrien",
        "dana\u1175",
    ],
    ids=ascii,
)
def test_names_that_could_pass_for_another_are_refused(name):
    with pytest.raises(ValueError):
        identity(name)


@pytest.mark.parametrize("name", [None, 5, b"dana", True])
def test_what_is_no_text_is_no_name(name):
    with pytest.raises(ValueError):
        identity(name)


def test_names_in_one_alphabet_are_names():
    for name in ("Дана", "dana.ruíz@acme.example", "山田太郎", "uid:1000", "o'brien", "Dana Ruiz"):
        assert identity(name)


def test_an_invisible_character_does_not_make_another_person():
    assert same_person("dana@acme.example", "da\u200bna@acme.example ")
    assert not same_person("dana", "dan")


@given(
    st.text(
        st.characters(max_codepoint=0x17F, categories=["L", "Nd"], exclude_characters="µĸŉĿŀ"),
        min_size=1,
        max_size=12,
    )
)
def test_an_identity_is_stable(name):
    folded = identity(name)
    assert identity(folded) == folded
    assert identity(unicodedata.normalize("NFD", name)) == folded
