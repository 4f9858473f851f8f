"""Whatever fails in telemetry, calls are decided, run, refused and recorded as without it."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

import guardrails as gr
from guardrails import testing
from guardrails.errors import Reason
from guardrails.model.decision import Decision, Effect
from guardrails.telemetry import Telemetry


class BrokenError(Exception):
    pass


def breaks(*_args, **_named):
    raise BrokenError("no such luck")


class AtStart(SpanProcessor):
    on_start = breaks


class AtEnd(SpanProcessor):
    on_end = breaks


class Exporter(SpanExporter):
    export = breaks


class Provider:
    get_tracer = breaks
    get_meter = breaks


class BrokenSpan:
    def __getattr__(self, name):
        raise BrokenError(name)


class Tracer:
    def start_span(self, *_args, **_named):
        return BrokenSpan()


class OddProvider:
    def get_tracer(self, *_args):
        return Tracer()


class Meter:
    def __getattr__(self, name):
        return lambda *_args, **_named: self

    def add(self, *_args):
        raise BrokenError

    record = add


class Meters:
    def get_meter(self, *_args):
        return Meter()


def processed(processor) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor)
    return provider


@gr.governed_tool(operation="write", name="f.pay")
@gr.budget(cost="0.01")
def pay(to: str) -> str:
    if to == "nobody":
        raise LookupError(to)
    return f"paid {to}"


@gr.governed_tool(operation="read", name="f.items")
def items():
    yield from range(3)


def decide(document):
    effect = Effect.DENY if document["args"].get("to") == "thief" else Effect.ALLOW
    return Decision(effect, (Reason("r", "because"),))


def story(telemetry: Telemetry | None) -> list[object]:
    """What the calls of a run came to, and what the record says of them."""
    governor = testing.governor(decide, telemetry=telemetry)
    told: list[object] = []
    with governor.run("a", id="r-1") as run:
        for to in ("a", "nobody", "thief"):
            try:
                told.append(pay(to))
            except Exception as error:  # noqa: BLE001  # it is what is compared
                told.append(type(error).__name__)
        told.append(list(items()))
        run.charge(tokens=5)
        told.append(run.spent)
    return told + [
        (event.kind, event.effect, dict(event.detail or {}).get("outcome"))
        for event in governor.record.events
    ]


@pytest.mark.parametrize(
    ("tracers", "meters"),
    [
        (processed(AtStart()), None),
        (processed(AtEnd()), None),
        (processed(SimpleSpanProcessor(Exporter())), None),
        (Provider(), Provider()),
        (OddProvider(), None),
        (None, Meters()),
        (None, Provider()),
    ],
)
def test_a_run_goes_as_it_goes_without_telemetry(tracers, meters, caplog):
    caplog.set_level(logging.CRITICAL)
    plain = story(None)
    assert story(Telemetry(tracer_provider=tracers, meter_provider=meters)) == plain


def test_failures_are_logged_ever_more_seldom(caplog):
    story(Telemetry(tracer_provider=processed(AtStart())))
    told = [each.message for each in caplog.records if "telemetry failed" in each.message]
    assert [each.split(" so far")[0].split(", ")[1] for each in told] == ["1", "2", "4"]
    assert "no such luck" not in "".join(told)
