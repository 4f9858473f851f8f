"""A tool that asks: the call ends with a question, and the same call goes on with the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import guardrails as gr
from guardrails.model.approval import ApprovalState
from guardrails.model.decision import ApprovalDemand

DEMAND = ApprovalDemand("money", "all", ("fin",))


class Desk:
    def __init__(self, decide=None):
        self.did: list[int] = []

        @gr.governed_tool(name="pay")
        def pay(amount: int | None) -> str:
            if amount is None:
                amount = int(gr.escalate("the amount is missing", to="fin"))
            self.did.append(amount)
            return f"paid {amount}"

        self.pay = pay
        self.governor = gr.testing.governor(decide, tools=[pay])
        self.approvals: Any = self.governor.approvals

    def call(self, amount=None):
        with self.governor.run("billing", id="r", principal="ann"):
            try:
                return self.pay(amount)
            except gr.Refusal as refusal:
                return refusal

    def say(self, request_id, text, by="kim"):
        return self.approvals.approve(request_id, by=by, groups=["fin"], reason=text)


def test_a_question_ends_the_call_and_its_answer_lets_the_same_call_go_on():
    desk = Desk()
    asked = desk.call()
    assert isinstance(asked, gr.CallEscalated)
    assert isinstance(asked, gr.ApprovalPending)
    assert asked.question == "the amount is missing"
    assert "Do not guess" in gr.for_model(asked)
    assert desk.call().request_id == asked.request_id
    finished = [e for e in desk.governor.record.events if e.kind == "call.finished"]
    assert [e.detail["outcome"] for e in finished] == ["escalated", "escalated"]
    request = desk.approvals.get(asked.request_id)
    assert (request.about, request.question, request.args) == (
        "escalation",
        "the amount is missing",
        {"amount": None},
    )
    assert request.call_key == request.key_of_shown()
    desk.say(asked.request_id, "20")
    assert desk.call() == "paid 20"
    assert desk.approvals.get(asked.request_id).outcome == "ok"
    again = desk.call()
    assert again.request_id != asked.request_id, "an answer counts once"
    assert desk.did == [20]


def test_a_question_is_answered_with_words_and_not_by_who_asks():
    desk = Desk()
    asked = desk.call()
    with pytest.raises(gr.GuardrailsError, match="question"):
        desk.say(asked.request_id, " ")
    with pytest.raises(gr.GuardrailsError, match="made the request"):
        desk.say(asked.request_id, "20", by="ann")


def test_a_no_and_an_edit_end_the_call():
    desk = Desk()
    asked = desk.call()
    new = desk.approvals.edit(asked.request_id, {"amount": 7}, by="kim", groups=["fin"])
    edited = desk.call()
    assert isinstance(edited, gr.ApprovalEdited)
    assert edited.arguments == {"amount": 7}
    assert new.about == "call"
    assert desk.call(7) == "paid 7"
    other = Desk()
    other.approvals.reject(other.call().request_id, by="kim", groups=["fin"], reason="no")
    refused = other.call()
    assert isinstance(refused, gr.ApprovalRejected)
    assert other.did == []


def test_an_answered_call_is_resumed_once_and_needs_its_own_approval():
    desk = Desk()
    asked = desk.call()
    desk.say(asked.request_id, "20")
    assert desk.governor.resume_call(asked.request_id) == "paid 20"
    with pytest.raises(gr.ApprovalRejected):
        desk.governor.resume_call(asked.request_id)
    assert desk.did == [20]
    strict = Desk(lambda _: gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND,)))
    strict.say(strict.call().request_id, "yes")
    question = strict.call()
    assert isinstance(question, gr.CallEscalated)
    strict.say(question.request_id, "20")
    with pytest.raises(gr.ApprovalPending) as pending:
        strict.governor.resume_call(question.request_id)
    assert strict.approvals.get(question.request_id).state is ApprovalState.APPROVED
    assert strict.approvals.get(pending.value.request_id).previous_outcome == "escalated"
    strict.say(pending.value.request_id, "yes")
    assert strict.governor.resume_call(question.request_id) == "paid 20"


def test_two_questions_are_answered_one_after_the_other():
    got = []

    @gr.governed_tool(name="move")
    def move() -> None:
        got.append((gr.escalate("from where?", to="ops"), gr.escalate("to where?", to="ops")))

    governor = gr.testing.governor(tools=[move])
    with governor.run("a", id="r"):
        for words in ("here", "there"):
            with pytest.raises(gr.CallEscalated) as asked:
                move()
            request_id = asked.value.request_id
            governor.approvals.approve(request_id, by="kim", groups=["ops"], reason=words)
        move()
    assert got == [("here", "there")]


def test_a_coroutine_escalates_too_and_concurrent_calls_keep_theirs():
    @gr.governed_tool(name="wire")
    async def wire(to: str) -> str:
        await asyncio.sleep(0)
        return gr.escalate(f"which account of {to}?", to="ops")

    governor = gr.testing.governor()

    async def both():
        async with governor.run("a", id="r"):
            return await asyncio.gather(wire("B"), wire("C"), return_exceptions=True)

    asked = asyncio.run(both())
    assert [each.question for each in asked] == ["which account of B?", "which account of C?"]


def test_outside_of_a_governed_tool_it_is_an_error():
    with pytest.raises(gr.NoActiveRun, match="no governed call"):
        gr.escalate("what?", to="ops")
    with gr.testing.run(), pytest.raises(gr.NoActiveRun):
        gr.escalate("what?", to="ops")


@pytest.mark.parametrize(
    "wrong",
    [{"question": ""}, {"question": "x" * 3000}, {"to": ()}, {"quorum": 0}, {"expires_in": 0}],
)
def test_wrong_words_are_errors_of_the_developer(wrong):
    @gr.governed_tool(name="ask")
    def ask() -> None:
        gr.escalate(**{"question": "what?", "to": "ops", **wrong})

    with gr.testing.run(), pytest.raises(gr.ConfigError):
        ask()


def test_where_people_cannot_be_asked_the_call_refuses():
    desk = Desk()

    def fail(*_, **__):
        raise OSError

    desk.approvals.request = fail
    assert isinstance(desk.call(), gr.StateUnavailable)
