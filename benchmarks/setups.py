"""A governed call under other services: where the record goes, which ledger, which engine, spans.

All are the same calls under `flat`, beside the hand-written function; each variant changes one
service of the first. CPU is that of the whole process with all writers drained: what a call leaves
to a thread is counted where it is done.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import governed
from benchmarks.gates import Gate, Measure, Outcome, Status
from benchmarks.harness import BATCH_NS, Clock, Timed, measure
from benchmarks.judging import outcomes
from benchmarks.peers.opa_server import served
from benchmarks.policies import governable
from benchmarks.run import Report
from benchmarks.suite import Benchmark, Field
from benchmarks.variant import NotThereError
from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.keys import RecordKey, can_sign
from guardrails.audit.segments import SegmentRecord
from guardrails.engines.sidecar import SidecarEngine
from guardrails.engines.verified import VerifiedEngine
from guardrails.model.account import Allowance, Window
from guardrails.model.budget import Budget
from guardrails.model.budget_plan import BudgetPlan
from guardrails.telemetry import Telemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    from benchmarks.governed import Workload
    from benchmarks.peers.opa_server import Listening
    from guardrails.model.call import Event

NAME: Final = "setups"
BASE: Final = "in memory, no OpenTelemetry SDK"
SDK: Final = "OpenTelemetry SDK: spans in batches, metrics"
PLAIN: Final = "record: a plain file"
BATCH: Final = "record: segments, batch"
DRAINED: Final = "record: segments, drained"
AHEAD: Final = "record: segments, write_ahead"
LEASED: Final = "ledger: SQLite, 100,000 calls a lease"
DEFAULT_LEASE: Final = "ledger: SQLite, 100 calls a lease"
ASKING: Final = "ledger: SQLite, every call asks"
SIDECAR: Final = "engine: sidecar, TCP"
VERIFIED: Final = "engine: verified, 1 % asked"
BARE_HTTP: Final = "http.client alone, TCP"

REMARKS: Final = {
    LEASED: "on accounts of the run, its agent's day and month, the environment's day; so the next",
    BATCH: "signed, as all segments here",
    DRAINED: "with opening the record, waiting for its writer, and closing it",
    AHEAD: "each call waits for the disk before it acts: the disk's time is in it",
    BARE_HTTP: "one decision by the same server about what a call is decided about",
}

_DEADLINE: Final = 10.0
_HOST: Final = "127.0.0.1"
_TARGET: Final = "/v1/data/guardrails/decision?provenance=true&strict-builtin-errors=true"
_DRAINED_PASSES: Final = 20
"""Passes for which one record is opened, drained and closed."""

GATES: Final = (
    Gate(
        DRAINED,
        governed.FLAT,
        8,
        reached=110,
        reason="two events of a call are encoded, chained and written; the call alone takes a "
        "multiple of the target (see `calls`)",
        measure=Measure.CPU,
    ),
    Gate(SIDECAR, BARE_HTTP, 1.3),
)

_PLENTY: Final = Budget(usd=10_000_000, calls=10**12)
SHARED: Final = BudgetPlan(
    agents={"billing": Allowance({Window.DAY: _PLENTY, Window.MONTH: _PLENTY})},
    environments={"prod": Allowance({Window.DAY: _PLENTY})},
)
"""Accounts that calls stand on besides their run's, where a ledger is compared."""

BENCHMARK: Final = Benchmark(
    NAME, "a call under other services", lambda *_: Field((), {}, ()), governed.FLAT, GATES
)


def measure_setups(
    *,
    rounds: int,
    only: Iterable[str] | None = None,
    batch_ns: int = BATCH_NS,
    clock: Clock | None = None,
) -> Report:
    """What a call took under each, and the gates' outcomes.

    Args:
        rounds: As for :func:`~benchmarks.harness.measure`.
        only: Leave out all other variants; None for none.
        batch_ns: As there.
        clock: As there.
    """
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        absent: dict[str, str] = {}
        timed = [governed.by_hand(governed.FLAT, workload)]
        for name, make in _makers(stack, workload, folder).items():
            if only is None or name in only:
                try:
                    timed.append(make())
                except NotThereError as error:
                    absent[name] = str(error)
        taken = measure(timed, rounds=rounds, batch_ns=batch_ns, clock=clock)
        there = [gate for gate in GATES if not {gate.variant, gate.baseline} & absent.keys()]
        judged = outcomes(NAME, there, timed, taken, rounds=rounds, batch_ns=batch_ns, clock=clock)
    missing = tuple(
        Outcome(NAME, gate, Status.FAILED, remark=absent.get(gate.variant) or absent[gate.baseline])
        for gate in GATES
        if gate not in there
    )
    return Report(BENCHMARK, taken, REMARKS, absent, (*judged, *missing))


