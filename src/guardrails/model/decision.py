"""What policy says about one call, read from the document that `guardrails/decision` gives.

Reading is strict: an unknown field, a missing one or a value of another type is
no decision. Its layout is ``policies/decision.schema.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from guardrails.errors import REASON_LIMIT, Reason


class Effect(StrEnum):
    """The four things that policy can say."""

    ALLOW = "allow"
    REQUIRE_APPROVAL = "require_approval"
    SHADOW = "shadow"
    DENY = "deny"


class MalformedDecision(ValueError):  # noqa: N818  # named for what it is, as the errors are
    """A document that is no decision; the call that asked is refused."""


@dataclass(frozen=True, slots=True)
class ApprovalDemand:
    """One approval that must be given, by its own approvers and its own quorum.

    Attributes:
        rule: The id of the rule that asks, or ``decorator`` for ``@requires_approval``.
        reason: Why, for the approver.
        approvers: Names of groups whose members may answer.
        quorum: How many distinct people of them must agree.
        expires_in: Seconds after which an unanswered request expires.
    """

    rule: str
    reason: str
    approvers: tuple[str, ...]
    quorum: int = 1
    expires_in: int = 14_400


@dataclass(frozen=True, slots=True)
class Obligation:
    """Something that must be done with the call or its record.

    Attributes:
        type: ``redact`` or ``label`` (the record), ``transform`` (the arguments).
        path: A JSON pointer below ``/args``; for ``label`` the label itself.
        value: What a transform puts there.
    """

    type: str
    path: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about one call.

    Attributes:
        effect: Allow, require approval, shadow or deny.
        reasons: Why, each with the id of its rule.
        approvals: What must be approved, each by its own approvers.
        obligations: What must be done besides.
        would: With shadow: what would have been decided without it.
        revision: The policy revision that decided.
        decision_id: The id under which the call stands in the record.
    """

    effect: Effect
    reasons: tuple[Reason, ...] = ()
    approvals: tuple[ApprovalDemand, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    would: Effect | None = None
    revision: str = ""
    decision_id: str = ""

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of the rules behind the effect, each once."""
        named = [reason.rule for reason in self.reasons]
        named += [demand.rule for demand in self.approvals]
        return tuple(dict.fromkeys(named))

    @classmethod
    def from_document(
        cls, document: object, *, revision: str = "", decision_id: str = ""
    ) -> Decision:
        """The decision that a policy's result document states.

        Raises:
            MalformedDecision: the document is no complete, well-typed decision.
        """
        fields = _object(document, "the decision", _REQUIRED, _OPTIONAL)
        effect = _effect(fields["effect"], "effect")
        would = _effect(fields["would"], "would") if "would" in fields else None
        reasons = _array(fields["reasons"], "reasons")
        asked = _array(fields["approvals"], "approvals")
        duties = _array(fields["obligations"], "obligations")
        if (effect is Effect.SHADOW) is (would is None):
            msg = "`would` belongs to the effect `shadow`, and only to it"
            raise MalformedDecision(msg)
        if would not in (None, Effect.ALLOW, Effect.REQUIRE_APPROVAL):
            msg = f"`would` is `allow` or `require_approval`, not `{would}`"
            raise MalformedDecision(msg)
        approvals = tuple(map(_demand, asked))
        if (effect is Effect.REQUIRE_APPROVAL) is not bool(approvals):
            msg = "`approvals` belong to the effect `require_approval`, and only to it"
            raise MalformedDecision(msg)
        return cls(
            effect,
            tuple(map(_reason, reasons)),
            approvals,
            tuple(map(_obligation, duties)),
            would,
            revision,
            decision_id,
        )


_EFFECTS: Final = {effect.value: effect for effect in Effect}
_REQUIRED: Final = frozenset({"effect", "reasons", "approvals", "obligations"})
_OF_REASON: Final = frozenset({"rule", "reason"})
_OPTIONAL: Final = frozenset({"would"})
_LONGEST_WAIT: Final = 366 * 24 * 3600
_LARGEST_QUORUM: Final = 100


def _object(
    value: object, what: str, required: frozenset[str], optional: frozenset[str] = frozenset()
) -> dict[str, Any]:
    if type(value) is not dict:
        msg = f"{what} is not an object"
        raise MalformedDecision(msg)
    if value.keys() == required:
        return value
    missing = required - value.keys()
    if missing:
        msg = f"{what} lacks `{min(missing)}`"
        raise MalformedDecision(msg)
    extra = value.keys() - required - optional
    if extra:
        msg = f"{what} has an unknown field `{min(map(str, extra))}`"
        raise MalformedDecision(msg)
    return value


def _array(value: object, what: str) -> list[Any]:
    if type(value) is not list:
        msg = f"{what} is not an array"
        raise MalformedDecision(msg)
    return value


def _text(value: object, what: str) -> str:
    if type(value) is not str:
        msg = f"{what} is not a string"
        raise MalformedDecision(msg)
    # Policies may copy arguments into reasons, and reasons are shown on terminals.
    shown = value if value.isprintable() else "".join(map(_printable, value))
    return shown if len(shown) <= REASON_LIMIT else shown[: REASON_LIMIT - 1] + "…"


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\u{ord(character):04x}"


def _name(value: object, what: str) -> str:
    if type(value) is not str or not value.strip() or len(value) > REASON_LIMIT:
        msg = f"{what} is not a name"
        raise MalformedDecision(msg)
    return value


def _effect(value: object, what: str) -> Effect:
    if type(value) is str and value in _EFFECTS:
        return _EFFECTS[value]
    msg = f"{what} is none of {', '.join(f'`{effect}`' for effect in Effect)}"
    raise MalformedDecision(msg)


def _whole(value: object, what: str, largest: int) -> int:
    # The bounds come first: an integer of a large exponent's size would take all memory.
    if type(value) is Decimal and value.is_finite() and 1 <= value <= largest:
        value = int(value) if value == int(value) else value
    if type(value) is not int or not 1 <= value <= largest:
        msg = f"{what} is not a whole number from 1 to {largest}"
        raise MalformedDecision(msg)
    return value


def _reason(item: object) -> Reason:
    fields = _object(item, "a reason", _OF_REASON)
    return Reason(
        _name(fields["rule"], "the rule of a reason"), _text(fields["reason"], "a reason")
    )


def _demand(item: object) -> ApprovalDemand:
    fields = _object(
        item, "an approval", frozenset({"rule", "reason", "approvers", "quorum", "expires_in"})
    )
    approvers = tuple(
        _name(name, "an approver group") for name in _array(fields["approvers"], "the approvers")
    )
    if not approvers:
        msg = "an approval names no approvers"
        raise MalformedDecision(msg)
    return ApprovalDemand(
        _name(fields["rule"], "the rule of an approval"),
        _text(fields["reason"], "the reason of an approval"),
        approvers,
        _whole(fields["quorum"], "the quorum", _LARGEST_QUORUM),
        _whole(_ceiling(fields["expires_in"]), "`expires_in`", _LONGEST_WAIT),
    )


def _ceiling(value: object) -> object:
    # Part of a second is a valid expiry; it counts as the whole one.
    if type(value) is Decimal and value.is_finite() and 0 < value <= _LONGEST_WAIT:
        return int(value.to_integral_value(rounding="ROUND_CEILING"))
    return value


def _obligation(item: object) -> Obligation:
    kind = item.get("type") if type(item) is dict else None
    if kind == "transform":
        fields = _object(item, "a transform", frozenset({"type", "path", "value"}))
        return Obligation(
            "transform", _name(fields["path"], "the path of a transform"), fields["value"]
        )
    if kind in {"redact", "label"}:
        fields = _object(item, f"a {kind}", frozenset({"type", "path"}))
        return Obligation(str(kind), _name(fields["path"], f"the path of a {kind}"))
    msg = f"an obligation is of unknown type {kind!r}"
    raise MalformedDecision(msg)
