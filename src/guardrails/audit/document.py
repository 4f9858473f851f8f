"""An event as the object of its line, before anything is taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.errors import Reason
    from guardrails.model.call import Event
    from guardrails.model.decision import ApprovalDemand, Decision

VERSION: Final = 1
"""The version of the lines, under ``v`` in each. A new one means that a field has changed its
meaning or is gone; fields that are new do not change it."""


def as_document(event: Event) -> dict[str, Any]:
    """The event as the object of its line: its fields in order, without what does not apply.

    The object is new; its input and detail are the event's own, and are not to be changed.
    """
    document: dict[str, Any] = {
        "v": VERSION,
        **{
            name: value
            for name, value in zip(event._fields, event, strict=True)
            if value is not None and (value or type(value) is not tuple)
        },
    }
    if event.reasons:
        document["reasons"] = _reasons(event.reasons)
    if event.approvals:
        document["approvals"] = _demands(event.approvals)
    if event.policy is not None:
        document["policy"] = _ruling(event.policy)
    if event.obligations:
        # Without the values: a transform's may be what another obligation hides.
        document["obligations"] = [
            {"type": duty.type, "path": duty.path} for duty in event.obligations
        ]
    return document


def ruling_of(event: dict[str, Any]) -> dict[str, Any] | None:
    """What policy itself said, by a line of the record, to compare another policy with.

    Returns:
        ``effect``, ``reasons``, ``approvals``, and ``would`` where the effect is ``shadow``;
        None where the event has no decision.
    """
    if "effect" not in event:
        return None
    if "policy" in event:
        said: dict[str, Any] = event["policy"]
        return said
    said = {name: event.get(name, []) for name in ("effect", "reasons", "approvals")}
    if said["effect"] == "shadow":
        said["would"] = event.get("detail", {}).get("would", "allow")
    return said


def _ruling(said: Decision) -> dict[str, Any]:
    made: dict[str, Any] = {
        "effect": said.effect.value,
        "reasons": _reasons(said.reasons),
        "approvals": _demands(said.approvals),
    }
    if said.would is not None:
        made["would"] = said.would.value
    return made


def _reasons(reasons: Iterable[Reason]) -> list[dict[str, Any]]:
    return [{"rule": each.rule, "reason": each.reason} for each in reasons]


def _demands(demands: Iterable[ApprovalDemand]) -> list[dict[str, Any]]:
    return [
        {
            "rule": each.rule,
            "reason": each.reason,
            "approvers": list(each.approvers),
            "quorum": each.quorum,
            "expires_in": each.expires_in,
        }
        for each in demands
    ]
