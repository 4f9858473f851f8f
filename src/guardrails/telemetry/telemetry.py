"""Where telemetry is found: resolved when a run is opened, and asked no more in its calls."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from guardrails.telemetry import names
from guardrails.telemetry.faults import Faults
from guardrails.telemetry.settings import DEFAULT_SETTINGS, Spans

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from guardrails.model.facts import AgentFacts, Mode
    from guardrails.telemetry.instruments import Instruments
    from guardrails.telemetry.runs import RunTelemetry
    from guardrails.telemetry.settings import Settings

_PROVIDERS: Final = ("OTEL_PYTHON_TRACER_PROVIDER", "OTEL_PYTHON_METER_PROVIDER")
"""Environment variables by which the API itself loads a provider."""


class Telemetry:
    """A governor's spans and metrics. Nothing in here raises an exception.

    Args:
        settings: What is told.
        tracer_provider: Where spans go; None for the process's, as it is when a run is opened.
        meter_provider: Where metrics go; None likewise.
        environment: Where the governor runs; an attribute of its metrics.
    """

    def __init__(
        self,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        environment: str = "",
    ) -> None:
        self.settings = settings
        self.environment = environment
        self.faults = Faults()
        self._given = (tracer_provider, meter_provider)
        self._lock = threading.Lock()
        self._made: tuple[object, Instruments | None] = (None, None)
        self._queues: dict[str, Callable[[], int]] = {}
        self._pending: Callable[[], int] | None = None

    def for_run(
        self, run_id: str, agent: AgentFacts, mode: Mode, *, trace: str = ""
    ) -> RunTelemetry | None:
        """What the calls of a run are told to; None where the program uses no OpenTelemetry.

        Args:
            run_id: The run.
            agent: Its agent.
            mode: Its mode.
            trace: The ``traceparent`` of the process that carried the run here, if one did.
        """
        if self._is_idle():
            return None
        return self.faults.safely(self._for_run, run_id, agent, mode, trace)  # type: ignore[no-any-return]  # as that gives

    def watch_pending(self, count: Callable[[], int]) -> None:
        """Ask `count` how many approval requests wait, whenever metrics are collected."""
        self._pending = count

    def watch_queue(self, name: str, depth: Callable[[], int]) -> None:
        """Ask `depth` how much waits in the queue `name`, whenever metrics are collected."""
        self._queues[name] = depth

    def diverged(self) -> None:
        """Count a decision on which two engines did not agree."""
        if not self._is_idle():
            self.faults.safely(self._diverged)

    def pending(self) -> list[tuple[int, dict[str, str]]]:
        """The approval requests that wait, with the attributes of that point."""
        found = None if self._pending is None else self.faults.safely(self._pending)
        return [] if found is None else [(found, {names.ENVIRONMENT: self.environment})]

    def depths(self) -> list[tuple[int, dict[str, str]]]:
        """What waits in each queue, with the attributes of that point."""
        found = []
        for name, depth in tuple(self._queues.items()):
            items = self.faults.safely(depth)
            if items is not None:
                found.append((items, {names.QUEUE: name, names.ENVIRONMENT: self.environment}))
        return found

    def _is_idle(self) -> bool:
        """Whether the program does without OpenTelemetry: nobody has so much as imported it."""
        if self._given != (None, None):
            return False
        return "opentelemetry.trace" not in sys.modules and not any(map(os.getenv, _PROVIDERS))

    def _for_run(
        self, run_id: str, agent: AgentFacts, mode: Mode, trace: str
    ) -> RunTelemetry | None:
        from opentelemetry.trace import (  # noqa: PLC0415  # as `_is_idle` says
            NoOpTracerProvider,
            ProxyTracerProvider,
            get_tracer_provider,
        )

        from guardrails.telemetry.runs import RunTelemetry  # noqa: PLC0415  # as above

        tracer = None
        if self.settings.spans is not Spans.NONE:
            provider = self._given[0] or get_tracer_provider()
            if not isinstance(provider, NoOpTracerProvider | ProxyTracerProvider):
                tracer = provider.get_tracer(names.SCOPE)
        instruments = self._instruments()
        if tracer is None and instruments is None:
            return None
        return RunTelemetry(
            tracer, instruments, self.settings, self.faults, run_id, agent, mode, trace
        )

    def _instruments(self) -> Instruments | None:
        from opentelemetry.metrics import (  # noqa: PLC0415  # as `_is_idle` says
            NoOpMeterProvider,
            get_meter_provider,
        )

        if not self.settings.metrics:
            return None
        provider: Any = self._given[1] or get_meter_provider()
        # The API's stand-in, until there is a provider, has no public name.
        if isinstance(provider, NoOpMeterProvider) or type(provider).__module__.startswith(
            "opentelemetry.metrics"
        ):
            return None
        with self._lock:
            if self._made[0] is not provider:
                from guardrails.telemetry.instruments import Instruments  # noqa: PLC0415  # as above

                self._made = (provider, Instruments(provider, self))
            return self._made[1]

    def _diverged(self) -> None:
        instruments = self._instruments()
        if instruments is not None:
            instruments.divergences.add(1, {names.ENVIRONMENT: self.environment})
