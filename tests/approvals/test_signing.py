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
from guardrails.errors import ApprovalPending, ConfigError
from guardrails.model.approval import Answer, ApprovalState
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


def ask(service, key="k"):
    return service.request(
        key,
        demands=(FIN,),
        tool="pay",
        agent="billing",
        run_id="r",
        principal=None,
        args={"amount": 5},
        revision="v1",
    )


def answer(service, request, key, *, by="ann@acme.example", of=None, **changes):
    said = Answer(by, frozenset(), approved=True, reason="fine", time=0, channel="cli")
    sent = {"by": by, "approve": True, "reason": "fine", "channel": "cli", **changes}
    signature = key.sign((of or request).digest, said)
    return service.answer(request.id, **{"signature": signature, **sent})


def test_a_signed_answer_counts_with_the_groups_of_the_file(service):
    request = ask(service)
    after = answer(service, request, ANN, groups=["ops"])
    assert after.state is ApprovalState.APPROVED
    assert after.answers[0].groups == {"fin"}
    assert service.consume(request.id, "k", [FIN]).state is ApprovalState.CONSUMED


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "no base64!"},
        {"reason": "other words"},
        {"channel": "http"},
        {"approve": False},
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
    request, other = ask(service), ask(service, "other")
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
        service.consume(request.id, "k", [FIN])
    assert ask(service).id != request.id, "people are asked anew"


def test_another_call_under_a_signed_answer_gives_no_approval(service, table):
    request = ask(service)
    after = answer(service, request, ANN)
    table.put(replace(after, args={"amount": 5_000_000}))
    with pytest.raises(ApprovalPending):
        service.consume(request.id, "k", [FIN])


def test_who_left_the_group_before_the_use_does_not_count(service, table, clock):
    request = ask(service)
    answer(service, request, ANN)
    left = Approvers([Approver("ann@acme.example", frozenset({"ops"}), ANN.public)])
    later = ApprovalService(table, clock, approvers=left)
    with pytest.raises(ApprovalPending):
        later.consume(request.id, "k", [FIN])


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
