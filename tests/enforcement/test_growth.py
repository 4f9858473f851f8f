"""A run that makes many calls keeps no more than one that makes few."""

from __future__ import annotations

import gc
import os
import tracemalloc

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.audit.memory import MemoryRecord

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"

ALLOWED = 64 * 1024
"""Bytes: less than a tenth of a byte a call in the long test."""


def growth(calls: int) -> int:
    """By how many bytes the memory in use grows over so many calls, after some to warm up."""

    @gr.governed_tool(name="pay", operation="write")
    def pay(order: str, amount: int) -> str:
        return f"{order}: {amount}"

    governor = testing.governor(record=MemoryRecord(limit=50))
    with governor.run("agent", budget=gr.Budget(calls=10**7)):
        for number in range(500):
            pay(f"order-{number}", number)
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(500):
                pay(f"order-{number}", number)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            for number in range(calls):
                pay(f"order-{number}", number)
            gc.collect()
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_a_million_calls_leave_nothing_behind():
    assert growth(1_000_000 if SOAK else 5_000) < ALLOWED
