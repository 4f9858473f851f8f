"""The trace, carried into another process: W3C trace context in text and in the environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry.context import attach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context

_FIELD: Final = "traceparent"
_W3C: Final = TraceContextTextMapPropagator()


def traceparent_of(context: Context) -> str:
    """The ``traceparent`` of the span that is current in `context`; empty where there is none."""
    return carrier_of(context).get(_FIELD.upper(), "")


def carrier_of(context: Context) -> dict[str, str]:
    """The environment variables ``TRACEPARENT`` and ``TRACESTATE`` that carry `context`."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, context)
    return {name.upper(): value for name, value in carrier.items()}


def parent_context(traceparent: str, context: Context | None = None) -> Context:
    """`context`, in which the span that `traceparent` names is the current one."""
    return _W3C.extract({_FIELD: traceparent}, context)


def go_on(environment: Mapping[str, str]) -> None:
    """Let what is traced here belong to the trace that an environment carries."""
    attach(_context_of(environment))


def _context_of(environment: Mapping[str, str]) -> Context:
    carried = {name: environment.get(name.upper(), "") for name in (_FIELD, "tracestate")}
    return _W3C.extract({name: value for name, value in carried.items() if value})
