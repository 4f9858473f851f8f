"""Against a real OPA server: decisions, revisions, load from threads and tasks, kill -9, forks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from tests.opa.opa_process import running

from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import EvaluationError, Finding, PolicyUnavailable
from guardrails.model.decision import Decision, Effect, MalformedDecision
from guardrails.opa.breaker import BreakerState

pytestmark = pytest.mark.opa

GENEROUS = 60.0
POLICY = """package guardrails

decision := {
	"effect": "allow",
	"reasons": [],
	"approvals": [],
	"obligations": [{"type": "transform", "path": "/args/x", "value": input.value}],
} if {
	input.kind == "echo"
}

decision := 1 / input.divisor if input.kind == "error"

decision := {
	"effect": "deny",
	"reasons": [{"rule": "guardrails", "reason": "slow"}],
	"approvals": [],
	"obligations": [],
} if {
	input.kind == "slow"
	many := numbers.range(1, 3000)
	count([1 | some a in many; some b in many; a == b + 7000]) == 0
}
"""

THREADS = 16
TASKS = 200
DECISIONS = 10_000


@pytest.fixture(scope="module")
def server(opa, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opa")
    with running(opa, folder, {"policy.rego": POLICY}) as started:
        yield started


def asked(engine, value, shell="sync"):
    document = {"kind": "echo", "value": value}
    if shell == "sync":
        decision = engine.decide(document, f"d-{value}")
    else:
        decision = asyncio.run(engine.decide_async(document, f"d-{value}"))
    assert decision.effect is Effect.ALLOW
    return decision


def value_of(decision):
    return decision.obligations[0].value


@pytest.mark.parametrize("shell", ["sync", "async"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_all_outcomes(server, kind, shell):
    engine = SidecarEngine(getattr(server, kind), deadline=GENEROUS)

    def ask(document):
        if shell == "sync":
            return engine.decide(document, "d")
        return asyncio.run(engine.decide_async(document, "d"))

    assert ask({"kind": "echo", "value": 1}).effect is Effect.ALLOW
    with pytest.raises(MalformedDecision, match="undefined"):
        ask({"kind": "none"})
    with pytest.raises(EvaluationError, match=r"policy.rego:12: eval_builtin_error: div: divide"):
        ask({"kind": "error", "divisor": 0})
    with pytest.raises(MalformedDecision, match="not an object"):
        ask({"kind": "error", "divisor": 2})
    status = engine.status()
    assert (status.answered, status.unanswered, status.retried) == (4, 0, 0)
    assert status.is_reachable is True
    assert status.opa_version >= "1.17"
    engine.close()


@pytest.mark.parametrize("shell", ["sync", "async"])
def test_numbers_are_exact_both_ways(server, shell):
    engine = SidecarEngine(server.unix, deadline=GENEROUS)
    values = [
        2**63, -(10**40), Decimal("0.1000000000000000055511151231257827"), Decimal("1E+30"),
        Decimal("1.10"), 0, Decimal("-0.0"),
    ]  # fmt: skip
    found = value_of(asked(engine, values, shell))
    assert [str(each) for each in found] == [str(each) for each in values]
    odd = ["\u2028", "é\U0001f600", 'guardrails:"', "\x00\x7f", "null"]
    assert value_of(asked(engine, odd, shell)) == odd


def test_an_evaluation_that_takes_too_long_is_no_decision(server):
    engine = SidecarEngine(server.tcp, deadline=0.05)
    with pytest.raises(PolicyUnavailable, match=r"deadline passed \(no answer within 50 ms\)"):
        engine.decide({"kind": "slow"}, "d")
    assert value_of(asked(SidecarEngine(server.tcp, deadline=GENEROUS), 7)) == 7


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_threads_each_get_their_own_answers(server, kind):
    engine = SidecarEngine(getattr(server, kind), deadline=GENEROUS)

    def one(number):
        decision = asked(engine, number)
        return value_of(decision) == number and decision.decision_id == f"d-{number}"

    count = DECISIONS if kind == "unix" or os.environ.get("GUARDRAILS_SOAK") == "1" else 1_000
    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(one, range(count))) == count
    status = engine.status()
    assert (status.answered, status.unanswered) == (count, 0)
    engine.close()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_tasks_each_get_their_own_answers(server, kind):
    engine = SidecarEngine(getattr(server, kind), deadline=GENEROUS)
    whole = kind == "unix" or os.environ.get("GUARDRAILS_SOAK") == "1"
    each_one = DECISIONS // TASKS if whole else 5

    async def worker(number):
        right = 0
        for turn in range(each_one):
            value = f"{number}/{turn}"
            decision = await engine.decide_async({"kind": "echo", "value": value}, value)
            right += value_of(decision) == value and decision.decision_id == value
        return right

    async def everybody():
        return sum(await asyncio.gather(*map(worker, range(TASKS))))

    assert asyncio.run(everybody()) == TASKS * each_one
    engine.close()


def test_a_cancelled_decision_crosses_no_other(server):
    engine = SidecarEngine(server.unix, deadline=GENEROUS)

    async def ask(number):
        decision = await engine.decide_async({"kind": "echo", "value": number}, "d")
        assert value_of(decision) == number
        return number

    async def campaign():
        done = 0
        for start in range(0, 600, 30):
            tasks = [asyncio.create_task(ask(number)) for number in range(start, start + 30)]
            await asyncio.sleep(0)
            for position, task in enumerate(tasks):
                if position % 3 == start % 2:
                    await asyncio.sleep(0)
                    task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, int | asyncio.CancelledError) for each in results), results
            done += sum(isinstance(each, int) for each in results)
        return done

    assert asyncio.run(campaign()) >= 400
    assert engine.status().breaker is BreakerState.CLOSED


def test_two_loops_and_threads_share_an_engine(server):
    engine = SidecarEngine(server.tcp, deadline=GENEROUS)

    def loop(start):
        async def ask():
            found = [
                engine.decide_async({"kind": "echo", "value": number}, "d")
                for number in range(start, start + 50)
            ]
            return [value_of(decision) for decision in await asyncio.gather(*found)]

        return asyncio.run(ask()) == list(range(start, start + 50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(loop, range(0, 400, 50)))


def test_a_loop_that_cannot_watch_sockets_waits_in_a_thread(server):
    class Blind(asyncio.SelectorEventLoop):
        add_reader = asyncio.AbstractEventLoop.add_reader

    engine = SidecarEngine(server.tcp, deadline=GENEROUS)
    with asyncio.Runner(loop_factory=Blind) as runner:
        decision = runner.run(engine.decide_async({"kind": "echo", "value": 3}, "d"))
    assert value_of(decision) == 3


def test_a_fork_shares_no_connection(server):
    engine = SidecarEngine(server.unix, deadline=GENEROUS)
    with ThreadPoolExecutor(8) as pool:  # so that several connections wait
        list(pool.map(lambda number: asked(engine, number), range(64)))
    children = []
    for child in range(4):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                start = 1000 * (child + 1)
                right = all(
                    value_of(asked(engine, number)) == number
                    for number in range(start, start + 100)
                )
                os.write(write, b"1" if right and engine.status().answered == 100 else b"0")
            finally:
                os._exit(0)
        os.close(write)
        children.append((pid, read))
    assert all(value_of(asked(engine, number)) == number for number in range(200))
    for pid, read in children:
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"1"
        os.waitpid(pid, 0)
    assert engine.status().answered == 264
    assert engine.status().retried == 0, "the children's ends did not close the parent's"


def test_a_fork_waits_for_no_lock_that_a_thread_of_its_parents_held(server):
    fallback = Fallback(deny)
    engine = SidecarEngine(server.unix, deadline=GENEROUS, fallback=fallback)
    process = engine._server._process
    locks = [process.lock, process.breaker._lock, engine._standby._process.lock]
    for lock in locks:
        lock.acquire()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(int(GENEROUS))
            right = value_of(asked(engine, 1)) == 1 and engine.status().answered == 1
            engine._standby.instead(PolicyUnavailable("as a test"))
            engine._standby.returned()
            code = 0 if right else 1
        finally:
            os._exit(code)
    for lock in locks:
        lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_kill_9_under_load_and_a_new_start(opa, tmp_path):
    with running(opa, tmp_path, {"policy.rego": POLICY}) as server:
        engine = SidecarEngine(server.unix, deadline=GENEROUS, failures=3, pause=0.02)
        over = threading.Event()
        right, refused = [0], [0]
        wrong: list[object] = []

        def worker(number):
            while not over.is_set():
                try:
                    decision = asked(engine, number)
                except PolicyUnavailable:
                    refused[0] += 1
                    time.sleep(0.001)
                except Exception as error:  # noqa: BLE001  # collected, and none may be there
                    wrong.append(error)
                else:
                    right[0] += 1
                    if value_of(decision) != number:
                        wrong.append((number, decision))

        def until(condition):
            ends = time.monotonic() + GENEROUS
            while not condition():
                assert time.monotonic() < ends
                time.sleep(0.002)

        workers = [threading.Thread(target=worker, args=(number,)) for number in range(8)]
        for thread in workers:
            thread.start()
        try:
            for _ in range(3):
                before = right[0]
                until(lambda before=before: right[0] > before + 100)
                server.kill()
                before = refused[0]
                until(lambda before=before: refused[0] > before + 20)
                assert engine.status().is_reachable is False
                server.start()
            before = right[0]
            until(lambda: right[0] > before + 100)
        finally:
            over.set()
            for thread in workers:
                thread.join()
        assert not wrong
        assert engine.status().breaker is BreakerState.CLOSED
        engine.close()


def test_a_new_start_between_two_calls_is_not_noticed(opa, tmp_path):
    with running(opa, tmp_path, {"policy.rego": POLICY}) as server:
        for address in (server.tcp, server.unix):
            engine = SidecarEngine(address, deadline=GENEROUS)
            asked(engine, 1)
            server.kill()
            server.start()
            assert value_of(asked(engine, 2)) == 2
            assert engine.status().unanswered == 0
            engine.close()


def test_a_stopped_opa_keeps_no_call_beyond_its_deadline(opa, tmp_path):
    with running(opa, tmp_path, {"policy.rego": POLICY}) as server:
        engine = SidecarEngine(server.tcp, deadline=0.2, failures=2, pause=GENEROUS)
        asked(engine, 1)
        os.kill(server.process.pid, signal.SIGSTOP)
        os.waitpid(server.process.pid, os.WUNTRACED)  # each of its threads has stopped by then
        try:
            for _ in range(2):
                with pytest.raises(PolicyUnavailable, match="deadline passed"):
                    asked(engine, 2)
            assert engine.status().breaker is BreakerState.OPEN
            with pytest.raises(PolicyUnavailable, match=r"breaker open \(deadline passed"):
                asked(engine, 2)
            assert engine.status().refused == 1
        finally:
            os.kill(server.process.pid, signal.SIGCONT)


class Fallback:
    """The last good policies of this process; a real engine would do, and take longer to load."""

    revision = "sha256:fallback"

    def __init__(self, engine_of):
        self.asked = 0
        self.decide_by = engine_of

    def decide(self, document, decision_id):
        self.asked += 1
        return self.decide_by(document, decision_id, self.revision)

    async def decide_async(self, document, decision_id):
        return self.decide(document, decision_id)

    def explain(self, document, rules=()):
        return (Finding("fallback.rego:1", "fallback", "not met"),)


def deny(document, decision_id, revision):
    return Decision(Effect.DENY, revision=revision, decision_id=decision_id)


def test_a_fallback_decides_only_while_nothing_answers_and_is_logged_once(opa, tmp_path, caplog):
    caplog.set_level(logging.INFO, "guardrails")
    with running(opa, tmp_path, {"policy.rego": POLICY}) as server:
        fallback = Fallback(deny)
        engine = SidecarEngine(server.tcp, deadline=GENEROUS, fallback=fallback, pause=0.0)
        asked(engine, 1)
        with pytest.raises(EvaluationError):
            engine.decide({"kind": "error", "divisor": 0}, "d")
        with pytest.raises(MalformedDecision):
            engine.decide({"kind": "none"}, "d")
        assert fallback.asked == 0
        server.kill()
        for _ in range(3):
            decision = engine.decide({"kind": "echo", "value": 1}, "d-9")
            assert (decision.effect, decision.revision) == (Effect.DENY, "sha256:fallback")
            assert decision.decision_id == "d-9"
        asyncio.run(engine.decide_async({}, "d"))
        assert engine.revision == "sha256:fallback"
        assert engine.status().is_falling_back
        assert engine.explain({})[0].where == "fallback.rego:1"
        assert (engine.status().fallback_decisions, fallback.asked) == (4, 4)
        server.start()
        asked(engine, 2)
        asked(engine, 3)
        assert not engine.status().is_falling_back
        assert engine.revision == "unversioned"
    said = [record.getMessage() for record in caplog.records]
    assert [text for text in said if "are decided in this process, by revision sha256:f" in text]
    assert len(said) == 2, said
    assert said[1] == f"OPA at {server.tcp} answers again and decides"


def test_a_bundle_names_its_revision_with_each_decision(opa, tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "policy.rego").write_text(POLICY)
    (tmp_path / "b" / ".manifest").write_text(json.dumps({"roots": ["guardrails"]}))

    def build(revision):
        subprocess.run(
            [opa, "build", "-b", "b", "--revision", revision, "-o", "new.tar.gz"],
            cwd=tmp_path, check=True,
        )  # fmt: skip
        (tmp_path / "new.tar.gz").rename(tmp_path / "bundle.tar.gz")

    build("rev-1")
    option = f"--set=bundles.library.resource=file://{tmp_path}/bundle.tar.gz"
    with running(opa, tmp_path, {}, [option]) as server:
        engine = SidecarEngine(server.unix, deadline=GENEROUS)
        assert engine.revision == "unknown"
        until = time.monotonic() + GENEROUS
        while engine.probe().revision != "library@rev-1":
            assert time.monotonic() < until
        assert asked(engine, 1).revision == "library@rev-1"
        build("rev-2")
        server.kill()  # a bundle in a file is read at the start
        server.start()
        while engine.probe().revision != "library@rev-2":
            assert time.monotonic() < until
        assert asked(engine, 1).revision == "library@rev-2"
        assert engine.revision == engine.status().revision == "library@rev-2"


def test_explain_names_conditions_with_their_place(opa, tmp_path):
    rule = """package guardrails.rules.small

deny contains "too large" if not small

small if {
	is_number(input.args.n)
	input.args.n <= 10
}
"""
    merge = """package guardrails

decision := {"effect": "deny", "reasons": [], "approvals": [], "obligations": []} if {
	some name
	data.guardrails.rules[name].deny[_]
}
"""
    with running(opa, tmp_path, {"small.rego": rule, "main.rego": merge}) as server:
        engine = SidecarEngine(server.unix, deadline=GENEROUS)
        found = engine.explain({"args": {"n": 11}})
        assert (
            Finding("small.rego:3", "small", "not met: data.guardrails.rules.small.small") in found
        )
        assert {each.where for each in found} >= {"small.rego:3", "small.rego:7"}
        assert engine.explain({"args": {"n": 11}}, ["other"]) == ()

        async def inside():
            return engine.explain({"args": {"n": 11}})

        assert asyncio.run(inside()) == (), "an event loop does not wait for an explanation"
        server.kill()
        assert engine.explain({"args": {"n": 11}}) == ()
