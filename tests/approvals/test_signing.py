"""Where approvers are known, only what they signed counts: when it is said, and when it is used."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals import ApprovalService
from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.signing import ApproverKey, is_signed
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.errors import ApprovalPending, ApprovalRejected, ConfigError
from guardrails.model.approval import Answer, ApprovalState
from guardrails.model.canonical import call_key
from guardrails.model.decision import ApprovalDemand

FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 100)
ANN, BOB, EVE = (ApproverKey(bytes([n]) * 32) for n in (1, 2, 3))
PEOPLE = Approvers(
    [
        Approver("ann@acme.example", frozenset({"fin"}), ANN.public),
        Approver("bob@acme.example", frozenset({"ops"}), BOB.public),
    ]
)


@pytest.fixture
def table():
    return MemoryRequests()


@pytest.fixture
def service(table, clock):
    return ApprovalService(table, clock, approvers=PEOPLE)


def key_of(amount=5, principal=None):
    return call_key("pay", {"amount": amount}, "billing", principal, "r")


def ask(service, amount=5, principal=None):
    return service.request(
        key_of(amount, principal),
        demands=(FIN,),
        tool="pay",
        agent="billing",
        run_id="r",
        principal=principal,
        args={"amount": amount},
        revision="v1",
    )


def answer(service, request, key, *, by="ann@acme.example", of=None, **changes):
    now = service._clock.now_ns()
    said = Answer(by, frozenset(), approved=True, reason="fine", time=now, channel="cli")
    sent = {"by": by, "approve": True, "reason": "fine", "channel": "cli", "time": now, **changes}
    signature = key.sign((of or request).digest, said)
    return service.answer(request.id, **{"signature": signature, **sent})


def test_a_signed_answer_counts_with_the_groups_of_the_file(service):
    request = ask(service)
    after = answer(service, request, ANN, groups=["ops"])
    assert after.state is ApprovalState.APPROVED
    assert after.answers[0].groups == {"fin"}
    assert service.consume(request.id, request.call_key, [FIN]).state is ApprovalState.CONSUMED


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "no base64!"},
        {"reason": "other words"},
        {"channel": "http"},
        {"approve": False},
        {"time": 1_699_999_999_999_999_999},
        {"by": "bob@acme.example"},
        {"by": "eve@acme.example"},
        {"by": "ann@acme.\u0435xample"},
    ],
)
def test_an_answer_that_is_not_what_was_signed_is_refused(service, changes):
    request = ask(service)
    with pytest.raises(AnswerRefused):
        answer(service, request, ANN, **changes)
    assert service.get(request.id) == request


def test_another_s_key_and_another_request_s_signature_are_refused(service):
    request, other = ask(service), ask(service, 6)
    with pytest.raises(AnswerRefused, match="is not signed"):
        answer(service, request, EVE)
    with pytest.raises(AnswerRefused, match="is not signed"):
        answer(service, request, ANN, of=other)
    with pytest.raises(AnswerRefused, match="none of the groups"):
        answer(service, request, BOB, by="bob@acme.example", groups=["fin"])


def test_a_store_that_was_written_to_gives_no_approval(service, table):
    request = ask(service)
    forged = Answer("ann@acme.example", frozenset({"fin"}), approved=True, reason="", time=1)
    table.put(replace(request, state=ApprovalState.APPROVED, answers=(forged,)))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])
    assert ask(service).id != request.id, "people are asked anew"


def test_another_call_under_a_signed_answer_gives_no_approval(service, table):
    request = ask(service)
    after = answer(service, request, ANN)
    table.put(replace(after, args={"amount": 5_000_000}))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])


def test_a_person_who_was_shown_another_call_has_approved_none(service, table):
    request = ask(service, 5_000_000)
    table.put(replace(request, args={"amount": 5}))
    shown = service.get(request.id)
    with pytest.raises(AnswerRefused, match="something else"):
        answer(service, shown, ANN)
    said = Answer("ann@acme.example", frozenset({"fin"}), approved=True, reason="", time=1)
    said = replace(said, signature=ANN.sign(shown.digest, said))
    table.put(replace(shown, state=ApprovalState.APPROVED, answers=(said,)))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, key_of(5_000_000), [FIN])


def test_nobody_approves_his_own_call_by_way_of_the_store(service, table):
    request = ask(service, principal="Ann@acme.example")
    with pytest.raises(AnswerRefused, match="somebody else"):
        answer(service, request, ANN)
    said = Answer("ann@acme.example", frozenset({"fin"}), approved=True, reason="", time=1)
    said = replace(said, signature=ANN.sign(request.digest, said))
    table.put(replace(request, state=ApprovalState.APPROVED, answers=(said,)))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])


def test_no_answer_counts_before_it_was_given(service, table, clock):
    request = ask(service)
    said = Answer("ann@acme.example", frozenset(), approved=True, reason="", time=2**62)
    said = replace(said, signature=ANN.sign(request.digest, said))
    table.put(replace(request, state=ApprovalState.APPROVED, answers=(said,)))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN])


def test_what_stands_as_used_in_the_store_is_looked_at_when_it_is_taken_again(service, table):
    request = ask(service)
    table.put(replace(request, state=ApprovalState.CONSUMED))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, request.call_key, [FIN], again=True)
    table.put(request)
    answer(service, request, ANN)
    used = service.consume(request.id, request.call_key, [FIN])
    assert service.consume(request.id, request.call_key, [FIN], again=True) == used
    with pytest.raises(ApprovalRejected, match="used already"):
        service.consume(request.id, request.call_key, [FIN])


def test_who_left_the_group_before_the_use_does_not_count(service, table, clock):
    request = ask(service)
    answer(service, request, ANN)
    left = Approvers([Approver("ann@acme.example", frozenset({"ops"}), ANN.public)])
    later = ApprovalService(table, clock, approvers=left)
    with pytest.raises(ApprovalPending):
        later.consume(request.id, request.call_key, [FIN])


@given(st.binary(min_size=32, max_size=32), st.text(max_size=10), st.booleans())
def test_only_the_key_that_signed_verifies(seed, reason, yes):
    key = ApproverKey(seed)
    said = Answer("ann", frozenset(), yes, reason, 0)
    signed = replace(said, signature=key.sign("sha256:x", said))
    assert is_signed(key.public, "sha256:x", signed)
    assert not is_signed(key.public, "sha256:y", signed)
    assert not is_signed(key.public, "sha256:x", replace(signed, approved=not yes))
    assert not is_signed(EVE.public, "sha256:x", signed)


def test_a_key_is_its_owner_s_alone_and_is_never_replaced(tmp_path):
    path = tmp_path / "deep" / "approver.key"
    made = ApproverKey.make(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ApproverKey.load(path).public == made.public
    with pytest.raises(ConfigError, match="not replaced"):
        ApproverKey.make(path)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read"):
        ApproverKey.load(path)
    path.chmod(0o600)
    path.write_text("c2hvcnQ=\n")
    with pytest.raises(ConfigError, match="no approver key"):
        ApproverKey.load(path)
    with pytest.raises(ConfigError, match="enroll"):
        ApproverKey.load(tmp_path / "missing")
