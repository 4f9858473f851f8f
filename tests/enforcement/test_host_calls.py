"""What a host does around a governed call changes nothing about it; asking ahead does nothing."""

import asyncio
import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guardrails as gr
from guardrails.enforcement.asking import ask
from guardrails.enforcement.host_calls import CallCaught, host_call
from guardrails.errors import EvaluationError, PolicyUnavailable, Reason
from guardrails.model.decision import (
    ApprovalDemand,
    Decision,
    Effect,
    MalformedDecision,
    Obligation,
)

DONE: list[int] = []


@gr.governed_tool(resource="payments", operation="write")
def pay(amount: int) -> str:
    """Pay."""
    DONE.append(amount)
    return f"paid {amount}"


@gr.governed_tool
def outer(amount: int) -> str:
    """Makes a governed call of its own, and lives with its refusal."""
    try:
        return pay(amount)
    except gr.Refusal:
        return "lived with it"


@gr.governed_tool
async def pay_later(amount: int) -> str:
    """Pay."""
    await asyncio.sleep(0)
    DONE.append(amount)
    return f"paid {amount}"


@pytest.fixture(autouse=True)
def nothing_done():
    DONE.clear()


DEMAND = ApprovalDemand("large", "it is large", ("finance-ops",), 1, 3600)
DECISIONS = {
    "allow": Decision(Effect.ALLOW, (Reason("r", "ok"),), revision="test"),
    "deny": Decision(Effect.DENY, (Reason("r", "no"),), revision="test"),
    "ask": Decision(Effect.REQUIRE_APPROVAL, approvals=(DEMAND,), revision="test"),
    "shadow": Decision(Effect.SHADOW, would=Effect.ALLOW, revision="test"),
}


def deciding(word):
    return gr.testing.governor(lambda _: DECISIONS[word])


def caught(tool, *args):
    """The call that a host asks about."""
    with pytest.raises(CallCaught) as found, host_call("pay", "call_1", asks=True):
        tool(*args)
    return found.value.call


def hosted(call, swallow=BaseException):
    """A host that makes the call, and swallows what comes of it."""
    with host_call("pay", "call_1"), contextlib.suppress(swallow):
        call()


@pytest.mark.parametrize("swallow", [Exception, BaseException])
def test_a_refusal_that_the_host_swallows_is_raised_all_the_same(swallow):
    with deciding("deny").run("a"), pytest.raises(gr.CallDenied):
        hosted(lambda: pay(1), swallow)
    assert DONE == []


def test_a_refusal_that_the_host_turns_into_an_error_of_its_own_is_raised_in_its_place():
    def translating():
        try:
            pay(1)
        except gr.Refusal as error:
            raise ValueError("try again") from error

    with deciding("deny").run("a"), pytest.raises(gr.CallDenied) as refusal:
        hosted(translating, KeyError)
    assert isinstance(refusal.value.__cause__, ValueError)


def test_a_kill_that_the_host_swallows_is_raised_all_the_same():
    governor = deciding("allow")

    def killed():
        governor.kill("agent/a", reason="enough")
        pay(1)

    with pytest.raises(gr.RunStopped), governor.run("a"):
        hosted(killed)
    assert DONE == []


def test_an_attempt_of_the_host_that_succeeds_after_all_counts():
    words = iter(["deny", "allow"])
    governor = gr.testing.governor(lambda _: DECISIONS[next(words)])
    with governor.run("a"), host_call("pay", "1"):
        with contextlib.suppress(gr.Refusal):
            pay(1)
        assert pay(1) == "paid 1"


def test_what_a_tool_does_with_calls_of_its_own_is_its_business():
    def decide(document):
        return DECISIONS["deny" if document["tool"]["name"] == "pay" else "allow"]

    governor = gr.testing.governor(decide)
    with governor.run("a"), host_call("outer", "call_1"):
        assert outer(1) == "lived with it"
    refused = next(each for each in governor.record.events if each.kind == "call.refused")
    assert refused.input["call"]["id"] == refused.decision_id  # the host's id is the outer call's


def test_a_refusal_that_a_tool_lets_pass_is_raised_all_the_same():
    @gr.governed_tool
    def careless(amount: int) -> str:
        return pay(amount)

    def decide(document):
        return DECISIONS["deny" if document["tool"]["name"] == "pay" else "allow"]

    with gr.testing.governor(decide).run("a"), pytest.raises(gr.CallDenied, match="pay"):
        hosted(lambda: careless(1))


def test_a_question_that_the_host_swallows_is_raised_all_the_same():
    @gr.governed_tool
    def asking() -> str:
        return gr.escalate("which account?", to="finance-ops")

    with deciding("allow").run("a"), pytest.raises(gr.CallEscalated):
        hosted(asking)


