"""Whatever is made up, replayed, or written into the store by hand is refused, and recorded."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from guardrails.approvals import ApprovalService, signing
from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.events import event_of
from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.signing import ApproverKey, public_key
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.approvals.stores.text import request_of, text_of
from guardrails.errors import (
    ApprovalExpired,
    ApprovalPending,
    ApprovalRejected,
    Refusal,
    StateUnavailable,
)
from guardrails.model.approval import Answer, ApprovalState, Escalation
from guardrails.model.canonical import call_key
from guardrails.model.decision import ApprovalDemand

FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 100)
FIN2 = replace(FIN, quorum=2)
ANN, BOB, CAT, EVE = (ApproverKey(bytes([n]) * 32) for n in (1, 2, 3, 4))
PEOPLE = Approvers(
    [
        Approver("ann@acme.example", frozenset({"fin"}), ANN.public),
        Approver("bob@acme.example", frozenset({"fin"}), BOB.public),
        Approver("cat@acme.example", frozenset({"interns"}), CAT.public),
    ]
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "approvals.sqlite"


@pytest.fixture
def told():
    return []


@pytest.fixture
def service(path, clock, told):
    made = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE)
    made.subscribe(lambda request, step: told.append(event_of(request, step)))
    yield made
    made.close()


def ask(service, amount=5, demands=(FIN,), principal=None):
    return service.request(
        call_key("pay", {"amount": amount}, "billing", principal, "r"),
        demands=demands,
        tool="pay",
        agent="billing",
        run_id="r",
        principal=principal,
        args={"amount": amount},
        revision="v1",
    )


def signed(key, request, by, *, reason="", time=1_700_000_000_000_000_000):
    said = Answer(by, frozenset({"fin"}), approved=True, reason=reason, time=time, channel="http")
    return replace(said, signature=key.sign(request.digest, said))


def give(service, request, answer):
    return service.answer(
        request.id,
        by=answer.by,
        approve=answer.approved,
        reason=answer.reason,
        channel=answer.channel,
        signature=answer.signature,
        time=answer.time,
    )


def write(path, request, *, by_hand=True, **changes):
    """What a writer into the file does: changes values of the kept document.

    By hand the text is JSON of somebody else's, else the very text that a store would write.
    """
    connection = sqlite3.connect(path)
    (text,) = connection.execute(
        "SELECT request FROM requests WHERE id = ?", (request.id,)
    ).fetchone()
    document = {**json.loads(text), **changes}
    forged = json.dumps(document)
    connection.execute(
        "UPDATE requests SET request = ?, state = ? WHERE id = ?",
        (forged if by_hand else text_of(request_of(forged)), document["state"], request.id),
    )
    connection.commit()
    connection.close()


def kept(answer):
    return {
        **{name: getattr(answer, name) for name in Answer.__dataclass_fields__},
        "groups": sorted(answer.groups),
        "vouched": sorted(answer.vouched),
    }


def refusals(told):
    return [event for event in told if event.kind == "approval.refused"]


def another_s_key(request, _other):
    return signed(EVE, request, "ann@acme.example")


def unsigned(request, _other):
    return replace(signed(ANN, request, "ann@acme.example"), signature="")


def signed_for_another_request(_request, other):
    return signed(ANN, other, "ann@acme.example")


def signed_with_another_nonce(request, _other):
    return signed(ANN, replace(request, nonce="0" * 32), "ann@acme.example")


def signed_for_other_arguments(request, _other):
    return signed(ANN, replace(request, args={"amount": 1}), "ann@acme.example")


def of_another_group(request, _other):
    return signed(CAT, request, "cat@acme.example")


def under_a_look_alike_name(request, _other):
    return signed(ANN, request, "\u0430nn@acme.example")


def under_an_unseen_letter(request, _other):
    return signed(ANN, request, "ann\u200b@acme.example")


def under_no_text_at_all(request, _other):
    return replace(signed(ANN, request, "ann@acme.example"), by="\ud800" * 400)


FORGED = [
    another_s_key,
    unsigned,
    signed_for_another_request,
    signed_with_another_nonce,
    signed_for_other_arguments,
    of_another_group,
    under_a_look_alike_name,
    under_an_unseen_letter,
    under_no_text_at_all,
]


@pytest.mark.parametrize("forge", FORGED)
def test_a_forged_answer_is_refused_and_recorded_with_who_how_and_why(service, told, forge):
    request, other = ask(service), ask(service, 6)
    answer = forge(request, other)
    with pytest.raises(AnswerRefused) as refused:
        give(service, request, answer)
    (event,) = refusals(told)
    assert event.detail["request_id"] == request.id
    assert event.detail["by"] == answer.by[:320]
    assert event.detail["channel"] == "http"
    assert event.detail["reason"] == str(refused.value)
    assert event.detail["state"] == "pending"
    assert service.get(request.id) == request, "nothing of it is kept"


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("forge", FORGED[:-1])  # the last one's text cannot be kept
def test_a_forged_answer_in_the_store_gives_no_approval_and_is_recorded(
    service, path, told, forge, by_hand
):
    request, other = ask(service), ask(service, 6)
    answer = forge(request, other)
    write(path, request, by_hand=by_hand, state="approved", answers=[kept(answer)])
    assert service.find(request.call_key).state is ApprovalState.APPROVED
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])
    if forge is not of_another_group:  # that one is a right answer of the wrong person
        (event,) = refusals(told)
        assert (event.detail["by"], event.detail["channel"]) == (answer.by, "http")
        assert "does not count" in event.detail["reason"]
    again = ask(service)
    assert (again.id != request.id, again.state) == (True, ApprovalState.PENDING)


def test_an_answer_that_was_given_already_cannot_be_given_again(service, told, clock):
    """A webhook that is replayed: at once, after the use, for the same call asked again."""
    request = ask(service, demands=(FIN2,))
    answer = signed(ANN, request, "ann@acme.example")
    give(service, request, answer)
    with pytest.raises(AnswerRefused, match="already"):
        give(service, request, answer)
    give(service, request, signed(BOB, request, "bob@acme.example"))
    service.consume(request.id, request.call_key, [FIN2])
    with pytest.raises(AnswerRefused, match="no more answers"):
        give(service, request, answer)
    again = ask(service, demands=(FIN2,))
    with pytest.raises(AnswerRefused, match="not signed"):
        give(service, again, answer)
    assert len(refusals(told)) == 3


def test_an_answer_of_old_comes_too_late(service, told, clock):
    request = ask(service)
    answer = signed(ANN, request, "ann@acme.example")
    clock.advance(100)
    with pytest.raises(AnswerRefused, match="expired"):
        give(service, request, answer)
    assert [event.kind for event in told] == [
        "approval.requested",
        "approval.expired",
        "approval.refused",
    ]


def test_an_answer_that_was_held_back_or_is_of_later_is_refused(service, told, clock):
    """Its time is a part of what is signed: whoever keeps an answer cannot make it younger."""
    request = ask(service, demands=(replace(FIN, expires_in=1000),))
    old = signed(ANN, request, "ann@acme.example", time=clock.now_ns())
    early = signed(ANN, request, "ann@acme.example", time=clock.now_ns() + 302 * 10**9)
    clock.advance(301)
    for answer in (old, early):
        with pytest.raises(AnswerRefused, match="has to arrive within 300"):
            give(service, request, answer)
    for answer in (old, early):
        with pytest.raises(AnswerRefused, match="not signed"):
            give(service, request, replace(answer, time=clock.now_ns()))
    assert len(refusals(told)) == 4
    fresh = signed(ANN, request, "ann@acme.example", time=clock.now_ns() - 299 * 10**9)
    assert give(service, request, fresh).answers[0].time == fresh.time


@pytest.mark.parametrize("name", ["Ann@acme.example", "\uff41nn@acme.example", "ann@ACME.example"])
def test_self_approval_under_another_spelling_is_refused_and_recorded(service, told, name):
    request = ask(service, principal="ann@acme.example")
    with pytest.raises(AnswerRefused, match="somebody else"):
        give(service, request, signed(ANN, request, name))
    assert [event.detail["by"] for event in refusals(told)] == [name]


@pytest.mark.parametrize(
    "principal", ["\u0430nn@acme.example", "ann\u200b@acme.example", "\u0251nn@acme.example"]
)
def test_who_asks_under_a_look_alike_name_may_be_anybody(service, told, path, principal):
    """Ann asks as somebody who is drawn as she is, and answers as herself."""
    request = ask(service, principal=principal)
    answer = signed(ANN, request, "ann@acme.example")
    with pytest.raises(AnswerRefused, match="not to be told from others"):
        give(service, request, answer)
    write(path, request, state="approved", answers=[kept(answer)])
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])
    assert len(refusals(told)) == 2


CHANGES: dict[str, dict[str, Any]] = {
    "arguments": {"args": {"amount": 5_000_000}},
    "tool": {"tool": "pay_all"},
    "agent": {"agent": "other"},
    "principal": {"principal": "cfo@acme.example"},
    "run": {"run_id": "r2"},
    "the call it is for": {"call_key": "sha256:" + "0" * 64},
    "nonce": {"nonce": "0" * 32},
    "policy": {"revision": "v0"},
    "expiry": {"expires": 2**62},
    "when it was made": {"created": 1},
    "what it is about": {"about": "budget"},
    "whom it goes to": {"escalation": [{"group": "fin", "after": 0, "to": "interns"}]},
    "id": {"id": "ap-other"},
    "by what the act is known": {"idempotency_key": "ap-other"},
    "before": {"previous": "ap-0", "previous_outcome": "ok"},
}


def test_the_time_of_an_answer_cannot_be_moved_past_an_escalation(path, clock):
    """Cat's group is asked after 10 seconds; a yes of before counts for nobody then, either."""
    step = Escalation("fin", 10, "interns")
    service = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE, escalation=[step])
    request = ask(service)
    answer = signed(CAT, request, "cat@acme.example", time=clock.now_ns())
    clock.advance(20)
    for moment in (answer.time, clock.now_ns()):
        moved = replace(answer, time=moment, groups=frozenset({"interns"}))
        write(path, request, state="approved", answers=[kept(moved)])
        with pytest.raises(ApprovalPending):
            service.consume(request.id, request.call_key, [FIN])
    late = signed(CAT, request, "cat@acme.example", time=clock.now_ns())
    write(path, request, state="approved", answers=[kept(late)])
    assert service.consume(request.id, request.call_key, [FIN]).state is ApprovalState.CONSUMED


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("changed", CHANGES)
def test_what_was_signed_holds_for_nothing_else(service, path, changed, by_hand):
    """Also where the signature has just been found to be right, for what stood there."""
    request = ask(service)
    give(service, request, signed(ANN, request, "ann@acme.example"))
    service.find(request.call_key)
    write(path, request, by_hand=by_hand, **CHANGES[changed])
    with pytest.raises((Refusal, StateUnavailable)):
        service.consume(request.id, request.call_key, [FIN])


