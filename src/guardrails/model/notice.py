"""What people are told of: a notice, as sinks deliver it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1
"""The version of a notice's JSON form; a field that is added does not change it."""

_LONGEST: Final = 1_000
"""Longest text in a notice, in characters: reasons and names come from anywhere."""

Fact: TypeAlias = str | int | bool | None
"""What a notice may state; an exact number that is no integer, as money, is its text."""


class Severity(IntEnum):
    """How much it matters; sinks may take the graver ones alone."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """Its name in configuration and JSON."""
        return self.name.lower()


class NoticeKind(StrEnum):
    """What happened."""

    BUDGET = "budget.threshold"
    KILL = "kill"
    BREAKER = "breaker"
    DIVERGENCE = "divergence"
    APPROVAL = "approval.waiting"
    ANSWER = "approval.answered"
    TEST = "test"

    @property
    def severity(self) -> Severity:
        """How much such a thing matters where nothing else is said."""
        return _USUAL.get(self, Severity.INFO)


_USUAL: Final = {
    NoticeKind.BUDGET: Severity.WARNING,
    NoticeKind.KILL: Severity.CRITICAL,
    NoticeKind.BREAKER: Severity.WARNING,
    NoticeKind.DIVERGENCE: Severity.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that happened and that people should know.

    Texts are cut at 1,000 characters, and what is not printable in them is escaped: no name or
    reason can break a line, hide a part of itself, or keep a notice from being written as JSON.
    A fact of another type is its text.

    Attributes:
        id: Its own id, the same in every sink and at every attempt.
        kind: What happened.
        severity: How much it matters.
        title: The same in a line for people.
        time: UTC nanoseconds since 1970.
        environment: Where.
        facts: What belongs to this kind, by name.
        agent: The agent, if it is about one.
        run_id: The run, if it is about one.
        whom: Whom it concerns by the register: ``owner``, ``deputy``, ``on_call``, and what they
            look at, ``runbook`` and ``dashboard``.
    """

    id: str
    kind: NoticeKind
    severity: Severity
    title: str
    time: int
    environment: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    agent: str | None = None
    run_id: str | None = None
    whom: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name in ("title", "environment", "agent", "run_id"):
            put(self, name, _safe(getattr(self, name)))
        for name in ("facts", "whom"):
            texts = {str(_safe(key)): _safe(value) for key, value in getattr(self, name).items()}
            put(self, name, MappingProxyType(texts))

    def document(self) -> dict[str, Any]:
        """The notice as JSON values, in the form that docs/alerts.md describes."""
        return {
            "version": VERSION,
            "type": f"guardrails.{self.kind.value}",
            "timestamp": _rfc3339(self.time),
            "data": {
                "id": self.id,
                "severity": self.severity.word,
                "title": self.title,
                "environment": self.environment,
                "agent": self.agent,
                "run_id": self.run_id,
                "notify": dict(self.whom),
                "facts": dict(self.facts),
            },
        }

    def json(self) -> str:
        """The document as JSON on one line, in printable ASCII: no text in it leaves its quotes."""
        text = json.dumps(self.document(), ensure_ascii=True, separators=(",", ":"))
        # DEL is the one control character that JSON's escapes leave alone.
        return text.replace("\x7f", "\\u007f")


@dataclass(frozen=True, slots=True)
class Undelivered:
    """A notice that a sink did not deliver.

    Attributes:
        notice: The notice.
        sink: The sink's name.
        reason: Why not.
        attempts: How often it was tried.
    """

    notice: Notice
    sink: str
    reason: str
    attempts: int = 0

    def document(self) -> dict[str, Fact]:
        """The same as JSON values, for the record."""
        return {
            "notice_id": self.notice.id,
            "notice_kind": self.notice.kind.value,
            "title": self.notice.title,
            "sink": self.sink,
            "reason": self.reason,
            "attempts": self.attempts,
        }


def _safe(value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in str(value)[:_LONGEST]
    )


def _rfc3339(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest // 1_000_000:03d}Z"
