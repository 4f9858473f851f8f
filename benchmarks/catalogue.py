"""All parts of the suite, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import cold, contention, governed, imports, peer_calls, replaying, setups, tail
from benchmarks.accounts import measure_accounts
from benchmarks.approvals import measure_approvals
from benchmarks.loading import measure_loads
from benchmarks.parts import Curve, Part, Result
from benchmarks.policies import scaling
from benchmarks.record import measure_record
from benchmarks.run import run
from benchmarks.self_check import self_check
from benchmarks.statistics import Interval
from benchmarks.suite import benchmarks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from benchmarks.parts import Effort
    from benchmarks.run import Report
    from benchmarks.suite import Benchmark

_LINES: Final = 5000
_ROUNDS_A_PROCESS: Final = 8
"""A new process takes so many rounds' time."""
_ROUNDS_A_SETUP: Final = 4
"""So much longer are the batches that wait for a disk or a server."""
_ROUNDS_OF_MANY: Final = 10
"""A round of threads, tasks and processes takes so many rounds' time."""
_TAIL: Final = 20_000
_PLOTTED: Final = {"rules": "rules", "data": "entries of data"}
"""Benchmarks that are plotted over their sizes, with what grows."""


def parts() -> tuple[Part, ...]:
    """Every part."""
    return tuple(_parts())


def _parts() -> Iterator[Part]:
    yield Part(
        "self-check",
        "whether a planted slowdown of 30 % is noticed",
        lambda effort, **_: Result((self_check(rounds=effort.rounds),)),
    )
    for benchmark in benchmarks():
        yield _compared(benchmark)
    yield Part(cold.NAME, "the first decisions after a start", _cold, is_gated=False)
    yield Part(
        "accounts",
        "kill check, reserve and settle",
        lambda effort, **_: Result(measure_accounts(rounds=effort.rounds)),
    )
    yield Part("approvals", "to list those that wait, and to use one", _approvals)
    yield Part(
        governed.BENCHMARK.name,
        governed.BENCHMARK.title,
        lambda effort, **_: _reported(governed.measure_calls(rounds=effort.rounds)),
    )
    yield Part(
        peer_calls.NAME,
        peer_calls.BENCHMARK.title,
        lambda effort, **_: _reported(peer_calls.measure_peer_calls(rounds=effort.rounds)),
    )
    yield Part(setups.NAME, setups.BENCHMARK.title, _setups)
    yield Part(contention.NAME, "calls that many make at once", _contention, is_gated=False)
    yield Part(tail.NAME, "single calls, the slowest of many", _tail, is_gated=False)
    yield Part(imports.NAME, "the import, and what is kept in memory", _imports)
    yield Part("record", "what writing an event down costs", _record)
    yield Part("replay", "what a replay adds to a decision", _replay)
    yield Part("load", "to load a policy, and to reload it", _load)


def _reported(report: Report) -> Result:
    return Result(report.outcomes, report)


def _compared(benchmark: Benchmark) -> Part:
    def measure(effort: Effort, *, only_gates: bool) -> Result:
        report = run(benchmark, rounds=effort.rounds, only_gates=only_gates)
        along = _PLOTTED.get(benchmark.name)
        curves = () if along is None else (_by_size(benchmark.name, along, report),)
        return Result(report.outcomes, report, curves=curves)

    return Part(benchmark.name, benchmark.title, measure)


def _by_size(name: str, along: str, report: Report) -> Curve:
    """The rows of a benchmark, whose names are `variant, size unit`, as lines over the sizes."""
    lines: dict[str, dict[int, Interval]] = {}
    for row, taken in report.measurement.samples.items():
        kind, _, size = row.partition(", ")
        number = int(size.split(" ")[0].replace(",", ""))
        parts = (taken.percentile(part) / 1e3 for part in (0.5, 0.25, 0.75))
        lines.setdefault(kind, {})[number] = Interval(*parts)
    return Curve(name, along, "µs a decision", lines)


def _cold(effort: Effort, **_: object) -> Result:
    return Result(figures=cold.measure_cold(loads=effort.loads))


def _approvals(effort: Effort, **_: object) -> Result:
    outcomes, times = measure_approvals(rounds=effort.rounds)
    return Result(outcomes, figures=_points(times, "ms"))


def _setups(effort: Effort, *, only_gates: bool) -> Result:
    only = {side for gate in setups.GATES for side in (gate.variant, gate.baseline)}
    rounds = effort.rounds // _ROUNDS_A_SETUP
    return _reported(setups.measure_setups(rounds=rounds, only=only if only_gates else None))


def _contention(effort: Effort, **_: object) -> Result:
    curves = contention.measure_contention(rounds=effort.rounds // _ROUNDS_OF_MANY)
    return Result(curves=curves)


def _tail(effort: Effort, **_: object) -> Result:
    return Result(figures=tail.measure_tail(calls=_TAIL, reloads=effort.loads))


def _imports(effort: Effort, *, only_gates: bool) -> Result:
    outcomes = imports.measure_imports(rounds=effort.rounds // _ROUNDS_A_PROCESS)
    growth, left = imports.measure_growth(effort.calls)
    kept = {} if only_gates else imports.kept_bytes()
    figures = {**_points({f"{what} keeps": size for what, size in kept.items()}, "bytes")}
    figures |= _points(left, "")
    return Result((*outcomes, growth), figures=figures)


def _record(effort: Effort, **_: object) -> Result:
    outcomes, figures = measure_record(rounds=effort.rounds)
    return Result(outcomes, figures=_points(figures, ""))


def _replay(effort: Effort, *, only_gates: bool) -> Result:
    outcomes = replaying.measure_replay(rounds=effort.rounds)
    rates = {} if only_gates else replaying.rates()
    return Result(outcomes, figures=_points(rates, ""))


def _load(effort: Effort, **_: object) -> Result:
    policy = scaling.lines(_LINES)
    loads = measure_loads("load", policy, repeats=effort.loads, rounds=effort.rounds)
    return Result(loads.outcomes, figures=loads.figures)


def _points(values: Mapping[str, float], unit: str) -> dict[str, tuple[Interval, str]]:
    return {name: (Interval(value, value, value), unit) for name, value in values.items()}