def test_a_signature_is_verified_once_and_never_within_a_transaction(path, clock, monkeypatch):
    """Of the same bytes; the table is open to others meanwhile."""
    table = SqliteRequests(path)
    service = ApprovalService(table, clock, approvers=PEOPLE)
    request = ask(service)
    give(service, request, signed(ANN, request, "ann@acme.example"))
    within = []

    class Watched:
        def __init__(self, text):
            self.key = public_key(text)

        def verify(self, signature, text):
            within.append(table._database._connection.in_transaction)
            self.key.verify(signature, text)

    monkeypatch.setattr(signing, "_known_key", Watched)
    signing._is_right.cache_clear()
    assert service.find(request.call_key).state is ApprovalState.APPROVED
    service.consume(request.id, request.call_key, [FIN])
    assert within == [False]


def test_who_is_taken_out_after_the_signature_was_found_right_does_not_count(path, clock):
    service = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE)
    request = ask(service)
    give(service, request, signed(ANN, request, "ann@acme.example"))
    service.find(request.call_key)
    person = Approver("ann@acme.example", frozenset({"fin"}), EVE.public)  # has lost her key
    for known in (Approvers([]), Approvers([person])):
        service = ApprovalService(SqliteRequests(path), clock, approvers=known)
        with pytest.raises(ApprovalPending):
            service.consume(request.id, request.call_key, [FIN])


