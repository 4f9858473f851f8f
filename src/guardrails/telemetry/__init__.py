"""Governed calls in OpenTelemetry: spans and metrics by the GenAI conventions (docs/telemetry.md).

Only the API is needed, and it is looked at only where the program uses it; the SDK, its exporters
and its sampling are the program's. Nothing global is set. Whatever fails in here is logged and
changes no decision; no decision is ever made by what is in here.
"""

from guardrails.telemetry.settings import Settings
from guardrails.telemetry.telemetry import Telemetry

__all__ = ["Settings", "Telemetry"]
