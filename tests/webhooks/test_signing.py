"""A webhook is taken only as it was sent, lately, by a holder of the secret."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import pickle
from datetime import UTC, datetime

import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import ConfigError, SignatureError
from guardrails.webhooks import TOLERANCE, Secret, sign, verify

KEY = bytes(range(32))
TEXT = "whsec_" + base64.b64encode(KEY).decode()
SECRET = Secret(KEY)
NOW = 1_767_225_600

ids = st.from_regex(r"[A-Za-z0-9_-]{1,128}", fullmatch=True)
keys = st.binary(min_size=24, max_size=64)


@given(ids, st.integers(0, 10**11), st.binary(max_size=200), keys)
def test_the_signature_is_the_hmac_of_id_time_and_body(id, timestamp, body, key):
    headers = sign(id, timestamp, body, [Secret(key)])
    content = f"{id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers == {
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{expected}",
    }


@given(ids, st.text(max_size=100), keys)
def test_the_schemes_own_package_signs_the_same_and_takes_ours(id, text, key):
    peer = standardwebhooks.Webhook(key)
    at = datetime.now(UTC).replace(microsecond=0)
    body = text.encode("utf-8", "replace")
    ours = sign(id, int(at.timestamp()), body, [Secret(key)])
    assert ours["webhook-signature"] == peer.sign(id, at, body.decode())
    peer.verify(body, ours, json_parse=False)
    theirs = {**ours, "webhook-signature": peer.sign(id, at, body.decode())}
    assert verify(theirs, body, Secret(key)).id == id


@given(ids, st.binary(max_size=50), st.data())
def test_whatever_is_changed_is_refused(id, body, data):
    headers = sign(id, NOW, body, [SECRET])
    assert verify(headers, body, SECRET, now=NOW).timestamp == NOW
    part = data.draw(st.sampled_from(["webhook-id", "webhook-timestamp", "body", "signature"]))
    if part == "body":
        changed = data.draw(st.binary(max_size=50).filter(lambda other: other != body))
        given_headers, given_body = headers, changed
    elif part == "signature":
        other = sign(id, NOW, body, [Secret(bytes(32))])["webhook-signature"]
        given_headers, given_body = {**headers, "webhook-signature": other}, body
    else:
        value = "other" if part == "webhook-id" and id != "other" else str(NOW + 1)
        given_headers, given_body = {**headers, part: value}, body
    with pytest.raises(SignatureError):
        verify(given_headers, given_body, SECRET, now=NOW)


@given(st.text(), st.text(), st.text(), st.binary(max_size=20))
def test_malformed_headers_are_refused_and_raise_nothing_else(id, timestamp, signature, body):
    headers = {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature,
    }
    with pytest.raises(SignatureError):
        verify(headers, body, SECRET, now=NOW)


@pytest.mark.parametrize("absent", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(absent):
    headers = sign("n-1", NOW, b"{}", [SECRET])
    del headers[absent]
    with pytest.raises(SignatureError, match=absent):
        verify(headers, b"{}", SECRET, now=NOW)


@pytest.mark.parametrize(
    ("age", "taken"),
    [(0, True), (TOLERANCE, True), (TOLERANCE + 1, False), (-TOLERANCE, True), (-301, False)],
)
def test_what_is_too_old_or_from_the_future_is_refused(age, taken):
    headers = sign("n-1", NOW, b"{}", [SECRET])
    if taken:
        verify(headers, b"{}", SECRET, now=NOW + age)
    else:
        with pytest.raises(SignatureError, match="too"):
            verify(headers, b"{}", SECRET, now=NOW + age)


def test_a_tolerance_that_is_no_number_takes_nothing():
    headers = sign("n-1", NOW, b"{}", [SECRET])
    with pytest.raises(SignatureError):
        verify(headers, b"{}", SECRET, now=NOW, tolerance=float("nan"))


def test_one_of_several_secrets_is_enough_on_either_side():
    old, new, other = Secret(b"o" * 32), Secret(b"n" * 32), Secret(b"x" * 32)
    both = sign("n-1", NOW, b"{}", [new, old])
    for held in (old, new, [old, new], [other, old]):
        assert verify(both, b"{}", held, now=NOW).id == "n-1"
    verify(sign("n-1", NOW, b"{}", [old]), b"{}", [new, old], now=NOW)
    with pytest.raises(SignatureError):
        verify(both, b"{}", other, now=NOW)


def test_no_secret_at_all_takes_nothing():
    with pytest.raises(SignatureError):
        verify(sign("n-1", NOW, b"{}", [SECRET]), b"{}", [], now=NOW)


def test_signatures_of_other_versions_are_passed_over():
    headers = sign("n-1", NOW, b"{}", [SECRET])
    headers["webhook-signature"] = "v1a,AAAA v2, v1,!! " + headers["webhook-signature"]
    verify(headers, b"{}", SECRET, now=NOW)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
    with pytest.raises(SignatureError):
        verify(headers, b"{}", SECRET, now=NOW)


def test_the_case_of_header_names_does_not_matter():
    headers = {name.title(): value for name, value in sign("n-1", NOW, b"", [SECRET]).items()}
    verify(headers, b"", SECRET, now=NOW)


@pytest.mark.parametrize("id", ["", "a.b", "a b", "é", "x" * 129, "a\r\nb"])
def test_an_id_that_could_be_read_in_two_ways_is_not_signed(id):
    with pytest.raises(ValueError, match="id"):
        sign(id, NOW, b"", [SECRET])


# --------------------------------------------------------------------------------- secrets


def test_a_secret_never_shows_itself():
    for shown in (repr(SECRET), str(SECRET), f"{SECRET}", repr([SECRET])):
        assert TEXT not in shown
        assert "\\x01" not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(SECRET)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(SECRET)


def test_a_secret_is_read_from_a_file_and_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "key"
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    file.write_text(f"{TEXT}\n{other}\n")
    assert Secret.from_file(file) == (SECRET, Secret(b"o" * 24))
    monkeypatch.setenv("HOOK_SECRET", TEXT)
    assert Secret.from_environment("HOOK_SECRET") == (SECRET,)


@pytest.mark.parametrize(
    "text",
    [
        "hunter2-hunter2-hunter2-hunter2",
        "whsec_***",
        "whsec_" + base64.b64encode(b"short").decode(),
        "whsec_" + base64.b64encode(b"l" * 65).decode(),
        "whsec_",
    ],
)
def test_a_wrong_secret_is_refused_and_not_repeated(text, tmp_path):
    file = tmp_path / "key"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        Secret.from_file(file)
    assert text.removeprefix("whsec_") not in str(caught.value) or text == "whsec_"
    assert caught.value.__cause__ is None
    assert "whsec_" in str(caught.value)


def test_an_absent_secret_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    with pytest.raises(ConfigError, match="`HOOK_SECRET` is not set"):
        Secret.from_environment("HOOK_SECRET")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        Secret.from_file(tmp_path / "absent")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        Secret.from_file(tmp_path / "empty")
    (tmp_path / "large").write_text("x" * 5_000)
    with pytest.raises(ConfigError, match="larger"):
        Secret.from_file(tmp_path / "large")
