"""The section ``telemetry`` of ``guardrails.yaml``: what OpenTelemetry is told, where it is used.

::

    telemetry:
      spans: tools         # governed calls; `runs`: their runs, too, as `invoke_agent`; or `none`
      metrics: true
      arguments: false     # true: spans bear the arguments, as redacted for the record
      results: false       # true: and the results, where nothing of the call is redacted

These are what holds where the section does not stand there; ``telemetry: null`` tells nothing.
Where spans and metrics go is said to the SDK, not here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

from guardrails.register.source import Mapped, nearest, quoted, shown
from guardrails.telemetry.settings import DEFAULT_SETTINGS, Settings, Spans

_SPANS = tuple(each.value for each in Spans)


def _spans(value: object) -> Spans:
    if value not in _SPANS:
        hint = nearest(str(value), _SPANS)
        msg = f"{shown(value)} is not known{hint}; there are {quoted(_SPANS)}"
        raise ValueError(msg)
    return Spans(str(value))


class TelemetrySection(Mapped):
    """The section as it is written; see the module."""

    spans: Annotated[Spans, BeforeValidator(_spans), WithJsonSchema({"enum": [*_SPANS]})] = (
        DEFAULT_SETTINGS.spans
    )
    metrics: bool = DEFAULT_SETTINGS.metrics
    arguments: bool = DEFAULT_SETTINGS.arguments
    results: bool = DEFAULT_SETTINGS.results

    def settings(self) -> Settings:
        """What it says."""
        return Settings(self.spans, self.metrics, self.arguments, self.results)
