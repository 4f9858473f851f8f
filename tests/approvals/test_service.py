"""Approvals over every store: one request a call, used once, seen by whoever waits."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from guardrails.approvals import ApprovalService, UnknownRequest
from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.stores.memory import MemoryRequests
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.errors import ApprovalExpired, ApprovalPending, ApprovalRejected, Refusal
from guardrails.model.approval import ApprovalRequest, ApprovalState
from guardrails.model.decision import ApprovalDemand
from guardrails.ports import Approvals

FIN = ApprovalDemand("money", "over 1000", ("fin",), 1, 100)
FIN2 = ApprovalDemand("money", "over 9000", ("fin",), 2, 100)
OPS = ApprovalDemand("prod", "production", ("ops",), 1, 100)


class Clock:
    def __init__(self):
        self.ns = 0

    def now_ns(self):
        return self.ns

    def monotonic(self):
        return self.ns / 1e9


def ask(store, key="k", demands=(FIN,), args=None):
    return store.request(
        key,
        demands=demands,
        tool="pay",
        agent="billing",
        run_id="r",
        principal=None,
        args={"amount": 5} if args is None else args,
        revision="v1",
    )


@pytest.fixture(params=["memory", "sqlite"])
def store(request, clock, tmp_path):
    if request.param == "memory":
        return ApprovalService(MemoryRequests(), clock)
    return ApprovalService(SqliteRequests(tmp_path / "approvals.sqlite"), clock)


def approve(store, request, by="ann", groups=("fin",)):
    return store.approve(request.id, by=by, groups=groups)


def test_it_is_the_port(store):
    assert isinstance(store, Approvals)


def test_the_same_call_finds_its_request(store):
    assert store.find("k") is None
    request = ask(store)
    assert ask(store) == request == store.find("k")
    assert approve(store, request).state is ApprovalState.APPROVED
    assert ask(store).id == request.id
    assert ask(store, "other").id != request.id


def test_what_the_approver_sees_does_not_change(store):
    args = {"lines": [1]}
    request = ask(store, args=args)
    args["lines"].append(2)
    assert store.get(request.id).args == {"lines": [1]}


def test_an_approval_is_used_once(store):
    request = ask(store)
    with pytest.raises(ApprovalPending):
        store.consume(request.id, "k", [FIN])
    approve(store, request)
    with pytest.raises(ApprovalRejected):
        store.consume(request.id, "tampered", [FIN])
    assert store.consume(request.id, "k", [FIN]).state is ApprovalState.CONSUMED
    with pytest.raises(ApprovalRejected, match="used already"):
        store.consume(request.id, "k", [FIN])
    assert ask(store).id != request.id


def test_a_rejected_call_stays_rejected(store):
    request = ask(store)
    store.reject(request.id, by="ann", groups=["fin"], reason="no")
    assert ask(store).state is ApprovalState.REJECTED
    assert store.find("k").answers[0].reason == "no"
    assert len(store.list()) == 1


def test_after_expiry_and_withdrawal_a_new_request_is_made(store, clock):
    first = ask(store)
    clock.advance(100)
    assert store.find("k").state is ApprovalState.EXPIRED
    second = ask(store)
    assert second.id != first.id
    store.withdraw(second.id, reason="killed")
    assert store.get(second.id).state is ApprovalState.WITHDRAWN
    assert ask(store).id not in (first.id, second.id)


def test_an_unused_approval_expires(store, clock):
    request = ask(store)
    approve(store, request)
    clock.advance(100)
    with pytest.raises(ApprovalExpired):
        store.consume(request.id, "k", [FIN])
    assert store.get(request.id).state is ApprovalState.EXPIRED


def test_where_policy_asks_for_more_a_new_request_takes_the_place(store):
    first = ask(store)
    approve(store, first)
    with pytest.raises(ApprovalPending):
        store.consume(first.id, "k", [FIN, OPS])
    second = ask(store, demands=(FIN, OPS))
    assert second.id != first.id
    assert second.state is ApprovalState.PENDING
    assert store.get(first.id).state is ApprovalState.WITHDRAWN
    assert ask(store, demands=(FIN,)).id == second.id


def test_a_withdrawal_changes_no_final_state(store):
    request = ask(store)
    approve(store, request)
    store.consume(request.id, "k", [FIN])
    store.withdraw(request.id, reason="late")
    assert store.get(request.id).state is ApprovalState.CONSUMED


def test_short_ids_resolve_while_they_fit_one(store):
    requests = [ask(store, f"k{i}") for i in range(40)]
    for request in requests:
        assert store.get(request.id) == request
        assert store.get(request.id.removeprefix("ap-")) == request
        assert store.get(request.id[:14]) == request
    for unknown in ("", "ap-", "zz", requests[0].id + "0"):
        with pytest.raises(UnknownRequest):
            store.get(unknown)
    with pytest.raises(UnknownRequest):
        store.consume(requests[0].id[:14], "k0", [FIN])


def test_requests_are_listed_by_state(store):
    one, two = ask(store, "a"), ask(store, "b")
    approve(store, two)
    assert [request.id for request in store.list()] == [one.id, two.id]
    assert [request.id for request in store.list(ApprovalState.APPROVED)] == [two.id]


@pytest.mark.parametrize("wrong", [{"groups": "fin"}, {"approve": "yes"}, {"approve": 1}])
def test_an_answer_of_the_wrong_types_is_no_answer(store, wrong):
    request = ask(store)
    with pytest.raises(TypeError):
        store.answer(request.id, **{"by": "ann", "groups": ["fin"], "approve": True, **wrong})
    assert store.get(request.id).answers == ()


def test_every_step_is_told_in_order_before_it_takes_effect(store, clock):
    steps = []
    store.subscribe(lambda request, step: steps.append((step, request.state.value)))
    request = ask(store, demands=(FIN2,))
    approve(store, request)
    approve(store, request, by="bob")
    store.consume(request.id, "k", [FIN2])
    second = ask(store)
    store.reject(second.id, by="ann", groups=["fin"])
    third = ask(store, "x")
    store.withdraw(third.id, reason="")
    ask(store, "y")
    clock.advance(1000)
    assert len(store.pass_time()) == 1
    assert store.pass_time() == ()
    assert steps == [
        ("requested", "pending"),
        ("answered", "pending"),
        ("approved", "approved"),
        ("consumed", "consumed"),
        ("requested", "pending"),
        ("rejected", "rejected"),
        ("requested", "pending"),
        ("withdrawn", "withdrawn"),
        ("requested", "pending"),
        ("expired", "expired"),
    ]


def test_what_cannot_be_recorded_is_not_done(store):
    def refuse(_request, step):
        if step in refused:
            raise OSError(step)

    refused = {"requested"}
    store.subscribe(refuse)
    with pytest.raises(OSError):
        ask(store)
    assert store.list() == ()
    refused = {"approved", "consumed"}
    request = ask(store)
    with pytest.raises(OSError):
        approve(store, request)
    assert store.get(request.id) == request
    refused = {"consumed"}
    approve(store, request)
    with pytest.raises(OSError):
        store.consume(request.id, "k", [FIN])
    assert store.get(request.id).state is ApprovalState.APPROVED


def test_of_many_threads_exactly_one_uses_the_approval(store):
    for attempt in range(20):
        key = f"k{attempt}"
        request = ask(store, key)
        approve(store, request)
        barrier = threading.Barrier(8)

        def use(request=request, key=key, barrier=barrier):
            barrier.wait(5)
            try:
                store.consume(request.id, key, [FIN])
            except ApprovalRejected:
                return 0
            return 1

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(lambda _: use(), range(8))) == 1  # run at once


def test_of_many_threads_that_ask_all_get_one_request(store):
    with ThreadPoolExecutor(8) as pool:
        assert len({request.id for request in pool.map(lambda _: ask(store), range(64))}) == 1


# --------------------------------------------------------------------------------- waiting


async def until_waiting(store):
    while not store._waiting:  # noqa: ASYNC110  # the store tells nobody that somebody waits
        await asyncio.sleep(0)


def answering(store, request):
    return [
        (lambda: approve(store, request), ApprovalState.APPROVED),
        (lambda: store.reject(request.id, by="ann", groups=["fin"]), ApprovalState.REJECTED),
        (lambda: store.withdraw(request.id, reason="killed"), ApprovalState.WITHDRAWN),
    ]


@pytest.mark.parametrize("which", range(3))
def test_a_waiting_thread_wakes(store, which):
    request = ask(store)
    act, state = answering(store, request)[which]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.wait, request.id, 30)
        while not store._waiting:
            time.sleep(0.001)
        act()
        assert waiting.result(5).state is state
    assert len(store._waiting) == 0


@pytest.mark.parametrize("which", range(3))
def test_a_waiting_task_wakes_from_another_thread(store, which):
    request = ask(store)
    act, state = answering(store, request)[which]

    async def main():
        waiting = asyncio.create_task(store.wait_async(request.id, 30))
        await until_waiting(store)
        await asyncio.to_thread(act)
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(main()).state is state
    assert len(store._waiting) == 0


def test_expiry_wakes_whoever_waits(store, clock):
    request = ask(store)

    async def main():
        waiting = asyncio.create_task(store.wait_async(request.id, 30))
        await until_waiting(store)
        clock.advance(100)
        store.pass_time()
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(main()).state is ApprovalState.EXPIRED
    other = ask(store, "other")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.wait, other.id, 30)
        while not store._waiting:
            time.sleep(0.001)
        clock.advance(100)
        store.pass_time()
        assert waiting.result(5).state is ApprovalState.EXPIRED


def test_a_wait_that_ends_unanswered_gives_the_open_request(store):
    request = ask(store)
    assert store.wait(request.id, 0.01) == request
    assert store.wait(request.id, 0) == request
    assert store.wait(request.id, -1) == request
    assert asyncio.run(store.wait_async(request.id, 0.01)) == request
    assert len(store._waiting) == 0


def test_a_partial_answer_does_not_end_the_wait(store):
    request = ask(store, demands=(FIN2,))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.wait, request.id, 30)
        while not store._waiting:
            time.sleep(0.001)
        approve(store, request)
        assert not waiting.done()
        approve(store, request, by="bob")
        assert waiting.result(5).state is ApprovalState.APPROVED


def test_a_cancelled_wait_leaves_nothing_behind(store):
    request = ask(store)

    async def main():
        waiting = asyncio.create_task(store.wait_async(request.id, 30))
        await until_waiting(store)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
    assert len(store._waiting) == 0
    assert store.get(request.id) == request


def test_an_answer_after_the_loop_has_closed_is_kept(store):
    request = ask(store)

    def wake():
        raise RuntimeError("Event loop is closed")

    store._waiting._add(request.id, wake)
    assert approve(store, request).state is ApprovalState.APPROVED


# ------------------------------------------------------------------------- every interleaving


class Life(RuleBasedStateMachine):
    """Random lives of two calls, checked against what the record was told."""

    def table(self):
        return MemoryRequests()

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.told: list[ApprovalRequest] = []
        self.store = ApprovalService(self.table(), self.clock)
        self.store.subscribe(self.tell)
        self.used = 0
        self.finals = {}

    def tell(self, request, step):
        assert request.steps[-1].kind == step
        if step == "refused":  # nothing has changed
            assert self.store.get(request.id) == replace(request, steps=request.steps[:-1])
        else:
            self.told.append(request)

    keys = st.sampled_from(["a", "b"])
    demands = st.sampled_from([(FIN,), (FIN2,), (FIN, OPS)])

    @rule(key=keys, demands=demands)
    def request(self, key, demands):
        request = ask(self.store, key, demands)
        assert request == self.store.find(key)
        assert request.state in (
            ApprovalState.PENDING,
            ApprovalState.APPROVED,
            ApprovalState.REJECTED,
        )

    @precondition(lambda self: self.store.list())
    @rule(
        index=st.integers(0, 5),
        by=st.sampled_from(["ann", "ANN", "bob", "billing"]),
        yes=st.integers(0, 5),
        groups=st.sampled_from([("fin",), ("ops",), ("fin", "ops"), ()]),
    )
    def answer(self, index, by, yes, groups):
        known = self.store.list()
        request = known[index % len(known)]
        try:
            self.store.answer(request.id, by=by, groups=groups, approve=yes > 0)
        except AnswerRefused:
            assert self.store.get(request.id) == request
        else:
            assert by != "billing"
            assert groups

    @precondition(lambda self: self.store.list())
    @rule(index=st.integers(0, 5), key=keys, demands=demands)
    def consume(self, index, key, demands):
        known = self.store.list()
        request = known[index % len(known)]
        try:
            self.store.consume(request.id, key, demands)
        except Refusal:
            assert self.store.get(request.id) == request
            return
        assert request.state is ApprovalState.APPROVED
        assert request.call_key == key
        self.used += 1

    @precondition(lambda self: self.store.list())
    @rule(index=st.integers(0, 5))
    def withdraw(self, index):
        known = self.store.list()
        self.store.withdraw(known[index % len(known)].id, reason="")

    @precondition(lambda self: self.store.list())
    @rule(index=st.integers(0, 5), outcome=st.sampled_from(["ok", "error"]))
    def settle(self, index, outcome):
        known = self.store.list()
        request = known[index % len(known)]
        self.store.settle(request.id, outcome)
        used = request.state is ApprovalState.CONSUMED
        assert self.store.get(request.id).outcome == (request.outcome or outcome if used else None)
        self.finals.pop(request.id, None)

    @rule(seconds=st.sampled_from([1, 60, 200]))
    def pass_time(self, seconds):
        self.clock.ns += seconds * 1_000_000_000

    @invariant()
    def final_states_stay(self):
        for request in self.store.list():
            if request.id in self.finals:
                assert request == self.finals[request.id]
            elif request.state not in (ApprovalState.PENDING, ApprovalState.APPROVED):
                self.finals[request.id] = request

    @invariant()
    def each_use_was_told_once(self):
        told = [request.id for request in self.told if request.steps[-1].kind == "consumed"]
        assert len(told) == len(set(told)) == self.used

    @invariant()
    def one_request_a_call_is_open(self):
        open_now = [
            request.call_key
            for request in self.store.list()
            if request.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
        ]
        assert len(open_now) == len(set(open_now))

    @invariant()
    def the_record_knows_the_state(self):
        now = {request.id: request for request in self.store.list()}
        assert {request.id: request for request in self.told} == now


class LifeInSqlite(Life):
    """The same, in a file."""

    def table(self):
        self.directory = TemporaryDirectory()
        self.file = SqliteRequests(Path(self.directory.name) / "approvals.sqlite")
        return self.file

    def teardown(self):
        self.file.close()
        self.directory.cleanup()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestLifeInSqlite = LifeInSqlite.TestCase
TestLifeInSqlite.settings = settings(max_examples=5, stateful_step_count=20, deadline=None)


def test_requests_in_a_final_state_do_not_pile_up(monkeypatch) -> None:
    monkeypatch.setattr("guardrails.approvals.stores.memory._FINISHED_KEPT", 3)
    store = ApprovalService(MemoryRequests(), Clock())
    still_open = ask(store, "open").id
    for number in range(10):
        store.withdraw(ask(store, f"key {number}").id, reason="x")
    assert len(store.list()) == 4
    assert store.get(still_open).state == "pending"
    assert store.find("key 0") is None
    assert store.find("key 9").state == "withdrawn"
