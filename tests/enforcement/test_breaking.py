"""Breakers in a call: seen by policy, asked about as decorators ask, and a stop that stays."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import guardrails as gr
from guardrails import testing
from guardrails.errors import Reason
from guardrails.model.breakers import OFF, Breaker, Breakers
from guardrails.model.decision import Decision, Effect

SILENT: dict[str, Any] = {"repeat": OFF, "cycle": OFF, "errors": OFF}
ALLOW = Decision(Effect.ALLOW, (Reason("r", "ok"),))


@gr.governed_tool(resource="r", operation="read")
def look_up(word: str, fail: bool = False) -> str:
    if fail:
        raise ValueError(word)
    return word


@gr.governed_tool(name="look_up_async", resource="r", operation="read")
async def look_up_async(word: str, fail: bool = False) -> str:
    if fail:
        raise ValueError(word)
    return word


@gr.governed_tool(resource="r", operation="write")
@gr.budget(cost="0.10")
def buy(what: str) -> str:
    return what


def governor(decide=None, **breakers):
    return testing.governor(decide, breakers=Breakers(**{**SILENT, **breakers}))


def events(its, kind="breaker"):
    return [event for event in its.record.events if event.kind == kind]


def outcome(call):
    try:
        return ("ok", call())
    except ValueError:
        return ("error",)
    except gr.Refusal as refusal:
        return (refusal.code, refusal.rule_ids)


calls = st.lists(st.tuples(st.sampled_from(["x", "y"]), st.booleans()), max_size=25)


@given(calls, st.integers(2, 4))
def test_async_does_what_sync_does(made, level):
    settings = {
        "repeat": Breaker(warn=level, ask=level + 2, stop=level + 5, of=20),
        "cycle": Breaker(stop=level, of=3),
        "errors": Breaker(ask=50, stop=100, of=4),
    }
    seen: dict[bool, list] = {True: [], False: []}

    def its(is_async):
        def decide(document):
            seen[is_async].append(document["run"]["signals"])
            return ALLOW

        return governor(decide, **settings)

    one, other = its(False), its(True)
    with one.run("a"):
        sync = [outcome(lambda: look_up(word, fail)) for word, fail in made]  # noqa: B023  # called at once

    async def main():
        found: list[Any] = []
        async with other.run("a"):
            for word, fail in made:
                try:
                    found.append(("ok", await look_up_async(word, fail)))
                except ValueError:
                    found.append(("error",))
                except gr.Refusal as refusal:
                    found.append((refusal.code, refusal.rule_ids))
        return found

    assert asyncio.run(main()) == sync
    assert seen[True] == seen[False]
    assert [event.detail["action"] for event in events(one)] == [
        event.detail["action"] for event in events(other)
    ]


def test_a_warning_is_recorded_once_a_run_and_stands_in_the_input(caplog):
    seen = []

    def decide(document):
        seen.append(document["run"]["signals"])
        return ALLOW

    its = governor(decide, repeat=Breaker(warn=3, of=10), errors=Breaker(warn=50, of=2))
    for _ in range(2):
        with its.run("a"):
            for _ in range(5):
                look_up("x")
            look_up("y")
    assert seen == [[], [], ["repeat"], ["repeat"], ["repeat"], []] * 2
    assert [(e.detail["breaker"], e.detail["action"]) for e in events(its)] == [
        ("repeat", "warn")
    ] * 2
    assert caplog.text.count("`look_up` was called 3 times with the same arguments") == 2


def test_a_stop_refuses_this_call_and_all_that_follow_until_it_is_reset():
    its = governor(repeat=Breaker(stop=3, of=10))
    with its.run("a") as run:
        look_up("x")
        look_up("x")
        for _ in range(2):
            with pytest.raises(gr.BreakerTripped, match=r"3 times .*\[breaker/repeat\]") as caught:
                look_up("x")
            assert caught.value.breaker == "repeat"
            assert caught.value.rule_ids == ("breaker/repeat",)
        with pytest.raises(gr.BreakerTripped):
            look_up("another")
        with pytest.raises(gr.BreakerTripped):
            its.decide(look_up, {"word": "x"})
        assert run.reserved.calls == 0
        its.reset_breakers(run.id, reason="the provider is back", by="dana@acme.example")
        assert look_up("x") == "x"
    (reset,) = events(its, "breaker.reset")
    assert reset.detail == {
        "run": run.id,
        "reason": "the provider is back",
        "by": "dana@acme.example",
    }
    assert [event.detail["action"] for event in events(its)] == ["stop"]
    assert len(events(its, "call.refused")) == 3
    with its.run("a"):
        look_up("x")


def test_only_a_run_at_work_with_breakers_can_be_reset():
    with pytest.raises(gr.ConfigError, match="no run `r-1`"):
        governor().reset_breakers("r-1", reason="x")
    its = testing.governor()
    with its.run("a") as run, pytest.raises(gr.ConfigError, match=run.id):
        its.reset_breakers(run.id, reason="x")


def test_an_ask_needs_its_own_approval_for_each_call_and_the_record_names_the_breaker():
    its = governor(repeat=Breaker(ask=2, of=10))
    with its.run("a"):
        assert look_up("x") == "x"
        for round_ in range(2):
            with pytest.raises(gr.ApprovalPending, match="operations") as caught:
                look_up("x")
            assert caught.value.rule_ids == ("breaker/repeat",)
            its.approvals.approve(
                caught.value.request_id, by=f"dana{round_}@acme.example", groups=["operations"]
            )
            assert look_up("x") == "x"
        assert look_up("y") == "y"
    started = [event for event in its.record.events if event.kind == "call.started"]
    assert [bool(event.approvals) for event in started] == [False, True, True, False]
    assert started[1].approvals[0].rule == "breaker/repeat"
    assert len(events(its)) == 1


def test_an_ask_never_lifts_a_denial_and_adds_to_what_policy_asks():
    denied = governor(lambda _: Decision(Effect.DENY), repeat=Breaker(ask=1, of=10))
    with denied.run("a"), pytest.raises(gr.CallDenied):
        look_up("x")
    shadowed = governor(
        lambda _: Decision(Effect.SHADOW, would=Effect.ALLOW), repeat=Breaker(ask=1, of=10)
    )
    with shadowed.run("a"), pytest.raises(gr.CallShadowed) as caught:
        look_up("x")
    assert caught.value.would == "require_approval"


def test_a_call_that_waits_for_people_is_counted_once():
    its = governor(repeat=Breaker(ask=1, stop=3, of=10))

    def answer():
        while not (open_ := its.approvals.list()):
            pass
        its.approvals.approve(open_[-1].id, by="dana@acme.example", groups=["operations"])

    with its.run("a", wait=30):
        person = threading.Thread(target=answer)
        person.start()
        assert look_up("x") == "x"
        person.join()
    with its.run("a"):
        with pytest.raises(gr.ApprovalPending):
            look_up("x")
        with pytest.raises(gr.ApprovalPending):
            look_up("x")
        with pytest.raises(gr.BreakerTripped):
            look_up("x")


def test_refused_calls_count_since_asking_in_vain_is_a_loop():
    its = governor(lambda _: Decision(Effect.DENY), repeat=Breaker(stop=4, of=10))
    with its.run("a"):
        codes = [outcome(lambda: look_up("x"))[0] for _ in range(5)]
    assert codes == ["denied"] * 3 + ["breaker_tripped"] * 2
    its = governor(repeat=Breaker(stop=4, of=10))
    with its.run("a", budget=gr.Budget(calls=0)):
        codes = [outcome(lambda: look_up("x"))[0] for _ in range(5)]
    assert codes == ["budget_exceeded"] * 3 + ["breaker_tripped"] * 2


def test_spending_stops_the_run_also_what_was_spent_between_calls_and_in_children():
    its = governor(spend=Breaker(stop=350_000))
    with its.run("a") as run:
        buy("x")
        run.charge(usd="0.10")
        with its.run("a") as child:
            buy("y")
            gr.charge(usd="0.10")
            with pytest.raises(
                gr.BreakerTripped, match=f"{child.id}, and run {run.id} is stopped: \\$0.40"
            ):
                buy("z")
            # The child itself has spent $0.20: it is its parent that is stopped.
            assert child.breakers.tripped is None
        with pytest.raises(gr.BreakerTripped):
            buy("z")
    with its.run("a"):
        buy("x")
        its.clock.advance(61)
        for _ in range(3):
            buy("x")


def test_errors_of_children_count_for_their_parent():
    its = governor(errors=Breaker(stop=100, of=3))
    with its.run("a"):
        for _ in range(3):
            with its.run("a"), pytest.raises(ValueError, match="x"):
                look_up("x", fail=True)
        with its.run("a"), pytest.raises(gr.BreakerTripped, match="3 of the last 3 calls failed"):
            look_up("x")


def test_a_loop_cannot_hide_in_a_new_child_each_round():
    its = governor(repeat=Breaker(stop=3, of=10))
    with its.run("a"):
        for _ in range(2):
            with its.run("a"):
                look_up("x")
        with its.run("a"), pytest.raises(gr.BreakerTripped):
            look_up("x")
    with its.run("a"):
        with its.run("a") as child:
            look_up("x")
            child.breakers.note("look_up", 0, own=True)
        look_up("x")


def test_under_threads_exactly_the_calls_before_the_limit_run():
    its = governor(repeat=Breaker(stop=40, of=100))
    with its.run("a") as run, gr.GovernedExecutor(8) as pool:
        codes = Counter(
            each.result()[0]
            for each in [pool.submit(outcome, lambda: look_up("x")) for _ in range(100)]
        )
    assert codes == {"ok": 39, "breaker_tripped": 61}
    assert run.spent.calls == 39
    assert [event.detail["action"] for event in events(its)] == ["stop"]


def test_observe_waives_an_ask_and_a_stop_binds():
    its = testing.governor(
        breakers=Breakers(**{**SILENT, "repeat": Breaker(ask=2, stop=4, of=10)}),
        modes=("observe", "enforce"),
    )
    with its.run("a", mode="observe"):
        assert [outcome(lambda: look_up("x"))[0] for _ in range(4)] == ["ok"] * 3 + [
            "breaker_tripped"
        ]


def test_what_cannot_be_recorded_does_not_run():
    its = governor(repeat=Breaker(warn=2, of=10))
    with its.run("a"):
        look_up("x")
        write = its.record.write

        def broken(event):
            if event.kind == "breaker":
                raise OSError("disk full")
            write(event)

        its.record.write = broken
        with pytest.raises(gr.StateUnavailable):
            look_up("x")
        its.record.write = write
        assert events(its) == []
        look_up("x")
    assert len(events(its)) == 1


def test_without_breakers_nothing_is_counted():
    its = testing.governor()
    with its.run("a") as run:
        for _ in range(200):
            look_up("x")
        assert run.breakers is None


def test_a_call_that_is_only_decided_is_not_counted():
    its = governor(repeat=Breaker(stop=2, of=10))
    with its.run("a"):
        for _ in range(5):
            its.decide(look_up, {"word": "x"})
        look_up("x")
