"""How long a load takes, what a cache saves, and for how long a reload holds up other threads.

The stall is what a thread sees that does nothing but look at the clock: its longest gap between
two looks while another thread reloads. A busy machine makes such gaps by itself, so the same is
measured for as long beside a thread that sleeps, and the gate is on the difference. Python takes
its lock from a working thread every 5 ms at the earliest: that much is the floor of any work.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from benchmarks import variants
from benchmarks.gates import Gate, Outcome, Status, judged
from benchmarks.harness import Timed, measure
from benchmarks.statistics import Interval, median_interval
from benchmarks.variant import NotThereError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.policies.policy import Policy

WARM: Final = "warm start"
_LOAD: Final = Gate("load", "s", 8)
_STALL: Final = Gate("stall by a reload", "ms", 15)
_LONGEST: Final = "longest stall in a reload"
_WARM: Final = Gate(WARM, "compile()", 2)
_NOTHING: Final = "longest stall without one"
_COMPILE_BATCH_NS: Final = 1
_AGAIN: Final = 2


@dataclass(frozen=True, slots=True)
class Loads:
    """What loading a policy took.

    Attributes:
        figures: By name, with the unit.
        outcomes: Of the gates.
    """

    figures: dict[str, tuple[Interval, str]]
    outcomes: tuple[Outcome, ...]


def longest_gap(work: Callable[[], Any]) -> int:
    """The longest gap, in nanoseconds, that a busy thread sees while `work` runs in this one."""
    running = threading.Event()
    done = threading.Event()
    longest = 0

    def watch() -> None:
        nonlocal longest
        now, over = time.perf_counter_ns, done.is_set
        running.set()
        last = now()
        while not over():
            this = now()
            longest = max(longest, this - last)
            last = this

    watcher = threading.Thread(target=watch, name="watcher")
    watcher.start()
    running.wait()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return longest


def measure_loads(name: str, policy: Policy, *, repeats: int, rounds: int) -> Loads:
    """The figures of loading `policy`, with their gates.

    Args:
        name: Of the benchmark.
        policy: What is loaded.
        repeats: How many loads, and how many reloads beside a busy thread.
        rounds: For the warm start beside ``compile()``.
    """
    figures = _figures(policy, repeats)
    outcomes = [judged(name, gate, figures[gate.variant][0]) for gate in (_LOAD, _STALL)]
    if any(outcome.status is Status.FAILED for outcome in outcomes):
        figures = _figures(policy, repeats * _AGAIN)
        outcomes = [
            judged(name, gate, figures[gate.variant][0], "measured again")
            for gate in (_LOAD, _STALL)
        ]
    warm = _warm(name, policy, rounds)
    if warm.status is Status.FAILED and warm.measured is not None:
        warm = replace(_warm(name, policy, rounds * _AGAIN), remark="measured again")
    if warm.measured is not None:
        figures[WARM] = (warm.measured, "× compile()")
    return Loads(figures, (*outcomes, warm))


def _figures(policy: Policy, repeats: int) -> dict[str, tuple[Interval, str]]:
    seconds, gaps, quiet = [], [], []
    for _ in range(repeats):
        start = time.perf_counter()
        variants.load(policy)
        seconds.append(time.perf_counter() - start)
        gaps.append(longest_gap(lambda: variants.load(policy)) / 1e6)
        idle = seconds[-1]
        quiet.append(longest_gap(lambda: time.sleep(idle)) / 1e6)  # noqa: B023  # runs at once
    return {
        _LOAD.variant: (median_interval(seconds), "s"),
        _STALL.variant: (median_interval(_differences(gaps, quiet)), "ms"),
        _LONGEST: (median_interval(gaps), "ms"),
        _NOTHING: (median_interval(quiet), "ms"),
    }


def _differences(gaps: list[float], quiet: list[float]) -> list[float]:
    return [max(gap - still, 0) for gap, still in zip(gaps, quiet, strict=True)]


def _warm(name: str, policy: Policy, rounds: int) -> Outcome:
    try:
        start = variants.warm_load(policy)
        source = variants.generated_source(policy)
    except NotThereError as error:
        pending = variants.PENDING.get(WARM)
        status = Status.FAILED if pending is None else Status.PENDING
        return Outcome(name, _WARM, status, remark=pending or str(error))
    measured = measure(
        [
            Timed(WARM, [(lambda _: start(), None)]),
            Timed("compile()", [(lambda text: compile(text, "<policy>", "exec"), source)]),
        ],
        rounds=rounds,
        batch_ns=_COMPILE_BATCH_NS,
    )
    return judged(name, _WARM, measured.ratio(WARM, "compile()"))
