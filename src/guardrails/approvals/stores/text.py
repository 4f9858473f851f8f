"""An approval request as text, and back: exact, so that its digest survives a store."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from guardrails.model.approval import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    ApprovalStep,
    Escalation,
)
from guardrails.model.canonical import canonical
from guardrails.model.decision import ApprovalDemand
from guardrails.model.lineage import terms_of

_SETS: Final = frozenset({"groups", "vouched"})


def text_of(request: ApprovalRequest) -> str:
    """The request as canonical JSON."""
    document: dict[str, Any] = {
        name: getattr(request, name) for name in ApprovalRequest.__dataclass_fields__
    }
    document["state"] = request.state.value
    document["args"] = dict(request.args)
    document["demands"] = [
        {name: _plain(getattr(each, name)) for name in ApprovalDemand.__dataclass_fields__}
        for each in request.demands
    ]
    document["escalation"] = [
        {name: getattr(each, name) for name in Escalation.__dataclass_fields__}
        for each in request.escalation
    ]
    document["answers"] = [
        {name: _plain(getattr(each, name)) for name in Answer.__dataclass_fields__}
        for each in request.answers
    ]
    document["steps"] = [
        {name: getattr(each, name) for name in ApprovalStep.__dataclass_fields__}
        for each in request.steps
    ]
    document["lineage"] = [each.document() for each in request.lineage]
    return canonical(document).decode()


def request_of(text: str) -> ApprovalRequest:
    """The request that :func:`text_of` wrote.

    Raises:
        ValueError: the text is no request.
    """
    try:
        document = json.loads(text, parse_float=Decimal, object_pairs_hook=_each_once)
        document["state"] = ApprovalState(document["state"])
        document["demands"] = tuple(
            ApprovalDemand(**{**each, "approvers": tuple(each["approvers"])})
            for each in document["demands"]
        )
        document["escalation"] = tuple(Escalation(**each) for each in document["escalation"])
        document["answers"] = tuple(
            Answer(**{**each, **{name: frozenset(each[name]) for name in _SETS & each.keys()}})
            for each in document["answers"]
        )
        document["steps"] = tuple(ApprovalStep(**each) for each in document["steps"])
        document["lineage"] = tuple(map(terms_of, document.get("lineage", ())))
        return ApprovalRequest(**document)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError(f"this is no approval request: {error}") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        # Readers differ in which of the two they take.
        msg = "it says a thing twice"
        raise ValueError(msg)
    return document


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
