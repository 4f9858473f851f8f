"""A run joined by its token is the same run, and never more than it; and nothing else leaks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.model.breakers import Breaker, Breakers
from guardrails.model.registered import RegisteredAgent
from guardrails.runs.kill import MemoryKillSwitch
from guardrails.runs.ledgers.memory import MemoryLedger
from guardrails.runs.ledgers.sqlite import SqliteLedger
from guardrails.runs.run_token import VARIABLE, RunTokens


@gr.governed_tool(resource="r", operation="read")
def look_up(word: str) -> str:
    return word


class Register(testing.OpenRegister):
    def __init__(self, owner: str = "dana@acme.example") -> None:
        super().__init__()
        self.owner = owner

    def agent(self, agent_id: str) -> RegisteredAgent:
        return RegisteredAgent(
            agent_id,
            "3",
            self.owner,
            budgets={"test": gr.Budget(calls=1000)},
            delegates={"clerk": True},
        )


class Stand:
    """Two governors as of two processes: one state directory with its budgets, one switch."""

    def __init__(self, state):
        self.state = state
        self.clock = testing.FakeClock()
        self.kill_switch = MemoryKillSwitch()
        self.seen = []
        self.ledgers = []
        self.here = self.governor()
        self.there = self.governor()

    def governor(self, **more):
        def decide(document):
            self.seen.append(document)
            return testing.FunctionEngine().decide(document, "d")

        self.ledgers.append(SqliteLedger(self.state / "budgets.sqlite", clock=self.clock))
        given = {
            "ledger": self.ledgers[-1],
            "kill_switch": self.kill_switch,
            "clock": self.clock,
            "register": Register(),
            "tokens": RunTokens(self.state),
        }
        return testing.governor(decide, **{**given, **more})

    def report(self):
        """What both processes do every second: say what was spent, hear what others spent."""
        for ledger in 2 * self.ledgers:
            ledger.renew(self.clock.monotonic())

    def close(self):
        for ledger in self.ledgers:
            ledger.close()


@pytest.fixture
def stand(tmp_path):
    made = Stand(tmp_path)
    yield made
    made.close()


def elsewhere(function):
    """What `function` gives in a context that has no run, as another process has none."""
    return contextvars.Context().run(function)


def test_the_joined_run_is_the_same_run(stand):
    with stand.here.run(
        "billing",
        budget=gr.Budget(calls=3, seconds=60),
        principal="customer:1",
        labels=["night"],
        mode="shadow",
    ) as run:
        look_up("here")
        token = gr.run_token()
        stand.clock.advance(10)

        def join():
            with stand.there.join_run(token) as joined:
                assert gr.current_run() is joined
                assert joined.remaining.seconds == 50
                look_up("there")
                return joined

        joined = elsewhere(join)
        assert joined.id == run.id
        assert joined.is_closed
        stand.report()
        assert run.spent.calls == 2
        look_up("again")
        with pytest.raises(gr.BudgetExceeded):
            elsewhere(join)
    first, second, _ = stand.seen
    for part in ("agent", "principal"):
        assert first[part] == second[part]
    for part in ("id", "ancestry", "labels", "mode"):
        assert first["run"][part] == second["run"][part]
    kinds = [event.kind for event in stand.there.record.events]
    assert kinds == [
        *("run.joined", "call.started", "call.finished", "run.left"),
        *("run.joined", "call.refused", "run.left"),
    ]


def test_a_child_is_joined_with_all_that_it_is_part_of(stand):
    with stand.here.run("billing") as parent, stand.here.run("clerk") as child:
        token = gr.run_token()

        def join():
            with stand.there.join_run(token) as joined:
                assert joined.run_ids == (parent.id, child.id)
                assert joined.ancestry == child.ancestry
                assert [facts.id for facts in joined.narrowed_by] == ["billing"]
                look_up("x")
                with gr.run("clerk") as grandchild:
                    assert grandchild.run_ids == (parent.id, child.id, grandchild.id)
                    look_up("y")
                stand.here.kill("agent/billing", reason="enough")
                with pytest.raises(gr.RunKilled) as caught:
                    look_up("z")
                # It stops where the run of that agent is left: in the process that opened it.
                assert caught.value.run_id == parent.id

        elsewhere(join)
        assert parent.spent.calls == 2


def test_threads_that_join_one_run_leave_it_each_for_itself(stand):
    with stand.here.run("billing") as parent:
        above = gr.run_token()
        with stand.here.run("clerk") as child:
            token = gr.run_token()
            joined, left = threading.Event(), threading.Event()

            def stay():
                with stand.there.join_run(token):
                    joined.set()
                    assert left.wait(60)
                    return look_up("still there")

            def come_and_go(each):
                with stand.there.join_run(each):
                    look_up("x")

            with ThreadPoolExecutor(1) as pool:
                staying = pool.submit(stay)
                assert joined.wait(60)
                for each in (token, above, token):
                    elsewhere(lambda each=each: come_and_go(each))
                left.set()
                assert staying.result() == "still there"
            assert child.spent.calls == 3
            assert parent.spent.calls == 4


def test_a_kill_of_the_run_stops_it_everywhere_and_no_token_is_given(stand):
    def join(token):
        with stand.there.join_run(token):
            look_up("x")

    def kill_it():
        with stand.here.run("billing") as run:
            token = gr.run_token()
            run.kill("enough")
            with pytest.raises(gr.RunStopped):
                elsewhere(lambda: join(token))
            gr.run_token()

    with pytest.raises(gr.RunStopped):
        kill_it()


def test_once_the_run_has_ended_its_token_opens_nothing_and_who_joined_is_refused(stand):
    with stand.here.run("billing") as run:
        token = gr.run_token()
    with pytest.raises(gr.RunClosed), stand.there.join_run(token):
        pass
    with pytest.raises(gr.RunClosed):
        stand.here.run_token(run)
    with pytest.raises(gr.NoActiveRun):
        stand.here.run_token()
    with pytest.raises(gr.NoActiveRun):
        gr.run_token()


def test_a_token_of_one_run_does_not_join_the_next_one_of_its_id(stand):
    with stand.here.run("billing", id="job"):
        token = gr.run_token()
    with stand.here.run("clerk", id="job") as run:
        gr.run_token()

        def join():
            with stand.there.join_run(token):
                look_up("on whose account?")

        with pytest.raises(gr.RunClosed, match="another one has its id now"):
            elsewhere(join)
        assert run.spent.calls == 0


def test_a_token_is_refused_where_anything_is_not_as_it_was(stand, tmp_path):
    with stand.here.run("billing"):
        token = gr.run_token(expires_in=5)
    others: dict[str, dict[str, Any]] = {
        "environment `test`, and this is `other`": {"environment": "other"},
        "mode `enforce` is not permitted": {"modes": ("shadow",)},
        "register says of agent `billing`": {"register": Register("somebody@acme.example")},
        "another key": {"tokens": RunTokens(tmp_path / "other")},
    }
    for said, services in others.items():
        with pytest.raises(gr.CallDenied, match=said) as caught:
            stand.governor(**services).join_run(token)
        assert caught.value.rule_ids == ("guardrails.run",)
    stand.clock.advance(5)
    with pytest.raises(gr.CallDenied, match="expired"):
        stand.there.join_run(token)


def test_without_shared_state_a_run_stays_in_its_process(stand):
    no_key = stand.governor(tokens=None)
    with pytest.raises(gr.StateUnavailable, match="no key"), no_key.run("billing"):
        gr.run_token()
    with pytest.raises(gr.StateUnavailable, match="no key"):
        no_key.join_run("gr1.x.y.z")
    in_memory = stand.governor(ledger=MemoryLedger())
    with pytest.raises(gr.StateUnavailable, match="in this process's memory"), in_memory.run("b"):
        gr.run_token()


@pytest.mark.parametrize("seconds", [0, -1, True, 86_401, float("nan")])
def test_a_token_lives_a_day_at_most(stand, seconds):
    with stand.here.run("billing"), pytest.raises(gr.ConfigError, match="expires_in"):
        gr.run_token(expires_in=seconds)


def test_a_run_that_a_breaker_stopped_is_not_carried_out_of_it(stand):
    its = stand.governor(breakers=Breakers(repeat=Breaker(stop=1, of=2)))
    with its.run("billing"):
        with pytest.raises(gr.BreakerTripped):
            look_up("x")
        with pytest.raises(gr.BreakerTripped):
            gr.run_token()


def test_the_environment_carries_it_and_nothing_else_does(stand, monkeypatch):
    with stand.here.run("billing") as run:
        monkeypatch.setenv(VARIABLE, gr.run_token())

        def join():
            with gr.join_run(governor=stand.there) as joined:
                return joined.id

        assert elsewhere(join) == run.id
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(gr.NoActiveRun, match=VARIABLE):
        stand.there.join_run()


def test_a_joined_run_is_entered_once_and_not_inside_of_another(stand):
    with stand.here.run("billing"):
        token = gr.run_token()
        scope = stand.there.join_run(token)

        def join():
            with scope:
                look_up("x")
            with pytest.raises(gr.RunClosed, match="left before"), scope:
                pass

        elsewhere(join)
        with stand.here.run("billing"):
            other = stand.there.join_run(token)
            with pytest.raises(gr.ConfigError, match="outside of the run"), other:
                pass


# ------------------------------------------------------------------------------- what leaks


def test_two_runs_in_one_process_know_nothing_of_each_other(stand):
    runs = {}

    async def work(name, its):
        async with its.run(name, labels=[name], budget=gr.Budget(calls=20)) as run:
            runs[name] = run
            for _ in range(5):
                await asyncio.sleep(0)
                assert gr.current_run() is run
                look_up(name)
                async with its.run(name, labels=["child"]) as child:
                    await asyncio.to_thread(look_up, name)
                    assert gr.current_run() is child
                assert gr.current_run() is run

    async def main():
        async with asyncio.TaskGroup() as group:
            for name, its in (("one", stand.here), ("two", stand.there), ("three", stand.here)):
                group.create_task(work(name, its))

    asyncio.run(main())
    assert {name: run.spent.calls for name, run in runs.items()} == {
        "one": 10,
        "two": 10,
        "three": 10,
    }
    for document in stand.seen:
        assert document["agent"]["id"] == document["args"]["word"]
        assert document["run"]["labels"] in ([document["agent"]["id"]], ["child"])
    assert gr.current_run() is None


# ------------------------------------------------------------------------------- what is lost


def lost(call=lambda: look_up("x")):
    try:
        call()
    except gr.NoActiveRun as refusal:
        return str(refusal)
    return ""


def test_a_lost_run_says_how_it_is_carried_to_where_it_was_lost(stand, monkeypatch):
    with stand.here.run("billing"):
        with ThreadPoolExecutor(1) as pool:
            assert "GovernedExecutor" in pool.submit(lost).result()
        found = []
        thread = threading.Thread(target=lambda: found.append(lost()), name="mine")
        thread.start()
        thread.join()
        assert "in the thread `mine`" in found[0]
        assert "Thread(target=guardrails.bind(fn))" in found[0]

        async def main():
            return await asyncio.get_running_loop().run_in_executor(None, lost)

        assert "asyncio.to_thread" in asyncio.run(main())
    assert "guardrails.run(agent=…)" in lost()

    async def outside():
        return lost()

    assert "event loop" in asyncio.run(outside())
    monkeypatch.setenv(VARIABLE, "gr1.a.b.c")
    assert "guardrails.join_run()" in lost()


def worker_loses_it(queue):
    queue.put(lost())


def test_a_worker_process_is_told_of_tokens():
    context = get_context("spawn")
    queue = context.Queue()
    worker = context.Process(target=worker_loses_it, args=(queue,))
    worker.start()
    said = queue.get(timeout=60)
    worker.join(60)
    assert "guardrails.run_token()" in said
    assert f"worker process {worker.pid}" in said
