"""What a test is told is what happens: a verdict is the call's own fate, and leaves no trace."""

from __future__ import annotations

import asyncio
import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.testing import project as files

import guardrails as gr
from guardrails import testing
from guardrails.testing import Governed
from guardrails.testing.project import Project

pytestmark = pytest.mark.guardrails(at="2026-03-01T12:00:00Z")

FATES = {
    gr.CallDenied: "deny",
    gr.ApprovalPending: "require_approval",
    gr.CallShadowed: "shadow",
    gr.InvalidArguments: "invalid_arguments",
    gr.BudgetExceeded: "budget_exceeded",
    gr.BreakerTripped: "breaker_tripped",
    gr.PolicyError: "policy_error",
}


def fate(call):
    """What comes of a call that is made, in the words of a verdict."""
    try:
        call()
    except gr.Refusal as refusal:
        return FATES[type(refusal)]
    return "allow"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Project.load(files.make(tmp_path_factory.mktemp("made")) / "guardrails.yaml")


amounts = st.one_of(
    st.sampled_from([Decimal(0), Decimal(20), Decimal(1000), Decimal("1000.01"), Decimal(5001)]),
    st.decimals(-10, 6000, places=2),
    st.sampled_from(["20", None, True, 20.5]),
)
refunds = st.fixed_dictionaries({"order_id": st.sampled_from(["A-17", "B-2"]), "amount": amounts})
notes = st.fixed_dictionaries({"text": st.text(max_size=12)})
calls: Any = st.one_of(
    st.tuples(st.just("refund"), refunds),
    st.tuples(st.just("note"), notes),
    st.tuples(st.just("secret"), st.just({})),
)
runs = st.fixed_dictionaries(
    {
        "agent": st.sampled_from(["billing", "helper", "reader"]),
        "principal": st.sampled_from([None, "guest@acme.example", "ann@acme.example"]),
        "labels": st.sampled_from([(), ("urgent",)]),
    }
)