@pytest.mark.parametrize("id", [None, "", "x" * 129, "line\nbreak", 7])
def test_an_id_that_is_none_is_left_out(id):
    governor = deciding("allow")
    with governor.run("a"), host_call("pay", id):
        pay(1)
    started = next(each for each in governor.record.events if each.kind == "call.started")
    assert started.input["call"]["id"] == started.decision_id


def test_two_calls_under_one_id_of_a_host_are_two_calls():
    governor = deciding("allow")
    keys = set()

    @gr.governed_tool
    def keyed() -> None:
        keys.add(gr.idempotency_key())

    with governor.run("a"):
        for _ in range(2):
            with host_call("keyed", "call_1"):
                keyed()
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert {each.input["call"]["id"] for each in started} == {"call_1"}
    assert len({each.decision_id for each in started}) == len(keys) == 2


def test_outside_of_every_run_the_host_is_refused_before_it_does_anything():
    with pytest.raises(gr.NoActiveRun), host_call("pay", "1"):
        pytest.fail("the host was let in")


@given(
    word=st.sampled_from(sorted(DECISIONS)),
    answered=st.sampled_from([None, "asked", "approve", "reject", "used"]),
    mode=st.sampled_from(["enforce", "shadow"]),
    calls=st.integers(1, 2),
    amount=st.integers(0, 3),
)
def test_asking_ahead_says_what_making_the_call_says_and_does_nothing(
    word, answered, mode, calls, amount
):
    DONE.clear()
    governor = deciding(word)
    with governor.run("a", id="r", mode=mode, budget=gr.Budget(calls=calls)) as run:
        if word == "ask" and mode == "enforce" and answered is not None:
            with pytest.raises(gr.ApprovalPending) as waits:
                pay(amount)
            person = {"by": "kim", "groups": {"finance-ops"}}
            if answered != "asked":
                say = (
                    governor.approvals.reject
                    if answered == "reject"
                    else (governor.approvals.approve)
                )
                say(waits.value.request_id, **person)
            if answered == "used":
                pay(amount)
        before = (list(DONE), run.spent, run.reserved)
        states = {each.id: each.state for each in governor.approvals.list()}
        call = caught(pay, amount)
        first, second = ask(call), ask(call)
        assert (list(DONE), run.spent, run.reserved) == before
        after = {each.id: each.state for each in governor.approvals.list()}
        assert states.items() <= after.items()  # no answer was used
        assert len(after) - len(states) == (first is not None and first.request_id not in states)
        made = refusal_of(pay, amount)
        if isinstance(made, gr.ApprovalPending):
            assert first.request_id == second.request_id == made.request_id
            assert (first.tool, first.run_id) == ("pay", "r")
        else:
            assert first is None
            assert second is None


def refusal_of(tool, *args):
    """Why the call does not run; None where it does."""
    try:
        tool(*args)
    except gr.Refusal as refusal:
        return refusal
    return None


def test_asking_ahead_of_a_killed_run_raises_the_kill():
    governor = deciding("ask")

    def killed():
        call = caught(pay, 1)
        governor.kill("agent/a", reason="enough")
        ask(call)

    with pytest.raises(gr.RunStopped), governor.run("a"):
        killed()


TRANSFORM = Obligation("transform", "/args/amount", 2)
TWICE = Decision(Effect.ALLOW, obligations=(TRANSFORM,))
NOWHERE = Decision(Effect.ALLOW, obligations=(replace(TRANSFORM, path="/args/none"),))


@pytest.mark.parametrize(
    "says",
    [
        *(EvaluationError("eval_conflict_error", "two"), MalformedDecision("it is none")),
        *(PolicyUnavailable("nobody answers"), RuntimeError("a bug"), NOWHERE, TWICE),
    ],
)
def test_a_fault_of_the_engine_is_told_when_the_call_is_made_and_not_to_who_asks_ahead(says):
    def decide(_):
        if isinstance(says, Exception):
            raise says
        return says

    with gr.testing.governor(decide).run("a") as run:
        assert ask(caught(pay, 1)) is None
        assert run.reserved.calls == 0
        assert isinstance(refusal_of(pay, 1), gr.PolicyError | gr.PolicyUnavailable)
    assert DONE == []


def test_a_call_that_waits_in_place_is_not_asked_about_ahead():
    with deciding("ask").run("a", wait=1):
        assert ask(caught(pay, 1)) is None


def test_coroutine_functions_are_caught_too():
    async def main():
        with deciding("ask").run("a"):
            with pytest.raises(CallCaught) as found, host_call("pay_later", "1", asks=True):
                await pay_later(1)
            return ask(found.value.call)

    assert asyncio.run(main()).approvers == ("finance-ops",)
    assert DONE == []
