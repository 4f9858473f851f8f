"""A limit that is used up asks people: raised once as they approved, and never a permission."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from tests.budgets.stand import StillLedger

import guardrails as gr
from guardrails import testing
from guardrails.errors import Reason
from guardrails.model.account import Allowance, TopUp, Window
from guardrails.model.approval import ApprovalState
from guardrails.model.budget_plan import BudgetPlan
from guardrails.model.decision import Decision, Effect

TOP_UP = TopUp(gr.Budget(calls=2), ("finance-ops",))
PLAN = BudgetPlan(
    agents={"bot": Allowance({Window.DAY: gr.Budget(calls=2)}, TOP_UP)},
    environments={"test": Allowance({Window.DAY: gr.Budget(calls=50)})},
)


@gr.governed_tool(name="work")
def work(what: str = "x") -> str:
    return what


@gr.governed_tool(name="awork")
async def awork() -> str:
    return "done"


def decide(document):
    if document["args"].get("what") == "bad":
        return Decision(Effect.DENY, (Reason("rule", "it is bad"),))
    return Decision(Effect.ALLOW, (Reason("rule", "fine"),))


@pytest.fixture(params=["memory", "sqlite"])
def governor(request, tmp_path):
    words = {}
    if request.param == "sqlite":
        words["ledger"] = lambda governor: StillLedger(
            tmp_path / "budgets.sqlite",
            governor.alerted,
            on_act=governor.acted,
            clock=governor.clock,
        )
    made = testing.governor(decide, budgets=PLAN, **words)
    yield made
    made.close()


def asked(governor):
    return governor.approvals.list(ApprovalState.PENDING)


def use_up():
    assert [work(), work()] == ["x", "x"]


def test_the_refused_call_asks_and_once_approved_the_limit_is_raised_once(governor):
    with governor.run("bot", principal="sam@acme.example"):
        use_up()
        with pytest.raises(gr.ApprovalPending) as pending:
            work()
        assert "agent/bot has 0 left of 2 calls a day" in pending.value.message
        assert pending.value.approvers == ("finance-ops",)
        with pytest.raises(gr.ApprovalPending) as again:
            work("another call")
        assert again.value.request_id == pending.value.request_id, "one request for all"
        (request,) = asked(governor)
        assert request.args["account"] == "agent/bot"
        assert request.args["raise_by"] == {"calls": 2}
        governor.approvals.approve(request.id, by="dana@acme.example", groups=["finance-ops"])
        use_up()
        with pytest.raises(gr.ApprovalPending) as third:
            work()
        assert third.value.request_id != request.id, "used once"
    (event,) = [each for each in governor.record.events if each.kind == "budget.top_up"]
    assert event.detail["by"] == "dana@acme.example"
    assert event.detail["request_id"] == request.id


def test_a_no_holds_for_the_window(governor):
    with governor.run("bot"):
        use_up()
        with pytest.raises(gr.ApprovalPending):
            work()
        (request,) = asked(governor)
        governor.approvals.reject(
            request.id, by="dana@acme.example", groups=["finance-ops"], reason="enough"
        )
        with pytest.raises(gr.BudgetExceeded, match=r"dana@acme\.example: enough"):
            work()
        assert not asked(governor)
        governor.clock.advance(24 * 3600)
        use_up()


def test_a_top_up_lifts_no_denial(governor):
    with governor.run("bot"):
        use_up()
        with pytest.raises(gr.ApprovalPending):
            work("bad")
        (request,) = asked(governor)
        governor.approvals.approve(request.id, by="dana@acme.example", groups=["finance-ops"])
        with pytest.raises(gr.CallDenied):
            work("bad")


def test_a_top_up_lifts_no_kill(governor):
    with pytest.raises(gr.RunStopped), governor.run("bot"):  # noqa: PT012  # where a kill stops
        use_up()
        with pytest.raises(gr.ApprovalPending):
            work()
        (request,) = asked(governor)
        governor.approvals.approve(request.id, by="dana@acme.example", groups=["finance-ops"])
        governor.kill("agent/bot", reason="stop")
        work()
    assert not [each for each in governor.record.events if each.kind == "budget.top_up"]


def test_one_approval_serves_all_that_waited_and_raises_once(governor):
    async def main():
        async with governor.run("bot", wait=30):
            use_up()
            calls = [asyncio.create_task(awork()) for _ in range(2)]
            while not asked(governor):  # noqa: ASYNC110  # what it waits for tells nobody
                await asyncio.sleep(0.01)
            (request,) = asked(governor)
            governor.approvals.approve(request.id, by="dana@acme.example", groups=["finance-ops"])
            assert await asyncio.gather(*calls) == ["done", "done"]

    asyncio.run(main())
    assert len([each for each in governor.record.events if each.kind == "budget.top_up"]) == 1


def test_a_kill_wakes_who_waits_for_a_top_up(governor):
    def kill():
        while not asked(governor):
            time.sleep(0.01)
        governor.kill("agent/bot", reason="stop")

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(gr.RunStopped), governor.run("bot", wait=60):  # noqa: PT012  # as above
        use_up()
        work()
    thread.join()


def test_an_account_that_does_not_ask_refuses(governor):
    with governor.run("other"):
        for _ in range(50):
            work()
        with pytest.raises(gr.BudgetExceeded, match="env/test has 0 left of 50 calls a day"):
            work()
    assert not asked(governor)


def test_a_user_of_an_approval_that_died_before_it_raised_is_made_up_for(governor):
    with governor.run("bot"):
        use_up()
        with pytest.raises(gr.ApprovalPending):
            work()
        (request,) = asked(governor)
        governor.approvals.approve(request.id, by="dana@acme.example", groups=["finance-ops"])
        governor.approvals.consume(request.id, request.call_key, request.demands)
        use_up()