@given(run=runs, made_calls=st.lists(calls, min_size=1, max_size=8), night=st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_verdict_is_what_becomes_of_the_call(made, shop, run, made_calls, night):
    governed = Governed(made, at="2026-03-01T02:00:00Z" if night else "2026-03-01T12:00:00Z")
    with governed.run(**run):
        for name, args in made_calls:
            tool = getattr(shop, name)
            expected = testing.decide(tool, args).says
            assert fate(lambda tool=tool, args=args: tool(**args)) == expected


@given(run=runs, call=calls)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_deciding_leaves_no_trace(made, shop, run, call):
    shop.RAN.clear()
    governed = Governed(made)
    with governed.run(**run) as opened:
        before = (opened.spent, opened.reserved, opened.remaining, len(governed.record.events))
        first = testing.decide(getattr(shop, call[0]), call[1])
        again = testing.decide(getattr(shop, call[0]), call[1])
        after = (opened.spent, opened.reserved, opened.remaining, len(governed.record.events))
    assert before == after
    assert (first.says, first.rules, first.approvals) == (again.says, again.rules, again.approvals)
    assert governed.approvers.pending == ()
    assert shop.RAN == []


@given(times=st.integers(0, 5))
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_calls_that_are_said_to_be_made_count_as_made_ones(made, shop, times):
    call = {"order_id": "A-17", "amount": Decimal(20)}
    pretended = Governed(made).decide(
        shop.refund, call, agent="billing", after={shop.refund: min(times, 3)}
    )
    really = Governed(made)
    with really.run("billing"):
        for number in range(times):
            with contextlib.suppress(gr.CallDenied):
                shop.refund(order_id=f"A-{number}", amount=Decimal(20))
        made_calls = testing.decide(shop.refund, call)
    assert (pretended.says, pretended.rules) == (made_calls.says, made_calls.rules)
    assert pretended.says == ("allow" if times < 3 else "deny")


def test_a_sync_and_an_async_tool_are_decided_alike(governed, shop):
    async def inside():
        async with governed.run("billing"):
            return [
                (testing.decide(tool, {"order_id": "A", "amount": Decimal(20)}).says)
                for tool in (shop.refund, shop.refund_async)
            ]

    assert asyncio.run(inside()) == ["allow", "allow"]
    assert shop.RAN == []


def test_what_policy_rewrites_is_decided_and_shown_as_it_would_run(governed, shop):
    with governed.run("billing"):
        verdict = testing.assert_allowed(
            shop.note, {"text": "a long note"}, runs_with={"text": "a long n"}
        )
        assert verdict.args["text"] == "a long note"
        assert shop.note("a long note") == "a long n"


def test_a_decision_of_the_governor_follows_the_rewriting_too(governed, shop):
    with governed.run("billing"):
        assert governed.governor.decide(shop.note, {"text": "a long note"}).obligations == ()


def test_where_the_environment_gives_no_budget_everything_is_denied(governed, shop):
    call = {"order_id": "A-17", "amount": Decimal(20)}
    governed.assert_allowed(shop.refund, call, agent="billing", environment="prod")
    verdict = governed.assert_denied(shop.note, {"text": "a"}, agent="reader", environment="prod")
    assert "no budget in environment `prod`" in " ".join(verdict.reasons)


def test_the_environments_budget_is_the_one_that_holds(governed, shop):
    call = {"order_id": "A-17", "amount": Decimal(20)}
    spent = {"usd": "0.04"}
    governed.assert_allowed(shop.refund, call, agent="billing", spent=spent)
    governed.assert_refused(
        shop.refund, call, agent="billing", environment="prod", spent=spent, code="budget_exceeded"
    )


def test_the_clock_is_the_tests_own(governed, shop):
    governed.clock.set("2026-03-01T05:59:59Z")
    governed.assert_shadowed(shop.note, {"text": "a"}, agent="billing", because="notes")
    governed.clock.advance(1)
    governed.assert_allowed(shop.note, {"text": "a"}, agent="billing")


def test_a_delegate_is_decided_for_its_parents_too(governed, shop):
    call = {"order_id": "A-17", "amount": Decimal(2000)}
    governed.assert_allowed(shop.note, {"text": "a"}, agent="helper", parents=["billing"])
    verdict = governed.assert_denied(shop.note, {"text": "a"}, agent="billing", parents=["helper"])
    assert verdict.rules == ("guardrails.run",)  # the run itself cannot be opened
    alone = governed.decide(shop.refund, call, agent="helper")
    below = governed.decide(shop.refund, call, agent="helper", parents=["billing"])
    assert [each.approvers for each in alone.approvals] == [("operations",)]
    assert {each.approvers for each in below.approvals} == {("operations",), ("finance-ops",)}


@pytest.mark.parametrize("as_json", [False, True])
def test_a_secret_in_the_arguments_is_refused_as_it_is_at_work(tmp_path, shop, as_json):
    written = (
        files.FILES["guardrails.yaml"].rstrip()
        + "\n        record: {directory: .guardrails/record, secrets: refuse}\n"
    )
    folder = files.make(tmp_path, **{"guardrails.yaml": written})
    governed = Governed(Project.load(folder / "guardrails.yaml"))
    secret = {"text": "ghp_" + "a1B2c3D4e5F6g7H8i9" * 2}
    with governed.run("billing"):
        with pytest.raises(gr.CallDenied):
            shop.note(**secret)
        verdict = testing.decide(shop.note, secret, as_json=as_json)
        assert (verdict.says, verdict.rules) == ("deny", ("guardrails.secrets",))
        testing.assert_denied(shop.note, secret, because="guardrails.secrets")
    assert not (tmp_path / ".guardrails").exists()


def test_a_killed_run_is_refused(governed, shop):
    with contextlib.suppress(gr.RunStopped), governed.run("billing") as run:
        run.kill("enough")
        testing.assert_refused(
            shop.refund, {"order_id": "A-17", "amount": Decimal(20)}, code="run_killed"
        )
    governed.governor.kill("tool/note", reason="it writes nonsense")
    governed.assert_refused(shop.note, {"text": "a"}, agent="billing", code="run_killed")


def test_nothing_is_written_where_the_project_is(folder, governed, shop):
    before = {each for each in folder.rglob("*") if "__pycache__" not in each.parts}
    with governed.run("billing"):
        shop.refund("A-17", Decimal(20))
    assert {each for each in folder.rglob("*") if "__pycache__" not in each.parts} == before
    assert governed.record.tools() == ["refund"]
