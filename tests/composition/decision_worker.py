"""A process whose agent pays; decisions are sent only by those who send them from outside.

Usage: decision_worker.py GUARDRAILS_YAML CALLS END

END is ``close``, or ``kill`` for a process that is killed once its decisions are on the disk.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from decimal import Decimal

import guardrails as gr


@gr.governed_tool(resource="payments", operation="write")
def pay(amount: Decimal, note: str) -> str:
    return f"paid {amount}: {note}"


def main(config: str, calls: str, end: str) -> None:
    """Make the calls, every third of which is refused, and print their decisions' ids."""
    governor = gr.load_governor(config)
    with governor.run("billing"):
        for number in range(int(calls)):
            with suppress(gr.CallDenied):
                pay(Decimal(500 if number % 3 == 2 else 5), f"secret of {os.getpid()}-{number}")
    if end == "kill":
        while governor.record.waiting():  # type: ignore[attr-defined]  # a record of segments
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    governor.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
