"""What an approver answers, as the text that is digested: written at once, in canonical JSON.

It is the text that :func:`~guardrails.model.canonical.canonical` gives of the same document, which
a test compares; the names and their order are known here, and the arguments are written once.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.model.canonical import NotExactJSON, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.model.approval import ApprovalRequest, CallKey
    from guardrails.model.decision import ApprovalDemand

_quote: Final[Callable[[str], str]] = encode_basestring
_SMALL: Final = 2**63


class Seal(NamedTuple):
    """What holds a request together.

    Attributes:
        digest: Of the call, and everything that is shown of it; ``sha256:`` and 64 hex digits.
        key_of_shown: The key of the call that is shown.
    """

    digest: str
    key_of_shown: CallKey


def seal_of(request: ApprovalRequest) -> Seal:
    """Both digests of `request`.

    Raises:
        NotExactJSON: something in it is no exact JSON.
    """
    args = canonical(dict(request.args)).decode()
    return Seal(_digest(_sealed(request, args)), _key_of_shown(request, args))


def _key_of_shown(request: ApprovalRequest, args: str) -> CallKey:
    about = _text(request.about)
    if request.about == "budget":
        return _digest(f'{{"about":{about},"args":{args}}}')
    key = _digest(
        f'{{"agent":{_text(request.agent)},"args":{args},"principal":{_text(request.principal)},'
        f'"run":{_text(request.run_id)},"tool":{_text(request.tool)}}}'
    )
    if request.about == "call":
        return key
    return _digest(f'{{"about":{about},"call":"{key}","question":{_text(request.question)}}}')


def _sealed(request: ApprovalRequest, args: str) -> str:
    lineage = canonical([each.document() for each in request.lineage]).decode()
    escalation = ",".join(
        [
            f'{{"after":{_text(each.after)},"group":{_text(each.group)},"to":{_text(each.to)}}}'
            for each in request.escalation
        ]
    )
    return (
        f'{{"call_key":{_text(request.call_key)},"nonce":{_text(request.nonce)},'
        f'"revision":{_text(request.revision)},"shown":{{'
        f'"about":{_text(request.about)},"agent":{_text(request.agent)},"args":{args},'
        f'"created":{_text(request.created)},"demands":[{_demands(request.demands)}],'
        f'"escalation":[{escalation}],"expires":{_text(request.expires)},'
        f'"id":{_text(request.id)},"idempotency_key":{_text(request.idempotency_key)},'
        f'"lineage":{lineage},"origin":{_text(request.origin)},'
        f'"previous":{_text(request.previous)},'
        f'"previous_outcome":{_text(request.previous_outcome)},'
        f'"principal":{_text(request.principal)},"question":{_text(request.question)},'
        f'"run":{_text(request.run_id)},"tool":{_text(request.tool)}}}}}'
    )


def _demands(demands: Iterable[ApprovalDemand]) -> str:
    return ",".join(
        [
            f'{{"approvers":[{",".join(map(_text, each.approvers))}],'
            f'"expires_in":{_text(each.expires_in)},"quorum":{_text(each.quorum)},'
            f'"reason":{_text(each.reason)},"rule":{_text(each.rule)}}}'
            for each in demands
        ]
    )


def _text(value: str | int | None) -> str:
    if type(value) is str:
        return _quote(value)
    if value is None:
        return "null"
    if type(value) is int and -_SMALL <= value < _SMALL:
        return int.__repr__(value)
    return canonical(value).decode()  # which refuses whatever is no exact JSON


def _digest(text: str) -> str:
    try:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    except UnicodeEncodeError:
        msg = "a string holds a lone surrogate"
        raise NotExactJSON(msg) from None
