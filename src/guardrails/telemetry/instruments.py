"""The metrics of one meter provider."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import Observation

from guardrails.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider

    from guardrails.telemetry.telemetry import Telemetry

# A provider knows an instrument by its name, and takes what a gauge asks when it is made: what is
# asked of the governors under one provider has to be kept with that provider.
_watched: Final[WeakKeyDictionary[MeterProvider, WeakSet[Telemetry]]] = WeakKeyDictionary()
_watching: Final = threading.Lock()


class Instruments:
    """The instruments of a meter provider; a provider gives the same ones again.

    Args:
        provider: The meter provider.
        telemetry: What its gauges ask, besides what other governors have told them to.
    """

    def __init__(self, provider: MeterProvider, telemetry: Telemetry) -> None:
        meter = provider.get_meter(names.SCOPE)

        def counter(metric: names.Metric) -> Any:
            return meter.create_counter(metric.name, metric.unit, metric.description)

        def histogram(metric: names.Metric) -> Any:
            return meter.create_histogram(
                metric.name,
                metric.unit,
                metric.description,
                explicit_bucket_boundaries_advisory=list(metric.buckets),
            )

        self.tool_duration = histogram(names.TOOL_DURATION)
        self.decisions = counter(names.DECISIONS)
        self.decision_time = histogram(names.DECISION_TIME)
        self.refusals = counter(names.REFUSALS)
        self.usd = counter(names.SPEND_USD)
        self.tokens = counter(names.SPEND_TOKENS)
        self.divergences = counter(names.DIVERGENCES)
        with _watching:
            is_new = provider not in _watched
            asked = _watched.setdefault(provider, WeakSet())
            asked.add(telemetry)
        if not is_new:
            return

        def pending(_options: CallbackOptions) -> Iterable[Observation]:
            return [each for one in list(asked) for each in _observed(one.pending())]

        def depth(_options: CallbackOptions) -> Iterable[Observation]:
            return [each for one in list(asked) for each in _observed(one.depths())]

        for metric, callback in ((names.PENDING, pending), (names.QUEUE_DEPTH, depth)):
            meter.create_observable_gauge(metric.name, [callback], metric.unit, metric.description)


def _observed(found: Iterable[tuple[int, dict[str, str]]]) -> Iterable[Observation]:
    return [Observation(value, attributes) for value, attributes in found]
