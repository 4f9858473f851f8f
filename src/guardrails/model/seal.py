"""What an approver answers, as the text that is digested: written at once, in canonical JSON.

It is the text that :func:`~guardrails.model.canonical.canonical` gives of the same document, which
a test compares; the names and their order are known here, and the arguments are written once.

Requests that were read of one text share its seal: whoever makes it first makes it for all of them.
It is given for a request only while what can be changed in that, the arguments and the lineage, is
what stood in the text, in canonical JSON.
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


class SharedSeal:
    """The seal of all requests that are read of one text, once one of them was asked for it.

    Args:
        args: The text of their arguments, as it stands there.
        lineage: That of their lineage.
    """

    __slots__ = ("args", "lineage", "seal")

    def __init__(self, args: str, lineage: str) -> None:
        self.args = args
        self.lineage = lineage
        self.seal: Seal | None = None


class Sealable:
    """What may share its seal with others; copies that differ from it do not."""

    __slots__ = ("_shared",)


def share_seal(request: ApprovalRequest, shared: SharedSeal) -> None:
    """Have `request` take its seal from there, or give it; for who has just read it of its text."""
    object.__setattr__(request, "_shared", shared)  # it is frozen


def seal_of(request: ApprovalRequest) -> Seal:
    """Both digests of `request`.

    Raises:
        NotExactJSON: something in it is no exact JSON.
    """
    args = canonical(dict(request.args)).decode()
    lineage = "[]"
    if request.lineage:
        lineage = canonical([each.document() for each in request.lineage]).decode()
    shared: SharedSeal | None = getattr(request, "_shared", None)
    if shared is None or shared.args != args or shared.lineage != lineage:
        return _seal_of(request, args, lineage)
    if shared.seal is None:
        shared.seal = _seal_of(request, args, lineage)
    return shared.seal


def _seal_of(request: ApprovalRequest, args: str, lineage: str) -> Seal:
    return Seal(_digest(_sealed(request, args, lineage)), _key_of_shown(request, args))


def _key_of_shown(request: ApprovalRequest, args: str) -> CallKey:
    about = exact_text(request.about)
    if request.about == "budget":
        return _digest(f'{{"about":{about},"args":{args}}}')
    key = _digest(
        f'{{"agent":{exact_text(request.agent)},"args":{args},'
        f'"principal":{exact_text(request.principal)},'
        f'"run":{exact_text(request.run_id)},"tool":{exact_text(request.tool)}}}'
    )
    if request.about == "call":
        return key
    return _digest(f'{{"about":{about},"call":"{key}","question":{exact_text(request.question)}}}')


def _sealed(request: ApprovalRequest, args: str, lineage: str) -> str:
    escalation = ",".join(
        [
            f'{{"after":{exact_text(each.after)},"group":{exact_text(each.group)},'
            f'"to":{exact_text(each.to)}}}'
            for each in request.escalation
        ]
    )
    return (
        f'{{"call_key":{exact_text(request.call_key)},"nonce":{exact_text(request.nonce)},'
        f'"revision":{exact_text(request.revision)},"shown":{{'
        f'"about":{exact_text(request.about)},"agent":{exact_text(request.agent)},"args":{args},'
        f'"created":{exact_text(request.created)},"demands":[{_demands(request.demands)}],'
        f'"escalation":[{escalation}],"expires":{exact_text(request.expires)},'
        f'"id":{exact_text(request.id)},"idempotency_key":{exact_text(request.idempotency_key)},'
        f'"lineage":{lineage},"origin":{exact_text(request.origin)},'
        f'"previous":{exact_text(request.previous)},'
        f'"previous_outcome":{exact_text(request.previous_outcome)},'
        f'"principal":{exact_text(request.principal)},"question":{exact_text(request.question)},'
        f'"run":{exact_text(request.run_id)},"tool":{exact_text(request.tool)}}}}}'
    )


def _demands(demands: Iterable[ApprovalDemand]) -> str:
    return ",".join(
        [
            f'{{"approvers":[{",".join(map(exact_text, each.approvers))}],'
            f'"expires_in":{exact_text(each.expires_in)},"quorum":{exact_text(each.quorum)},'
            f'"reason":{exact_text(each.reason)},"rule":{exact_text(each.rule)}}}'
            for each in demands
        ]
    )


def exact_text(value: str | int | None) -> str:
    """The canonical text of a value that is most often a text, a whole number or nothing.

    Raises:
        NotExactJSON: it is no exact JSON; a lone surrogate in it is not seen.
    """
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
