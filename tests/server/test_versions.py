"""Edits, accepted proposals and answers to questions over HTTP: who, what exactly, and no more."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from guardrails.approvals.versions import edited_key
from guardrails.audit.exact_json import exact_json
from guardrails.cli import app
from guardrails.desk import Desk
from guardrails.errors import ApprovalPending, ApprovalRejected
from guardrails.model.approval import Answer, key_about
from guardrails.model.canonical import call_key, digest
from guardrails.model.decision import ApprovalDemand
from guardrails.model.exact_text import read_exact

FIN = ApprovalDemand("payments.large", "over 1000", ("finance-ops",), 1, 3600)
amounts = itertools.count(1000)


@pytest.fixture
def ask(project):
    return lambda principal=None, **words: project.ask(principal, amount=next(amounts), **words)


def about(project, what, *, question=""):
    """A new request about a proposal, or of a tool that asks."""
    args = {"order": "A-2", "amount": next(amounts)}
    call = call_key("refund", args, "billing", None, "run-2")
    words: dict[str, Any] = {
        "tool": "refund",
        "agent": "billing",
        "run_id": "run-2",
        "principal": None,
    }
    with Desk(project.config()) as desk:
        if what == "proposal":
            return desk.service.propose(
                call, demands=[FIN], args=args, revision="r1", lineage=(), **words
            )
        key = key_about("escalation", call, question)
        return desk.service.request(
            key,
            demands=[FIN],
            args=args,
            revision="r1",
            about="escalation",
            question=question,
            **words,
        )


def edit(project, request, args, *, token=None, **said):
    body = exact_json({"digest": request.digest, "reason": "half", "args": args, **said})
    return project.call(
        "POST",
        f"/v1/approvals/{request.id}/edit",
        token or project.tokens["lee"],
        data=body,
        headers={"Content-Type": "application/json"},
    )


def stands(project, request_id):
    with Desk(project.config(), tell=False) as desk:
        return desk.service.get(request_id)


def refusals(project):
    return project.record("approval.refused")


def test_a_server_signs_an_edit_and_both_versions_stand(project, ask):
    request = ask()
    args = {**request.args, "amount": Decimal("12345678901234567890.10")}
    answer = edit(project, request, args)
    assert answer.status_code == 200, answer.text
    old = read_exact(answer.text)
    new = stands(project, old["successor"])
    assert (old["id"], old["state"], old["told"]) == (request.id, "edited", False)
    assert (new.state, new.origin) == ("pending", request.id)
    assert new.call_key == edited_key(request, args), "exact, through no float"
    (said,) = stands(project, request.id).answers
    assert (said.by, said.server, said.edit) == ("lee@acme.example", "api", new.call_key)
    assert project.record("approval.edited")[-1]["detail"]["channel"] == "http"
    with pytest.raises(ApprovalPending):
        project.use(new)
    assert project.answer(new, project.tokens["lee"]).status_code == 200
    assert project.use(new).state == "consumed"
    with pytest.raises(ApprovalRejected):
        project.use(request)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**30)
        | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\x00", max_size=2), inner)
        ),
        max_leaves=6,
    )
)
def test_the_arguments_are_exactly_those_that_were_sent(project, value):
    request = project.ask(amount=next(amounts))
    args = {**request.args, "amount": [value, "changed"]}
    answer = edit(project, request, args)
    assert answer.status_code == 200, answer.text
    new = stands(project, read_exact(answer.text)["successor"])
    assert digest(dict(new.args)) == digest(args)


@pytest.mark.parametrize(
    ("token", "change", "told"),
    [
        ("lee", {"digest": "sha256:" + "0" * 64}, (409, "not what was shown")),
        ("max", {}, (404, "none of the groups")),
        ("lee", {"args": {"amount": 1}}, (409, "'order' is missing")),
        ("lee", {"args": {"order": "A", "amount": 1, "to": "me"}}, (409, "'to' is none of")),
        ("ann", {"signature": "A" * 86 + "==", "time": 0}, (409, "not signed")),
    ],
)
def test_what_is_no_edit_changes_nothing_and_is_recorded(project, ask, token, change, told):
    request, before = ask(), len(refusals(project))
    body = {"args": {**request.args, "amount": 1}, **change}
    answer = edit(project, request, body.pop("args"), token=project.tokens[token], **body)
    assert answer.status_code == told[0], answer.text
    assert stands(project, request.id) == request
    recorded = refusals(project)
    assert len(recorded) == before + 1
    assert told[1] in recorded[-1]["detail"]["reason"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ('"args":{"order":"A","amount":1,"amount":2}', "body: it says a thing twice"),
        ('"args":{"amount":NaN}', "body: `NaN` is no number"),
        (
            '"args":{"amount":1e99999999999999999999}',
            "body: the number `1e99999999999999999999` is",
        ),
        ('"args":{},"time":1e999999999', "body: the number `1e999999999` is"),
        ('"args":{},"time":-1', "body.time: "),
        ('"args":{},"time":0.5', "body.time: "),
        ('"args":', "body: Expecting value"),
    ],
)
def test_a_body_that_two_readers_read_in_two_ways_is_none(project, ask, body, why):
    request = ask()
    answer = project.call(
        "POST",
        f"/v1/approvals/{request.id}/edit",
        project.tokens["lee"],
        data=f'{{"digest":"{request.digest}",{body}}}',
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    (said,) = answer.json()["errors"]
    assert said.startswith(why)
    assert stands(project, request.id) == request


def test_nobody_edits_a_call_of_his_own_or_for_a_group_that_is_not_the_server_s(project, ask):
    own, foreign = ask("LEE@acme.example"), ask(group="board")
    assert edit(project, own, {**own.args, "amount": 1}).status_code == 409
    args = {**foreign.args, "amount": 1}
    answer = edit(project, foreign, args, token=project.tokens["ann"])
    assert answer.status_code == 409, "the server may not speak for the board"
    now = time.time_ns()
    said = Answer(
        "ann@acme.example", frozenset(), False, "half", now, "http", edit=edited_key(foreign, args)
    )
    signed = {"signature": project.key.sign(foreign.digest, said), "time": now}
    other = {**args, "amount": 2}
    answer = edit(project, foreign, other, token=project.tokens["ann"], **signed)
    assert answer.status_code == 409, "what ann signed is for other arguments"
    answer = edit(project, foreign, args, token=project.tokens["ann"], **signed)
    assert answer.status_code == 200, "what the person signed needs nobody's word"


def test_an_edit_is_no_answer_and_an_answer_no_edit(project, ask):
    """A signature of one, written into the store as the other, counts for nothing."""
    request, other = ask(), ask()
    edit(project, request, {**request.args, "amount": 1})
    project.call(
        "POST",
        f"/v1/approvals/{other.id}/reject",
        project.tokens["lee"],
        json={"digest": other.digest, "reason": "no"},
    )
    with Desk(project.config()) as desk:
        approvers = desk.approvers.current()
        for each in (request, other):
            (said,) = desk.service.get(each.id).answers
            now = time.time_ns()
            assert approvers.answer_of(each, said, now) is not None
            edits = {"", edited_key(each, {**each.args, "amount": 2}), said.edit} - {said.edit}
            for word in edits:
                assert approvers.answer_of(each, _changed(said, edit=word), now) is None
            assert approvers.answer_of(each, _changed(said, approved=True), now) is None


def _changed(answer, **changes):
    fields = {name: getattr(answer, name) for name in Answer.__dataclass_fields__}
    return Answer(**{**fields, **changes})


def test_a_proposal_is_accepted_and_then_approved(project):
    proposal = about(project, "proposal")
    path = f"/v1/approvals/{proposal.id}"
    body = {"digest": proposal.digest, "reason": "it was right"}
    assert (
        project.call("POST", f"{path}/approve", project.tokens["lee"], json=body).status_code == 409
    )
    assert (
        project.call("POST", f"{path}/accept", project.tokens["max"], json=body).status_code == 404
    )
    taken = project.call("POST", f"{path}/accept", project.tokens["lee"], json=body)
    assert taken.status_code == 200, taken.text
    assert taken.json()["state"] == "accepted"
    new = stands(project, taken.json()["successor"])
    assert (new.state, new.origin, new.run_id) == (
        "pending",
        proposal.id,
        f"accepted-{proposal.id}",
    )
    again = project.call("POST", f"{path}/accept", project.tokens["lee"], json=body)
    assert again.status_code == 409
    assert project.answer(new, project.tokens["lee"]).status_code == 200
    assert project.use(new).state == "consumed"


def test_a_request_is_not_accepted_and_a_proposal_not_edited(project, ask):
    request, proposal = ask(), about(project, "proposal")
    body = {"digest": request.digest}
    path = f"/v1/approvals/{request.id}/accept"
    assert project.call("POST", path, project.tokens["lee"], json=body).status_code == 409
    assert edit(project, proposal, {**proposal.args, "amount": 1}).status_code == 409


@pytest.mark.parametrize("blank", ["", " ", "\t\n"])
def test_a_question_is_answered_in_words_only(project, blank):
    question = about(project, "escalation", question="which account?")
    answer = project.answer(question, project.tokens["lee"], reason=blank)
    assert answer.status_code == 409
    assert "asks a question" in answer.json()["detail"]
    answer = project.answer(question, project.tokens["lee"], reason="the second")
    assert answer.json()["state"] == "approved"
    assert project.use(question).answers[0].reason == "the second"


def test_what_is_left_and_what_was_similar_is_shown_to_those_who_are_asked(project, ask):
    request, other = ask(), ask()
    token = project.tokens["lee"]
    path = f"/v1/approvals/{request.id}"
    assert project.call("GET", f"{path}/left", token).json() == {"left": None}
    project.answer(other, token)
    project.use(other)
    similar = project.call("GET", f"{path}/similar", token)
    assert similar.json()["id"] == other.id
    for word in ("left", "similar"):
        assert project.call("GET", f"{path}/{word}", project.tokens["max"]).status_code == 404
    board = ask(group="board")
    said = _signed(project, board)
    assert project.answer(board, project.tokens["ann"], **said).status_code == 200
    project.use(board)
    similar = project.call("GET", f"{path}/similar", token)
    assert similar.status_code == 404, "the last one was put to others"


def _signed(project, request):
    now = time.time_ns()
    said = Answer("ann@acme.example", frozenset(), True, "seen", now, "http")
    return {"signature": project.key.sign(request.digest, said), "time": now}


# ------------------------------------------------------------------------------- by command


def cli(project, *args, code=0):
    variables = {"GUARDRAILS_TOKEN": project.tokens["lee"], "COLUMNS": "200"}
    result = CliRunner().invoke(app, ["approvals", *args, "--server", project.url], env=variables)
    assert result.exit_code == code, result.output
    return result.output


def test_edit_accept_and_answer_by_way_of_a_server(project, ask, tmp_path):
    request = ask()
    told = cli(project, "edit", request.id, "--set", "amount=20.50", "--reason", "half")
    assert f"amount: {request.args['amount']} → 20.5" in told
    assert "approved by lee@acme.example" in told
    new = stands(project, stands(project, request.id).successor)
    assert project.use(new).args["amount"] == Decimal("20.5")
    assert "gave way to" in cli(project, "show", request.id)
    last = ask()
    assert "last similar" in cli(project, "show", last.id)
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"order": "B", "amount": 7}))
    assert "takes its place" in cli(project, "edit", last.id, "--args", str(file), "--no-approve")
    assert stands(project, stands(project, last.id).successor).state == "pending"

    proposal = about(project, "proposal")
    assert "approved by lee@acme.example" in cli(project, "accept", proposal.id)
    question = about(project, "escalation", question="which one?")
    assert "asks no question" in cli(project, "answer", ask().id, "no, too much", code=1)
    assert "approved by" in cli(project, "answer", question.id, "the second")
    cli(project, "edit", question.id, "--set", "amount=1", "--as", "lee", code=2)


def test_a_server_that_puts_another_call_in_the_place_is_caught(project, ask):
    """It is asked for one call and stores another: what it then says is not what was signed."""
    request, other = ask(), ask()
    base = sqlite3.connect(project.folder / ".guardrails" / "approvals.sqlite")
    swapped = f"json_set(new.request, '$.successor', '{other.id}')"
    base.execute(
        f"CREATE TRIGGER swap AFTER UPDATE ON requests WHEN new.id = '{request.id}' "  # noqa: S608  # ids of this test
        f"AND new.request <> {swapped} "
        f"BEGIN UPDATE requests SET request = {swapped} WHERE id = new.id; END"
    )
    base.commit()
    try:
        told = cli(project, "edit", request.id, "--set", "amount=21", code=3)
        assert "another call" in told
        assert stands(project, other.id).state == "pending"
    finally:
        base.execute("DROP TRIGGER swap")
        base.commit()
        base.close()
