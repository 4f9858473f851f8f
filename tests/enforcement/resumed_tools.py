# ruff: noqa: T201  # it speaks by printing
"""A project whose payments all need a person, for processes that ask, resume, and are killed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import guardrails as gr

DONE = Path("done.txt")


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(approvers="finance-ops")
def refund(order: str, amount: int) -> str:
    with DONE.open("a", encoding="utf-8") as file:
        file.write(f"{order} {amount} {gr.idempotency_key()}\n")
    if Path("hang").exists():
        time.sleep(60)
    return f"refunded {amount}"


def main() -> None:
    governor = gr.load_governor(tools=[refund])
    try:
        match sys.argv[1:]:
            case ["ask", amount]:
                with governor.run("billing", id="run-1", principal="ann@acme.example"):
                    print(refund("A-1", int(amount)))
            case ["approve", request_id]:
                governor.approvals.approve(
                    request_id, by="kim@acme.example", groups=["finance-ops"]
                )
            case ["resume", request_id]:
                print(governor.resume_call(request_id))
    except (gr.Refusal, gr.ConfigError) as refusal:
        print(type(refusal).__name__, getattr(refusal, "request_id", ""), refusal)
    finally:
        governor.close()


if __name__ == "__main__":
    main()
