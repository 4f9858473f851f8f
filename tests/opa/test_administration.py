"""Administration of a server that misbehaves: every failure is an error of this package."""

from __future__ import annotations

import pytest
from tests.opa.chaos import answer, chaos

from guardrails.errors import ConfigError, PolicyLoadError, PolicyUnavailable
from guardrails.opa.administration import Administration
from guardrails.opa.token import Token

SECRET = "s3cr3t-of-the-administrator"
GENEROUS = 30.0

ACTS = {
    "policies": lambda known: known.policies(),
    "put_policy": lambda known: known.put_policy("a", "package a"),
    "delete_policy": lambda known: known.delete_policy("a"),
    "put_data": lambda known: known.put_data("a", {"x": 1}),
    "version": lambda known: known.version(),
    "wait": lambda known: known.wait_until_ready(0.01),
}
ANSWERS = {
    "garbage": b"\x00garbage\r\n\r\n",
    "closed": b"",
    "truncated": answer()[:-10],
    "no JSON": answer(b"<html>", status="502 Bad Gateway", kind="text/html"),
    "no JSON, 404": answer(b"<html>", status="404 N", kind="text/html"),
    "an array": answer([1, 2], status="400 B"),
    "a text": answer(b'"x"', status="418 T"),
    "an array, 200": answer([1, 2], status="202 A"),
    "null": answer(b"null", status="500 E"),
    "errors of another type": answer({"code": 1, "errors": [1]}, status="400 B"),
    "redirect": answer({}, status="307 T", headers="Location: http://127.0.0.1:9/\r\n"),
    "unauthorized": answer({}, status="401 U"),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("name", ANSWERS)
def test_every_failure_is_an_error_of_ours(name, act):
    heads = []

    def script(peer):
        while peer.request() is not None:
            heads.append(peer.head)
            peer.send(ANSWERS[name])
            if name in {"garbage", "closed", "truncated"}:
                return

    with (
        chaos(script) as server,
        Administration(server.address, token=Token.of_value(SECRET), timeout=GENEROUS) as known,
    ):
        with pytest.raises((PolicyUnavailable, PolicyLoadError)) as caught:
            ACTS[act](known)
        assert SECRET not in f"{caught.value!r}{caught.value}{caught.value.__context__!r}"
        assert SECRET not in repr(known)
    assert len(heads) <= 2, "nothing is repeated but the looks at its health"
    assert all(SECRET.encode() in head for head in heads)


def test_no_token_is_sent_to_where_a_redirect_leads():
    elsewhere = []

    def other(peer):
        elsewhere.append(peer.request())

    with chaos(other) as target:

        def script(peer):
            while peer.request() is not None:
                location = f"Location: {target.address}/v1/policies\r\n"
                peer.send(answer({}, status="302 Found", headers=location))

        with (
            chaos(script) as server,
            Administration(server.address, token=Token.of_value(SECRET)) as known,
            pytest.raises(PolicyUnavailable, match="TooManyRedirects"),
        ):
            known.policies()
    assert not elsewhere


def test_the_environment_has_no_say(monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    heads = []

    def script(peer):
        while peer.request() is not None:
            heads.append(peer.head)
            peer.send(answer({"result": [{"id": "a"}]}))

    with chaos(script) as server, Administration(server.address) as known:
        assert known.policies() == ("a",)
    assert b"authorization" not in heads[0].lower()


def test_too_old_an_opa_is_named():
    def script(peer):
        while peer.request() is not None:
            peer.send(answer({"result": {"labels": {"version": "1.16.0"}}}))

    with (
        chaos(script) as server,
        Administration(server.address) as known,
        pytest.raises(PolicyUnavailable, match=r"OPA 1\.16\.0 is too old"),
    ):
        known.version()


def test_a_token_does_not_leave_the_machine_in_the_clear():
    with pytest.raises(ConfigError, match="in the clear"):
        Administration("http://opa.example", token=Token.of_value(SECRET))
