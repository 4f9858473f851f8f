"""What is written down of a divergence: both answers and the input, as the record may hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.model.call import Event
from guardrails.model.decision import Decision

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails import ports
    from guardrails.engines.agreement import Answer
    from guardrails.engines.verified import Divergence

KIND = "divergence"
"""The kind of the event that holds both answers and the input."""


def recorder(record: ports.Record, clock: ports.Clock) -> Callable[[Divergence], None]:
    """What a :class:`~guardrails.engines.verified.VerifiedEngine` reports to.

    It writes a ``divergence`` with both answers and the input, and an ``alert`` that names it.
    What either answer says must be hidden is hidden.
    """

    def write(found: Divergence) -> None:
        event = divergence_event(found, clock.now_ns())
        record.write(event)
        alert = {"what": KIND, "differs": list(found.differs)}
        record.write(
            event._replace(kind="alert", input=None, reasons=(), obligations=(), detail=alert)
        )

    return write


def notice_of(found: Divergence) -> dict[str, Any]:
    """What people are told of a divergence, as :meth:`guardrails.Governor.notify` takes it."""
    document = dict(found.document)
    tool = _text(document, "tool", "name")
    return {
        "title": f"this process and OPA do not agree about a call of `{tool}`; OPA decides now",
        "facts": {
            "decision_id": found.decision_id,
            "tool": tool,
            "differs": ", ".join(found.differs),
            "here": _word(found.ours),
            "opa": _word(found.theirs),
            "revision": found.revision,
        },
        "agent": _text(document, "agent", "id"),
        "run_id": _text(document, "run", "id"),
    }


def _word(answer: Answer) -> str:
    return answer.effect.value if isinstance(answer, Decision) else "an error"


def divergence_event(found: Divergence, now: int) -> Event:
    """The event of one divergence.

    Args:
        found: The divergence.
        now: UTC, in nanoseconds.
    """
    document = dict(found.document)
    answers = [each for each in (found.ours, found.theirs) if isinstance(each, Decision)]
    ours = found.ours if isinstance(found.ours, Decision) else None
    return Event(
        KIND,
        now,
        found.decision_id,
        _text(document, "run", "id"),
        _text(document, "agent", "id"),
        _text(document, "tool", "name"),
        _text(document, "run", "mode"),
        None if ours is None else ours.effect.value,
        () if ours is None else ours.reasons,
        () if ours is None else ours.approvals,
        document,
        found.revision,
        detail={
            "differs": list(found.differs),
            "ours": answer_document(found.ours),
            "theirs": answer_document(found.theirs),
        },
        # What either answer hides is hidden.
        obligations=tuple(duty for answer in answers for duty in answer.obligations),
    )


def answer_document(answer: Answer) -> dict[str, Any]:
    """An answer as JSON values."""
    if not isinstance(answer, Decision):
        return {"error": getattr(answer, "code", "malformed_decision"), "message": str(answer)}
    made: dict[str, Any] = {
        "effect": answer.effect.value,
        "reasons": [each._asdict() for each in answer.reasons],
        "approvals": [
            {
                "rule": each.rule,
                "reason": each.reason,
                "approvers": list(each.approvers),
                "quorum": each.quorum,
                "expires_in": each.expires_in,
            }
            for each in answer.approvals
        ],
        # Without the values: a transform's may be what another obligation hides.
        "obligations": [{"type": each.type, "path": each.path} for each in answer.obligations],
        "revision": answer.revision,
    }
    if answer.would is not None:
        made["would"] = answer.would.value
    return made


def _text(document: dict[str, Any], part: str, key: str) -> str | None:
    found = document.get(part)
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None


__all__ = ["KIND", "answer_document", "divergence_event", "notice_of", "recorder"]
