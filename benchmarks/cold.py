"""The first decisions after a start, beside warm ones: `flat` and the library.

A cold start loads the policies with nothing kept, a kept one from the cache that an earlier start
filled; then the first decision is timed alone, and some of the second thousand.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any, Final

from benchmarks import variants
from benchmarks.policies.reference import flat, library
from benchmarks.statistics import median_interval, percentile
from guardrails.rego.values import from_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.policies.policy import Policy
    from benchmarks.statistics import Interval

NAME: Final = "cold"
_WARM: Final = 1_000
_GROUPS: Final = 20
_GROUP: Final = 50


def measure_cold(*, loads: int) -> dict[str, tuple[Interval, str]]:
    """Milliseconds of loads, microseconds of decisions.

    Args:
        loads: How often each is loaded.
    """
    figures: dict[str, tuple[Interval, str]] = {}
    for policy in (flat(), library()):
        kept = variants.warm_load(policy)
        for how, load in (
            ("nothing kept", functools.partial(variants.load, policy)),
            ("from the cache", kept),
        ):
            taken = [_once(load, policy) for _ in range(loads)]
            loaded, first, warm = (median_interval(each) for each in zip(*taken, strict=True))
            figures[f"{policy.name}, {how}: load"] = (loaded, "ms")
            figures[f"{policy.name}, {how}: first decision"] = (first, "µs")
            figures[f"{policy.name}, {how}: warm decision"] = (warm, "µs")
    return figures


def _once(load: Callable[[], Any], policy: Policy) -> tuple[float, float, float]:
    """What a load took, the first decision after it, and a warm one (the median of groups)."""
    clock = time.perf_counter_ns
    document = from_json(policy.cases[0].input)
    start = clock()
    evaluate = load().evaluate
    loaded = clock()
    evaluate(document)
    first = clock()
    for _ in range(_WARM):
        evaluate(document)
    warm = [_average(evaluate, document) for _ in range(_GROUPS)]
    return (loaded - start) / 1e6, (first - loaded) / 1e3, percentile(warm, 0.5) / 1e3


def _average(evaluate: Callable[[Any], Any], document: Any) -> float:
    start = time.perf_counter_ns()
    for _ in range(_GROUP):
        evaluate(document)
    return (time.perf_counter_ns() - start) / _GROUP
