"""A replay of a record takes no more memory than that of a tenth of it.

The records are written by the real writer, signed and in segments, with more tools, agents and
flips than a replay tells apart. Each replay is a process of its own with one more for the work,
and the memory is the peak of either. ``GUARDRAILS_SOAK=1`` does it with ten million events.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks.policies.reference import flat
from benchmarks.replaying import candidate_of

from guardrails.audit.keys import RecordKey
from guardrails.audit.segments import SegmentRecord
from guardrails.errors import Reason
from guardrails.model.call import Event
from guardrails.replay import replay

if TYPE_CHECKING:
    from pathlib import Path

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"

EVENTS = 10_000_000 if SOAK else 20_000
"""Of the larger record, which the long test fills 14 GB with; the smaller one holds a tenth."""

ALLOWED = 24 << 20 if SOAK else 16 << 20
"""Bytes: some two bytes an event in the long test."""

REPLAYED = """
import resource, sys
from pathlib import Path
from tests.replay.test_memory import replayed

if __name__ == "__main__":
    print(replayed(Path(sys.argv[1])))
    # Of this process by its own page: what the operating system counts by process begins with
    # the memory of whoever started it.
    (own,) = [line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line]
    print(max(int(own), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
"""


def write(directory: Path, count: int, *, key: RecordKey | None = None) -> None:
    """Write a record of `count` calls, each of another run, of 50,000 agents and 20,000 tools."""
    cases = [dict(case.input) for case in flat().cases]
    record = SegmentRecord(directory, key=key)
    begun = cases[0]["time"]
    for number in range(count):
        document = cases[number % len(cases)]
        time = begun + number * 200_000_000
        agent = document["agent"]["id"] if number % 3 else f"agent-{number % 50_000}"
        tool = document["tool"]["name"] if number % 5 else f"tool-{number % 20_000}"
        run = f"0197739c-0000-7000-8000-{number:012}"
        made = {
            **document,
            "agent": {**document["agent"], "id": agent},
            "tool": {**document["tool"], "name": tool},
            "call": {"id": f"0197739c-1c00-7000-8000-{number:012}"},
            "args": {**document["args"], "reference": f"R-{number}"},
            "run": {**document["run"], "id": run, "calls": number % 90},
            "time": time,
        }
        event = Event(
            "call.started",
            time,
            decision_id=f"0197739c-1c00-7000-8000-{number:012}",
            run_id=run,
            agent=agent,
            tool=tool,
            mode="enforce",
            effect="allow",
            reasons=(Reason("flat", "granted by the register"),),
            input=made,
            revision=f"sha256:{number % 12_000:064}",
            decision_ns=4_200,
            decided_by="policy",
        )
        record.write(event)
    record.close()


def replayed(directory: Path) -> tuple[int, int]:
    """The decisions of a replay, by two processes, and how many of them flip."""
    tally = replay(directory, candidate_of(flat()), workers=2).tally
    if tally.unreplayed or tally.torn:
        raise RuntimeError(f"{tally.gaps}, {tally.torn} torn")
    return tally.decisions, tally.flips


def peak(directory: Path, events: int) -> int:
    """Bytes of memory of the largest of a replay's processes at its peak."""
    done = subprocess.run(
        [sys.executable, "-c", REPLAYED, str(directory)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    told, kilobytes = done.stdout.splitlines()
    decisions, flips = map(int, told.strip("()").split(","))
    assert decisions == events
    assert flips > events // 10
    return int(kilobytes) << 10


@pytest.mark.soak
@pytest.mark.timeout(7_200)
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's own figures")
def test_a_record_ten_times_as_long_takes_no_more_memory(tmp_path: Path) -> None:
    key = RecordKey.load_or_make(tmp_path / "key")
    peaks = []
    for events in (EVENTS // 10, EVENTS):
        log = tmp_path / str(events)
        write(log, events, key=key)
        peaks.append(peak(log, events))
        shutil.rmtree(log)
    small, large = peaks
    assert large < small + ALLOWED
