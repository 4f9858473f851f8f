"""The trace goes along into other processes: isolated tools, and runs that are joined there."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from tests.telemetry.traced_tools import where, where_async

import guardrails as gr
from guardrails.clock import SystemClock
from guardrails.runs.ledgers.sqlite import SqliteLedger
from guardrails.runs.run_token import RunTokens


@gr.governed_tool(name="p.look", operation="read")
def look(key: str) -> str:
    return key


@pytest.mark.parametrize("is_async", [False, True])
def test_an_isolated_tool_runs_under_its_calls_span(sdk, is_async):
    governor = sdk.governor()
    with governor.run("billing"):
        traceparent, seen = asyncio.run(where_async()) if is_async else where()
    governor.close()
    (span,) = sdk.spans
    ids = f"{span.context.trace_id:032x}-{span.context.span_id:016x}"
    assert traceparent.startswith(f"00-{ids}-")
    assert seen == ids


def test_a_joined_run_belongs_to_the_trace_in_which_its_token_was_made(sdk, tmp_path):
    def there():
        clock = SystemClock()
        ledger = SqliteLedger(tmp_path / "ledger.sqlite", lambda _: None, clock=clock)
        tokens = RunTokens(tmp_path)
        return sdk.governor(ledger=ledger, tokens=tokens, clock=clock)

    opener, joiner = there(), there()
    tracer = sdk.tracers.get_tracer("host")
    with opener.run("billing"):
        with tracer.start_as_current_span("handing over") as span:
            token = opener.run_token()

        def work():
            with joiner.join_run(token):
                look("a")

        contextvars.Context().run(work)
    found = span.get_span_context()
    call = sdk.span("execute_tool p.look")
    assert call.parent.span_id == found.span_id
    assert call.context.trace_id == found.trace_id
