"""What the record costs: handing over one event, and events written and closed under a full queue.

Hand-over is measured beside the hand-written `flat`. Throughput is events in the process's own CPU
time, all writers drained, beside the plain file of JSON lines and, where it is installed, the
audit log of agent-governance-toolkit-core with its file sink: the same facts in the same run.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.gates import Gate, Outcome, judged
from benchmarks.statistics import Interval
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.keys import RecordKey, can_sign
from guardrails.audit.segments import SegmentRecord
from guardrails.model.call import Event

if TYPE_CHECKING:
    from collections.abc import Callable

SEGMENTS: Final = "segments, CPU an event"
PLAIN: Final = "one plain file, CPU an event"
PEER: Final = "agent-governance-toolkit-core, CPU an event"
HAND_OVER: Final = "hand-over"

GATES: Final = (Gate(SEGMENTS, PLAIN, 1), Gate(SEGMENTS, PEER, 1 / 10))
"""Ten times the throughput of the peer; and no more CPU than a file that proves nothing."""

_EVENTS: Final = 20_000
_PEER_EVENTS: Final = 1_000
_HAND_OVERS: Final = 5_000


def measure_record(*, rounds: int) -> tuple[tuple[Outcome, ...], dict[str, float]]:
    """The gates' outcomes, and figures of this machine.

    Args:
        rounds: How often each is measured, divided by forty.
    """
    taken: dict[str, list[float]] = {SEGMENTS: [], PLAIN: [], PEER: []}
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
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
            peer = _peer(base / f"peer-{number}.jsonl")
            if peer is not None:
                cpu, _ = _drained(peer, lambda: None, _events(_PEER_EVENTS))
                taken[PEER].append(cpu / _PEER_EVENTS)
        figures = {
            "hand-over p50, ns": _hand_over(base / "handed", key),
            "events/s": statistics.median(rates),
            **{
                f"{name}, µs": statistics.median(each) * 1e6 for name, each in taken.items() if each
            },
        }
    outcomes = tuple(
        judged("record", gate, _ratio(taken[gate.variant], taken[gate.baseline]))
        for gate in GATES
        if taken[gate.baseline]
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
    return [
        Event(
            "call.started",
            1_795_831_355_995_084_620 + number,
            f"01a21fff-45a1-7215-a860-{number:012x}",
            "01a21fff-4590-75d6-b946-171690a8b90c",
            "billing-agent",
            "refund",
            "enforce",
            "allow",
            input={"args": {"order_id": "A-17", "amount": number}},
            revision="sha256:0123456789abcdef",
            decision_ns=12_345,
        )
        for number in range(count)
    ]


def _peer(path: Path) -> Callable[[Event], object] | None:
    """The peer's log with its file sink, told the same facts; None where it is not installed."""
    try:
        from agentmesh.governance.audit import AuditLog  # noqa: PLC0415  # where it is installed
        from agentmesh.governance.audit_backends import FileAuditSink  # noqa: PLC0415  # as above
    except ImportError:
        return None
    log: Any = AuditLog(sink=FileAuditSink(path, b"0" * 32))

    def write(event: Event) -> object:
        return log.log(
            event.kind,
            event.agent,
            event.tool,
            data={"run": event.run_id, "args": event.input, "decision_ns": event.decision_ns},
            policy_decision=event.effect,
            trace_id=event.decision_id,
            policy_version=event.revision,
        )

    return write


def _ratio(variant: list[float], baseline: list[float]) -> Interval:
    ratios = [one / other for one, other in zip(variant, baseline, strict=True)]
    return Interval(statistics.median(ratios), min(ratios), max(ratios))
