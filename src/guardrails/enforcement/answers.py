"""What people's answers, or their silence, mean to whoever made the call: the refusals. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.errors import ApprovalEdited, ApprovalPending, ApprovalRejected, Reason
from guardrails.model.canonical import canonical

if TYPE_CHECKING:
    from guardrails.model.approval import Answer, ApprovalRequest

_LONGEST_SHOWN: Final = 2_000
"""Characters of one changed argument that a model is shown."""


def demands_of(request: ApprovalRequest) -> tuple[Reason, ...]:
    """What the request asks for, as reasons."""
    return tuple(Reason(demand.rule, demand.reason) for demand in request.demands)


def groups_of(request: ApprovalRequest) -> tuple[str, ...]:
    """The groups that are asked, each once."""
    return tuple(dict.fromkeys(group for demand in request.demands for group in demand.approvers))


def pending(request: ApprovalRequest, why: str = "") -> ApprovalPending:
    """The refusal of a call that waits for people; `why` where that is a limit to be raised."""
    groups = groups_of(request)
    message = f"`{request.tool}` waits for approval by {', '.join(groups)} (request {request.id})"
    if why:
        whom = ", ".join(groups)
        message = f"{why}; whether it is raised waits for {whom} (request {request.id})"
    elif request.previous_outcome == "unknown":
        message += (
            f"; it was approved before (request {request.previous}), and whether it ran is unknown"
        )
    return ApprovalPending(
        message,
        request_id=request.id,
        approvers=groups,
        reasons=demands_of(request),
        hint="make the same call again once it is approved",
    )


def rejected(request: ApprovalRequest) -> ApprovalRejected:
    """The refusal of a call that somebody rejected."""
    said = next((answer for answer in request.answers if not answer.approved), None)
    words = "" if said is None else _words_of(said)
    return ApprovalRejected(f"`{request.tool}` was rejected{words}", reasons=demands_of(request))


def edited(request: ApprovalRequest, version: ApprovalRequest) -> ApprovalEdited:
    """The refusal of a call whose arguments somebody changed to those of `version`."""
    said = next((answer for answer in request.answers if answer.edit), None)
    words = "" if said is None else _words_of(said)
    before = {name: canonical(value) for name, value in request.args.items()}
    changed = {
        name: _short(text.decode())
        for name, text in ((name, canonical(value)) for name, value in version.args.items())
        if before.get(name) != text
    }
    return ApprovalEdited(
        f"the arguments of `{request.tool}` were changed{words} (request {request.id} gave way to "
        f"{version.id}, which is {version.state})",
        request_id=version.id,
        arguments=version.args,
        changed=changed,
        state=version.state.value,
        tool=request.tool,
        reasons=demands_of(request),
        hint="make the call with the new arguments; it is decided anew",
    )


def _words_of(said: Answer) -> str:
    return f" by {said.by}: {said.reason}" if said.reason.strip() else f" by {said.by}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"
