"""What the record costs: handing over one event, events written, and governed calls with all of it.

The events are those of the part `calls`: with the documents that were decided. Throughput is
events in the process's own CPU time, all writers drained, beside the plain file of JSON lines and
the audit log of agent-governance-toolkit-core with its file sink, in a process of its own: the same
facts in the same run. A whole call is told as p50, which is what its caller waits for, and as the
process's CPU with all writers drained, which is what it costs.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import governed
from benchmarks.gates import Gate, Outcome, Status, judged
from benchmarks.peers.elsewhere import Elsewhere
from benchmarks.statistics import Interval
from benchmarks.variant import NotThereError
from guardrails.audit.exact_json import exact_json
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.keys import RecordKey, can_sign
from guardrails.audit.memory import MemoryRecord
from guardrails.audit.segments import SegmentRecord
from guardrails.model.call import Event
from guardrails.runs.context import Frame, enter, leave

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENTS: Final = "segments, CPU an event"
PLAIN: Final = "one plain file, CPU an event"
PEER: Final = "its peer, CPU an event"
"""Of agent-governance-toolkit-core."""
HAND_OVER: Final = "hand-over"

GATES: Final = (Gate(SEGMENTS, PLAIN, 1), Gate(SEGMENTS, PEER, 1 / 10))
"""Ten times the throughput of the peer; and no more CPU than a file that proves nothing."""

_EVENTS: Final = 20_000
_PEER_EVENTS: Final = 1_000
_HAND_OVERS: Final = 5_000
_CALLS: Final = 5_000


def measure_record(*, rounds: int) -> tuple[tuple[Outcome, ...], dict[str, float]]:
    """The gates' outcomes, and figures of this machine.

    Args:
        rounds: How often each is measured, divided by forty.
    """
    taken: dict[str, list[float]] = {SEGMENTS: [], PLAIN: [], PEER: []}
    rates = []
    with contextlib.ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer, missing = _peer(stack, base / "peer.jsonl")
        key = RecordKey.load_or_make(base / "record.key") if can_sign() else None
        for number in range(max(3, rounds // 40)):
            # Alternating, so that what else the machine does meets all of them.
            record = SegmentRecord(base / f"segments-{number}", key=key)
            cpu, wall = _drained(record.write, record.close, _events(_EVENTS))
            taken[SEGMENTS].append(cpu / _EVENTS)
            rates.append(_EVENTS / wall)
            plain = JsonLinesRecord(base / f"plain-{number}.jsonl")
            cpu, _ = _drained(plain.write, plain.close, _events(_EVENTS))
            taken[PLAIN].append(cpu / _EVENTS)
            if peer is not None:
                _, spent = peer.batch(_PEER_EVENTS)
                taken[PEER].append(spent / 1e9 / _PEER_EVENTS)
        figures = {
            "hand-over p50, ns": _hand_over(base / "handed", key),
            "events/s": statistics.median(rates),
            "events/s of a core": 1 / statistics.median(taken[SEGMENTS]),
            **_whole_calls(base, key),
            **{
                f"{name}, µs": statistics.median(each) * 1e6 for name, each in taken.items() if each
            },
        }
    outcomes = tuple(
        judged("record", gate, _ratio(taken[gate.variant], taken[gate.baseline]))
        if taken[gate.baseline]
        else Outcome("record", gate, Status.FAILED, remark=missing)
        for gate in GATES
    )
    return outcomes, figures


def _drained(
    write: Callable[[Event], object], close: Callable[[], object], events: list[Event]
) -> tuple[float, float]:
    """Seconds of CPU, and of the wall, for all events, the writer drained."""
    cpu, wall = time.process_time(), time.perf_counter()
    for event in events:
        write(event)
    close()
    return time.process_time() - cpu, time.perf_counter() - wall


def _whole_calls(base: Path, key: RecordKey | None) -> dict[str, float]:
    """What a call takes with a record in memory, which writes nothing, and with segments."""
    found: dict[str, float] = {}
    (workload, _) = governed.workloads()
    for name, record in (
        ("memory", MemoryRecord()),
        ("segments, batch", SegmentRecord(base / "batch", key=key)),
        (
            "segments, write_ahead",
            SegmentRecord(base / "ahead", key=key, durability="write_ahead"),
        ),
    ):
        taken: list[int] = []
        clock = time.perf_counter_ns
        with contextlib.ExitStack() as stack:
            by = governed.governor(workload, record=record)
            run = governed.opened(stack, by, workload)
            calls = itertools.cycle(governed.tool_calls(workload))
            token = enter(Frame(run))
            cpu = time.process_time()
            for tool, arguments in itertools.islice(calls, _CALLS):
                begin = clock()
                tool(**arguments)
                taken.append(clock() - begin)
            leave(token)
        by.close()
        cpu = time.process_time() - cpu
        found[f"a call, {name}, p50, µs"] = statistics.median(taken) / 1e3
        found[f"a call, {name}, CPU with all writers drained, µs"] = cpu / _CALLS * 1e6
    return found


def _hand_over(directory: Path, key: RecordKey | None) -> float:
    record = SegmentRecord(directory, key=key)
    clock, write = time.perf_counter_ns, record.write
    events = _events(_HAND_OVERS)
    taken = []
    for event in events:
        begin = clock()
        write(event)
        taken.append(clock() - begin)
    nothing = []
    for _ in events:
        begin = clock()
        nothing.append(clock() - begin)
    record.close()
    return statistics.median(taken) - statistics.median(nothing)


def _events(count: int) -> list[Event]:
    """Events as a call leaves them before its body runs, each with its document."""
    (workload, _) = governed.workloads()
    documents = itertools.cycle(workload.documents)
    return [
        Event(
            "call.started",
            1_795_831_355_995_084_620 + number,
            f"01a21fff-45a1-7215-a860-{number:012x}",
            "01a21fff-4590-75d6-b946-171690a8b90c",
            document["agent"]["id"],
            document["tool"]["name"],
            "enforce",
            "allow",
            input={**document, "args": dict(document["args"])},
            revision="sha256:0123456789abcdef",
            decision_ns=12_345,
            detail={},
            decided_by="policy",
        )
        for number, document in enumerate(itertools.islice(documents, count))
    ]


def _peer(stack: contextlib.ExitStack, path: Path) -> tuple[Elsewhere | None, str]:
    """The peer's log with its file sink, or why it is not there."""
    script = Path(__file__).with_name("peers") / "agt_process.py"
    (workload, _) = governed.workloads()
    inputs = [json.loads(exact_json(each)) for each in workload.documents]  # it knows no decimals
    try:
        return Elsewhere(stack, script, {"record": str(path), "inputs": inputs}), ""
    except NotThereError as error:
        return None, str(error)


def _ratio(variant: list[float], baseline: list[float]) -> Interval:
    ratios = [one / other for one, other in zip(variant, baseline, strict=True)]
    return Interval(statistics.median(ratios), min(ratios), max(ratios))
