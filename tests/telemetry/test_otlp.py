"""Through the real SDK and its real exporter to a real receiver; and through a real collector.

The collector is the binary that OTELCOL names, any that has the OTLP receiver and the debug
exporter; without one its test is skipped.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from tests.telemetry.receiver import Receiver, attributes

import guardrails as gr
from guardrails import testing
from guardrails.errors import Reason
from guardrails.model.decision import Decision, Effect
from guardrails.telemetry import Telemetry, names

CALLS = 2_000


@gr.governed_tool(operation="write", name="o.pay")
@gr.budget(cost="0.01")
def pay(to: str) -> str:
    return to


def decide(document):
    denied = document["args"]["to"] == "thief"
    effect = Effect.DENY if denied else Effect.ALLOW
    return Decision(effect, (Reason("payees.known", "because"),), revision="rev-7")


def work(
    url: str, calls: list[str], headers: dict[str, str] | None = None
) -> testing.RecordingGovernor:
    tracers = TracerProvider(shutdown_on_exit=False)
    processor = BatchSpanProcessor(
        OTLPSpanExporter(f"{url}/v1/traces", headers=headers, timeout=5), max_queue_size=CALLS * 2
    )
    tracers.add_span_processor(processor)
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{url}/v1/metrics", headers=headers, timeout=5),
        export_interval_millis=3_600_000,
    )
    meters = MeterProvider([reader], shutdown_on_exit=False)
    telemetry = Telemetry(tracer_provider=tracers, meter_provider=meters)
    governor = testing.governor(decide, telemetry=telemetry)
    with governor.run("billing"):
        for to in calls:
            try:
                assert pay(to) == to
            except gr.CallDenied:
                assert to == "thief"
    tracers.shutdown()
    meters.shutdown()
    return governor


def test_what_a_receiver_gets_is_what_was_decided():
    with Receiver() as receiver:
        governor = work(receiver.url, ["a", "thief"], {"x-api-key": "k"})
    ran, denied = receiver.spans
    assert (ran.name, denied.name) == ("execute_tool o.pay",) * 2
    assert ran.kind == 1  # INTERNAL
    assert attributes(ran)[names.DECISION_EFFECT] == "allow"
    assert attributes(ran)[names.RULE_ID] == ["payees.known"]
    assert attributes(ran)[names.POLICY_REVISION] == "rev-7"
    assert ran.status.code == 0
    assert attributes(denied)[names.ERROR_TYPE] == "denied"
    assert denied.status.code == 2
    started = next(each for each in governor.record.events if each.kind == "call.started")
    assert ran.trace_id.hex() == started.detail["trace_id"]
    assert ran.span_id.hex() == started.detail["span_id"]
    assert {each["x-api-key"] for each in receiver.headers} == {"k"}
    by_name = {metric.name: metric for metric in receiver.metrics}
    counts = {
        attributes(point)[names.DECISION_EFFECT]: point.as_int
        for point in by_name[names.DECISIONS.name].sum.data_points
    }
    assert counts == {"allow": 1, "deny": 1}
    duration = by_name[names.TOOL_DURATION.name]
    assert duration.unit == "s"
    assert list(duration.histogram.data_points[0].explicit_bounds) == [*names.TOOL_DURATION.buckets]


def test_a_receiver_that_fails_holds_no_call_up():
    with Receiver() as receiver:
        receiver.status = 400
        governor = work(receiver.url, ["a", "thief"])
    assert receiver.spans == []
    assert [each.kind for each in governor.record.events] == [
        "run.opened",
        "call.started",
        "call.finished",
        "call.refused",
        "run.closed",
    ]


def _takes_every_span(binary, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "collector.yaml"
    config.write_text(
        f"""
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters: {{debug: {{verbosity: detailed}}}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [debug]}}
    metrics: {{receivers: [otlp], exporters: [debug]}}
"""
    )
    log = tmp_path / "log"
    with log.open("w") as out:
        collector = subprocess.Popen([binary, "--config", str(config)], stdout=out, stderr=out)
    try:
        _wait_for(port, collector)
        work(f"http://127.0.0.1:{port}", ["a", "thief"] * (CALLS // 2))
    finally:
        collector.terminate()
        collector.wait(30)
    told = log.read_text()
    assert told.count("execute_tool o.pay") == CALLS
    assert told.count("error.type: Str(denied)") >= CALLS // 2
    assert names.TOOL_DURATION.name in told


def _wait_for(port: int, collector: subprocess.Popen) -> None:
    for _ in range(600):
        assert collector.poll() is None
        with socket.socket() as there:
            if there.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the collector does not listen")


# Every run asks the receiver above. A collector is somebody's own, and asked besides.
if "OTELCOL" in os.environ:

    @pytest.mark.soak
    def test_a_real_collector_takes_every_span(tmp_path):
        _takes_every_span(os.environ["OTELCOL"], tmp_path)
