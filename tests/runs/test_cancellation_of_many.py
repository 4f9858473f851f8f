"""A kill of many at once: task groups, gathered calls, worker loops, nested calls, children."""

# ruff: noqa: PT012  # a run and what happens in it are one thing under test

from __future__ import annotations

import asyncio
import threading

import pytest

from guardrails.errors import RunKilled, RunStopped
from guardrails.model.kill import Scope


def requests_to_cancel():
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


def kill_from_thread(run, reason="enough"):
    thread = threading.Thread(target=run.kill, args=(reason,))
    thread.start()
    thread.join()


async def nothing_is_left_over():
    assert requests_to_cancel() == 0
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_task_group_that_aborts_keeps_its_own_error(stand):
    async def fail():
        await asyncio.sleep(0.01)
        raise KeyError("own")

    async def main():
        async with stand.scope():
            with pytest.raises(ExceptionGroup) as raised:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(stand.governed(asyncio.sleep(60)))
                    group.create_task(fail())
            assert [type(error) for error in raised.value.exceptions] == [KeyError]
            assert task.cancelled()

    asyncio.run(main())


def test_a_kill_of_a_run_with_a_task_group_stops_every_task_and_leaves_as_one(stand):
    async def main():
        with pytest.raises(RunStopped):
            async with stand.scope() as run, asyncio.TaskGroup() as group:
                tasks = [group.create_task(stand.governed(asyncio.sleep(60))) for _ in range(5)]
                asyncio.get_running_loop().call_later(0.01, kill_from_thread, run)
        assert [type(task.exception()) for task in tasks] == [RunKilled] * 5
        # Up to Python 3.12 a TaskGroup leaves its own request at the task, whatever failed.
        await asyncio.sleep(0)

    asyncio.run(main())


def test_a_task_group_within_a_killed_body_leaves_one_kill_and_no_request(stand):
    async def body():
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(stand.governed(asyncio.sleep(60), tool="search"))

    async def main():
        with pytest.raises(RunStopped):
            async with stand.scope() as run:
                asyncio.get_running_loop().call_later(0.01, kill_from_thread, run)
                await stand.governed(body())
        await nothing_is_left_over()

    asyncio.run(main())


def test_gather_hands_the_kill_to_each(stand):
    async def main():
        async with stand.scope() as run:
            asyncio.get_running_loop().call_later(0.01, kill_from_thread, run)
            calls = [stand.governed(asyncio.sleep(60)) for _ in range(4)]
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(result) for result in results] == [RunKilled] * 4

    asyncio.run(main())


def test_a_workers_loop_goes_on_to_its_next_job(stand):
    done, stopped = [], []

    async def main():
        for job in range(4):
            try:
                async with stand.scope(f"r{job}") as run:
                    if job % 2:
                        asyncio.get_running_loop().call_later(0.01, kill_from_thread, run)
                    await stand.governed(asyncio.sleep(60 if job % 2 else 0))
                    done.append(job)
            except RunStopped:
                stopped.append(job)
            await nothing_is_left_over()

    asyncio.run(main())
    assert (done, stopped) == ([0, 2], [1, 3])


def test_nested_calls_in_one_task_the_inner_is_cancelled_and_each_sees_its_kill(stand):
    seen = []

    async def inner():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("inner cancelled")
            raise

    async def outer():
        try:
            await stand.governed(inner(), tool="inner")
        except RunKilled as kill:
            seen.append(str(kill.tool))
            await asyncio.sleep(0)  # its clean-up may wait: it is not cancelled besides
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def main():
        with pytest.raises(RunStopped) as stopped:
            async with stand.scope() as run:
                asyncio.get_running_loop().call_later(0.01, kill_from_thread, run)
                await stand.governed(outer(), tool="outer")
        assert stopped.value.tool == "outer"
        await nothing_is_left_over()

    asyncio.run(main())
    assert seen == ["inner cancelled", "inner", "cleaned up"]


@pytest.mark.parametrize("both", [False, True])
def test_a_kill_of_the_outer_call_alone_passes_the_inner_as_a_cancellation(stand, both):
    seen = []

    async def outer():
        try:
            await stand.governed(asyncio.sleep(60), tool="inner")
        except BaseException as error:
            seen.append(type(error))
            raise

    def kill():
        for tool in ("inner", "outer") if both else ("outer",):
            stand.kill_switch.kill(Scope("tool", tool), reason="enough", by="op")

    async def main():
        with pytest.raises(RunStopped) as stopped:
            async with stand.scope():
                asyncio.get_running_loop().call_later(0.01, kill)
                await stand.governed(outer(), tool="outer")
        assert stopped.value.tool == "outer"
        await nothing_is_left_over()

    asyncio.run(main())
    assert seen == [asyncio.CancelledError]


def test_a_kill_of_an_ancestors_agent_reaches_calls_of_a_child(stand):
    async def main():
        with pytest.raises(RunStopped) as stopped:
            async with (
                stand.scope("a", agent="boss") as top,
                stand.scope("b", agent="helper", parent=top),
            ):
                asyncio.get_running_loop().call_later(
                    0.01,
                    lambda: stand.kill_switch.kill(Scope("agent", "boss"), reason="x", by="op"),
                )
                await stand.governed(asyncio.sleep(60))
        assert stopped.value.run_id == "a"

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(3))
def test_kills_from_threads_at_any_moment_end_every_task_and_leave_none_cancelled(stand, seed):
    async def body(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return "result"

    async def worker(number):
        outcome = None
        try:
            async with stand.scope(f"r{seed}-{number}") as run:
                timer = threading.Timer(0.0005 * (number % 5), run.kill, ["now"])
                timer.start()
                for turns in range(200):
                    outcome = await stand.governed(body(turns % 7))
                await asyncio.to_thread(timer.join)
        except RunStopped:
            outcome = "stopped"
        await nothing_is_left_over()
        return outcome

    async def main():
        outcomes = await asyncio.gather(*(worker(number) for number in range(20)))
        assert set(outcomes) <= {"result", "stopped"}
        assert len(stand.in_flight) == 0

    asyncio.run(main())
