"""What people are told of a request: what it wants of them, and what somebody did with it."""

from __future__ import annotations

from dataclasses import replace

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.alerts.dispatcher import Dispatcher, Route
from guardrails.alerts.sinks import CallbackSink
from guardrails.model.approval import ApprovalState
from guardrails.model.decision import ApprovalDemand

GROUPS = ["finance-ops"]
NEEDED = gr.Decision(
    gr.Effect.REQUIRE_APPROVAL,
    approvals=(ApprovalDemand("money", "it moves money", ("finance-ops",)),),
)


@gr.governed_tool(name="pay", operation="write", shadow=None)
def pay(amount: int | None) -> str:
    if amount is None:
        amount = int(gr.escalate("the amount is missing", to="finance-ops"))
    return f"paid {amount}"


@pytest.fixture
def told():
    return []


@pytest.fixture
def governor(told):
    alerts = Dispatcher([Route("pager", CallbackSink(told.append))])
    made = testing.governor(lambda _: NEEDED, alerts=alerts, tools=[pay])
    yield made
    made.close()


def titles(governor, told):
    governor.close()
    return [(str(notice.kind), notice.title) for notice in told]


def test_an_edit_is_told_and_what_takes_the_place_asks_for_itself(governor, told):
    with governor.run("billing"), pytest.raises(gr.ApprovalPending) as asked:
        pay(4180)
    new = governor.approvals.edit(
        asked.value.request_id, {"amount": 20}, by="lee", groups=GROUPS, channel="cli"
    )
    assert titles(governor, told) == [
        ("approval.waiting", "billing waits for approval of `pay` by finance-ops"),
        (
            "approval.answered",
            f"lee changed the arguments of `pay` of billing; {new.id} takes its place",
        ),
        ("approval.waiting", "billing waits for approval of `pay` by finance-ops"),
    ]
    facts = told[1].facts
    assert (facts["step"], facts["state"]) == ("edited", "edited")
    assert (facts["by"], facts["channel"], facts["successor"]) == ("lee", "cli", new.id)
    assert all("4180" not in notice.json() for notice in told), "arguments are for approvers"


def test_a_question_is_told_as_one_and_its_answer_as_an_answer(governor, told):
    approvals = governor.approvals
    with governor.run("billing", id="r"):
        with pytest.raises(gr.ApprovalPending) as asked:
            pay(None)
        approvals.approve(asked.value.request_id, by="lee", groups=GROUPS)
        with pytest.raises(gr.CallEscalated) as question:
            pay(None)
    approvals.approve(question.value.request_id, by="kim", groups=GROUPS, reason="20")
    assert [title for _, title in titles(governor, told)] == [
        "billing waits for approval of `pay` by finance-ops",
        "lee answered: `pay` of billing is approved",
        "billing asks finance-ops a question about `pay`",
        "kim answered: `pay` of billing is approved",
    ]
    assert [notice.facts["about"] for notice in told] == [
        "call",
        "call",
        "escalation",
        "escalation",
    ]


def test_an_accepted_proposal_is_told(governor, told):
    with governor.run("billing", mode="shadow", id="r"):
        pay(5)
    (proposal,) = governor.approvals.list(ApprovalState.PROPOSED)
    new = governor.approvals.accept(proposal.id, by="kim", groups=GROUPS)
    assert [title for _, title in titles(governor, told)] == [
        f"kim accepted the withheld `pay` of billing; {new.id} is for its call",
        "billing waits for approval of `pay` by finance-ops",
    ]


def test_a_request_for_more_budget_says_so_and_braces_stay_words(governor, told):
    with governor.run("billing"), pytest.raises(gr.ApprovalPending) as asked:
        pay(1)
    there = governor.approvals.get(asked.value.request_id)
    governor._teller.asked(replace(there, about="budget", agent="{tool}"), "requested")
    assert titles(governor, told)[-1] == (
        "approval.waiting",
        "{tool} waits at `pay` for more budget, to be approved by finance-ops",
    )
