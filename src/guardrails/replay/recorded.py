"""What a record says about one decision: the input on which it was made, and what was decided.

A decision can be made again only where its event holds the whole input. What lacks it is
named by a :class:`Gap` and counted; nothing is guessed.
"""

from __future__ import annotations

import json
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from guardrails.model.decision import Effect

ERROR: Final = "error"
"""The effect of a decision that failed: the call is refused."""

STRICTNESS: Final = {
    effect: rank
    for rank, effect in enumerate(
        (Effect.ALLOW.value, Effect.REQUIRE_APPROVAL.value, Effect.SHADOW.value, Effect.DENY.value)
    )
} | {ERROR: len(Effect)}
"""Effects from the one that lets a call run to the one that never does."""


class Gap(StrEnum):
    """Why a decision of the record cannot be made again."""

    NO_INPUT = "no_input"
    HIDDEN = "hidden"
    NARROWED = "narrowed"
    UNRECORDABLE = "unrecordable"
    UNKNOWN_AGENT = "unknown_agent"
    UNKNOWN_EFFECT = "unknown_effect"

    @property
    def words(self) -> str:
        """The same for people."""
        return _WORDS[self]


_WORDS: Final = {
    Gap.NO_INPUT: "its event does not hold the input on which it was decided",
    Gap.HIDDEN: "a part of its input that the candidate may read was masked or erased",
    Gap.NARROWED: "the agents for which it was decided besides its own cannot be read",
    Gap.UNRECORDABLE: "its input held a value that has no JSON form",
    Gap.UNKNOWN_AGENT: "its agent is not in the register that is tried",
    Gap.UNKNOWN_EFFECT: "its event names an effect that this program does not know",
}


class _Rule(msgspec.Struct):
    rule: str


class Said(msgspec.Struct):
    """What was said about a call: the effect, and the rules behind it."""

    effect: str | None = None
    reasons: list[_Rule] = []
    approvals: tuple[_Rule, ...] = ()

    def rules(self) -> frozenset[str]:
        """The ids of the rules."""
        found = [each.rule for each in self.reasons]
        if self.approvals:
            found += [each.rule for each in self.approvals]
        return frozenset(found)

    def is_by(self, rules: frozenset[str]) -> bool:
        """Whether these are the rules behind it."""
        if len(self.reasons) == 1 and not self.approvals:  # so are most
            return len(rules) == 1 and self.reasons[0].rule in rules
        return self.rules() == rules


class Detail(msgspec.Struct):
    """What of an event's detail is read.

    Attributes:
        narrowed_by: Agents for which a call was decided besides its own, as the record has them.
    """

    narrowed_by: Any = None


class Line(Said):
    """What of an event's line is read; the rest is passed over.

    Attributes:
        kind: The kind of the event.
        v: The version of the record's form.
        time: UTC nanoseconds.
        decision_id: The call's id.
        run_id: The run's id.
        agent: The agent's id.
        tool: The tool's name.
        policy: What policy itself said, where decorators or breakers have made it stricter.
        revision: The policies that decided.
        input: The document that was decided about.
        masked: JSON pointers to values that others stand in for.
        erased: JSON pointers to values that were left out.
        detail: What belongs to this kind of event alone.
    """

    kind: str = ""
    v: int = 0
    time: int = 0
    decision_id: str | None = None
    run_id: str | None = None
    agent: str | None = None
    tool: str | None = None
    policy: Said | None = None
    revision: str | None = None
    input: Any = None
    masked: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    detail: Detail | None = None

    @property
    def said(self) -> Said:
        """What policy said."""
        return self if self.policy is None else self.policy


DECIDED: Final = frozenset({"call.started", "call.refused", "call.shadowed"})
"""The kinds of events of which each call has one, where it was decided."""

UNRECORDABLE: Final = b'"$unrecordable"'


def line_of(raw: bytes) -> Line | None:
    """The event of a line, numbers exact; None for a line that is no event, or has no end."""
    if not raw.endswith(b"\n"):
        return None
    try:
        if not raw.isascii():
            raw.decode()  # all of it, also what is passed over
        found: Line = _decode(raw)
    except NO_EVENT:
        # Half of a surrogate pair is text in Python and in the record, and nowhere else.
        slowly = _read_slowly(raw)
        return slowly if slowly is not None and slowly.kind else None
    return found if found.kind else None


NO_EVENT: Final = (ValueError, RecursionError, ArithmeticError)
"""What is raised by a text that is no event; the last by a number beyond every range."""

_decode: Final = msgspec.json.Decoder(Line, float_hook=Decimal).decode


def _read_slowly(raw: bytes) -> Line | None:
    try:
        # As text: of bytes it would guess the encoding.
        found = json.loads(raw.decode(), parse_float=Decimal, parse_constant=_refuse)
        return msgspec.convert(found, Line)
    except NO_EVENT:
        return None


def _refuse(word: str) -> float:
    raise ValueError(word)


__all__ = [
    "DECIDED",
    "ERROR",
    "NO_EVENT",
    "STRICTNESS",
    "UNRECORDABLE",
    "Gap",
    "Line",
    "Said",
    "line_of",
]
