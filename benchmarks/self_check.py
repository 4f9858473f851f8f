"""Whether this machine, now, is quiet enough for the harness to notice a slowdown of 30 %.

The hand-written `flat` runs beside itself, and beside itself with 13 calls where it makes 10.
"""

from __future__ import annotations

from typing import Final

from benchmarks.gates import Gate, Outcome, Status
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.policies.reference import flat
from benchmarks.workload import mixed

_PLAIN: Final = "hand-written"
_TWIN: Final = "the same again"
_SLOWED: Final = "planted slowdown of 30 %"
_BETWEEN: Final = 1.15
"""What lies above is a slowdown; the twin's interval has to end below."""


def self_check(*, rounds: int, batch_ns: int = BATCH_NS, clock: Clock | None = None) -> Outcome:
    """Passed, if the planted slowdown is noticed and none is seen where none was planted.

    Args:
        rounds: As for :func:`~benchmarks.harness.measure`.
        batch_ns: As there.
        clock: As there.
    """
    policy = flat()
    if policy.by_hand is None:
        msg = "`flat` has hand-written Python"
        raise RuntimeError(msg)
    calls = [(policy.by_hand, input) for input in mixed(policy.cases)]
    timed = Timed(_PLAIN, calls)
    return slowdown_noticed("self-check", timed, rounds=rounds, batch_ns=batch_ns, clock=clock)


def slowdown_noticed(
    benchmark: str,
    timed: Timed,
    *,
    rounds: int,
    batch_ns: int = BATCH_NS,
    clock: Clock | None = None,
) -> Outcome:
    """Passed, if `timed` with 30 % more calls is seen to be slower, and beside itself is not.

    Args:
        benchmark: Where it belongs.
        timed: What runs.
        rounds: As for :func:`~benchmarks.harness.measure`.
        batch_ns: As there.
        clock: As there.
    """
    calls = list(timed.calls)
    count = len(calls) if timed.count is None else timed.count
    measured = measure(
        [
            Timed(timed.name, calls * 10, count=count * 10),
            Timed(_TWIN, calls * 10, count=count * 10),
            Timed(_SLOWED, calls * 13, count=count * 10),
        ],
        rounds=rounds,
        batch_ns=batch_ns,
        clock=clock,
    )
    slowed, twin = measured.ratio(_SLOWED, timed.name), measured.ratio(_TWIN, timed.name)
    noticed = slowed.low > _BETWEEN > twin.high
    gate = Gate(_SLOWED, timed.name, 1.3)
    status = Status.PASSED if noticed else Status.FAILED
    remark = f"twin {twin.median:.3f} [{twin.low:.3f}, {twin.high:.3f}]"
    return Outcome(benchmark, gate, status, slowed, remark)
