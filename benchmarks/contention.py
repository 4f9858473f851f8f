"""Calls that many make at once: 1 to 16 threads and tasks of one run, 1 to 8 processes of one host.

What is reported is the wall-clock time divided by all calls that were made in it, so a figure that
stays where it was means that waiting for each other costs nothing. One interpreter runs one thread
at a time; processes run beside each other as far as there are cores, and share the budgets' file.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import governed
from benchmarks.parts import Curve
from benchmarks.statistics import median_interval
from guardrails.runs.context import Frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from guardrails.runs.run import Run

NAME: Final = "contention"
THREADS: Final = (1, 2, 4, 8, 16)
PROCESSES: Final = (1, 2, 4, 8)
_PASSES: Final = 16
"""Passes over the workload that all threads or tasks make together, in one round."""

_START: Final = 120.0
"""Seconds within which a process has to come up."""


def measure_contention(*, rounds: int, processes: Sequence[int] = PROCESSES) -> tuple[Curve, ...]:
    """Microseconds a call, of all calls, by how many make them.

    Args:
        rounds: How often each is measured.
        processes: How many processes.
    """
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        governor = governed.governor(workload)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)
        threads = _measured(THREADS, rounds, lambda count: _threads(count, run))
        tasks = _measured(THREADS, rounds, lambda count: _tasks(count, run))
    return (
        Curve("threads", "threads of one run", "µs a call, of all calls", {"calls": threads}),
        Curve("tasks", "tasks of one run", "µs a call, of all calls", {"calls": tasks}),
        Curve(
            "processes",
            "processes that share a ledger",
            "µs a call, of all calls",
            {"calls": _processes(processes, rounds)},
        ),
    )


def _measured(counts: Sequence[int], rounds: int, once: Callable[[int], float]) -> dict[int, Any]:
    once(1)
    samples: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:  # in turn, so that a slow phase of the machine meets all
            gc.collect()
            samples[count].append(once(count))
    return {count: median_interval(taken) for count, taken in samples.items()}


def _threads(count: int, run: Run) -> float:
    """Microseconds a call where `count` threads share the passes."""
    workload, _ = governed.workloads()
    calls = governed.tool_calls(workload)
    ready = threading.Barrier(count + 1)

    def work() -> None:
        token = enter(Frame(run))
        ready.wait()
        for _ in range(_PASSES // count):
            for tool, arguments in calls:
                tool(**arguments)
        leave(token)

    workers = [threading.Thread(target=work) for _ in range(count)]
    for each in workers:
        each.start()
    ready.wait()
    start = time.perf_counter_ns()
    for each in workers:
        each.join()
    return (time.perf_counter_ns() - start) / (_PASSES * len(calls)) / 1e3


def _tasks(count: int, run: Run) -> float:
    workload, _ = governed.workloads()
    calls = governed.tool_calls(workload, governed.coroutine)

    async def work() -> None:
        enter(Frame(run))
        for _ in range(_PASSES // count):
            for tool, arguments in calls:
                await tool(**arguments)
                await asyncio.sleep(0)  # to the next task

    async def together() -> float:
        start = time.perf_counter_ns()
        await asyncio.gather(*(work() for _ in range(count)))
        return (time.perf_counter_ns() - start) / (_PASSES * len(calls)) / 1e3

    return asyncio.run(together())


def _processes(counts: Sequence[int], rounds: int) -> dict[int, Any]:
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ends: list[Connection] = []
        for _ in range(max(counts)):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_worker, args=(folder, theirs), daemon=True)
            process.start()
            stack.callback(process.join, _START)
            stack.callback(ours.send, 0)
            ends.append(ours)
        for end in ends:
            if not end.poll(_START):
                raise TimeoutError("a process does not come up")
            end.recv()

        def once(count: int) -> float:
            start = time.perf_counter_ns()
            for end in ends[:count]:
                end.send(_PASSES)
            calls: int = sum(end.recv() for end in ends[:count])
            return (time.perf_counter_ns() - start) / calls / 1e3

        return _measured(counts, rounds, once)


def _worker(folder: Path, end: Connection) -> None:
    """Makes so many passes as it is told, until that is none; tells how many calls they were."""
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        ledger = governed.leasing(folder / "budgets.sqlite")
        governor = governed.governor(workload, ledger=ledger)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)
        calls = governed.tool_calls(workload)
        stack.callback(leave, enter(Frame(run)))
        for tool, arguments in calls:
            tool(**arguments)
        end.send(0)
        while passes := end.recv():
            for _ in range(passes):
                for tool, arguments in calls:
                    tool(**arguments)
            end.send(passes * len(calls))
