"""What an operator does in another process.

``approve ID``, ``reject ID``, ``edit ID AMOUNT``, ``kill TARGET``, ``resume TARGET``, ``waiting``.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import guardrails as gr
from guardrails.model.approval import ApprovalState

BY: dict[str, Any] = {"by": "fin@acme.example", "groups": ["finance-ops"]}


def main(word: str, *rest: str) -> None:
    """Do one thing, and print what is asked for."""
    governor = gr.load_governor()
    approvals: Any = governor.approvals
    if word == "approve":
        approvals.approve(rest[0], **BY)
    elif word == "reject":
        approvals.reject(rest[0], **BY)
    elif word == "edit":
        request = approvals.get(rest[0])
        approvals.edit(rest[0], {**request.args, "amount": int(rest[1])}, **BY)
    elif word == "kill":
        governor.kill(rest[0], reason="a test", by="a test")
    elif word == "resume":
        governor.resume(rest[0], reason="a test", by="a test")
    elif word == "waiting":
        print(json.dumps([each.id for each in approvals.list(ApprovalState.PENDING)]))
    else:
        raise SystemExit(f"unknown: {word}")
    governor.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
