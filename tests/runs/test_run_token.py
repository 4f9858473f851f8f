"""A run's token: what was not signed here, for here and for now, opens nothing."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import CallDenied, StateUnavailable
from guardrails.runs.run_token import KEY_FILE, Ancestor, Claims, RunTokens

NOW = 1_000_000_000_000
CLAIMS = Claims(
    environment="prod",
    chain=(Ancestor("r-0", "a", "sha256:0", "n0"), Ancestor("r-1", "b", "sha256:1", "n1")),
    narrowed_by=(("a", "sha256:0"),),
    mode="shadow",
    labels=("night",),
    principal="customer:1",
    wait=1.5,
    deadline=None,
    issued=NOW,
    expires=NOW + 10,
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    return RunTokens(tmp_path_factory.mktemp("state"))


def read(tokens, token, *, environment="prod", now=NOW):
    return tokens.read(token, environment=environment, now_ns=now)


words = st.text(max_size=5)


@given(
    st.builds(
        Claims,
        environment=st.just("prod"),
        chain=st.lists(st.builds(Ancestor, words, words, words, words), min_size=1).map(tuple),
        narrowed_by=st.lists(st.tuples(words, words)).map(tuple),
        mode=words,
        labels=st.lists(words).map(tuple),
        principal=st.none() | words,
        wait=st.none() | st.floats(0, 100),
        deadline=st.none() | st.integers(0, 10**20),
        issued=st.integers(0, NOW),
        expires=st.integers(NOW + 1, 10**20),
    )
)
def test_what_was_signed_is_what_is_read(tokens, claims):
    assert read(tokens, tokens.sign(claims)) == claims
    assert read(RunTokens(tokens.path.parent), tokens.sign(claims)) == claims


def test_every_changed_character_is_told(tokens):
    token = tokens.sign(CLAIMS)
    for index, character in enumerate(token):
        for other in {"A", "Q", "x", "_", "."} - {character}:
            forged = token[:index] + other + token[index + 1 :]
            with pytest.raises(CallDenied):
                read(tokens, forged)
    for forged in ("", ".", "...", token + "=", token + "A", token[:-1], token * 200, " " + token):
        with pytest.raises(CallDenied):
            read(tokens, forged)


def test_changed_claims_need_a_new_signature(tokens):
    version, key, claims, mac = tokens.sign(CLAIMS).split(".")
    said = json.loads(base64.urlsafe_b64decode(claims + "=="))
    for change in ({"mode": "enforce"}, {"principal": None}, {"expires": NOW * 9}):
        text = json.dumps({**said, **change}).encode()
        forged = base64.urlsafe_b64encode(text).rstrip(b"=").decode()
        with pytest.raises(CallDenied, match="signature"):
            read(tokens, f"{version}.{key}.{forged}.{mac}")


def test_it_is_for_one_environment_one_key_and_some_minutes(tokens, tmp_path):
    token = tokens.sign(CLAIMS)
    assert read(tokens, token, now=NOW + 9) == CLAIMS
    with pytest.raises(CallDenied, match="environment `prod`, and this is `dev`"):
        read(tokens, token, environment="dev")
    with pytest.raises(CallDenied, match="expired"):
        read(tokens, token, now=NOW + 10)
    with pytest.raises(CallDenied, match="in the future"):
        read(tokens, token, now=NOW - 60 * 10**9)
    with pytest.raises(CallDenied, match="another key"):
        read(RunTokens(tmp_path), token)


def test_claims_of_another_release_are_refused(tokens):
    class More(dict):
        def _asdict(self):
            return self

    old = {**CLAIMS._asdict(), "chain": [each[:3] for each in CLAIMS.chain]}
    for said in (More(CLAIMS._asdict(), budget="more"), More(environment="prod"), More(old)):
        with pytest.raises(CallDenied, match="another release"):
            read(tokens, tokens.sign(said))


@pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
def test_a_key_that_others_may_read_is_not_used(tmp_path):
    tokens = RunTokens(tmp_path)
    tokens.sign(CLAIMS)
    key = tmp_path / KEY_FILE
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert [each.name for each in tmp_path.iterdir()] == [KEY_FILE]
    key.chmod(0o640)
    with pytest.raises(StateUnavailable, match="another user"):
        RunTokens(tmp_path).sign(CLAIMS)
    key.chmod(0o600)
    key.write_bytes(b"short")
    with pytest.raises(StateUnavailable, match="32 bytes"):
        RunTokens(tmp_path).sign(CLAIMS)
    key.rename(tmp_path / "elsewhere")
    key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateUnavailable, match="cannot be used"):
        RunTokens(tmp_path).sign(CLAIMS)


def test_processes_that_start_at_once_have_one_key(tmp_path):
    script = (
        "import sys; from guardrails.runs.run_token import RunTokens;"
        "print(RunTokens(sys.argv[1])._known_key().hex())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "state"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert len({each.communicate()[0] for each in started}) == 1
    assert [each.name for each in (tmp_path / "state").iterdir()] == [KEY_FILE]
