"""Where the host has a span for a tool call, the call is told there: there is no second one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from opentelemetry import trace

import guardrails as gr
from guardrails import testing
from guardrails.telemetry import names

TOOL = "lookup"
BY_CONVENTION = {names.OPERATION: "execute_tool", names.TOOL_NAME: TOOL, names.TOOL_CALL_ID: "c1"}


@gr.governed_tool(name=TOOL, operation="read")
def lookup(key: str) -> str:
    return key


@pytest.mark.parametrize(
    ("name", "attributes"),
    [(f"execute_tool {TOOL}", {}), ("running tool", BY_CONVENTION)],
)
def test_the_hosts_span_is_joined_and_stays_the_hosts(sdk, name, attributes):
    tracer = sdk.tracers.get_tracer("host")
    governor = sdk.governor()
    with governor.run("billing"), tracer.start_as_current_span(name, attributes=attributes) as host:
        lookup("a")
        assert host.is_recording()
        assert trace.get_current_span() is host
    (span,) = sdk.spans
    assert span.name == name
    assert span.attributes[names.DECISION_EFFECT] == "allow"
    assert span.attributes[names.OUTCOME] == "ok"
    # What the host says stands.
    expected = attributes.get(names.TOOL_CALL_ID, span.attributes[names.DECISION_ID])
    assert span.attributes[names.TOOL_CALL_ID] == expected


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("execute_tool other", {}),
        ("chat", {names.OPERATION: "chat"}),
        (f"execute_tool {TOOL}", {names.OPERATION: "execute_tool", names.TOOL_NAME: "other"}),
    ],
)
def test_a_span_of_anything_else_is_a_parent(sdk, name, attributes):
    tracer = sdk.tracers.get_tracer("host")
    with (
        sdk.governor().run("billing"),
        tracer.start_as_current_span(name, attributes=attributes) as host,
    ):
        lookup("a")
    own = sdk.spans[0]
    assert own.name == f"execute_tool {TOOL}"
    assert own.parent.span_id == host.get_span_context().span_id
    assert names.DECISION_ID not in sdk.spans[1].attributes


def test_a_hosts_span_is_for_one_call(sdk):
    tracer = sdk.tracers.get_tracer("host")
    with sdk.governor().run("billing"), tracer.start_as_current_span(f"execute_tool {TOOL}"):
        lookup("a")
        lookup("b")
    second, host = sdk.spans
    assert second.parent.span_id == host.context.span_id
    assert second.attributes[names.DECISION_ID] != host.attributes[names.DECISION_ID]


_GLOBALS = """
import guardrails as gr
from guardrails import testing
@gr.governed_tool(operation="read")
def t(x: str) -> str: return x
with testing.run():
    t("a")
import sys
assert "opentelemetry.trace" not in sys.modules, "it was imported for nothing"
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
with testing.run():
    t("b")  # the API alone, without a provider
mine = TracerProvider()
mine.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(mine)
meters = MeterProvider()
metrics.set_meter_provider(meters)
with testing.run():
    t("c")
assert trace.get_tracer_provider() is mine
assert metrics.get_meter_provider() is meters
"""


def test_the_programs_own_provider_is_found_when_a_run_is_opened_and_nothing_global_is_set():
    done = subprocess.run(
        [sys.executable, "-c", _GLOBALS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"name": "execute_tool t"') == 1


def test_a_run_without_a_provider_has_no_telemetry(monkeypatch):
    monkeypatch.delitem(os.environ, "OTEL_PYTHON_TRACER_PROVIDER", raising=False)
    with testing.run() as run:
        assert run.telemetry is None
        lookup("a")
