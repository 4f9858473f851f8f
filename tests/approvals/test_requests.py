"""The life of a request: every demand by its own people, used for one exact call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.approvals.requests import (
    AnswerRefused,
    aged,
    answered,
    consumed,
    covers,
    missing,
    opened,
    satisfied,
    with_answer,
    withdrawn,
)
from guardrails.errors import ApprovalExpired, ApprovalPending, ApprovalRejected
from guardrails.model.approval import Answer, ApprovalState
from guardrails.model.decision import ApprovalDemand

SECOND = 1_000_000_000
KEY = "sha256:" + "0" * 64
FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 100)
FIN2 = ApprovalDemand("money", "over 9000", ("fin",), 2, 100)
OPS = ApprovalDemand("prod", "production", ("ops", "sre"), 1, 50)


def new(*demands, principal="dana@acme.example", agent="billing"):
    return opened(
        "ap-1",
        KEY,
        demands=demands,
        tool="pay",
        agent=agent,
        run_id="r",
        principal=principal,
        args={},
        revision="v1",
        now=0,
    )


def yes(by, *groups, time=1):
    return Answer(by, frozenset(groups), approved=True, reason="", time=time)


def no(by, *groups, time=1):
    return Answer(by, frozenset(groups), approved=False, reason="", time=time)


def after(request, *answers):
    for answer in answers:
        request = answered(request, answer)
    return request


def test_it_expires_with_the_earliest_of_its_demands():
    request = new(FIN, OPS)
    assert request.expires == 50 * SECOND
    assert aged(request, 50 * SECOND - 1) is request
    assert aged(request, 50 * SECOND).state is ApprovalState.EXPIRED


@pytest.mark.parametrize(
    "demands",
    [
        (),
        (ApprovalDemand("r", "", ()),),
        (ApprovalDemand("r", "", ("fin",), 0),),
        (ApprovalDemand("r", "", ("fin",), 1, 0),),
    ],
)
def test_a_demand_that_anybody_or_nobody_meets_is_no_request(demands):
    with pytest.raises(ValueError):
        new(*demands)


def test_each_demand_needs_its_own_people():
    request = after(new(FIN, OPS), yes("ann", "fin"))
    assert request.state is ApprovalState.PENDING
    assert after(request, yes("bob", "sre")).state is ApprovalState.APPROVED
    assert after(new(FIN, OPS), yes("ann", "fin", "ops")).state is ApprovalState.APPROVED


def test_a_quorum_is_of_distinct_people():
    request = after(new(FIN2), yes("ann@acme.example", "fin"))
    for same in (
        "ann@acme.example",
        "ANN@ACME.EXAMPLE",
        "\uff41\uff4e\uff4e@acme.example",
        "ann+2@acme.example",
    ):
        with pytest.raises(AnswerRefused, match="already"):
            answered(request, yes(same, "fin"))
    with pytest.raises(AnswerRefused, match="invisible"):
        answered(request, yes("ann\u200b@acme.example", "fin"))
    with pytest.raises(AnswerRefused, match="look alike"):
        answered(request, yes("\u0430nn@acme.example", "fin"))
    assert after(request, yes("bob", "fin")).state is ApprovalState.APPROVED


@pytest.mark.parametrize(
    "by",
    [
        "dana@acme.example",
        "DANA@acme.example",
        "\uff44ana@acme.example",
        "dana+yes@acme.example",
        "billing",
        "Billing",
    ],
)
def test_nobody_answers_his_own_request(by):
    for answer in (yes(by, "fin"), no(by, "fin")):
        with pytest.raises(AnswerRefused, match="somebody else"):
            answered(new(FIN), answer)


def test_a_quorum_in_a_store_is_of_distinct_people_too():
    request = with_answer(new(FIN2), yes("ann@acme.example", "fin"), ApprovalState.APPROVED)
    for other, lacking in (("ann+2@acme.example", 1), ("bob@acme.example", 0)):
        both = with_answer(request, yes(other, "fin"), ApprovalState.APPROVED)
        assert missing(both, FIN2) == lacking


def test_a_requester_spelt_with_invisible_characters_is_still_the_requester():
    with pytest.raises(AnswerRefused, match="somebody else"):
        answered(new(FIN, principal="da\u200bna"), yes("dana", "fin"))


def test_only_members_of_its_groups_answer():
    for answer in (yes("ann", "ops"), no("ann", "Fin"), yes("ann")):
        with pytest.raises(AnswerRefused, match="`fin`"):
            answered(new(FIN), answer)


def test_one_no_of_an_eligible_person_rejects():
    assert after(new(FIN2), yes("ann", "fin"), no("bob", "fin")).state is ApprovalState.REJECTED
    assert after(new(FIN2), yes("ann", "fin"), no("ann", "fin")).state is ApprovalState.REJECTED


def test_what_is_approved_can_still_be_stopped_until_it_is_used():
    request = after(new(FIN), yes("ann", "fin"))
    with pytest.raises(AnswerRefused, match="approved already"):
        answered(request, yes("bob", "fin"))
    assert answered(request, no("bob", "fin")).state is ApprovalState.REJECTED


def final(state):
    return {
        ApprovalState.REJECTED: after(new(FIN), no("ann", "fin")),
        ApprovalState.EXPIRED: aged(new(FIN), 100 * SECOND),
        ApprovalState.WITHDRAWN: withdrawn(new(FIN), 2, "killed"),
        ApprovalState.CONSUMED: consumed(after(new(FIN), yes("ann", "fin")), KEY, [FIN], 2),
    }[state]


FINAL = [
    ApprovalState.REJECTED,
    ApprovalState.EXPIRED,
    ApprovalState.WITHDRAWN,
    ApprovalState.CONSUMED,
]


@pytest.mark.parametrize("state", FINAL)
def test_final_states_stay(state):
    request = final(state)
    assert request.state is state
    for answer in (yes("bob", "fin"), no("bob", "fin")):
        with pytest.raises(AnswerRefused, match=state.value):
            answered(request, answer)
    assert withdrawn(request, 200, "late") is request
    assert aged(request, 10**30) is request
    with pytest.raises((ApprovalRejected, ApprovalExpired)):
        consumed(request, KEY, [FIN], 2)


def test_an_answer_after_the_expiry_does_not_count():
    with pytest.raises(AnswerRefused, match="expired"):
        answered(new(FIN), yes("ann", "fin", time=100 * SECOND))


def test_use_needs_the_exact_call_the_time_and_the_answers_that_are_needed_now():
    request = after(new(FIN), yes("ann", "fin"))
    assert consumed(request, KEY, [FIN], 2).state is ApprovalState.CONSUMED
    with pytest.raises(ApprovalRejected, match="another call"):
        consumed(request, KEY[:-1] + "1", [FIN], 2)
    with pytest.raises(ApprovalExpired):
        consumed(request, KEY, [FIN], 100 * SECOND)
    with pytest.raises(ApprovalExpired):
        consumed(request, KEY, [ApprovalDemand("money", "", ("fin",), 1, 1)], 2 * SECOND)
    with pytest.raises(ApprovalPending) as caught:
        consumed(request, KEY, [FIN, OPS], 2)
    assert caught.value.approvers == ("ops", "sre")
    with pytest.raises(ApprovalPending):
        consumed(request, KEY, [FIN2], 2)
    with pytest.raises(ApprovalPending):
        consumed(new(FIN), KEY, [FIN], 2)


def test_a_pending_request_is_never_used_whatever_is_demanded_now():
    request = after(new(FIN2), yes("ann", "fin"))
    for demands in ([FIN], []):
        with pytest.raises(ApprovalPending):
            consumed(request, KEY, demands, 2)


def test_what_an_open_request_covers():
    assert covers(new(FIN, OPS), [FIN])
    assert not covers(new(FIN), [FIN, OPS])
    assert not covers(new(FIN), [FIN2])
    assert covers(after(new(FIN), yes("ann", "fin", "ops")), [FIN, OPS])
    assert not covers(after(new(FIN), yes("ann", "fin")), [FIN2])


people = st.sampled_from(["ann", "ANN", "bob", "cleo", "dana@acme.example"])
groups = st.frozensets(st.sampled_from(["fin", "ops", "sre", "other"]), max_size=2)
answers = st.lists(
    st.builds(Answer, people, groups, st.booleans(), st.just(""), st.integers(1, 60 * SECOND)),
    max_size=8,
)


@given(st.lists(st.sampled_from([FIN, FIN2, OPS]), min_size=1, max_size=3), answers)
def test_approved_means_that_every_demand_was_met_by_distinct_others(demands, said):
    request = new(*demands)
    for answer in said:
        before = request
        try:
            request = answered(request, answer)
        except AnswerRefused:
            assert request is before
    counted = [answer for answer in request.answers if answer.approved]
    assert all(answer.by != "dana@acme.example" for answer in request.answers)
    assert all(answer.groups & {"fin", "ops", "sre"} for answer in request.answers)
    for demand in demands:
        able = {answer.by.casefold() for answer in counted if answer.groups & set(demand.approvers)}
        assert missing(request, demand) == max(0, demand.quorum - len(able))
        if request.state is ApprovalState.APPROVED:
            assert len(able) >= demand.quorum
    rejected = any(not answer.approved for answer in request.answers)
    assert (request.state is ApprovalState.REJECTED) is rejected
    if request.state is ApprovalState.PENDING:
        assert not satisfied(request, demands)
