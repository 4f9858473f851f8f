"""What a client gets in place of a result: a text for the model, and facts for its host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp_types import CallToolResult, TextContent

from guardrails.errors import ApprovalPending, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

META_KEY: Final = "guardrails"
"""The key of ``_meta`` below which a refusal's facts stand."""


def refusal_result(refusal: Refusal) -> CallToolResult:
    """The result of a call that was refused: an error that the model reads and can act on."""
    return CallToolResult(
        content=[TextContent(type="text", text=refusal.model_message)],
        is_error=True,
        meta={META_KEY: facts_of(refusal)},
    )


def facts_of(refusal: Refusal) -> dict[str, Any]:
    """What a host may show or log of a refusal; nothing of policy, arguments or state."""
    facts: dict[str, Any] = {
        "code": refusal.code,
        "decision_id": refusal.decision_id,
        "run_id": refusal.run_id,
    }
    if isinstance(refusal, ApprovalPending):
        facts |= {"request_id": refusal.request_id, "approvers": list(refusal.approvers)}
    return {name: value for name, value in facts.items() if value}


def refusal_in(error: BaseException) -> Refusal | None:
    """The refusal that a host has wrapped in an error of its own, if that is what happened."""
    return next((each for each in _causes(error) if isinstance(each, Refusal)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
