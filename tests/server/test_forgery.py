"""Whatever is forged on the way in by HTTP is refused, changes nothing, and is recorded."""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import sqlite3
import time

import pytest

from guardrails.approvals.signing import ApproverKey, Voucher
from guardrails.desk import Desk
from guardrails.errors import ApprovalPending
from guardrails.model.approval import Answer

FIRST = "import guardrails.server.failures as them; them.AT_MOST = 10**6"
"""Each is recorded here, however many come from one address."""

amounts = itertools.count(1)


@pytest.fixture
def ask(project):
    return lambda principal=None, **words: project.ask(principal, amount=next(amounts), **words)


def refused(project, request, answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    with Desk(project.config(), tell=False) as desk:
        assert desk.service.get(request.id).answers == ()
    last = project.record("approval.refused")[-1]["detail"]
    assert last["request_id"] == request.id
    assert last["channel"] == "http"
    return last


def test_a_person_s_yes_counts_once_and_says_who_and_how(project, ask):
    request = ask()
    answer = project.answer(request, project.tokens["lee"])
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "approved"
    step = answer.json()["steps"][-1]
    assert (step["by"], step["channel"]) == ("lee@acme.example", "http")
    assert "\x1b" not in answer.json()["shown"]["args.order"]
    again = project.answer(request, project.tokens["lee"])
    assert again.status_code == 409, "an answer that is sent again is no second one"
    assert project.record("approval.refused")[-1]["detail"]["request_id"] == request.id
    assert project.use(request).state == "consumed"


def test_another_digest_is_refused(project, ask):
    request, other = ask(), ask()
    said = refused(
        project, request, project.answer(request, project.tokens["lee"], digest=other.digest), 409
    )
    assert "not what was shown" in said["reason"]


def test_a_token_of_another_group_answers_nothing_and_sees_nothing(project, ask):
    request = ask()
    said = refused(project, request, project.answer(request, project.tokens["max"]), 404)
    assert said["by"] == "max@acme.example"
    assert (
        project.call("GET", f"/v1/approvals/{request.id}", project.tokens["max"]).status_code == 404
    )
    listed = project.call("GET", "/v1/approvals", project.tokens["max"]).json()["requests"]
    assert all(each["id"] != request.id for each in listed)


@pytest.mark.parametrize(
    "principal",
    [
        "lee@acme.example",
        "Lee@ACME.example",
        "\uff4c\uff45\uff45@acme.example",
        "lee@acme.example ",
    ],
)
def test_nobody_answers_for_a_call_of_his_own_under_any_spelling(project, ask, principal):
    request = ask(principal)
    said = refused(project, request, project.answer(request, project.tokens["lee"]), 409)
    assert "made the request" in said["reason"]


@pytest.mark.parametrize("person", ["KIM@acme.example", "\uff4b\uff49\uff4d@acme.example"])
def test_nor_by_a_jwt_that_spells_it_otherwise(project, ask, person):
    request = ask("kim@acme.example")
    refused(project, request, project.answer(request, project.jwt(person)), 409)


@pytest.mark.parametrize("person", ["k\u0456m@acme.example", "kim\u200b@acme.example", "", 5])
def test_a_name_that_could_pass_for_another_s_is_nobody_s(project, ask, person):
    request, before = ask(), len(project.record("server.unknown_caller"))
    assert project.answer(request, project.jwt(person)).status_code == 401
    assert len(project.record("server.unknown_caller")) == before + 1


def test_the_groups_of_a_jwt_count_within_those_of_the_server(project, ask):
    request, other = ask(), ask(group="board")
    assert project.answer(request, project.jwt()).status_code == 200
    token = project.jwt("new@acme.example", groups=["board", "finance-ops"])
    refused(project, other, project.answer(other, token), 404)


def test_what_the_file_says_of_a_person_is_not_widened_by_a_token(project, ask):
    request = ask()
    token = project.jwt("max@acme.example", groups=["finance-ops"])
    refused(project, request, project.answer(request, token), 404)


def test_a_server_may_not_vouch_for_a_group_that_is_not_its_own(project, ask):
    request = ask(group="board")
    refused(project, request, project.answer(request, project.tokens["ann"]), 409)
    said = Answer("ann@acme.example", frozenset(), True, "seen", time.time_ns(), "http")
    own = project.key.sign(request.digest, said)
    for moment in (0, said.time - 1):
        answer = project.answer(request, project.tokens["ann"], signature=own, time=moment)
        refused(project, request, answer, 409)
    taken = project.answer(request, project.tokens["ann"], signature=own, time=said.time)
    assert taken.status_code == 200, "what the person signed needs nobody's word"
    assert project.use(request).state == "consumed"


def test_a_signature_of_something_else_is_refused(project, ask):
    request, other = ask(), ask()
    said = Answer("ann@acme.example", frozenset(), True, "seen", time.time_ns(), "http")
    own = project.key.sign(other.digest, said)
    answer = project.answer(request, project.tokens["ann"], signature=own, time=said.time)
    refused(project, request, answer, 409)


def test_who_can_write_into_the_store_makes_up_no_answer(project, ask):
    victim, donor = ask(), ask()
    project.answer(donor, project.tokens["lee"])
    file = project.folder / ".guardrails" / "approvals.sqlite"
    with sqlite3.connect(file) as base:
        rows = dict(base.execute("SELECT id, request FROM requests").fetchall())
        forged, real = json.loads(rows[victim.id]), json.loads(rows[donor.id])
        forged["answers"], forged["state"] = real["answers"], "approved"
        base.execute(
            "UPDATE requests SET request = ?, state = 'approved' WHERE id = ?",
            (json.dumps(forged), victim.id),
        )
    with pytest.raises(ApprovalPending):
        project.use(victim)
    another = Voucher("api", ApproverKey(bytes(32)))
    said = another.vouch(
        victim, Answer("lee@acme.example", frozenset({"finance-ops"}), True, "", 1)
    )
    with Desk(project.config()) as desk:
        assert desk.approvers.answer_of(victim, said, 2) is None


def unsigned(project) -> str:
    head, body, _ = project.jwt().split(".")
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    return f"{head}.{body}."


def by_the_public_key(project) -> str:
    pem = (project.folder / "issuer.pem").read_bytes()
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    body = project.jwt().split(".")[1]
    mac = base64.urlsafe_b64encode(hmac.digest(pem, f"{head}.{body}".encode(), "sha256"))
    return f"{head}.{body}.{mac.rstrip(b'=').decode()}"


FORGED = {
    "expired": lambda p: p.jwt(exp=1_700_000_000),
    "without an end": lambda p: p.jwt(exp=None),
    "for another audience": lambda p: p.jwt(aud="payroll"),
    "for no audience": lambda p: p.jwt(aud=None),
    "of another issuer": lambda p: p.jwt(iss="https://evil.example"),
    "of an unverified address": lambda p: p.jwt(email_verified=False),
    "alg none": unsigned,
    "signed by the public key": by_the_public_key,
    "by another algorithm": lambda p: p.jwt(alg="RS512"),
    "changed": lambda p: p.jwt()[:-4] + "AAAA",
    "nobody's": lambda p: "grt_" + "A" * 43,
    "nonsense": lambda p: "….".encode().hex(),
    "none": lambda p: None,
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forged_token_stands_for_nobody(project, ask, kind):
    request, before = ask(), len(project.record("server.unknown_caller"))
    token = FORGED[kind](project)
    answer = project.answer(request, token)
    assert answer.status_code == 401
    recorded = project.record("server.unknown_caller")
    assert len(recorded) == before + 1
    assert recorded[-1]["detail"]["channel"] == "http"
    assert token is None or token not in json.dumps(recorded)
    assert "WWW-Authenticate" in answer.headers
    assert token is None or token not in answer.text
    with Desk(project.config(), tell=False) as desk:
        assert desk.service.get(request.id).answers == ()
