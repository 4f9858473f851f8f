"""The current run: what inherits it, what loses it, and what carries it."""

# ruff: noqa: PT012  # a run and what happens in it are one thing under test

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from guardrails.errors import ConfigError, NoActiveRun, RunKilled
from guardrails.model.budget import Usage
from guardrails.runs.context import (
    Frame,
    GovernedExecutor,
    bind,
    charge,
    current_frame,
    current_run,
    enter,
    leave,
    raise_if_killed,
)

other = contextvars.ContextVar("other", default="unset")


def in_thread(fn):
    found = []
    thread = threading.Thread(target=lambda: found.append(fn()))
    thread.start()
    thread.join()
    return found[0]


def test_outside_of_every_run_there_is_none():
    assert current_run() is None
    assert current_frame() is None


def test_a_plain_thread_loses_the_run_and_a_bound_function_keeps_it(stand):
    with stand.scope() as run:
        assert in_thread(current_run) is None
        assert in_thread(bind(current_run)) is run
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(current_run).result() is None
    assert current_run() is None


def test_to_thread_and_child_tasks_keep_the_run(stand):
    async def look():
        return current_run()

    async def main():
        async with stand.scope() as run:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(look())
            assert await asyncio.to_thread(current_run) is run
            assert task.result() is run
        assert current_run() is None

    asyncio.run(main())


def test_bound_functions_get_their_positional_arguments():
    # contextvars-extras 0.7.0: the function that `bind_to_snapshot_context` returns calls
    # with the arguments of the binding, and drops the positional ones of the call.
    def join(*args, **kwargs):
        return args, kwargs

    assert bind(join)(1, 2, x=3) == ((1, 2), {"x": 3})
    assert bind(functools.partial(join, 0))(1, args=2, kwargs=3) == (
        (0, 1),
        {"args": 2, "kwargs": 3},
    )


def test_each_call_of_a_bound_function_has_a_copy_of_its_own():
    other.set("bound")

    def change():
        seen = other.get()
        other.set("changed")
        return seen

    bound = bind(change)
    other.set("later")
    assert [bound(), bound()] == ["bound", "bound"]
    assert other.get() == "later"


def test_bound_functions_can_run_at_the_same_time(stand):
    barrier = threading.Barrier(4, timeout=5)

    def work():
        barrier.wait()
        return current_run()

    with stand.scope() as run, ThreadPoolExecutor(4) as pool:
        bound = bind(work)
        assert {pool.submit(bound).result for _ in range(4)}
        assert [future.result() for future in [pool.submit(bound) for _ in range(4)]] == [run] * 4


def test_bound_coroutine_functions_run_in_the_snapshot(stand):
    class Tool:
        async def __call__(self, word):
            await asyncio.sleep(0)
            return word, current_run()

    with stand.scope() as run:
        bound = bind(Tool())
    assert asyncio.run(bound("x")) == ("x", run)
    assert asyncio.iscoroutinefunction(bound)


def test_cancelling_a_bound_coroutine_cancels_its_body():
    seen = []

    @bind
    async def body():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await body()

    asyncio.run(main())
    assert seen == ["cancelled"]


def test_generator_functions_cannot_be_bound():
    def items():
        yield 1

    async def async_items():
        yield 1

    for fn in (items, async_items):
        with pytest.raises(ConfigError, match="where it is consumed"):
            bind(fn)


def test_the_executor_carries_the_submitters_run(stand):
    with GovernedExecutor(2) as pool:
        with stand.scope() as run:
            assert pool.submit(lambda *a, **k: (current_run(), a, k), 1, x=2).result() == (
                run,
                (1,),
                {"x": 2},
            )
            assert list(pool.map(lambda *pair: (current_run(), *pair), "ab", "cd")) == [
                (run, "a", "c"),
                (run, "b", "d"),
            ]
        assert pool.submit(current_run).result() is None

        async def main():
            async with stand.scope("r2") as run:
                loop = asyncio.get_running_loop()
                assert await loop.run_in_executor(pool, current_run) is run

        asyncio.run(main())


def test_leaving_from_another_context_or_twice_raises_nothing(stand):
    token = enter(Frame(stand.run()))
    contextvars.copy_context().run(leave, token)
    in_thread(lambda: leave(token))
    leave(token)
    assert current_run() is None
    leave(token)


def test_long_tools_ask_whether_they_were_killed(stand):
    raise_if_killed()
    with pytest.raises(Exception, match="was stopped"), stand.scope() as run:
        raise_if_killed()
        run.kill("enough")
        with pytest.raises(RunKilled, match="enough"):
            raise_if_killed()
        raise_if_killed()


def test_a_charge_goes_to_the_call_at_work_else_to_the_run(stand):
    with pytest.raises(NoActiveRun):
        charge(tokens=1)
    with stand.scope() as run:
        charge(usd="0.5")
        assert run.spent == Usage(micro_usd=500_000)
        hold = run.reserve("ask", Usage(20_000, 0, 1), None)
        token = enter(Frame(run, hold, "ask"))
        charge(usd="0.1", tokens=7)
        leave(token)
        assert run.reserved == Usage(100_000, 7, 1)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ({}, TypeError),
        ({"tokens": True}, TypeError),
        ({"tokens": -1}, ValueError),
        ({"usd": "-1"}, ValueError),
        ({"usd": "x"}, ValueError),
        ({"usd": object()}, TypeError),
    ],
)
def test_a_wrong_charge_says_so(stand, words, error):
    with stand.scope() as run, pytest.raises(error):
        run.charge(**words)
