"""Threads and tasks at a server that fails at random: each answer is its own request's, or none."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.opa.chaos import ALLOW, PROVENANCE, answer, chaos

from guardrails.engines.sidecar import SidecarEngine
from guardrails.errors import EvaluationError, PolicyUnavailable
from guardrails.model.decision import MalformedDecision

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
THREADS = 16
TASKS = 100
CALLS = 20_000 if SOAK else 2_000
DEADLINE = 0.5


def own_answer(asked):
    duty = {"type": "label", "path": f"for {asked['input']['n']}"}
    return answer({"provenance": PROVENANCE, "result": {**ALLOW, "obligations": [duty]}})


def unwell(seed):
    """A script that mostly answers, and otherwise does one of many wrong things."""

    def script(peer):
        rng = random.Random(f"{seed}/{peer.number}")
        while (asked := peer.request()) is not None:
            whole = own_answer(asked)
            match rng.randrange(60):
                case 0:
                    return
                case 1:
                    peer.reset()
                    return
                case 2:
                    peer.send(whole[: rng.randrange(1, len(whole))])
                    return
                case 3:
                    peer.wait(DEADLINE * 1.2)  # late: the client has gone, the answer is nobody's
                    peer.send(whole)
                case 4:
                    peer.send(whole + whole)  # one too many
                case 5:
                    peer.send(b"HTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n")
                case 6:
                    peer.send(b"\x16\x03\x01 garbage\r\n\r\n")
                    return
                case 7:
                    peer.send(whole)  # and then it closes the kept connection
                    return
                case 8:
                    middle = rng.randrange(1, len(whole))
                    peer.send(whole[:middle])
                    peer.wait(0.002)
                    peer.send(whole[middle:])
                case _:
                    peer.send(whole)

    return script


def outcome(decision, number):
    return "own" if decision.obligations[0].path == f"for {number}" else "crossed"


def refused(error):
    return "refused" if isinstance(error, PolicyUnavailable) else repr(error)


def judge(found):
    assert len(found) == CALLS, "none is lost"
    assert set(found) == {"own", "refused"}
    assert found.count("own") > CALLS * 0.1, "the server mostly answers"


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_threads(kind):
    with chaos(unwell("threads"), kind) as server:
        engine = SidecarEngine(server.address, deadline=DEADLINE, failures=1_000_000)

        def one(number):
            try:
                return outcome(engine.decide({"n": number}, "d"), number)
            except (PolicyUnavailable, EvaluationError, MalformedDecision) as error:
                return refused(error)

        with ThreadPoolExecutor(THREADS) as pool:
            judge(list(pool.map(one, range(CALLS))))
        assert engine.status().answered + engine.status().unanswered == CALLS
        engine.close()


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_tasks(kind):
    with chaos(unwell("tasks"), kind) as server:
        engine = SidecarEngine(server.address, deadline=DEADLINE, failures=1_000_000)

        async def worker(numbers):
            found = []
            for number in numbers:
                try:
                    found.append(outcome(await engine.decide_async({"n": number}, "d"), number))
                except (PolicyUnavailable, EvaluationError, MalformedDecision) as error:
                    found.append(refused(error))
            return found

        async def everybody():
            parts = [range(start, CALLS, TASKS) for start in range(TASKS)]
            return await asyncio.gather(*map(worker, parts))

        judge([each for part in asyncio.run(everybody()) for each in part])
        engine.close()


def test_deciding_needs_nothing_of_what_administers():
    code = (
        "import sys, guardrails.engines.sidecar\n"
        "sys.exit(any(name in sys.modules for name in ('requests', 'opa_client', 'aiohttp')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