def _makers(
    stack: contextlib.ExitStack, workload: Workload, folder: Path
) -> dict[str, Callable[[], Timed]]:
    key = RecordKey.load_or_make(folder / "record.key") if can_sign() else None
    server: list[Listening] = []

    def listening() -> Listening:
        if not server:
            modules = governable.modules(workload.policy)
            server.append(stack.enter_context(served(modules, workload.policy.data)))
        return server[0]

    def under(name: str, **services: Callable[[], Any]) -> Callable[[], Timed]:
        def make() -> Timed:
            made = {service: each() for service, each in services.items()}
            governor = governed.governor(workload, **made)
            stack.callback(governor.close)
            return governed.calls(name, workload, governed.opened(stack, governor, workload))

        return make

    def sidecar() -> SidecarEngine:
        engine = SidecarEngine(f"http://{_HOST}:{listening().port}", deadline=_DEADLINE)
        stack.callback(engine.close)
        return engine

    def verified() -> VerifiedEngine:
        engine = VerifiedEngine(governable.engine(workload.policy), sidecar())
        stack.callback(engine.close)
        return engine

    def ledger(lease: int) -> Callable[[], Any]:
        return lambda: governed.leasing(folder / f"budgets-{lease}.sqlite", lease)

    def segments(durability: str) -> Callable[[], Any]:
        return lambda: SegmentRecord(folder / durability, key=key, durability=durability)

    return {
        BASE: under(BASE),
        SDK: under(SDK, telemetry=lambda: _with_sdk(stack)),
        PLAIN: under(PLAIN, record=lambda: JsonLinesRecord(folder / "plain.jsonl")),
        BATCH: under(BATCH, record=segments("batch")),
        AHEAD: under(AHEAD, record=segments("write_ahead")),
        DRAINED: lambda: _drained(stack, workload, folder / "drained", key),
        LEASED: under(LEASED, ledger=ledger(100_000), budgets=lambda: SHARED),
        DEFAULT_LEASE: under(DEFAULT_LEASE, ledger=ledger(100), budgets=lambda: SHARED),
        ASKING: under(ASKING, ledger=ledger(1), budgets=lambda: SHARED),
        SIDECAR: under(SIDECAR, engine=sidecar),
        VERIFIED: under(VERIFIED, engine=verified),
        BARE_HTTP: lambda: _bare_http(stack, workload, listening()),
    }


def _with_sdk(stack: contextlib.ExitStack) -> Telemetry:
    """Telemetry of a program whose SDK exports to nowhere: all is made, nothing is sent."""
    try:
        from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # where installed
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415  # as above
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # as above
        from opentelemetry.sdk.trace.export import (  # noqa: PLC0415  # as above
            BatchSpanProcessor,
            SpanExporter,
            SpanExportResult,
        )
    except ImportError as error:
        raise NotThereError(f"the OpenTelemetry SDK is not installed: {error}") from error

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002  # the port's
            return SpanExportResult.SUCCESS

    spans = TracerProvider()
    spans.add_span_processor(BatchSpanProcessor(Nowhere()))
    metrics = MeterProvider([InMemoryMetricReader()])
    stack.callback(metrics.shutdown)
    stack.callback(spans.shutdown)
    return Telemetry(tracer_provider=spans, meter_provider=metrics, environment="prod")


class _Lent:
    """The record of a governor that outlives many: events go to the one of the moment."""

    def __init__(self, to: SegmentRecord) -> None:
        self.to = to

    def write(self, event: Event) -> None:
        """Hand the event on."""
        self.to.write(event)

    def write_ahead(self, event: Event) -> Future[None] | None:
        """Hand the intent on."""
        return self.to.write_ahead(event)

    def close(self) -> None:
        """Close the one of the moment."""
        self.to.close()


def _drained(
    stack: contextlib.ExitStack, workload: Workload, folder: Path, key: RecordKey | None
) -> Timed:
    """Calls whose record is opened before, drained and closed after, all of it timed."""
    record = _Lent(SegmentRecord(folder / "first", key=key))
    governor = governed.governor(workload, record=record)
    stack.callback(governor.close)
    run = governed.opened(stack, governor, workload)
    timed = governed.calls(DRAINED, workload, run)
    ((one_pass, _),) = timed.calls
    count = 0

    def batch(passes: int) -> tuple[int, int]:
        nonlocal count
        record.to.close()
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        for _ in range(passes):
            count += 1
            record.to = SegmentRecord(folder / str(count), key=key)
            for _ in range(_DRAINED_PASSES):
                one_pass(None)
            record.to.close()
        took = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
        record.to = SegmentRecord(folder / f"after-{count}", key=key)
        return took

    calls = (timed.count or 0) * _DRAINED_PASSES
    return Timed(DRAINED, (), count=calls, elsewhere=batch)


def _bare_http(stack: contextlib.ExitStack, workload: Workload, listening: Listening) -> Timed:
    connection = http.client.HTTPConnection(_HOST, listening.port)
    stack.callback(connection.close)
    headers = {"Content-Type": "application/json"}
    encode = json.JSONEncoder(default=float, separators=(",", ":")).encode

    def ask(document: Any) -> Any:
        connection.request("POST", _TARGET, encode({"input": document}), headers)
        answer = json.loads(connection.getresponse().read(), parse_float=Decimal)["result"]
        if answer["effect"] != "allow":
            raise RuntimeError(answer)

    return Timed(BARE_HTTP, [(ask, each) for each in governed.made_documents(workload)])
