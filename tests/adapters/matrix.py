"""Prints which scenarios hold in which host: ``python -m tests.adapters.matrix DIRECTORY HOST…``.

Reads what the tests noted (``DIRECTORY/HOST.jsonl``). Exits with 1 where a scenario fails in a
host, or no test of it shows one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.adapters.scenarios import Scenario

HOLDS, PARTLY, FAILS, GAP = "yes", "partly", "FAILS", "no test"


def cells(notes: Path) -> tuple[dict[Scenario, str], list[str]]:
    """What one host's tests amount to, a word for each scenario; and what it does not let us do."""
    outcomes: dict[Scenario, set[str]] = {scenario: set() for scenario in Scenario}
    limits: dict[Scenario, dict[str, None]] = {scenario: {} for scenario in Scenario}
    text = notes.read_text("utf-8") if notes.exists() else ""
    for line in text.splitlines():
        note = json.loads(line)
        scenario = Scenario(note["scenario"])
        outcomes[scenario].add(note["outcome"])
        if note["but"]:
            limits[scenario][note["but"]] = None
    words = {each: _word(outcomes[each], limited=bool(limits[each])) for each in Scenario}
    return words, [f"{each}: {but}" for each in Scenario for but in limits[each]]


def _word(outcomes: set[str], *, limited: bool) -> str:
    if "failed" in outcomes:
        return FAILS
    if "passed" not in outcomes:
        return GAP
    return PARTLY if limited else HOLDS


def main(directory: Path, hosts: list[str]) -> int:
    """Print the matrix; 1 where it has a gap."""
    read = {host: cells(directory / f"{host}.jsonl") for host in hosts}
    first = max(map(len, ["host", *hosts]))
    widths = {each: max(len(each), len(GAP)) for each in Scenario}
    print("host".ljust(first), *(each.ljust(widths[each]) for each in Scenario), sep="  ")
    for host, (words, _) in read.items():
        print(host.ljust(first), *(words[each].ljust(widths[each]) for each in Scenario), sep="  ")
    for host, (_, limits) in read.items():
        for limit in limits:
            print(f"{host}: {limit}")
    gaps = any(word in {FAILS, GAP} for words, _ in read.values() for word in words.values())
    return 1 if gaps else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
