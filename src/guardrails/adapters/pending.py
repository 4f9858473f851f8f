"""What a host keeps of a call that waits for people, to show and to find it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guardrails.errors import ApprovalPending


def described(waits: ApprovalPending) -> dict[str, Any]:
    """The pending request as plain JSON. It gives nobody a right: answers are given elsewhere."""
    return {
        "request_id": waits.request_id,
        "approvers": list(waits.approvers),
        "tool": waits.tool,
        "run_id": waits.run_id,
        "message": waits.model_message,
    }
