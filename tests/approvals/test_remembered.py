"""What is remembered of a text, a name or a signature is what would be found out of it anew."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.approvals.test_text import SOME, answers, key_of, requests, texts, written_plainly

from guardrails.approvals import people
from guardrails.approvals.requests import withdrawn
from guardrails.approvals.signing import signed_text
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.approvals.stores.text import request_of, text_of
from guardrails.errors import StateUnavailable
from guardrails.model.approval import ApprovalRequest, ApprovalState, ApprovalStep
from guardrails.model.canonical import NotExactJSON, canonical, digest
from guardrails.model.lineage import RunTerms


def plain_digest(request) -> str:
    """The digest by the document that is shown, without anything that is remembered."""
    sealed = {
        "call_key": request.call_key,
        "nonce": request.nonce,
        "revision": request.revision,
        "shown": request.shown(),
    }
    return digest(sealed)


def same(one, other) -> bool:
    """Whether two requests are equal, down to their texts: ``True`` is no 1, nor ``1.0`` one."""
    return one == other and written_plainly(one) == written_plainly(other)


@given(requests)
def test_a_text_that_is_read_again_gives_the_same_request(request_):
    text = text_of(request_)
    for _ in range(3):
        read = request_of(text, remember=True)
        assert same(read, request_of(text))
        assert read.digest == plain_digest(request_)
        assert read.key_of_shown() == key_of(request_)


@given(requests, requests)
def test_nothing_is_remembered_of_another_text(one, other):
    """Also of one that differs in what is not shown, or only in that."""
    changed = replace(one, args=other.args, lineage=other.lineage, answers=other.answers)
    for each in (one, changed, replace(changed, nonce=other.nonce, state=other.state), other):
        read = request_of(text_of(each), remember=True)
        assert same(read, each)
        assert read.digest == plain_digest(each)


def spoil_arguments(request):
    request.args["amount"] = 9_000


def spoil_depths(request):
    request.args["to"]["iban"] = "DE2"


def spoil_limits(request):
    request.lineage[0].limits["usd"] = 10**9


def spoil_rest(request):
    request.lineage[0].left.clear()


@pytest.mark.parametrize("spoil", [spoil_arguments, spoil_depths, spoil_limits, spoil_rest])
@pytest.mark.parametrize("sealed", ["before", "after", "never"])
def test_who_changes_what_was_read_changes_nobody_else_s(spoil, sealed):
    """And has another digest from then on, as if nothing had been remembered."""
    text = text_of(replace(SOME, nonce=f"{spoil.__name__} {sealed}"))
    mine = request_of(text, remember=True)
    if sealed == "before":
        assert mine.digest == plain_digest(mine)
    spoil(mine)
    if sealed != "never":
        assert mine.digest == plain_digest(mine)
    theirs = request_of(text, remember=True)
    assert theirs != mine
    assert same(theirs, request_of(text))
    assert theirs.digest == plain_digest(theirs) != plain_digest(mine) == mine.digest
    assert theirs.key_of_shown() == key_of(theirs)


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": "another"},
        {"args": {"amount": 5_000_000}},
        {"lineage": (RunTerms("r", "billing", "observe"),)},
        {"call_key": "another"},
        {"demands": (replace(SOME.demands[0], approvers=("anybody",)),)},
    ],
    ids=str,
)
def test_a_copy_that_differs_shares_no_seal(change):
    read = request_of(text_of(SOME), remember=True)
    assert read.digest == plain_digest(SOME)
    assert replace(read, **change).digest == plain_digest(replace(SOME, **change)) != read.digest


def test_a_text_that_is_none_is_refused_as_often_as_it_is_read():
    text = text_of(SOME).replace('"told":false', '"told":0')
    for _ in range(3):
        with pytest.raises(ValueError, match="no approval request"):
            request_of(text, remember=True)


@pytest.mark.parametrize("long", [10, 100_000])
def test_a_long_text_is_read_like_a_short_one(long):
    request = replace(SOME, args={"text": "x" * long})
    for _ in range(2):
        assert same(request_of(text_of(request), remember=True), request)


@given(requests, st.integers(), texts)
def test_a_request_that_ends_is_the_same_but_for_that(request_, now, reason):
    ended = withdrawn(replace(request_, state=ApprovalState.PENDING), now, reason)
    step = ApprovalStep("withdrawn", now, "", reason)
    steps = (*request_.steps, step)
    assert ended == replace(request_, state=ApprovalState.WITHDRAWN, steps=steps)


def signed_plainly(request_digest, answer):
    text = {
        "purpose": "guardrails approval answer 1",
        "request_digest": request_digest,
        "by": answer.by,
        "approved": answer.approved,
        "reason": answer.reason,
        "channel": answer.channel,
        "time": answer.time,
    }
    if answer.edit:
        text["edit"] = answer.edit
    if answer.server:
        text["purpose"] = "guardrails approval answer by a server 1"
        text["server"] = answer.server
        text["vouched"] = sorted(answer.vouched)
    return canonical(text)


@given(texts, answers)
def test_what_is_signed_is_the_canonical_text_of_what_is_said(request_digest, answer):
    assert signed_text(request_digest, answer) == signed_plainly(request_digest, answer)


class Named(StrEnum):
    LEE = "lee"


@pytest.mark.parametrize("wrong", [1.5, "\ud800", b"x", object(), (), Named.LEE])
@pytest.mark.parametrize("name", ["by", "approved", "reason", "channel", "time", "edit", "server"])
def test_what_is_no_exact_json_is_not_signed(name, wrong):
    said = replace(SOME.answers[0], **{name: wrong})
    if not wrong and name in {"edit", "server"}:
        return  # it is not said at all
    with pytest.raises(NotExactJSON):
        signed_plainly("sha256:x", said)
    with pytest.raises(NotExactJSON):
        signed_text("sha256:x", said)


names = texts | st.sampled_from(
    ["lee", "LEE", "lee+2@a.example", "\u0131", "\u0430", "  ", "x" * 400]
)


def outcome(function, *given_):
    try:
        return function(*given_)
    except ValueError as error:
        return str(error)


@given(names, names)
def test_names_are_told_apart_each_time_as_the_first_time(one, other):
    def found():
        return [
            outcome(people.identity, one),
            outcome(people.person, one),
            people.same_person(one, other),
            people.is_identity(other),
        ]

    people._identity.cache_clear()
    people._seen.cache_clear()
    first = found()
    assert found() == first
    assert first[2] == (
        people._untagged(people._visible(one)) == people._untagged(people._visible(other))
    )


def test_what_equals_a_name_that_is_remembered_is_none():
    assert people.identity("lee") == "lee"
    for _ in range(2):
        with pytest.raises(ValueError, match="identified by a text"):
            people.identity(Named.LEE)
    others: tuple[Any, ...] = (None, 1, ["lee"], b"lee")
    for wrong in others:
        with pytest.raises(ValueError, match="identified by a text"):
            people.identity(wrong)


def at(table: SqliteRequests, request_id: str) -> ApprovalRequest:
    found = table.get(request_id)
    assert found is not None
    return found


def rows(path, query):
    with sqlite3.connect(path) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_a_row_that_is_written_again_stays_where_it_was(tmp_path):
    """Its number, call and run, by which it is found, are those of the first time."""
    path = tmp_path / "a.sqlite"
    table = SqliteRequests(path)
    for number in range(3):
        table.put(replace(SOME, id=f"ap-{number}", call_key=f"k{number}", run_id=f"r{number}"))
    query = "SELECT number, id, call_key, run_id FROM requests ORDER BY number"
    before = rows(path, query)
    table.put(replace(at(table, "ap-1"), state=ApprovalState.CONSUMED))
    assert rows(path, query) == before
    assert rows(path, "SELECT seq FROM sqlite_sequence") == [(3,)], "and no number is lost by it"
    assert at(table, "ap-1").state is ApprovalState.CONSUMED
    assert table.newest("k1") == at(table, "ap-1")


def test_a_row_that_was_read_is_read_again_as_it_is_now(tmp_path):
    path = tmp_path / "a.sqlite"
    table = SqliteRequests(path)
    table.put(SOME)
    read = at(table, SOME.id)
    other = sqlite3.connect(path, isolation_level=None)
    text = text_of(read).replace('"amount":1.5', '"amount":1500')
    other.execute("UPDATE requests SET request = ?", (text,))
    now = at(table, SOME.id)
    assert now.args["amount"] == 1500
    assert now.digest == plain_digest(now) != read.digest
    other.execute("UPDATE requests SET state = 'consumed'")
    with pytest.raises(StateUnavailable, match="filed as"):
        table.get(SOME.id)
    other.execute("UPDATE requests SET request = 'x'")
    with pytest.raises(StateUnavailable, match="cannot be read"):
        table.get(SOME.id)
    other.close()
