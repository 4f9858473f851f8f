"""What `import guardrails` takes beside the libraries that it needs, and what is kept in memory.

Each import is one of a new process, so that nothing is there before. The rounds are interleaved as
everywhere. What only some programs need must not be loaded by it at all.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tracemalloc
from typing import TYPE_CHECKING, Any, Final

import guardrails as gr
from benchmarks.gates import Gate, Outcome, Status, judged
from benchmarks.statistics import Interval, median_interval, ratios
from guardrails import testing
from guardrails.runs.context import enter

if TYPE_CHECKING:
    from collections.abc import Callable

NAME: Final = "imports"
OURS: Final = "import guardrails"
LIBRARIES: Final = "its libraries"
RUN: Final = "an open run"
TOOL: Final = "a tool"
UNWANTED: Final = (
    "opa_client", "regopy", "requests", "aiohttp", "redis", "sqlalchemy", "typer", "rich",
)  # fmt: skip
"""What `import guardrails` must not load."""
LOADED: Final = "unneeded modules loaded"
GROWTH: Final = "blocks that calls leave"

GATES: Final = (Gate(OURS, LIBRARIES, 1.3),)
_NONE_LOADED: Final = Gate(LOADED, "of 8", 0)
_NO_GROWTH: Final = Gate(GROWTH, "blocks", 500)
"""The interpreter itself moves by some hundred; a call that left one would be far beyond."""

_PARTS: Final = ("wrapt", "contextvars_extras", "opentelemetry.trace")
_CLOCKED: Final = (
    "from time import perf_counter_ns as now; start = now(); {statement}; print(now() - start)"
)
_AGAIN: Final = 3
_MANY: Final = 500


def measure_imports(*, rounds: int) -> tuple[Outcome, ...]:
    """The gate's outcome.

    Args:
        rounds: How many new processes import each side.
    """
    (gate,) = GATES
    outcome = judged(NAME, gate, _ratio(rounds))
    if outcome.status is Status.FAILED:
        outcome = judged(NAME, gate, _ratio(rounds * _AGAIN), "measured again")
    return (outcome, _unwanted())


def _unwanted() -> Outcome:
    code = f"import sys, guardrails; print(*(set({UNWANTED!r}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603  # as below
    found = done.stdout.split()
    count = float(len(found))
    return judged(NAME, _NONE_LOADED, Interval(count, count, count), ", ".join(found))


def measure_growth(calls: int) -> tuple[Outcome, dict[str, int]]:
    """Whether memory grows over so many governed calls of one run; and the figures.

    The run is one of a new process, whose allocator's blocks are counted; what the record of a
    test keeps is bounded.

    Args:
        calls: How many.
    """
    done = subprocess.run(  # noqa: S603  # this interpreter, this module
        [sys.executable, "-m", "benchmarks.growth", str(calls)],
        capture_output=True,
        text=True,
        check=True,
    )
    blocks, resident = map(int, done.stdout.split())
    left = float(max(blocks, 0))
    remark = f"over {calls:,} calls; resident memory moved by {resident:,} bytes"
    figures = {f"{GROWTH}, {calls:,}": blocks, "resident bytes they leave": resident}
    return judged(NAME, _NO_GROWTH, Interval(left, left, left), remark), figures


def _ratio(rounds: int) -> Interval:
    baseline = f"from pydantic import TypeAdapter; import {', '.join(filter(_is_there, _PARTS))}"
    ours, others = [], []
    for _ in range(rounds + 1):
        ours.append(_nanoseconds("import guardrails"))
        others.append(_nanoseconds(baseline))
    # The first ones read from the disk.
    return median_interval(ratios(ours[1:], others[1:]))


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # nor the package that it is in
        return False


def _nanoseconds(statement: str) -> float:
    done = subprocess.run(  # noqa: S603  # this interpreter, with what stands above
        [sys.executable, "-c", _CLOCKED.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def kept_bytes() -> dict[str, int]:
    """What one open run and one tool keep in memory, in bytes, on the average of many."""
    governor = testing.governor()

    def a_run(number: int) -> Any:
        scope = governor.run("agent", id=f"run-{number}")
        run = scope.__enter__()
        enter(None)
        return scope, run

    def a_tool(number: int) -> Any:
        def body(order: str, amount: int) -> str:
            return f"{order}: {amount}"

        return gr.governed_tool(name=f"tool-{number}", resource="orders", operation="read")(body)

    return {RUN: _each(a_run), TOOL: _each(a_tool)}


def _each(make: Callable[[int], Any]) -> int:
    made = [make(-1 - number) for number in range(10)]  # what all of them share
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        made += [make(number) for number in range(_MANY)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) // _MANY
