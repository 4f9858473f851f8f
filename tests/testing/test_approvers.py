"""Named people answer in a test as they do at work, and only the test's clock goes on meanwhile."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import pytest
from tests.testing import project as files

import guardrails as gr
from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.signing import ApproverKey
from guardrails.testing import Governed
from guardrails.testing.project import Project

pytestmark = pytest.mark.guardrails(agent="billing", at="2026-03-01T12:00:00Z")

KIM, LEE, ANN = "kim.tan@acme.example", "lee.park@acme.example", "ann@acme.example"
LARGE = ("A-17", Decimal(2000))


def asked(tool, *args):
    with pytest.raises(gr.ApprovalPending) as pending:
        tool(*args)
    return pending.value


def test_a_quorum_of_two_is_two_people(governed, approvers, shop):
    with governed.run():
        pending = asked(shop.refund, *LARGE)
        approvers.approve(pending, by=KIM)
        with pytest.raises(AnswerRefused):
            approvers.approve(pending, by="KIM.tan@acme.example")
        asked(shop.refund, *LARGE)
        approvers.approve(pending, by=LEE)
        assert shop.refund(*LARGE) == "refunded 2000"
        asked(shop.refund, *LARGE)  # it was for one call
    assert [("refund", "A-17", Decimal(2000))] == shop.RAN


def test_an_approval_is_for_exactly_this_call(governed, approvers, shop):
    with governed.run():
        asked(shop.refund, *LARGE)
        approvers.approve(by=KIM)
        approvers.approve(by=LEE)
        asked(shop.refund, "A-17", Decimal(2001))
    assert shop.RAN == []


def test_whoever_the_call_is_for_cannot_approve_it(governed, approvers, shop):
    with governed.run(principal=KIM):
        pending = asked(shop.refund, *LARGE)
        with pytest.raises(AnswerRefused, match="somebody else has to answer it"):
            approvers.approve(pending, by=KIM)


def test_who_is_in_none_of_the_groups_cannot_answer(governed, approvers, shop):
    with governed.run():
        pending = asked(shop.refund, *LARGE)
        with pytest.raises(AnswerRefused, match="none of the groups"):
            approvers.approve(pending, by=KIM, groups="cooks")


def test_a_no_stays_a_no(governed, approvers, shop):
    with governed.run():
        approvers.reject(asked(shop.refund, *LARGE), by=KIM, reason="too much")
        for _ in range(2):
            with pytest.raises(gr.ApprovalRejected, match="too much"):
                shop.refund(*LARGE)


def test_no_approval_lifts_a_denial(governed, approvers, shop):
    approvers.on_duty(KIM, LEE)
    with governed.run(), pytest.raises(gr.CallDenied):
        shop.refund("A-17", Decimal(9000))


def test_people_on_duty_take_the_clocks_time_and_no_other(governed, approvers, shop):
    approvers.on_duty(KIM, LEE, after=1800)
    began, moment = time.monotonic(), governed.clock.now_ns()
    with governed.run() as run:
        assert shop.refund(*LARGE) == "refunded 2000"
        assert run.elapsed() == 0  # waits for people are not charged
    assert (governed.clock.now_ns() - moment) == 3600 * 10**9
    assert time.monotonic() - began < 600


def test_people_on_duty_are_awaited_too(governed, approvers, shop):
    approvers.on_duty(KIM, after=60)

    async def work():
        async with governed.run(labels=["urgent"]):
            with pytest.raises(gr.ApprovalPending):
                shop.note("a")  # a plain function cannot wait on an event loop
            return await asyncio.gather(asyncio.to_thread(shop.note, "b"), shop.publish("c"))

    assert asyncio.run(work()) == ["b", "c"]


def test_people_on_duty_who_may_not_answer_are_told_of(governed, approvers, shop):
    approvers.on_duty(KIM, groups="cooks")
    with governed.run(), pytest.raises(gr.ApprovalExpired):
        shop.refund(*LARGE)
    assert len(approvers.refused) == 1
    assert "none of the groups" in approvers.refused[0]


def test_who_is_off_duty_answers_nothing(governed, approvers, shop):
    approvers.on_duty(KIM, LEE)
    approvers.off_duty()
    with governed.run():
        asked(shop.refund, *LARGE)


def test_an_unanswered_request_goes_to_whom_it_is_escalated_to(governed, approvers, shop):
    approvers.on_duty(KIM, groups="desk-leads", after=1799)
    with governed.run(labels=["urgent"], wait=7200), pytest.raises(gr.ApprovalExpired):
        shop.note("a")
    assert approvers.refused
    approvers.off_duty()
    approvers.on_duty(KIM, groups="desk-leads", after=1801)
    with governed.run(labels=["urgent"]):
        assert shop.note("b") == "b"


def test_a_wait_that_is_too_short_ends_pending(governed, shop):
    moment = governed.clock.now_ns()
    with governed.run(wait=90):
        asked(shop.refund, *LARGE)
    assert governed.clock.now_ns() - moment == 90 * 10**9
    assert [each.tool for each in governed.approvers.pending] == ["refund"]


@pytest.mark.parametrize("made", [0, 2])
def test_which_request_is_meant_has_to_be_clear(governed, approvers, shop, made):
    with governed.run():
        for number in range(made):
            asked(shop.refund, f"A-{number}", Decimal(2000))
        with pytest.raises(ValueError, match=f"say which request is meant: {made} are pending"):
            approvers.approve(by=KIM)


def test_on_duty_names_somebody(approvers):
    with pytest.raises(ValueError, match="names nobody"):
        approvers.on_duty()


# ---------------------------------------------------------------- with approvers.yaml


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    key = ApproverKey.make(tmp_path_factory.mktemp("keys") / "kim.pem").public
    folder = files.make(
        tmp_path_factory.mktemp("known"),
        **{
            "guardrails.yaml": files.FILES["guardrails.yaml"].rstrip()
            + "\n        approvers: people.yaml\n",
            "people.yaml": f"""
                {KIM}: {{groups: [finance-ops], key: "{key}"}}
                {LEE}: {{groups: [finance-ops]}}
                {ANN}: {{groups: [cooks]}}
            """,
        },
    )
    return Project.load(folder / "guardrails.yaml")


def test_the_file_says_who_is_in_which_group(known, shop):
    governed = Governed(known, agent="billing")
    with governed.run():
        pending = asked(shop.refund, *LARGE)
        with pytest.raises(AnswerRefused, match="none of the groups"):
            governed.approvers.approve(pending, by=ANN)
        governed.approvers.approve(pending, by=KIM)
        governed.approvers.approve(pending, by=LEE)
        assert shop.refund(*LARGE) == "refunded 2000"


def test_nobody_else_can_answer_and_no_test_says_otherwise(known, shop):
    governed = Governed(known, agent="billing")
    with governed.run():
        pending = asked(shop.refund, *LARGE)
        with pytest.raises(ValueError, match=r"did you mean `kim.tan@acme.example`"):
            governed.approvers.approve(pending, by="kim.tam@acme.example")
        with pytest.raises(ValueError, match="leave `groups` out"):
            governed.approvers.approve(pending, by=KIM, groups="finance-ops")
        with pytest.raises(ValueError, match="is not in"):
            governed.approvers.on_duty("stranger@acme.example")
