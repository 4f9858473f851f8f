"""The JSON schema of a line of the record, and the table of its kinds, made of :mod:`.kinds`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from guardrails.audit.document import VERSION
from guardrails.audit.kinds import KINDS, OBJECT, TEXT, TEXTS, WHOLE, Kind

SCHEMA_FILE: Final = Path(__file__).with_name("event.schema.json")
"""Where it is published."""

_REASON: Final = {
    "type": "object",
    "properties": {"rule": TEXT, "reason": TEXT},
    "required": ["rule", "reason"],
    "additionalProperties": False,
}
_DEMAND: Final = {
    "type": "object",
    "properties": {
        "rule": TEXT,
        "reason": TEXT,
        "approvers": TEXTS,
        "quorum": WHOLE,
        "expires_in": WHOLE,
    },
    "required": ["rule", "reason", "approvers", "quorum", "expires_in"],
    "additionalProperties": False,
}
_EFFECT: Final = {"enum": ["allow", "require_approval", "shadow", "deny"]}
_LISTS: Final = {
    "reasons": {"type": "array", "items": _REASON},
    "approvals": {"type": "array", "items": _DEMAND},
}
_POINTERS: Final = {"type": "array", "items": {"type": "string", "pattern": "^/"}}
_FIELDS: Final[dict[str, Any]] = {
    "v": {"const": VERSION},
    "kind": {"enum": [*KINDS]},
    "time": {**WHOLE, "description": "UTC, nanoseconds since 1970"},
    "decision_id": {**TEXT, "description": "the call's id, a UUIDv7; the same in all its events"},
    "run_id": TEXT,
    "agent": TEXT,
    "tool": TEXT,
    "mode": {"enum": ["enforce", "shadow", "observe"]},
    "effect": {**_EFFECT, "description": "what was decided, decorators and breakers included"},
    **_LISTS,
    "input": {**OBJECT, "description": "the document that was decided"},
    "revision": TEXT,
    "decision_ns": WHOLE,
    "detail": OBJECT,
    "decided_by": {"enum": ["policy", "decorator", "breaker"]},
    "policy": {
        "type": "object",
        "description": "what policy itself said, where it was made stricter",
        "properties": {"effect": _EFFECT, "would": _EFFECT, **_LISTS},
        "required": ["effect", "reasons", "approvals"],
        "additionalProperties": False,
    },
    "obligations": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"type": TEXT, "path": TEXT},
            "required": ["type", "path"],
            "additionalProperties": False,
        },
    },
    "masked": {**_POINTERS, "description": "where others stand in for values"},
    "erased": {**_POINTERS, "description": "what was left out"},
}


def event_schema() -> dict[str, Any]:
    """The schema, as a document of JSON Schema 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of the record",
        "type": "object",
        "properties": _FIELDS,
        "required": ["v", "kind", "time"],
        "additionalProperties": False,
        "allOf": [_rule(name, kind) for name, kind in KINDS.items()],
    }


def schema_text() -> str:
    """The schema as it is published."""
    return json.dumps(event_schema(), indent=1, sort_keys=True) + "\n"


def kinds_table() -> str:
    """The kinds as a table in Markdown."""
    rows = ["| Kind | What happened | In `detail`, always | In `detail`, where it applies |"]
    rows.append("|---|---|---|---|")
    rows += [
        f"| `{name}` | {kind.says} | {_words(kind.needs)} | {_words(kind.may)} |"
        for name, kind in KINDS.items()
    ]
    return "\n".join(rows) + "\n"


def _rule(name: str, kind: Kind) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "properties": {**kind.needs, **kind.may},
        "additionalProperties": False,
    }
    required = list(kind.fields)
    if kind.needs:
        detail["required"] = sorted(kind.needs)
        required.append("detail")
    return {
        "if": {"properties": {"kind": {"const": name}}},
        "then": {"properties": {"detail": detail}, "required": required},
    }


def _words(members: dict[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in members)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")

__all__ = ["SCHEMA_FILE", "event_schema", "kinds_table", "schema_text"]
