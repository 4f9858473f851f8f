"""Secrets: each known form is found wherever and however it stands, and plain texts are left."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.audit.secret_corpus import PLAIN, SECRETS

from guardrails.audit.secret_names import is_hidden_by_name, is_secret_name
from guardrails.audit.secrets import Detector

DETECTOR = Detector()


@pytest.mark.parametrize("name", SECRETS)
def test_every_known_form_is_found(name):
    assert DETECTOR.find(SECRETS[name])


@pytest.mark.parametrize("text", PLAIN)
def test_plain_texts_are_left_alone(text):
    assert not DETECTOR.find(text)


@given(
    st.sampled_from(sorted(SECRETS)),
    st.text(max_size=30),
    st.text(max_size=30),
    st.sampled_from(["plain", "base64", "urlsafe", "hex", "percent", "json", "twice"]),
)
def test_no_text_around_a_secret_hides_it(name, before, after, how):
    secret = SECRETS[name]
    within = f"{before} {secret} {after}".encode("utf-8", "surrogatepass")
    match how:
        case "base64":
            text = base64.b64encode(within).decode()
        case "urlsafe":
            text = base64.urlsafe_b64encode(within).decode()
        case "hex":
            text = within.hex()
        case "percent":
            text = quote(within, safe="")
        case "json":
            text = json.dumps(f"{before} {secret} {after}")
        case "twice":
            text = base64.b64encode(base64.b64encode(within)).decode()
        case _:
            text = f"{before} {secret} {after}"
    assert DETECTOR.find(text)


@given(st.text(max_size=200))
def test_spans_are_in_order_and_within_the_text(text):
    found = DETECTOR.find(f"{text} {SECRETS['github-token']} {text}")
    ends = [0]
    for each in found:
        assert ends[-1] <= each.start < each.end
        ends.append(each.end)
    assert ends[-1] <= len(f"{text} {SECRETS['github-token']} {text}".encode())


def test_the_time_grows_with_the_text_and_not_faster():
    hostile = [
        lambda n: "A" * n,
        lambda n: "-----BEGIN " * (n // 11),
        lambda n: "eyJ" + "a." * (n // 2),
        lambda n: "password" * (n // 8),
        lambda n: "%41" * (n // 3),
        lambda n: "\\u0041" * (n // 6),
        lambda n: "http://a:" * (n // 9),
    ]
    for make in hostile:
        taken = []
        for size in (20_000, 160_000):
            text = make(size)
            best = min(_timed(text) for _ in range(3))
            taken.append(best)
        assert taken[1] < taken[0] * 8 * 6 + 0.05, make(30)


def _timed(text: str) -> float:
    begin = time.thread_time()  # of this thread alone, whatever else the machine does
    DETECTOR.find(text)
    return time.thread_time() - begin


def test_cards_count_only_where_they_are_asked_for():
    card = "4111 1111 1111 1111"
    assert not DETECTOR.find(card)
    assert [each.kind for each in Detector(cards=True).find(f"card {card}")] == ["card-number"]
    assert not Detector(cards=True).find("card 4111 1111 1111 1112")


@pytest.mark.parametrize(
    "name", ["password", "db_password", "clientSecret", "api_key", "newPassword", "APIKey", "token"]
)
def test_names_that_say_it(name):
    assert is_secret_name(name)
    assert is_hidden_by_name(name, "x")


@pytest.mark.parametrize(
    "name", ["max_tokens", "secret_name", "password_policy", "secretary", "", "key"]
)
def test_names_that_do_not(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize("value", [None, True, "", [], {}])
def test_what_says_nothing_stays(value):
    assert not is_hidden_by_name("password", value)
