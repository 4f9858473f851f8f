"""Runs the benchmarks and prints what they gave: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import results, tables
from benchmarks.catalogue import parts
from benchmarks.gates import Status
from benchmarks.parts import Effort

if TYPE_CHECKING:
    from benchmarks.gates import Outcome
    from benchmarks.parts import Result

WHOLE: Final = Effort(rounds=200, loads=5, calls=1_000_000)
QUICK: Final = Effort(rounds=40, loads=3, calls=20_000)


def main() -> int:
    """0, or 1 where a gate fails, or a part does.

    A part that raises is told of, and the others are measured nonetheless; what is lacking then
    becomes no results of a whole run.
    """
    all_parts = {part.name: part for part in parts()}
    options = _options(list(all_parts))
    effort = QUICK if options.quick else WHOLE
    chosen = [
        part
        for name, part in all_parts.items()
        if (not options.only or name in options.only) and (part.is_gated or not options.gates)
    ]
    found: dict[str, Result] = {}
    outcomes: list[Outcome] = []
    began = time.monotonic()
    for part in chosen:
        _say(f"{part.name}: {part.title} ({time.monotonic() - began:.0f} s)")
        try:
            found[part.name] = part.measure(effort, only_gates=options.gates)
        except Exception:  # noqa: BLE001  # told below; an hour's other measurements are not lost
            _say(traceback.format_exc())
            continue
        outcomes += found[part.name].outcomes
        if not options.gates:
            for text in tables.result(part.name, found[part.name]):
                _say(text)
    _say(tables.gates(outcomes))
    lacking = [part.name for part in chosen if part.name not in found]
    if lacking:
        _say(f"these parts have failed: {', '.join(lacking)}")
    whole = not (options.only or options.gates or options.quick or lacking)
    place = options.output or (results.PLACE if whole else None)
    if place is not None:
        results.write(results.document(found, effort.rounds), place)
        _say(f"written to {place} after {time.monotonic() - began:.0f} s")
    if whole and options.output is None:
        from benchmarks.report import write_all  # noqa: PLC0415  # it needs matplotlib

        _say("\n".join(f"written: {each}" for each in write_all()))
    failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
    return 1 if lacking or (failed and options.gates) else 0


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
