"""The kinds of events, and what the ``detail`` of each holds: the words of the record.

From here come the JSON schema of a line (:mod:`guardrails.audit.event_schema`) and the table in
``docs/audit-events.md``. An event of another kind, or with another detail, is a mistake.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

Schema: TypeAlias = dict[str, Any]

TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
NUMBER: Final[Schema] = {"type": "number"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
DIGEST: Final[Schema] = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
OBJECT: Final[Schema] = {"type": "object"}
OBJECTS: Final[Schema] = {"type": "array", "items": OBJECT}
MAYBE: Final[Schema] = {"type": ["string", "null"]}
AMOUNT: Final[Schema] = {"type": ["string", "integer", "number"]}


class Kind(NamedTuple):
    """One kind.

    Attributes:
        says: What happened.
        needs: Members of the detail that are always there, and what they hold.
        may: Members that may be there.
        fields: Fields of the line that are always there, besides ``v``, ``kind`` and ``time``.
    """

    says: str
    needs: dict[str, Schema] = {}  # noqa: RUF012  # nobody changes it
    may: dict[str, Schema] = {}  # noqa: RUF012  # as above
    fields: tuple[str, ...] = ()


_CALL: Final = ("decision_id", "run_id", "agent", "tool", "mode")
_TRACE: Final = {"trace_id": TEXT, "span_id": TEXT}
_DECIDED: Final = {
    "would": TEXT,
    "labels": TEXTS,
    "narrowed_by": OBJECTS,
    "rewritten": TEXTS,
    "request_id": TEXT,
    **_TRACE,
}
_ACT: Final = {"reason": TEXT, "by": TEXT}
_TRIED: Final = dict.fromkeys(("tried", "agreed", "differed", "failed", "dropped"), WHOLE)
_COUNTS: Final[Schema] = {
    "type": "object",
    "properties": _TRIED,
    "required": list(_TRIED),
    "additionalProperties": False,
}
_RUN: Final = ("run_id", "agent", "mode")
_APPROVAL: Final = Kind(
    "",
    {"request_id": TEXT, "state": TEXT},
    {
        "call_key": TEXT,
        "request_digest": TEXT,
        "answers": OBJECTS,
        "by": TEXT,
        "reason": TEXT,
        "channel": TEXT,
        "origin": TEXT,
        "successor": TEXT,
    },
    ("run_id", "agent", "tool"),
)
_FILE: Final = {
    "file": TEXT,
    "sha256": DIGEST,
    "entries": WHOLE,
    "archive": DIGEST,
    "by": TEXT,
    "pid": WHOLE,
}
_CHANGES: Final = {"before": DIGEST, "added": TEXTS, "removed": TEXTS, "changed": TEXTS}


def _approval(says: str) -> Kind:
    return _APPROVAL._replace(says=says)


KINDS: Final[dict[str, Kind]] = {
    # calls: of these three each call has one, with the document that was decided
    "call.started": Kind(
        "a call is about to run: its intent",
        {},
        {**_DECIDED, "approved_by": TEXTS, "origin": TEXT, "resumed": {"type": "boolean"}},
        (*_CALL, "effect", "input", "decided_by"),
    ),
    "call.refused": Kind(
        "a call did not run",
        {"code": TEXT, "message": TEXT},
        {**_DECIDED, "cause": TEXT, "scope": TEXT},
        _CALL,
    ),
    "call.shadowed": Kind(
        "a call was withheld, and its stand-in returned",
        {"would": TEXT},
        {**_DECIDED, "code": TEXT, "message": TEXT, "cause": TEXT},
        (*_CALL, "effect", "input", "decided_by"),
    ),
    "call.finished": Kind(
        "what came of a call that ran: `ok`, `error`, `killed`, `abandoned`, …",
        {"outcome": TEXT},
        {
            "error": TEXT,
            "cost": {
                "type": "object",
                "properties": {"usd": TEXT, "tokens": WHOLE},
                "additionalProperties": False,
            },
            **_TRACE,
        },
        _CALL,
    ),
    "breaker": Kind(
        "a breaker warned, asked or stopped",
        {"breaker": TEXT, "action": TEXT, "run": TEXT, "text": TEXT},
        dict(_TRACE),
        _CALL,
    ),
    "divergence": Kind(
        "this process and OPA decided a call differently; both answers",
        {"differs": TEXTS, "ours": OBJECT, "theirs": OBJECT},
        {},
        ("decision_id", "input"),
    ),
    # policies that are tried beside those that decide
    "candidate.decided": Kind(
        "the candidate decided a call differently; both answers, and this process's counts so far",
        {"differs": TEXTS, "ours": OBJECT, "theirs": OBJECT, "agreement": _COUNTS},
        {},
        ("decision_id", "input"),
    ),
    "candidate.ended": Kind(
        "a process asks the candidate no more; how often it said the same", dict(_TRIED)
    ),
    # runs
    "run.opened": Kind(
        "a run began",
        {
            "version": TEXT,
            "owner": TEXT,
            "environment": TEXT,
            "principal": MAYBE,
            "labels": TEXTS,
            "budget": OBJECT,
            "ancestry": OBJECTS,
        },
        {},
        _RUN,
    ),
    "run.closed": Kind("a run ended", {"spent": OBJECT, "seconds": NUMBER}, {}, _RUN),
    "run.shared": Kind(
        "a token for a run was made, for another process", {"run": TEXT, "expires_in": NUMBER}
    ),
    "run.joined": Kind("another process joined a run", {"pid": WHOLE}, {}, _RUN),
    "run.left": Kind("that process left it", {"pid": WHOLE, "seconds": NUMBER}, {}, _RUN),
    "run.outcome": Kind(
        "somebody said what came of a run's task", {"outcome": TEXT}, {"score": NUMBER}, _RUN
    ),
    "run.feedback": Kind(
        "somebody said how good a run was", {}, {"score": NUMBER, "text": TEXT, "by": TEXT}, _RUN
    ),
    # approvals
    "approval.requested": _approval("people are asked"),
    "approval.proposed": _approval("a withheld call was kept, for a person to accept"),
    "approval.answered": _approval("a person answered; others still have to"),
    "approval.approved": _approval("enough people said yes"),
    "approval.rejected": _approval("a person said no"),
    "approval.edited": _approval("a person changed the arguments; `successor` takes its place"),
    "approval.accepted": _approval("a person accepted a proposal"),
    "approval.told": _approval("the agent was told that its call was edited"),
    "approval.escalated": _approval("nobody answered, and others may, too"),
    "approval.expired": _approval("nobody answered in time"),
    "approval.withdrawn": _approval("a kill or a change withdrew it"),
    "approval.consumed": _approval("a call used the approval"),
    "approval.settled": _approval("what came of that call is known"),
    "approval.refused": _approval("an answer did not count, and why"),
    # administrative acts: who and why
    "kill": Kind("something was killed", {"scope": TEXT, **_ACT}),
    "resume": Kind("a kill was lifted; recorded before it is", {"scope": TEXT, **_ACT}),
    "resume.failed": Kind("it could not be lifted after all", {"scope": TEXT, **_ACT}),
    "breaker.reset": Kind("a run that a breaker stopped goes on", {"run": TEXT, **_ACT}),
    "budget.set": Kind(
        "a limit was set from the command line",
        {
            "what": TEXT,
            "account": TEXT,
            "window": TEXT,
            "dimension": TEXT,
            "old": {"type": ["string", "integer", "number", "null"]},
            "new": {"type": ["string", "integer", "number", "null"]},
            **_ACT,
        },
    ),
    "budget.top_up": Kind(
        "a limit was raised, as people approved",
        {
            "account": TEXT,
            "window": TEXT,
            "start": WHOLE,
            "raise_by": OBJECT,
            "request_id": TEXT,
            "by": TEXT,
        },
        {},
        ("decision_id", "run_id", "agent"),
    ),
    "budget.crash": Kind(
        "a process ended without giving back what it had taken",
        {"account": TEXT, "window": TEXT, "start": WHOLE, "by": TEXT},
        {"charged": OBJECT, "released": OBJECT},
    ),
    "policy.activated": Kind(
        "policies decide from now on; `archive` has their sources",
        {"modules": WHOLE, "archive": DIGEST, "by": TEXT, "pid": WHOLE},
        {"replaces": TEXT},
        ("revision",),
    ),
    "register.loaded": Kind(
        "agents.yaml holds from now on; what differs from the one that was seen before",
        dict(_FILE),
        dict(_CHANGES),
    ),
    "approvers.loaded": Kind(
        "approvers.yaml holds from now on; what differs from the one that was seen before",
        dict(_FILE),
        dict(_CHANGES),
    ),
    "key.made": Kind(
        "a key was made: of the record, of an approver or of a server; or an approver's token",
        {"what": TEXT, "by": TEXT, "reason": TEXT},
        {"public": TEXT, "name": TEXT, "groups": TEXTS},
    ),
    "mcp.approved": Kind(
        "somebody looked at an MCP server's tools; agents are shown these definitions alone",
        {"server": TEXT, "tools": TEXTS, "definitions": DIGEST, "launch": TEXT, **_ACT},
        {"replaces": DIGEST},
    ),
    # alerts
    "alert": Kind(
        "a part of a limit is used, or engines diverged",
        {},
        {
            "account": TEXT,
            "dimension": TEXT,
            "percent": WHOLE,
            "used": AMOUNT,
            "limit": AMOUNT,
            "window": TEXT,
            "start": WHOLE,
            "what": TEXT,
            "differs": TEXTS,
        },
    ),
    "alert.undelivered": Kind(
        "people could not be told",
        {
            "notice_id": TEXT,
            "notice_kind": TEXT,
            "title": TEXT,
            "sink": TEXT,
            "reason": TEXT,
            "attempts": WHOLE,
        },
    ),
    "server.unknown_caller": Kind(
        "somebody asked `guardrails serve` who could not be known",
        {
            "channel": TEXT,
            "address": TEXT,
            "method": TEXT,
            "path": TEXT,
            "by": TEXT,
            "reason": TEXT,
            "unrecorded_before": WHOLE,
        },
    ),
}
"""They, in the order in which the page names them."""
