"""Single calls, each timed alone with the collector on: what the slowest of many takes.

Reported, not gated: a tail is the machine's as much as ours, so the hand-written function stands
beside it. In the last rows another thread loads policies meanwhile, without a cache: the longest
call is the worst stall that a reload makes.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import governed
from benchmarks.policies import governable
from benchmarks.statistics import Interval, percentile
from guardrails.audit.segments import SegmentRecord
from guardrails.engines.source import Policies
from guardrails.runs.context import Frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.policies.policy import Policy
    from guardrails.runs.run import Run

NAME: Final = "tail"
SYNC: Final = "sync"
RECORDED: Final = "sync, record on disk"
ASYNC: Final = "async"
QUIET: Final = "sync, beside a thread that sleeps"
RELOADING: Final = "sync, while policies are loaded"
PARTS: Final = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}


@dataclass(frozen=True, slots=True)
class _Changing:
    """A policy source that gives something else each time, so that each load is a whole one."""

    policy: Policy
    loads: list[int]

    def read(self, given: Mapping[str, Any]) -> Policies:  # noqa: ARG002  # the port's
        """What there is now."""
        self.loads.append(len(self.loads))
        modules = governable.modules(self.policy)
        modules["number.rego"] = f"package number\n\nlast := {len(self.loads)}\n"
        return Policies(modules, self.policy.data)


def measure_tail(*, calls: int, reloads: int) -> dict[str, tuple[Interval, str]]:
    """Microseconds of single calls, by what was called and by percentile.

    Args:
        calls: How many of each.
        reloads: How often policies are loaded meanwhile, in the rows about that.
    """
    workload, _ = governed.workloads()
    found: dict[str, list[int]] = {}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        decide, documents = workload.policy.by_hand, workload.documents
        if decide is None:
            msg = "`flat` has hand-written Python"
            raise RuntimeError(msg)
        found[governed.FLAT] = _each([(decide, (each,), {}) for each in documents], calls)
        governor = governed.governor(workload)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)
        found[SYNC] = _in_run(run, workload, calls)
        found[ASYNC] = _awaited(run, workload, calls)
        record = SegmentRecord(Path(folder) / "record")
        recording = governed.governor(workload, record=record)
        stack.callback(recording.close)
        found[RECORDED] = _in_run(governed.opened(stack, recording, workload), workload, calls)
        taken, seconds = _while_reloading(workload, reloads)
        found[QUIET] = _meanwhile(run, workload, lambda: time.sleep(seconds))
        found[RELOADING] = taken
    return {
        f"{name}, {part}": (_point(percentile(taken, share) / 1e3), "µs")
        for name, taken in found.items()
        for part, share in PARTS.items()
    }


def _point(value: float) -> Interval:
    return Interval(value, value, value)


def _each(calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]], count: int) -> list[int]:
    clock = time.perf_counter_ns
    taken = []
    for number in range(count):
        call, given, named = calls[number % len(calls)]
        start = clock()
        call(*given, **named)
        taken.append(clock() - start)
    return taken


def _in_run(run: Run, workload: governed.Workload, count: int) -> list[int]:
    token = enter(Frame(run))
    try:
        made = [(tool, (), given) for tool, given in governed.tool_calls(workload)]
        _each(made, len(made))
        return _each(made, count)
    finally:
        leave(token)


def _awaited(run: Run, workload: governed.Workload, count: int) -> list[int]:
    made = governed.tool_calls(workload, governed.coroutine)

    async def all_calls() -> list[int]:
        enter(Frame(run))
        clock = time.perf_counter_ns
        taken = []
        for number in range(-len(made), count):
            tool, given = made[number % len(made)]
            start = clock()
            await tool(**given)
            taken.append(clock() - start)
        return taken[len(made) :]

    return asyncio.run(all_calls())


def _while_reloading(workload: governed.Workload, reloads: int) -> tuple[list[int], float]:
    """Calls under an engine that loads its policies over and over; how many seconds it took."""
    source = _Changing(workload.policy, [])
    engine = governable.engine_of(source)
    with contextlib.ExitStack() as stack:
        governor = governed.governor(workload, engine=engine)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)

        def reload() -> None:
            for _ in range(reloads):
                if not engine.reload():
                    raise RuntimeError("the policies are the same")

        start = time.perf_counter()
        taken = _meanwhile(run, workload, reload)
        return taken, time.perf_counter() - start


def _meanwhile(run: Run, workload: governed.Workload, work: Callable[[], object]) -> list[int]:
    """Calls that are made for as long as another thread is at `work`."""
    failed: list[BaseException] = []

    def other() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # raised below
            failed.append(error)

    thread = threading.Thread(target=other)
    token = enter(Frame(run))
    made = [(tool, (), given) for tool, given in governed.tool_calls(workload)]
    _each(made, len(made))
    taken: list[int] = []
    try:
        thread.start()
        while thread.is_alive():
            taken += _each(made, len(made))
    finally:
        leave(token)
        thread.join()
    if failed:
        raise failed[0]
    return taken
