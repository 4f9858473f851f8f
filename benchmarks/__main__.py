"""Runs the benchmarks and prints what they gave: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import replaying, results, tables
from benchmarks.accounts import measure_accounts
from benchmarks.approvals import measure_approvals
from benchmarks.gates import Status
from benchmarks.governed import BENCHMARK as CALLS
from benchmarks.governed import measure_calls
from benchmarks.imports import NAME as IMPORTS
from benchmarks.imports import kept_bytes, measure_imports
from benchmarks.loading import measure_loads
from benchmarks.policies import scaling
from benchmarks.record import measure_record
from benchmarks.run import run
from benchmarks.self_check import self_check
from benchmarks.suite import benchmarks

if TYPE_CHECKING:
    from benchmarks.gates import Outcome
    from benchmarks.loading import Loads
    from benchmarks.run import Report

_ROUNDS: Final = 200
_QUICK_ROUNDS: Final = 40
_ROUNDS_A_PROCESS: Final = 8
"""A new process takes so many rounds' time."""
_LOADS: Final = 5
_QUICK_LOADS: Final = 3
_LOAD: Final = "load"
_CHECK: Final = "self-check"
_ACCOUNTS: Final = "accounts"
_APPROVALS: Final = "approvals"
_RECORD: Final = "record"
_REPLAY: Final = "replay"
_LINES: Final = 5000


def main() -> int:  # noqa: C901, PLR0912, PLR0915  # one branch a part
    """0, or 1 where a gate fails."""
    suite = {each.name: each for each in benchmarks()}
    names = [_CHECK, *suite, _ACCOUNTS, _APPROVALS, CALLS.name, IMPORTS, _RECORD, _REPLAY, _LOAD]
    options = _options(names)
    chosen = options.only or names
    rounds = _QUICK_ROUNDS if options.quick else _ROUNDS
    outcomes: list[Outcome] = []
    reports: list[Report] = []
    loads: dict[str, Loads] = {}
    figures: dict[str, float] = {}
    if _CHECK in chosen:
        outcomes.append(self_check(rounds=rounds))
    for name, benchmark in suite.items():
        if name in chosen:
            report = run(benchmark, rounds=rounds, only_gates=options.gates)
            reports.append(report)
            outcomes += report.outcomes
            if not options.gates:
                _say(tables.decisions(report))
    if _ACCOUNTS in chosen:
        outcomes += measure_accounts(rounds=rounds)
    if _APPROVALS in chosen:
        approved, times = measure_approvals(rounds=rounds)
        outcomes += approved
        if not options.gates:
            _say("\n".join(f"approvals: {name}: {ms:,.2f} ms" for name, ms in times.items()))
    if CALLS.name in chosen:
        reports.append(measure_calls(rounds=rounds))
        outcomes += reports[-1].outcomes
        if not options.gates:
            _say(tables.decisions(reports[-1]))
    if IMPORTS in chosen:
        outcomes += measure_imports(rounds=rounds // _ROUNDS_A_PROCESS)
        if not options.gates:
            kept = (f"{what} keeps {size:,} bytes" for what, size in kept_bytes().items())
            _say(f"memory: {', '.join(kept)}")
    if _RECORD in chosen:
        recorded, figures = measure_record(rounds=rounds)
        outcomes += recorded
        if not options.gates:
            _say("\n".join(f"record: {name}: {value:,.1f}" for name, value in figures.items()))
    if _REPLAY in chosen:
        outcomes += replaying.measure_replay(rounds=rounds)
        if not options.gates:
            _say(replaying.told(replaying.rates()))
    if _LOAD in chosen:
        policy = scaling.lines(_LINES)
        repeats = _QUICK_LOADS if options.quick else _LOADS
        loads[_LOAD] = measure_loads(_LOAD, policy, repeats=repeats, rounds=rounds)
        outcomes += loads[_LOAD].outcomes
        if not options.gates:
            _say(tables.loads(f"{_LOAD}: a policy of {policy.name}", loads[_LOAD]))
    _say(tables.gates(outcomes))
    whole = not (options.only or options.gates or options.quick)
    place = options.output or (results.PLACE if whole else None)
    if place is not None:
        results.write(results.document(reports, loads, outcomes, rounds, figures), place)
        _say(f"written to {place}")
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    return 1 if failed and options.gates else 0


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument(
        "--gates", action="store_true", help="only the gates; exit 1 where one fails"
    )
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=_list(names))
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where the results go as JSON, whatever runs"
    )
    return parser.parse_args()


def _list(names: list[str]) -> str:
    return f"one of {', '.join(names)}; can be repeated"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
