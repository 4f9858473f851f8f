"""With Temporal's own server: workflows, workers that die, people who answer.

``make test-adapters`` puts the server at ``.tools/temporal`` (``scripts/temporal.sh``).
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment
from tests.adapters import refunds
from tests.adapters.scenarios import Scenario, shows
from tests.adapters.temporal.worker import QUEUE, Case

import guardrails as gr
from guardrails.adapters.temporal import tell_workflow
from guardrails.model.approval import ApprovalState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from temporalio.client import WorkflowHandle

SERVER = refunds.ROOT / ".tools" / "temporal"

pytestmark = pytest.mark.timeout(600)  # a server, and processes that load a policy

Calls = list[tuple[str, list[Any]]]


class Running:
    """A server, and what works with it."""

    def __init__(self, environment: WorkflowEnvironment, config: Path) -> None:
        self.client = environment.client
        self.address = environment.client.service_client.config.target_host
        self.config = config

    async def begin(self, *calls: tuple[str, list[Any]]) -> WorkflowHandle[Any, list[str]]:
        """A new workflow that makes these calls."""
        given: Calls = list(calls)
        return await self.client.start_workflow(
            Case.run, given, id=f"case-{uuid4()}", task_queue=QUEUE
        )

    @contextlib.contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker in a process of its own, which is killed in the end, if it still is."""
        command = [sys.executable, "-m", "tests.adapters.temporal.worker"]
        process = subprocess.Popen([*command, self.address, str(self.config)], cwd=refunds.ROOT)
        try:
            yield process
        finally:
            process.kill()
            process.wait(30)

    async def waits(self) -> Any:
        """The request that people are asked about, as soon as there is one."""
        with contextlib.closing(gr.load_governor(self.config)) as governor:
            approvals = governor.approvals
            return await _until(lambda: next(iter(approvals.list(ApprovalState.PENDING)), None))

    async def answered(self, *, approved: bool = True) -> None:
        """Somebody answers what waits, and its workflow is told."""
        request = await self.waits()
        await asyncio.to_thread(refunds.answer, self.config, request.id, approved=approved)
        await tell_workflow(self.client, request)


async def _until(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if found := look():
            return found
        await asyncio.sleep(0.1)
    raise AssertionError("it did not happen")


@contextlib.asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(SERVER), dev_server_log_level="error"
    ) as environment:
        yield Running(environment, refunds.project(tmp_path))


def shown(tmp_path: Path, act: Callable[[Running], Awaitable[None]]) -> None:
    """Do `act` with a server that is started for it."""

    async def main() -> None:
        async with running(tmp_path) as there:
            await act(there)

    asyncio.run(main())


@shows(Scenario.RESUME)
def test_a_worker_dies_while_a_workflow_waits_and_another_goes_on(tmp_path):
    async def act(there):
        case = await there.begin(("refund", ["A-17", 20]), ("refund", ["A-18", 2000]))
        with there.worker() as first:
            await there.waits()
            first.send_signal(signal.SIGKILL)
        assert refunds.done() == ["refund A-17 20"]
        with there.worker():
            await there.answered()
            assert await case.result() == ["refunded 20 for A-17", "refunded 2000 for A-18"]
        assert refunds.done() == ["refund A-17 20", "refund A-18 2000"]

    shown(tmp_path, act)


@shows(Scenario.REJECT)
def test_what_is_refused_is_a_failure_that_the_workflow_reads_and_goes_on_after(tmp_path):
    async def act(there):
        calls = ("delete_order", ["A-1"]), ("refund", ["A-2", 2000]), ("refund", ["A-3", 3])
        case = await there.begin(*calls)
        with there.worker():
            await there.answered(approved=False)
            said = await case.result()
        assert said == [
            "guardrails.denied",
            "guardrails.approval_rejected",
            "refunded 3 for A-3",
        ]
        assert refunds.done() == ["refund A-3 3"]

    shown(tmp_path, act)


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
def test_a_killed_run_fails_its_workflow_alone(tmp_path):
    async def act(there):
        case = await there.begin(("slow_refund", ["A-1"]), ("refund", ["A-2", 2]))
        other = await there.begin(("refund", ["B-1", 1]))
        with there.worker():
            await _until(lambda: "slow A-1 began" in refunds.done())
            with contextlib.closing(gr.load_governor(there.config)) as governor:
                governor.kill(f"run/{case.id}", reason="wrong account")
            assert await case.result() == ["guardrails.run_stopped"] * 2
            assert await other.result() == ["refunded 1 for B-1"]
        assert "slow A-1 ended" not in refunds.done()
        assert "refund A-2 2" not in refunds.done()

    shown(tmp_path, act)
