"""What the tests of telemetry share: an SDK whose spans and metrics can be read."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from guardrails import testing
from guardrails.telemetry import Settings, Telemetry


class Sdk:
    """A tracer provider and a meter provider of a test's own."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    @property
    def spans(self) -> list[Any]:
        """What has ended."""
        return list(self._exporter.get_finished_spans())

    def span(self, name: str) -> Any:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, [span.name for span in self.spans]
        return found[0]

    def points(self, metric: str) -> list[Any]:
        data = self._reader.get_metrics_data()
        found = [
            each
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
            if each.name == metric
        ]
        return [point for each in found for point in each.data.data_points]

    @property
    def metric_names(self) -> set[str]:
        data = self._reader.get_metrics_data()
        return {
            each.name
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for each in scope.metrics
        }

    def telemetry(self, **settings: Any) -> Telemetry:
        return Telemetry(
            Settings(**settings),
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            environment="test",
        )

    def governor(self, decide: Any = None, **services: Any) -> testing.RecordingGovernor:
        settings = services.pop("settings", {})
        return testing.governor(decide, telemetry=self.telemetry(**settings), **services)
