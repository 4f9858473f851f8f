"""The published schema: it is of this code, of its page, and of every event that can be."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

import guardrails
from guardrails.audit.document import as_document
from guardrails.audit.event_schema import SCHEMA_FILE, event_schema, kinds_table, schema_text
from guardrails.audit.kinds import KINDS
from guardrails.model.call import Event

ROOT = Path(__file__).parents[2]
SOURCES = Path(guardrails.__file__).parent
_DOTTED = re.compile(r"[a-z]+\.[a-z_]+")
"""What looks like a kind, of a family that is published or of another."""
VALID = Draft202012Validator(event_schema())


def test_what_is_published_is_up_to_date():
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()
    Draft202012Validator.check_schema(event_schema())


def test_the_page_has_the_table():
    assert kinds_table() in (ROOT / "docs" / "audit-events.md").read_text(encoding="utf-8")


def written_kinds() -> set[str]:
    """The kinds that the sources name where they make or write an event."""
    found = set()
    for file in SOURCES.rglob("*.py"):
        if file.name in {"kinds.py", "event_schema.py"}:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in {
                "Event",
                "note",
                "_write",
                "write",
                "write_decided",
                "write_ahead",
                "write_act",
                "Act",
            }:
                found |= {
                    each.value
                    for each in node.args[:2]
                    if isinstance(each, ast.Constant)
                    and isinstance(each.value, str)
                    and (each.value in KINDS or _DOTTED.fullmatch(each.value))
                }
    return found


def test_every_kind_that_is_written_is_published():
    written = written_kinds()
    assert len(written) > 15
    assert written <= KINDS.keys()


def test_every_step_of_an_approval_is_published():
    steps = set()
    for file in (SOURCES / "approvals").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_put":
                steps |= {
                    str(each.value) for each in node.args[1:] if isinstance(each, ast.Constant)
                }
    assert len(steps) > 5
    assert {f"approval.{step}" for step in steps} <= KINDS.keys()


@pytest.mark.parametrize(
    "event",
    [
        Event("call.started", 1, "d"),
        Event("kill", 1, detail={"scope": "all", "by": "dana"}),
        Event("kill", 1, detail={"scope": "all", "by": "dana", "reason": "x", "more": 1}),
        Event("nothing.known", 1),
    ],
)
def test_what_lacks_something_or_says_more_is_no_event(event):
    with pytest.raises(ValidationError):
        VALID.validate(as_document(event))
