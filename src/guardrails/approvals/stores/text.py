"""An approval request as text, and back: exact, so that its digest survives a store."""

from __future__ import annotations

import json
from typing import Any, Final

from guardrails.approvals.exact_text import read_exact
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

_FIELDS: Final = tuple(ApprovalRequest.__dataclass_fields__)
_EXACT: Final = frozenset({"args", "lineage"})
_write: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode
_SETS: Final = frozenset({"groups", "vouched"})


def text_of(request: ApprovalRequest) -> str:
    """The request as JSON: the same text for the same request.

    Raises:
        NotExactJSON: its arguments are no exact JSON.
    """
    document: dict[str, Any] = {
        name: getattr(request, name) for name in _FIELDS if name not in _EXACT
    }
    document["state"] = request.state.value
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
    # Only these can hold numbers that Python's own writer would change.
    args = canonical(dict(request.args)).decode()
    lineage = canonical([each.document() for each in request.lineage]).decode()
    return f'{_write(document)[:-1]},"args":{args},"lineage":{lineage}}}'


def request_of(text: str) -> ApprovalRequest:
    """The request that :func:`text_of` wrote.

    Raises:
        ValueError: the text is no request.
    """
    try:
        document = read_exact(text)
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


def _plain(value: object) -> object:
    if isinstance(value, frozenset):
        return sorted(value)
    return list(value) if isinstance(value, tuple) else value
