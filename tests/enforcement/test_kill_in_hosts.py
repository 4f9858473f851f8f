"""A kill in the shapes that agent hosts have: task groups, gather, worker loops, thread pools."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.runs.kill_shared import SharedKillSwitch


@gr.governed_tool(name="work")
async def work(seconds: float = 60) -> str:
    await asyncio.sleep(seconds)
    return "done"


@gr.governed_tool(name="step")
def step(seconds: float = 0) -> str:
    time.sleep(seconds)
    return "done"


@pytest.fixture(params=["memory", "shared"])
def its(request, tmp_path):
    """A governor whose kills are its process's alone, or the machine's."""
    if request.param == "memory":
        yield testing.governor()
        return
    switch = SharedKillSwitch(tmp_path)
    yield testing.governor(kill_switch=switch)
    switch.close()


def outcomes(governor: testing.RecordingGovernor) -> list[str]:
    return [
        dict(event.detail or {})["outcome"]
        for event in governor.record.events
        if event.kind == "call.finished"
    ]


def in_flight(governor: testing.RecordingGovernor, count: int) -> bool:
    return sum(event.kind == "call.started" for event in governor.record.events) >= count


async def until_in_flight(governor: testing.RecordingGovernor, count: int) -> None:
    while not in_flight(governor, count):  # noqa: ASYNC110  # the record has no event to wait for
        await asyncio.sleep(0.001)


def test_a_task_group_under_a_kill_ends_in_one_refusal(its) -> None:

    async def agent() -> None:
        async with testing.run(governor=its) as run, asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(work())
            await until_in_flight(its, 5)
            run.kill("stop")

    with pytest.raises(gr.RunStopped) as stopped:
        asyncio.run(asyncio.wait_for(agent(), 10))
    assert "stop" in str(stopped.value)
    # Also those that the group cancelled when the first one was killed.
    assert outcomes(its) == ["killed"] * 5


@pytest.mark.parametrize("swallows", [True, False])
def test_gather_under_a_kill(swallows: bool, its) -> None:

    async def agent() -> list:
        async with testing.run(governor=its) as run:
            calls = asyncio.gather(*(work() for _ in range(5)), return_exceptions=swallows)
            await until_in_flight(its, 5)
            run.kill("stop")
            return await calls

    if swallows:
        results = asyncio.run(asyncio.wait_for(agent(), 10))
        assert [type(result) for result in results] == [gr.RunKilled] * 5
    else:
        with pytest.raises(gr.RunStopped):
            asyncio.run(asyncio.wait_for(agent(), 10))
    assert outcomes(its) == ["killed"] * 5


def test_a_worker_s_loop_goes_on_to_its_next_job(its) -> None:
    done: list[str] = []

    async def job(name: str, seconds: float) -> None:
        async with testing.run(governor=its, id=name):
            await work(seconds)
            done.append(name)

    async def worker(jobs: list[tuple[str, float]]) -> list[str]:
        stopped = []
        for name, seconds in jobs:
            try:
                await job(name, seconds)
            except gr.Refusal as refusal:
                stopped.append(str(refusal.run_id))
        return stopped

    async def main() -> list[str]:
        running = asyncio.create_task(worker([("one", 0), ("two", 60), ("three", 0)]))
        await until_in_flight(its, 2)
        its.kill("run/two", reason="stuck")
        return await running

    assert asyncio.run(asyncio.wait_for(main(), 10)) == ["two"]
    assert done == ["one", "three"]


def test_a_thread_s_worker_loop_goes_on_too(its) -> None:
    jobs: queue.Queue[str | None] = queue.Queue()
    seen: list[str] = []

    def worker() -> None:
        while (name := jobs.get()) is not None:
            try:
                with testing.run(governor=its, id=name) as run:
                    if name == "two":
                        run.kill("stop")
                    step()
                    seen.append(name)
            except gr.Refusal as refusal:
                seen.append(f"{name} {refusal.code}")

    for name in ("one", "two", "three", None):
        jobs.put(name)
    thread = threading.Thread(target=worker)
    thread.start()
    thread.join(10)
    assert seen == ["one", "two run_stopped", "three"]


def test_a_thread_pool_under_a_kill_runs_nothing_more(its) -> None:

    def loop() -> int:
        calls = 0
        while True:
            step(0.001)
            calls += 1

    def agent() -> None:
        with testing.run(governor=its) as run, gr.GovernedExecutor(4) as pool:
            loops = [pool.submit(loop) for _ in range(4)]
            while not in_flight(its, 8):
                time.sleep(0.001)
            run.kill("stop")
            for each in loops:
                each.result(10)

    with pytest.raises(gr.RunStopped):
        agent()
    kinds = [event.kind for event in its.record.events]
    late = kinds[kinds.index("kill") :]
    # A call whose intent was recorded when the kill came is discarded; none starts after it.
    assert late.count("call.started") <= 4
    assert set(outcomes(its)) <= {"ok", "abandoned"}


def test_a_host_that_swallows_every_exception_cannot_swallow_a_kill(its) -> None:
    ran = []

    async def host() -> None:
        async with testing.run(governor=its) as run:
            for turn in range(10):
                if turn == 3:
                    run.kill("stop")
                try:
                    await work(0)
                    ran.append(turn)
                except Exception:  # noqa: BLE001, S110  # what such hosts do
                    pass

    with pytest.raises(gr.RunStopped):
        asyncio.run(host())
    assert ran == [0, 1, 2]


def test_a_parent_s_kill_passes_its_children_and_stops_at_the_parent(its) -> None:
    left: list[str] = []

    async def child(name: str) -> None:
        try:
            async with gr.run("test-agent"):
                await work()
        except gr.RunStopped:
            left.append(f"{name} stopped at itself")
        except gr.RunKilled:
            left.append(name)
            raise

    async def agent() -> None:
        async with testing.run(governor=its) as run, asyncio.TaskGroup() as group:
            group.create_task(child("a"))
            group.create_task(child("b"))
            await until_in_flight(its, 2)
            run.kill("stop")

    with pytest.raises(gr.RunStopped):
        asyncio.run(asyncio.wait_for(agent(), 10))
    assert sorted(left) == ["a", "b"]


def test_a_timeout_and_a_foreign_cancel_keep_their_meaning(its) -> None:

    async def main() -> None:
        async with testing.run(governor=its) as run:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await work()
            task = asyncio.create_task(work())
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert run.spent.calls == 2, "a body that started is charged"
            assert await work(0) == "done"

    asyncio.run(main())
    assert outcomes(its) == ["cancelled", "cancelled", "ok"]


def test_blocking_calls_in_asyncio_s_own_threads_belong_to_the_run(its) -> None:
    async def main() -> None:
        async with testing.run(governor=its) as run:
            assert await asyncio.to_thread(step) == "done"
            with ThreadPoolExecutor(1) as pool:
                with pytest.raises(gr.NoActiveRun):
                    await asyncio.get_running_loop().run_in_executor(pool, step)
                bound = gr.bind(step)
                assert await asyncio.get_running_loop().run_in_executor(pool, bound) == "done"
            assert run.spent.calls == 2

    asyncio.run(main())
