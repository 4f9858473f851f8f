"""What is told to OpenTelemetry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Spans(StrEnum):
    """What becomes a span."""

    NONE = "none"
    TOOLS = "tools"
    """Governed calls."""
    RUNS = "runs"
    """Governed calls, and the runs in which they are made, as ``invoke_agent``."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What is told to OpenTelemetry, where the program uses it.

    Attributes:
        spans: What becomes a span.
        metrics: Whether metrics are recorded.
        arguments: Whether spans bear the arguments of decided calls, as redacted for the record.
        results: Whether spans bear results; never those of calls of which something is redacted.
    """

    spans: Spans = Spans.TOOLS
    metrics: bool = True
    arguments: bool = False
    results: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "spans", Spans(self.spans))


DEFAULT_SETTINGS: Final = Settings()
OFF: Final = Settings(spans=Spans.NONE, metrics=False)
