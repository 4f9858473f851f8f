"""An approval request as text, and back: exact, so that its digest survives a store.

There is one text for each request. A text is read at a glance where it is just what would be
written of what was read; any other, as an older release wrote it, name by name. So a thing that
is said twice, or one that nobody knows, is overlooked by neither.

A call finds its approval and uses it: the same text is read twice. What was read of the last few
texts is remembered by the texts themselves, but for what somebody could change in it since, the
arguments and the lineage: those are read anew. Of another text, be it by one letter, nothing is
remembered.
"""

from __future__ import annotations

from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec

from guardrails.approvals.table import Listed
from guardrails.model.approval import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    ApprovalStep,
    Escalation,
)
from guardrails.model.canonical import canonical
from guardrails.model.decision import ApprovalDemand
from guardrails.model.exact_text import read_exact
from guardrails.model.lineage import RunTerms, terms_of
from guardrails.model.seal import SharedSeal, share_seal

_SETS: Final = frozenset({"groups", "vouched"})
_LATELY: Final = 256
_SHORT: Final = 16_384
"""Characters of a text that is remembered at most, so that all of them are a few megabytes."""


class _Row(msgspec.Struct, forbid_unknown_fields=True):
    """A request's fields in their order, and their types as text; absent is what is younger."""

    id: str
    call_key: str
    state: ApprovalState
    demands: tuple[ApprovalDemand, ...]
    tool: str
    agent: str
    run_id: str
    principal: str | None
    args: msgspec.Raw | msgspec.UnsetType
    revision: str
    created: int
    expires: int
    about: str = "call"
    nonce: str = ""
    idempotency_key: str = ""
    escalation: tuple[Escalation, ...] = ()
    answers: tuple[Answer, ...] = ()
    steps: tuple[ApprovalStep, ...] = ()
    previous: str | None = None
    previous_outcome: str | None = None
    outcome: str | None = None
    question: str = ""
    lineage: msgspec.Raw | msgspec.UnsetType = msgspec.Raw(b"[]")
    origin: str | None = None
    successor: str | None = None
    told: bool = False
    decision_id: str = ""


class _Glance(msgspec.Struct, gc=False):
    """As far as a list shows it."""

    agent: str
    tool: str
    expires: int
    args: msgspec.Raw
    demands: msgspec.Raw
    about: str = "call"
    escalation: msgspec.Raw = msgspec.Raw(b"[]")


class _Read(NamedTuple):
    """What was read of a text and cannot be changed; and the two texts in it of what can be.

    Attributes:
        fields: Of the request, in their order, without its arguments and its lineage.
        seal: With the text of its arguments, and that of its lineage.
    """

    fields: tuple[Any, ...]
    seal: SharedSeal


# Only these can hold numbers that another writer than the canonical one would change.
_EXACT: Final = ("args", "lineage")
_FIELDS: Final = tuple(ApprovalRequest.__dataclass_fields__)
_ARGS, _LINEAGE = map(_FIELDS.index, _EXACT)
_fields_of: Final = attrgetter(*_FIELDS)
_NO_LINEAGE: Final = "[]"
_encode: Final = msgspec.json.Encoder(order="sorted").encode
_decode: Final = msgspec.json.Decoder(_Row).decode
_glance: Final = msgspec.json.Decoder(_Glance).decode
_glance_of: Final = attrgetter("agent", "tool", "about", "expires", "args", "demands", "escalation")
_states: Final = {each.value: each for each in ApprovalState}


def text_of(request: ApprovalRequest) -> str:
    """The request as JSON: the same text for the same request.

    Raises:
        NotExactJSON: its arguments are no exact JSON.
    """
    fields = [*_fields_of(request)]
    fields[_ARGS] = fields[_LINEAGE] = msgspec.UNSET  # not written, then
    plain = _encode(_Row(*fields))
    args = canonical(dict(request.args))
    lineage = canonical([each.document() for each in request.lineage]) if request.lineage else b"[]"
    return _joined(plain, args, lineage).decode()


def request_of(text: str, *, remember: bool = False) -> ApprovalRequest:
    """The request that :func:`text_of` wrote.

    Args:
        text: Its text.
        remember: Whether the same text is going to be read again soon.

    Raises:
        ValueError: the text is no request.
    """
    try:
        read = _lately_read(text) if remember and len(text) <= _SHORT else _read(text)
        if read is None:
            return _read_by_name(text)
        return _made(*read)
    except (
        TypeError,
        KeyError,
        AttributeError,
        ValueError,
        RecursionError,
        msgspec.MsgspecError,
    ) as error:
        raise ValueError(f"this is no approval request: {error}") from error


def listed_of(request_id: str, state: str, text: str) -> Listed:
    """What a list shows of the request that :func:`text_of` wrote, filed under an id and a state.

    Raises:
        ValueError: the text is no request, or it has no such state.
    """
    try:
        return Listed(request_id, _states[state], *_glance_of(_glance(text)))
    except (TypeError, KeyError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise ValueError(f"this is no approval request: {error}") from error


def _read(text: str) -> _Read | None:
    """What stands in a text as it is written here; None where it is written otherwise."""
    row = _decode(text)
    args, lineage = _bytes_of(row.args), _bytes_of(row.lineage)
    row.args = row.lineage = msgspec.UNSET
    if _joined(_encode(row), args, lineage) != text.encode():
        return None
    fields = [*_fields_of(row)]
    fields[_ARGS], fields[_LINEAGE] = None, ()
    return _Read(tuple(fields), SharedSeal(args.decode(), lineage.decode()))


def _made(known: tuple[Any, ...], seal: SharedSeal) -> ApprovalRequest:
    fields = [*known]
    fields[_ARGS] = _arguments(read_exact(seal.args))
    if seal.lineage != _NO_LINEAGE:
        fields[_LINEAGE] = _terms(read_exact(seal.lineage))
    request = ApprovalRequest(*fields)
    share_seal(request, seal)
    return request


_lately_read: Final = lru_cache(_LATELY)(_read)


def _joined(plain: bytes, args: bytes, lineage: bytes) -> bytes:
    return b'%b,"args":%b,"lineage":%b}' % (plain[:-1], args, lineage)


def _bytes_of(raw: msgspec.Raw | msgspec.UnsetType) -> bytes:
    return b"" if isinstance(raw, msgspec.UnsetType) else bytes(raw)


def _read_by_name(text: str) -> ApprovalRequest:
    """The same, of a text whose types are right, whoever wrote it; each name stands in it once."""
    document = read_exact(text)
    document["state"] = ApprovalState(document["state"])
    document["demands"] = tuple(
        ApprovalDemand(**{**each, "approvers": tuple(each["approvers"])})
        for each in document["demands"]
    )
    document["escalation"] = tuple(Escalation(**each) for each in document.get("escalation", ()))
    document["answers"] = tuple(
        Answer(**{**each, **{name: frozenset(each[name]) for name in _SETS & each.keys()}})
        for each in document.get("answers", ())
    )
    document["steps"] = tuple(ApprovalStep(**each) for each in document.get("steps", ()))
    document["lineage"] = _terms(document.get("lineage", []))
    return ApprovalRequest(**{**document, "args": _arguments(document["args"])})


def _arguments(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        msg = "its arguments are no object"
        raise ValueError(msg)
    return value


def _terms(value: Any) -> tuple[RunTerms, ...]:
    if type(value) is not list:
        msg = "its lineage is no array"
        raise ValueError(msg)
    return tuple(map(terms_of, value))
