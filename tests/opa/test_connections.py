"""Kept connections: what is stale is replaced once, and no answer ever goes to another request."""

from __future__ import annotations

import asyncio
import resource
import threading

import pytest
from tests.opa.chaos import ALLOW, PROVENANCE, answer, chaos

from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import PolicyUnavailable
from guardrails.model.decision import Effect
from guardrails.opa import pool as pool_module
from guardrails.opa.breaker import BreakerState
from guardrails.testing import FakeClock

GENEROUS = 30.0
BOTH = pytest.mark.parametrize("shell", ["sync", "async"])


def ask(engine, shell):
    if shell == "sync":
        return engine.decide({"x": 1}, "d")
    return asyncio.run(engine.decide_async({"x": 1}, "d"))


def denial(reason="late"):
    reasons = [{"rule": "chaos", "reason": reason}]
    return answer(
        {"provenance": PROVENANCE, "result": {**ALLOW, "effect": "deny", "reasons": reasons}}
    )


@BOTH
def test_a_connection_is_kept(shell):
    def script(peer):
        while peer.request() is not None:
            peer.send(answer())

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        for _ in range(20):
            ask(engine, shell)
        assert server.connections == 1
        engine.close()


@BOTH
@pytest.mark.parametrize("how", ["close", "reset", "after the request", "reset after the request"])
def test_a_stale_connection_is_replaced_once(shell, how):
    def script(peer):
        peer.request()
        peer.send(answer())
        if "after" in how:
            peer.request()  # nothing can show before it is sent
        if "reset" in how:
            peer.reset()

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        for _ in range(5):
            assert ask(engine, shell).effect is Effect.ALLOW
        assert server.connections == 5
        assert engine.status().unanswered == 0
        if "after" in how:
            assert engine.status().retried == 4
        engine.close()


@BOTH
def test_a_server_that_always_closes_is_asked_twice_and_no_more(shell):
    requests = []

    def script(peer):
        requests.append(peer.request())
        if peer.number == 0:
            peer.send(answer())
            requests.append(peer.request())

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        ask(engine, shell)
        with pytest.raises(PolicyUnavailable, match="connection closed"):
            ask(engine, shell)
        assert server.connections == 2
        assert len([each for each in requests if each]) == 3


@BOTH
@pytest.mark.parametrize("part", [1, 60, -1])
def test_what_breaks_in_the_midst_of_an_answer_is_not_tried_again(shell, part):
    def script(peer):
        peer.request()
        peer.send(answer())
        peer.request()
        peer.send(answer()[:part])

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        ask(engine, shell)
        with pytest.raises(PolicyUnavailable, match=r"connection closed \(the answer is truncated"):
            ask(engine, shell)
        assert server.connections == 1


@BOTH
def test_a_deadline_is_not_followed_by_a_second_try(shell):
    def script(peer):
        peer.request()
        peer.send(answer())
        peer.request()
        peer.wait(GENEROUS)

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=0.3)
        ask(engine, shell)
        with pytest.raises(PolicyUnavailable, match="deadline passed"):
            ask(engine, shell)
        assert server.connections == 1
        assert engine.status().retried == 0


@BOTH
def test_an_answer_after_the_deadline_answers_no_later_call(shell):
    passed = threading.Event()

    def script(peer):
        first = peer.number == 0
        while peer.request() is not None:
            if first:
                passed.wait(GENEROUS)
                peer.send(answer())  # allows, late
                return
            peer.send(denial())

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=2.0)
        with pytest.raises(PolicyUnavailable, match="deadline passed"):
            ask(engine, shell)
        passed.set()
        for _ in range(3):
            assert ask(engine, shell).effect is Effect.DENY
        engine.close()


@BOTH
def test_an_answer_that_nobody_asked_for_answers_nobody(shell):
    """A second answer comes after the first was taken: it must not meet the next request."""

    def script(peer):
        peer.request()
        peer.send(denial("mine"))
        if peer.number == 0:
            peer.wait(0.1)
            peer.send(answer())  # allows, for nobody
            peer.wait(GENEROUS)
        else:
            peer.request()

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        assert ask(engine, shell).effect is Effect.DENY
        kept = engine._server._process.pool._idle[0]
        while kept.is_quiet():
            pass
        assert ask(engine, shell).effect is Effect.DENY
        assert server.connections == 2
        engine.close()