def test_a_use_that_is_taken_back_in_the_store_is_no_second_one_here(service, path, told):
    """The row is as it was when it was approved, rightly signed; this process knows better."""
    request = ask(service)
    give(service, request, signed(ANN, request, "ann@acme.example"))
    (before,) = _rows(path, request)
    service.consume(request.id, request.call_key, [FIN])
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE requests SET state = 'approved', request = ? WHERE id = ?", (before, request.id)
    )
    connection.commit()
    connection.close()
    assert service.get(request.id).state is ApprovalState.APPROVED
    for again in (False, True):
        with pytest.raises(ApprovalRejected, match="put back"):
            service.consume(request.id, request.call_key, [FIN], again=again)
    assert "put back" in refusals(told)[-1].detail["reason"]
    assert service.get(request.id).state is ApprovalState.APPROVED


def _rows(path, request):
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT request FROM requests WHERE id = ?", (request.id,)).fetchall()
    connection.close()
    return [row[0] for row in rows]


def test_a_quorum_that_was_lowered_in_the_store_is_no_quorum(service, path):
    request = ask(service, demands=(FIN2,))
    (demand,) = json.loads(json.dumps(request.shown()["demands"]))
    write(path, request, demands=[{**demand, "quorum": 1}])
    shown = service.get(request.id)
    assert give(service, shown, signed(ANN, shown, "ann@acme.example")).state == "approved"
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN2])


