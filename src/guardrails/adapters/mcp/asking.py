"""Telling the person at the client that a call waits for an approval, as its protocol does that.

Until 2025-11-25 the server asks the client while the call is at work (``elicitation/create``);
since 2026-07-28 it answers that input is required, and the client makes the call again. Either
way the person is told who has to answer and where, and says when to try again: an approval is
given by an approver, never by whoever sits at the client. The second attempt is a call like every
other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    InputRequiredResult,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from guardrails.adapters.mcp.refusals import META_KEY, facts_of

if TYPE_CHECKING:
    from guardrails.errors import ApprovalPending

ASKED: Final = "guardrails_approval"
"""The key of the question among a result's input requests, and of what came of it."""

_NO_FIELDS: Final[dict[str, Any]] = {"type": "object", "properties": {}}


def can_ask(ctx: Any, link: str) -> bool:
    """Whether the client of a request can show somebody a question of this kind."""
    return _mode(ctx, link) is not None


def input_required(ctx: Any, pending: ApprovalPending, link: str) -> InputRequiredResult:
    """The answer to a call that waits for an approval; for clients that :func:`can_ask`."""
    return InputRequiredResult(
        input_requests={ASKED: ElicitRequest(params=_params(ctx, pending, link))},
        meta={META_KEY: facts_of(pending)},
    )


async def elicited(ctx: Any, pending: ApprovalPending, link: str) -> bool:
    """Whether the person at the client says to try again; asked while the call is at work."""
    params = _params(ctx, pending, link)
    try:
        if isinstance(params, ElicitRequestURLParams):
            result = await ctx.session.elicit_url(
                params.message, params.url, pending.request_id, related_request_id=ctx.request_id
            )
        else:
            result = await ctx.session.elicit_form(
                params.message, params.requested_schema, related_request_id=ctx.request_id
            )
    except MCPError:  # the client has no way to ask after all
        return False
    return bool(result.action == "accept")


def is_modern(ctx: Any) -> bool:
    """Whether the request speaks a version in which servers ask by their results."""
    return ctx.protocol_version in MODERN_PROTOCOL_VERSIONS


def _mode(ctx: Any, link: str) -> str | None:
    capabilities = ctx.session.client_capabilities
    asking = None if capabilities is None else capabilities.elicitation
    if asking is None or not (is_modern(ctx) or ctx.session.can_send_request):
        return None
    if asking.url is not None and link:
        return "url"
    # A client that names no mode has that of forms: there was no other.
    return "form" if asking.form is not None or asking.url is None else None


def _params(
    ctx: Any, pending: ApprovalPending, link: str
) -> ElicitRequestFormParams | ElicitRequestURLParams:
    whom = ", ".join(pending.approvers) or "an approver"
    place = link.replace("{id}", pending.request_id)
    where = f" at {place}" if place else ""
    message = (
        f"`{pending.tool}` waits for approval by {whom}: request {pending.request_id}{where}. "
        "Accept once it is answered, and the call is tried again."
    )
    if _mode(ctx, link) == "url":
        elicitation = None if is_modern(ctx) else pending.request_id
        return ElicitRequestURLParams(message=message, url=place, elicitation_id=elicitation)
    return ElicitRequestFormParams(message=message, requested_schema=_NO_FIELDS)
