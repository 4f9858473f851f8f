"""After the answer: edited, accepted and resumed calls; each is decided, each runs once."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
import uuid  # noqa: TC003  # tools' annotations are read at run time
from collections.abc import Callable  # noqa: TC003  # as above
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from decimal import Decimal  # noqa: TC003  # as above
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import guardrails as gr
from guardrails.model.approval import ApprovalState
from guardrails.model.decision import ApprovalDemand

DEMAND = ApprovalDemand("money", "over 1000", ("fin",))


def limited(document):
    """Denies a lot, asks about much, allows the rest."""
    amount = document["args"].get("amount", 0)
    if amount > 9000:
        return gr.Decision(gr.Effect.DENY, (gr.Reason("money", "too much"),))
    if amount > 1000:
        return gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND,))
    return gr.Decision(gr.Effect.ALLOW)


class Desk:
    """A governor, a tool that notes what it did, and the people."""

    def __init__(self, decide: Callable[[Any], gr.Decision] = limited, **services: Any) -> None:
        self.did: list[int] = []

        @gr.governed_tool(name="pay", operation="write", shadow=None)
        def pay(amount: int, to: str = "B") -> str:
            self.did.append(amount)
            return f"paid {amount} to {to}"

        self.pay = pay
        self.decide = decide
        self.governor: Any = gr.testing.governor(
            lambda document: self.decide(document),  # noqa: PLW0108  # tests replace it
            tools=[pay],
            **services,
        )
        self.approvals: Any = self.governor.approvals

    def asked(self, amount=5000, run="r", **options):
        with self.governor.run("billing", id=run, **options), pytest.raises(gr.Refusal) as refused:
            self.pay(amount)
        return refused.value

    def yes(self, request_id):
        return self.approvals.approve(request_id, by="kim", groups=["fin", "operations"])

    def edit(self, request_id, amount, reason="half"):
        there = self.approvals.get(request_id)
        args = {**there.args, "amount": amount}
        return self.approvals.edit(request_id, args, by="lee", groups=["fin"], reason=reason)

    def events(self, kind):
        return [each for each in self.governor.record.events if each.kind == kind]


# ------------------------------------------------------------------------------- resuming


def test_an_approved_call_is_resumed_once():
    desk = Desk()
    asked = desk.asked(principal="ann", labels={"night"})
    desk.yes(asked.request_id)
    assert desk.governor.resume_call(asked.request_id) == "paid 5000 to B"
    with pytest.raises(gr.ApprovalRejected, match="used already; what came of it: ok"):
        desk.governor.resume_call(asked.request_id)
    assert desk.did == [5000]
    (started,) = desk.events("call.started")
    assert started.detail["resumed"] is True
    assert started.detail["request_id"] == asked.request_id
    opened = desk.events("run.opened")[-1]
    assert (opened.run_id, opened.agent, opened.detail["principal"]) == ("r", "billing", "ann")
    assert opened.detail["labels"] == ["night"]


@pytest.mark.parametrize(
    "end", ["pending", "rejected", "expired", "withdrawn", "top_up", "unknown"]
)
def test_what_is_not_approved_is_not_resumed(end):
    desk = Desk()
    asked = desk.asked()
    match end:
        case "rejected":
            desk.approvals.reject(asked.request_id, by="kim", groups=["fin"])
        case "expired":
            desk.governor.clock.advance(5 * 3600)
        case "withdrawn":
            desk.approvals.withdraw(asked.request_id, reason="killed")
    expected: dict[str, Any] = {
        "pending": gr.ApprovalPending,
        "expired": gr.ApprovalExpired,
        "unknown": gr.GuardrailsError,
    }
    if end == "top_up":
        asked.request_id = desk.approvals.request(
            "k",
            demands=[DEMAND],
            tool="pay",
            agent="billing",
            run_id="r",
            principal=None,
            args={},
            revision="",
            about="budget",
        ).id
        desk.yes(asked.request_id)
        expected["top_up"] = gr.ConfigError
    if end == "unknown":
        asked.request_id = "ap-none"
    with pytest.raises(expected.get(end, gr.ApprovalRejected)):
        desk.governor.resume_call(asked.request_id)
    assert desk.did == []


def test_a_resumed_call_is_decided_anew():
    desk = Desk()
    asked = desk.asked()
    desk.yes(asked.request_id)
    desk.decide = lambda _: gr.Decision(gr.Effect.DENY, (gr.Reason("frozen", "no payments"),))
    with pytest.raises(gr.CallDenied):
        desk.governor.resume_call(asked.request_id)
    more = ApprovalDemand("legal", "frozen", ("legal",))
    desk.decide = lambda _: gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND, more))
    with pytest.raises(gr.ApprovalPending) as pending:
        desk.governor.resume_call(asked.request_id)
    assert pending.value.request_id != asked.request_id
    assert desk.did == []


def test_what_policy_allows_by_now_runs_once_all_the_same():
    desk = Desk()
    asked = desk.asked()
    desk.yes(asked.request_id)
    desk.decide = lambda _: gr.Decision(gr.Effect.ALLOW)
    with ThreadPoolExecutor(8) as pool:
        barrier = threading.Barrier(8)

        def resume(_):
            barrier.wait()
            try:
                return desk.governor.resume_call(asked.request_id)
            except (gr.Refusal, gr.ConfigError) as refusal:  # the run is open for the winner
                return refusal

        results = list(pool.map(resume, range(8)))
    assert desk.did == [5000]
    assert sum(isinstance(each, str) for each in results) == 1


def test_a_killed_run_is_not_resumed():
    desk = Desk()
    asked = desk.asked()
    desk.yes(asked.request_id)
    desk.governor.kill("run/r", reason="stop")
    with pytest.raises(gr.RunStopped):
        desk.governor.resume_call(asked.request_id)
    assert desk.did == []


def test_a_run_is_resumed_within_what_was_left_of_its_budget():
    desk = Desk()
    with desk.governor.run("billing", id="r", budget=gr.Budget(calls=3, seconds=50)):
        desk.pay(1)
        desk.pay(2)
        desk.governor.clock.advance(20)
        with pytest.raises(gr.ApprovalPending) as first:
            desk.pay(5000)
    desk.yes(first.value.request_id)
    desk.governor.resume_call(first.value.request_id)
    again = desk.events("run.opened")[-1].detail["budget"]
    assert (again["calls"], again["seconds"]) == (1, 30.0)
    with desk.governor.run("billing", id="s", budget=gr.Budget(calls=1)):
        with pytest.raises(gr.ApprovalPending) as second:
            desk.pay(5000)
        desk.pay(1)
    desk.yes(second.value.request_id)
    assert desk.governor.resume_call(second.value.request_id) == "paid 5000 to B"


def test_inside_its_own_run_the_call_is_made_right_there():
    desk = Desk()
    with desk.governor.run("billing", id="r", budget=gr.Budget(calls=5)) as run:
        with pytest.raises(gr.ApprovalPending) as asked:
            desk.pay(5000)
        desk.yes(asked.value.request_id)
        desk.governor.resume_call(asked.value.request_id)
        assert run.spent.calls == 1
    other = desk.asked(run="t")
    desk.yes(other.request_id)
    with desk.governor.run("billing", id="s"), pytest.raises(gr.ConfigError, match="leave it"):
        desk.governor.resume_call(other.request_id)


def test_from_another_thread_it_is_made_in_the_run_that_is_open_here():
    desk = Desk()
    with desk.governor.run("billing", id="r", budget=gr.Budget(calls=5)) as run:
        with pytest.raises(gr.ApprovalPending) as asked:
            desk.pay(5000)
        desk.yes(asked.value.request_id)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(desk.governor.resume_call, asked.value.request_id).result()
            assert pool.submit(gr.current_run).result() is None
        assert run.spent.calls == 1


def test_a_child_is_resumed_in_its_parent():
    desk = Desk()
    with (
        desk.governor.run("billing", id="top", labels={"night"}),
        desk.governor.run("billing", id="r", budget=gr.Budget(calls=2)),
        pytest.raises(gr.ApprovalPending) as asked,
    ):
        desk.pay(5000)
    desk.yes(asked.value.request_id)
    seen: list[Any] = []

    def see(document):
        seen.append(document["run"])
        return limited(document)

    desk.decide = see
    desk.governor.resume_call(asked.value.request_id)
    assert seen[0]["ancestry"] == [{"run": "top", "agent": "billing"}]


def test_only_a_known_tool_is_resumed():
    desk = Desk()
    asked = desk.asked()
    desk.yes(asked.request_id)
    other = gr.testing.governor(limited, approvals=desk.approvals)
    with pytest.raises(gr.ConfigError, match="known are none"):
        other.resume_call(asked.request_id)
    assert desk.approvals.get(asked.request_id).state is ApprovalState.APPROVED


def test_a_definition_that_has_changed_refuses():
    desk = Desk()
    asked = desk.asked()
    desk.yes(asked.request_id)

    def changed(function):
        tool = gr.governed_tool(name="pay", operation="write")(function)
        return gr.testing.governor(limited, approvals=desk.approvals, tools=[tool])

    def retyped(amount: str, to: str = "B") -> None: ...
    def shorter(amount: int) -> None: ...
    def longer(amount: int, to: str = "B", fast: bool = True) -> None: ...  # a new default
    def renamed(sum: int, to: str = "B") -> None: ...  # noqa: A002  # a new name

    for function in (retyped, shorter, longer, renamed):
        with pytest.raises(gr.InvalidArguments):
            changed(function).resume_call(asked.request_id)

    def wider(amount: float, to: str = "B") -> None: ...

    changed(wider).resume_call(asked.request_id)


def test_hidden_arguments_are_given_or_named():
    got = []

    @gr.governed_tool(name="send", hide=("session",))
    def send(text: str, session: Any, retries: Annotated[int, gr.Hidden] = 3) -> str:
        got.append((session, retries))
        return text

    governor = gr.testing.governor(
        lambda _: gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND,)), tools=[send]
    )
    with governor.run("a", id="r"), pytest.raises(gr.ApprovalPending) as asked:
        send("hi", session=object(), retries=9)
    request_id = asked.value.request_id
    governor.approvals.approve(request_id, by="kim", groups=["fin"])
    with pytest.raises(gr.InvalidArguments, match="session"):
        governor.resume_call(request_id)
    for wrong in ({"text": "ho"}, {"x": 1}):
        with pytest.raises(gr.ConfigError, match="none of its hidden"):
            governor.resume_call(request_id, hidden=wrong)
    assert governor.resume_call(request_id, hidden={"session": "s"}) == "hi"
    assert got == [("s", 3)]


def test_a_coroutine_is_resumed_on_a_loop_and_a_plain_function_too():
    did = []

    @gr.governed_tool(name="wire")
    async def wire(amount: int) -> int:
        await asyncio.sleep(0)
        did.append(amount)
        return amount

    desk = Desk()
    desk.governor.claim("wire", gr.tool_of(wire))

    async def ask():
        async with desk.governor.run("billing", id="w"):
            with pytest.raises(gr.ApprovalPending) as asked:
                await wire(2000)
        return asked.value.request_id

    request_id = asyncio.run(ask())
    desk.yes(request_id)
    with pytest.raises(gr.ConfigError, match="resume_call_async"):
        desk.governor.resume_call(request_id)
    assert asyncio.run(desk.governor.resume_call_async(request_id)) == 2000
    asked = desk.asked()
    desk.yes(asked.request_id)
    assert asyncio.run(desk.governor.resume_call_async(asked.request_id)) == "paid 5000 to B"


def test_methods_and_generators_say_that_they_are_not_resumed():
    class Bank:
        @gr.governed_tool(name="close")
        def close(self, account: str) -> None: ...

    @gr.governed_tool(name="rows")
    def rows(count: int):
        yield from range(count)

    governor = gr.testing.governor(
        lambda _: gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND,))
    )
    for make in (lambda: Bank().close("x"), lambda: list(rows(3))):
        with governor.run("a"), pytest.raises(gr.ApprovalPending) as asked:
            make()
        governor.approvals.approve(asked.value.request_id, by="kim", groups=["fin"])
        with pytest.raises(gr.ConfigError, match="cannot be resumed"):
            governor.resume_call(asked.value.request_id)


@dataclass
class Line:
    text: str
    price: Decimal


VALUES = {
    "count": st.integers(-(10**12), 10**12),
    "price": st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-1e9, max_value=1e9
    ),
    "when": st.datetimes(timezones=st.just(dt.UTC)),
    "key": st.uuids(),
    "lines": st.lists(
        st.builds(Line, st.text(max_size=8), st.decimals(0, 100, places=2)), max_size=3
    ),
    "note": st.none() | st.text(max_size=20),
    "ratio": st.floats(allow_nan=False, allow_infinity=False),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries(VALUES), st.lists(st.integers(-9, 9), max_size=3))
def test_what_was_stored_becomes_the_very_arguments_again(values, rest):
    got: list[Any] = []

    @gr.governed_tool(name="all")
    def everything(  # noqa: PLR0913  # a type each
        count: int,
        price: Decimal,
        when: dt.datetime,
        key: uuid.UUID,
        *rest: int,
        lines: list[Line],
        note: str | None,
        ratio: float,
    ) -> None:
        got.append((count, price, when, key, rest, lines, note, ratio))

    governor = gr.testing.governor(
        lambda _: gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND,)), tools=[everything]
    )

    def make():
        given_values = dict(values)
        first = [given_values.pop(name) for name in ("count", "price", "when", "key")]
        everything(*first, *rest, **given_values)

    with governor.run("a", id="r"):
        with pytest.raises(gr.ApprovalPending) as asked:
            make()
        governor.approvals.approve(asked.value.request_id, by="kim", groups=["fin"])
        make()
        with pytest.raises(gr.ApprovalPending) as again:
            make()
    governor.approvals.approve(again.value.request_id, by="kim", groups=["fin"])
    governor.resume_call(again.value.request_id)
    assert got[0] == got[1]
    assert list(map(type, got[0])) == list(map(type, got[1]))


# ------------------------------------------------------------------------------- edited arguments


@pytest.mark.parametrize(("reason", "said"), [("half", "by lee: half ("), ("", "by lee (")])
def test_a_reason_is_told_where_there_is_one(reason, said):
    desk = Desk()
    new = desk.edit(desk.asked().request_id, 2000, reason)
    assert f"were changed {said}request" in str(desk.asked())
    desk = Desk()
    desk.approvals.reject(desk.asked().request_id, by="lee", groups=["fin"], reason=reason)
    assert str(desk.asked()).startswith(f"`pay` was rejected {said.removesuffix(' (')}\n")
    assert new.state == "pending"


def test_an_agent_hears_of_no_edit_that_nobody_made():
    desk = Desk()
    asked, other = desk.asked(), desk.asked(7000)
    there = desk.approvals.get(asked.request_id)
    desk.approvals._table.put(
        replace(there, state=ApprovalState.EDITED, successor=other.request_id)
    )
    heard = desk.asked()
    assert type(heard) is gr.ApprovalRejected
    assert "7000" not in gr.for_model(heard)
    with pytest.raises(gr.ApprovalRejected, match="nobody who may"):
        desk.governor.resume_call(asked.request_id)
    assert desk.did == []


def test_who_calls_again_hears_what_was_changed():
    desk = Desk()
    asked = desk.asked()
    new = desk.edit(asked.request_id, 2000)
    desk.yes(new.id)
    with desk.governor.run("billing", id="r"):
        with pytest.raises(gr.ApprovalEdited) as edited:
            desk.pay(5000)
        assert edited.value.request_id == new.id
        assert edited.value.changed == {"amount": "2000"}
        assert edited.value.arguments == {"amount": 2000, "to": "B"}
        assert isinstance(edited.value, gr.ApprovalRejected)
        said = gr.for_model(edited.value)
        again: Any = desk.pay
        assert "amount=2000" in said
        assert "Call it with these" in said
        assert again(**edited.value.arguments) == "paid 2000 to B"
        with pytest.raises(gr.ApprovalEdited, match="consumed") as later:
            desk.pay(5000)
        assert "was made already" in gr.for_model(later.value)
    assert desk.did == [2000]
    (started,) = desk.events("call.started")
    assert started.detail["origin"] == asked.request_id
    kinds = [each.kind for each in desk.governor.record.events if each.kind.startswith("approval")]
    assert kinds[:3] == ["approval.requested", "approval.edited", "approval.requested"]


def test_the_edited_call_is_resumed_by_either_id_and_decided():
    desk = Desk()
    asked = desk.asked()
    new = desk.edit(asked.request_id, 20)
    with pytest.raises(gr.ApprovalPending):
        desk.governor.resume_call(asked.request_id)
    desk.yes(new.id)
    assert desk.governor.resume_call(asked.request_id) == "paid 20 to B"
    with pytest.raises(gr.ApprovalRejected):
        desk.governor.resume_call(new.id)
    denied = desk.asked(run="s")
    too_much = desk.edit(denied.request_id, 9001)
    desk.yes(too_much.id)
    with pytest.raises(gr.CallDenied):
        desk.governor.resume_call(denied.request_id)
    assert desk.did == [20]


def test_edited_arguments_are_checked_against_the_annotations():
    desk = Desk()
    asked = desk.asked()
    new = desk.edit(asked.request_id, "much")
    desk.yes(new.id)
    with pytest.raises(gr.InvalidArguments, match="amount"):
        desk.governor.resume_call(new.id)
    assert desk.approvals.get(new.id).state is ApprovalState.APPROVED


def test_an_edited_call_is_not_made_by_the_agent_and_by_a_worker():
    desk = Desk()
    asked = desk.asked()
    new = desk.edit(asked.request_id, 20)
    desk.yes(new.id)
    assert isinstance(desk.asked(), gr.ApprovalEdited)  # the agent hears of it
    with pytest.raises(gr.ApprovalRejected, match="itself"):
        desk.governor.resume_call(new.id)
    with desk.governor.run("billing", id="r"):
        desk.pay(20)
    assert desk.did == [20]


def test_who_waits_hears_of_an_edit_at_once():
    desk = Desk()
    heard: list[BaseException] = []

    def agent():
        with desk.governor.run("billing", id="r", wait=30):
            try:
                desk.pay(5000)
            except gr.Refusal as refusal:
                heard.append(refusal)

    thread = threading.Thread(target=agent)
    thread.start()
    while not (waiting := desk.approvals.list(ApprovalState.PENDING)):
        thread.join(0.01)
    desk.edit(waiting[0].id, 20)
    thread.join(20)
    assert isinstance(heard[0], gr.ApprovalEdited)


# ------------------------------------------------------------------------------- proposals


def test_a_shadowed_call_is_kept_and_made_once_it_is_accepted():
    desk = Desk()
    with desk.governor.run("billing", mode="shadow", id="r", principal="ann"):
        assert desk.pay(5) is None
    (proposal,) = desk.approvals.list(ApprovalState.PROPOSED)
    assert desk.events("call.shadowed")[0].detail["request_id"] == proposal.id
    with pytest.raises(gr.ConfigError, match="accept it first"):
        desk.governor.resume_call(proposal.id)
    new = desk.approvals.accept(proposal.id, by="kim", groups=["operations"])
    desk.yes(new.id)
    assert desk.governor.resume_call(proposal.id) == "paid 5 to B"
    assert desk.did == [5]
    opened = desk.events("run.opened")[-1]
    assert (opened.mode, opened.detail["principal"]) == ("enforce", "ann")
    linked = [e.detail for e in desk.governor.record.events if e.kind == "approval.accepted"]
    assert linked[0]["successor"] == new.id


def test_an_accepted_proposal_is_decided_anew():
    desk = Desk()
    with desk.governor.run("billing", mode="shadow", id="r"):
        desk.pay(5)
        desk.pay(2000)
    allowed, asked = desk.approvals.list(ApprovalState.PROPOSED)
    assert asked.demands == (DEMAND,)
    desk.decide = lambda _: gr.Decision(gr.Effect.DENY, (gr.Reason("frozen", "no"),))
    new = desk.yes(desk.approvals.accept(allowed.id, by="kim", groups=["operations"]).id)
    with pytest.raises(gr.CallDenied):
        desk.governor.resume_call(new.id)
    desk.decide = lambda _: gr.Decision(gr.Effect.SHADOW, would=gr.Effect.ALLOW)
    assert desk.governor.resume_call(new.id) is None, "policy withholds in every mode"
    assert desk.approvals.list(ApprovalState.PROPOSED) == (asked,), "and nothing is proposed again"
    desk.decide = lambda _: gr.Decision(gr.Effect.REQUIRE_APPROVAL, approvals=(DEMAND,))
    desk.approvals.get(new.id)
    assert desk.did == []


def test_a_proposal_that_cannot_be_kept_refuses():
    desk = Desk()

    def fail(*_, **__):
        raise OSError

    desk.approvals.propose = fail
    with desk.governor.run("billing", mode="shadow", id="r"), pytest.raises(gr.StateUnavailable):
        desk.pay(5)
