"""How much memory many calls of one run leave: ``python -m benchmarks.growth CALLS``.

Prints by how many blocks the interpreter's own memory grew, and by how many bytes the process's.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Final

import guardrails as gr
from guardrails import testing
from guardrails.audit.memory import MemoryRecord

_WARM: Final = 2_000
_PLENTY: Final = 10**9


def growth(calls: int) -> tuple[int, int]:
    """Blocks and bytes that `calls` governed calls leave, after some to warm up."""

    @gr.governed_tool(name="pay", operation="write")
    def pay(order: str, amount: int) -> str:
        return f"{order}: {amount}"

    plenty = gr.Budget(usd=_PLENTY, calls=_PLENTY)  # of the agent: a run's are at most those
    governor = testing.governor(
        record=MemoryRecord(limit=50), register=testing.OpenRegister(plenty)
    )
    with governor.run("agent"):
        for number in range(_WARM):
            pay(f"order-{number}", number)
        before = _held()
        for number in range(calls):
            pay(f"order-{number}", number)
        after = _held()
    return after[0] - before[0], after[1] - before[1]


def _held() -> tuple[int, int]:
    gc.collect()
    return sys.getallocatedblocks(), _resident()


def _resident() -> int:
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.stdout.write("{} {}\n".format(*growth(int(sys.argv[1]))))
