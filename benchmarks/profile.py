"""Where the time of a governed call goes: ``make bench-profile``.

The phases are timed where the shell performs them, in the calls that `calls` times. What the clock
itself takes is measured in the same run and taken off. What no phase takes is the shell's: it makes
the call and its id, and goes from phase to phase.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks import governed, tables
from benchmarks.statistics import percentile
from guardrails.enforcement import deciding
from guardrails.enforcement.perform import PERFORM
from guardrails.enforcement.phases import STRAIGHT, Phase
from guardrails.runs.context import Frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.governor import Governor

_ROUNDS: Final = 200
_WARM: Final = 20

_WHAT: Final = {
    Phase.OPEN: "find the run",
    Phase.READ: "read the arguments",
    Phase.KILL: "look for a kill, twice",
    Phase.BREAKERS: "breakers",
    Phase.RESERVE: "hold the cost",
    Phase.DECIDE: "decide: what is around the next three",
    Phase.INTENT: "record that it starts",
    Phase.EXECUTE: "the body, and a look for a kill",
    Phase.SETTLE: "settle the cost",
    Phase.OUTCOME: "record what came of it",
}
_SNAPSHOT: Final = "decide: the snapshot of the run"
_DOCUMENT: Final = "decide: the input document"
_ENGINE: Final = "decide: the engine"
_SHELL: Final = "the shell"


class _Watch:
    """Times functions, by name; of each, what it takes in one call of the tool."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter_ns()
            try:
                return function(*args, **kwargs)
            finally:
                self.sums[name] = self.sums.get(name, 0) + time.perf_counter_ns() - start

        return timed


def profile(rounds: int = _ROUNDS) -> dict[str, float]:
    """Nanoseconds of a call by step, the medians over all calls; the shell's are what is left.

    Args:
        rounds: Passes over the workload.
    """
    workload, _ = governed.workloads()
    watch = _Watch()
    samples: dict[str, list[float]] = {
        name: [] for name in (*_WHAT.values(), _SNAPSHOT, _DOCUMENT, _ENGINE)
    }
    samples[_SHELL] = []
    with contextlib.ExitStack() as stack:
        governor = governed.governor(workload)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)
        stack.callback(leave, enter(Frame(run)))
        calls = governed.tool_calls(workload)
        # Before the first call of the run, which keeps how its engine decides.
        _instrument(stack, watch, governor)
        for _ in range(_WARM):
            for tool, arguments in calls:
                tool(**arguments)
        cost, around = _cost_of_a_look()
        for _ in range(rounds):
            for tool, arguments in calls:
                watch.sums.clear()
                start = time.perf_counter_ns()
                tool(**arguments)
                whole = time.perf_counter_ns() - start
                phases = sum(watch.sums[_WHAT[phase]] for phase in set(STRAIGHT))
                samples[_SHELL].append(max(0.0, whole - phases - around * len(STRAIGHT)))
                # The snapshot is taken within the making of the document, that within the phase.
                decide = watch.sums[_DOCUMENT] + watch.sums[_ENGINE] + around * 2
                watch.sums[_WHAT[Phase.DECIDE]] -= decide
                watch.sums[_DOCUMENT] -= watch.sums[_SNAPSHOT] + around
                for name, taken in watch.sums.items():
                    looks = 2 if name == _WHAT[Phase.KILL] else 1
                    samples[name].append(max(0.0, taken - looks * cost))
    return {name: percentile(each, 0.5) for name, each in samples.items() if each}


def _instrument(stack: contextlib.ExitStack, watch: _Watch, governor: Governor) -> None:
    for phase in dict.fromkeys(STRAIGHT):
        stack.callback(PERFORM.__setitem__, phase, PERFORM[phase])
        PERFORM[phase] = watch.around(_WHAT[phase], PERFORM[phase])
    for owner, name, step in (
        (type(governor.ledger), "see", _SNAPSHOT),
        (deciding, "input_document", _DOCUMENT),
        (type(governor.engine), "decide_made", _ENGINE),
    ):
        kept: Any = getattr(owner, name)
        stack.callback(setattr, owner, name, kept)
        setattr(owner, name, watch.around(step, kept))


def _cost_of_a_look() -> tuple[float, float]:
    """What timing takes, in nanoseconds: of the time that it gives, and besides."""
    watch = _Watch()
    nothing = watch.around("nothing", lambda _: None)
    inside: list[float] = []
    besides: list[float] = []
    for _ in range(1000):
        watch.sums.clear()
        start = time.perf_counter_ns()
        nothing(None)
        whole = time.perf_counter_ns() - start
        inside.append(watch.sums["nothing"])
        besides.append(max(0, whole - watch.sums["nothing"]))
    return percentile(inside, 0.5), percentile(besides, 0.5)


def table(found: dict[str, float]) -> str:
    """The steps, the longest first: microseconds, and the share of the call."""
    whole = sum(found.values())
    rows = [
        [name, f"{taken / 1000:.2f}", f"{taken / whole:.0%}"]
        for name, taken in sorted(found.items(), key=lambda item: -item[1])
    ]
    rows.append(["the whole call", f"{whole / 1000:.2f}", "100%"])
    return tables.table(("step", "µs", "share"), rows)


def main() -> int:
    """0, once the table is written."""
    sys.stdout.write(table(profile()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