def test_nobody_puts_a_request_to_himself_by_way_of_the_store(service, path, told):
    """An escalation is written into the store; the person it leads to signs it rightly."""
    request = ask(service)
    write(path, request, escalation=CHANGES["whom it goes to"]["escalation"])
    shown = service.get(request.id)
    assert shown.escalation == (Escalation("fin", 0, "interns"),)
    answer = signed(CAT, shown, "cat@acme.example")
    with pytest.raises(AnswerRefused, match="none of the groups"):
        give(service, shown, answer)
    assert len(refusals(told)) == 1
    write(path, shown, state="approved", answers=[kept(answer)])
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])


def test_an_escalation_that_is_configured_goes_on_counting(path, clock):
    step = Escalation("fin", 10, "interns")
    service = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE, escalation=[step])
    request = ask(service)
    clock.advance(10)
    answer = signed(CAT, request, "cat@acme.example", time=clock.now_ns())
    assert give(service, request, answer).escalation == (step,)
    used = service.consume(request.id, request.call_key, [FIN])
    assert used.digest == request.digest
    assert service.consume(request.id, request.call_key, [FIN], again=True) == used


def test_an_answer_that_is_copied_to_another_request_does_not_help_there(service, path, told):
    """A forged yes is no part of a quorum, and keeps nobody from answering."""
    request, other = ask(service, demands=(FIN2,)), ask(service, 6, demands=(FIN2,))
    give(service, other, signed(ANN, other, "ann@acme.example"))
    (copied,) = service.get(other.id).answers
    write(path, request, answers=[kept(copied)])
    after = give(service, request, signed(BOB, request, "bob@acme.example"))
    assert after.state is ApprovalState.PENDING
    assert [answer.by for answer in after.answers] == ["bob@acme.example"]
    assert [event.detail["by"] for event in refusals(told)] == ["ann@acme.example"]
    after = give(service, request, signed(ANN, request, "ann@acme.example"))
    assert after.state is ApprovalState.APPROVED


@pytest.mark.parametrize("twice", ["args", "answers", "id", "state", "escalation"])
def test_a_row_that_says_a_thing_twice_is_not_read(service, path, twice):
    """Whoever reads the first word would see another request than whoever reads the last."""
    request = ask(service)
    connection = sqlite3.connect(path)
    (text,) = connection.execute("SELECT request FROM requests").fetchone()
    value = json.dumps(json.loads(text)[twice])
    connection.execute("UPDATE requests SET request = ?", (f'{{"{twice}":{value},{text[1:]}',))
    connection.commit()
    connection.close()
    with pytest.raises(StateUnavailable, match="twice"):
        service.get(request.id)
    with pytest.raises(StateUnavailable, match="twice"):
        service.consume(request.id, request.call_key, [FIN])


@pytest.mark.parametrize("column", ["id", "call_key", "state"])
def test_a_row_that_is_filed_under_another_name_is_not_read(service, path, column):
    request, other = ask(service), ask(service, 6)
    give(service, request, signed(ANN, request, "ann@acme.example"))
    values = {"id": "ap-copied", "call_key": other.call_key, "state": "pending"}
    connection = sqlite3.connect(path)
    connection.execute(
        f"UPDATE requests SET {column} = ? WHERE id = ?",  # noqa: S608  # one of three words
        (values[column], request.id),
    )
    connection.commit()
    connection.close()
    with pytest.raises(StateUnavailable, match="filed"):
        service.get(values["id"] if column == "id" else request.id)


def test_one_key_is_one_person(tmp_path):
    """Whoever holds it would be a quorum of two by two names."""
    two = [Approver(name, frozenset({"fin"}), ANN.public) for name in ("ann", "bob")]
    with pytest.raises(ValueError, match="same key"):
        Approvers(two)
    # The last letter before the padding has bits that say nothing.
    spelt = ANN.public[:-2] + chr(ord(ANN.public[-2]) + 1) + "="
    with pytest.raises(ValueError, match="same key"):
        Approvers([two[0], replace(two[1], key=spelt)])


def test_what_time_has_done_is_told_once_also_where_the_answer_is_refused(service, told, clock):
    """It was told, rolled back with the refusal, and told again by the next look."""
    request = ask(service)
    clock.advance(100)
    with pytest.raises(ApprovalExpired):
        service.consume(request.id, request.call_key, [FIN])
    with pytest.raises(AnswerRefused):
        give(service, request, signed(ANN, request, "ann@acme.example"))
    assert service.get(request.id).state is ApprovalState.EXPIRED
    assert [event.kind for event in told].count("approval.expired") == 1


def test_a_refused_answer_stays_refused_where_it_cannot_be_recorded(path, clock):
    service = ApprovalService(SqliteRequests(path), clock, approvers=PEOPLE)
    request = ask(service)

    def full(_request, _step):
        raise OSError("no space left")

    service.subscribe(full)
    with pytest.raises(AnswerRefused, match="not signed"):
        give(service, request, unsigned(request, None))
