"""A tool that runs in a process of its own and says under which trace it runs there."""

from __future__ import annotations

import os

from opentelemetry import trace

import guardrails as gr


@gr.governed_tool(name="traced.where", operation="read", isolation="process")
def where() -> tuple[str, str]:
    found = trace.get_current_span().get_span_context()
    return os.environ.get("TRACEPARENT", ""), f"{found.trace_id:032x}-{found.span_id:016x}"


@gr.governed_tool(name="traced.where_async", operation="read", isolation="process")
async def where_async() -> tuple[str, str]:
    found = trace.get_current_span().get_span_context()
    return os.environ.get("TRACEPARENT", ""), f"{found.trace_id:032x}-{found.span_id:016x}"