@BOTH
def test_a_server_that_does_not_keep_connections_is_obeyed(shell):
    def script(peer):
        peer.request()
        peer.send(answer(headers="Connection: close\r\n"))
        peer.request()

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        for _ in range(3):
            ask(engine, shell)
        assert server.connections == 3
        assert engine.status().retried == 0


def test_without_descriptors_left_there_is_no_answer(tmp_path):
    engine = SidecarEngine(f"unix://{tmp_path}/absent", deadline=GENEROUS)
    with pytest.raises(PolicyUnavailable):
        ask(engine, "sync")  # whatever is imported late is there from now on
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(PolicyUnavailable) as caught:
            ask(engine, "sync")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in str(caught.value)
    engine.close()


def test_connections_grow_old():
    def script(peer):
        while peer.request() is not None:
            peer.send(answer())

    clock = FakeClock()
    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS, clock=clock)
        ask(engine, "sync")
        clock.advance(pool_module.LONGEST_IDLE)
        ask(engine, "sync")
        assert server.connections == 1
        clock.advance(pool_module.LONGEST_IDLE + 1)
        ask(engine, "sync")
        assert server.connections == 2
        engine.close()


def test_few_connections_wait(monkeypatch):
    monkeypatch.setattr(pool_module, "MOST_IDLE", 3)

    def script(peer):
        while peer.request() is not None:
            peer.send(answer())

    async def wave(engine):
        await asyncio.gather(*(engine.decide_async({}, "d") for _ in range(12)))

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS)
        asyncio.run(wave(engine))
        assert server.connections == 12
        assert len(engine._server._process.pool) == 3
        engine.close()
        assert len(engine._server._process.pool) == 0


@BOTH
def test_the_breaker_opens_refuses_at_once_and_closes_after_a_probe(shell):
    well: list[bool] = []

    def script(peer):
        while peer.request() is not None:
            peer.send(answer() if well else answer({}, status="503 S"))

    clock = FakeClock()
    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS, clock=clock, failures=3, pause=5)

        def refused(match):
            with pytest.raises(PolicyUnavailable, match=match):
                ask(engine, shell)

        for _ in range(3):
            refused("server error")
        assert engine.status().breaker is BreakerState.OPEN
        refused(r"breaker open \(server error: the server answers 503\)")
        clock.advance(5)
        refused("gave no decision: server error")  # the probe
        refused("breaker open")
        well.append(True)
        clock.advance(5)
        assert ask(engine, shell).effect is Effect.ALLOW
        status = engine.status()
        assert status.breaker is BreakerState.CLOSED
        assert (status.answered, status.unanswered, status.refused) == (1, 6, 2)
        assert status.last_error == "server error: the server answers 503"
        assert status.last_error_ns == clock.now_ns() - 5_000_000_000
        engine.close()


@BOTH
def test_what_one_request_may_have_caused_does_not_open_the_breaker(shell):
    def script(peer):
        while peer.request() is not None:
            peer.send(answer({"code": "invalid_parameter"}, status="400 B"))

    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=GENEROUS, failures=1)
        for _ in range(3):
            with pytest.raises(PolicyUnavailable, match=r"request rejected.*`invalid_parameter`"):
                ask(engine, shell)
        assert engine.status().breaker is BreakerState.CLOSED
        engine.close()


def test_a_cancelled_probe_gives_its_place_free():
    silent = [True]

    def script(peer):
        while peer.request() is not None:
            if silent:
                peer.wait(GENEROUS)
                return
            peer.send(answer())

    clock = FakeClock()
    with chaos(script) as server:
        engine = SidecarEngine(server.address, deadline=0.2, clock=clock, failures=1, pause=5)
        with pytest.raises(PolicyUnavailable, match="deadline"):
            ask(engine, "sync")
        clock.advance(5)
        patient = engine._server
        patient.deadline = GENEROUS

        async def probe_and_cancel():
            task = asyncio.create_task(engine.decide_async({}, "d"))
            await asyncio.sleep(0)  # the task runs until it waits for the server
            assert engine.status().breaker is BreakerState.HALF_OPEN
            with pytest.raises(PolicyUnavailable, match="breaker open"):
                await engine.decide_async({}, "d")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(probe_and_cancel())
        assert engine.status().breaker is BreakerState.OPEN
        silent.clear()
        assert ask(engine, "sync").effect is Effect.ALLOW
        engine.close()
