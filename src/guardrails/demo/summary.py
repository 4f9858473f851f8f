"""The whole demo in a few numbers, and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guardrails.demo.claims import Claim
from guardrails.demo.stage import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from guardrails.demo.calls import Call
    from guardrails.demo.comparison import Comparison
    from guardrails.demo.lab import Asked


@dataclass(frozen=True, slots=True)
class Summary:
    """What was measured. Shadowed calls and their decisions are counted apart.

    Attributes:
        allowed: Calls that ran.
        asked: Calls for which a person was asked.
        refused: All other calls that did not run.
        shadowed: Calls that were withheld.
        nanoseconds: How long each decision took, sorted.
        equal: Of these decisions, how many an OPA server gave too.
        shadowed_equal: The same of the shadowed calls' decisions.
        comparison: How asking the server went.
        claims: What the scenes claim.
    """

    allowed: int
    asked: int
    refused: int
    shadowed: int
    nanoseconds: tuple[int, ...]
    equal: int
    shadowed_equal: int
    comparison: Comparison
    claims: tuple[Claim, ...]

    @classmethod
    def of(
        cls,
        calls: Sequence[Call],
        asked: Sequence[Asked],
        comparison: Comparison,
        claims: Sequence[Claim],
    ) -> Summary:
        """The summary of everything that happened."""
        withheld = {call.decision_id for call in calls if call.is_shadowed}
        others = [call for call in calls if not call.is_shadowed]
        ran = sum(call.ran for call in others)
        waiting = sum(call.waits for call in others)
        apart = [one.decision.decision_id in withheld for one in asked]
        alike = list(zip(comparison.equal, apart, strict=False))
        return cls(
            allowed=ran,
            asked=waiting,
            refused=len(others) - ran - waiting,
            shadowed=len(withheld),
            nanoseconds=tuple(
                sorted(
                    one.nanoseconds
                    for one, is_apart in zip(asked, apart, strict=True)
                    if not is_apart
                )
            ),
            equal=sum(equal and not is_apart for equal, is_apart in alike),
            shadowed_equal=sum(equal and is_apart for equal, is_apart in alike),
            comparison=comparison,
            claims=(*claims, *_of_comparison(comparison)),
        )

    @property
    def holds(self) -> bool:
        """Whether every claim is borne out."""
        return all(claim.holds for claim in self.claims)

    @property
    def calls(self) -> int:
        """Calls that were not shadowed."""
        return self.allowed + self.asked + self.refused

    def percentile(self, percent: int) -> int:
        """The decision time, in nanoseconds, that `percent` of 100 decisions do not exceed."""
        if not self.nanoseconds:
            return 0
        rank = -(-len(self.nanoseconds) * percent // 100)
        return self.nanoseconds[max(rank, 1) - 1]

    def lines(self) -> Iterator[str]:
        """It for a person, on lines of at most 76 characters."""
        counts = f"{self.allowed} allowed, {self.asked} asked, {self.refused} refused"
        apart = f" · {self.shadowed} more in shadow" if self.shadowed else ""
        yield f"{self.calls} calls: {counts}{apart}"
        if self.nanoseconds:
            p50, p99 = (duration(self.percentile(percent)) for percent in (50, 99))
            yield f"{len(self.nanoseconds)} decisions by policy, p50 {p50}, p99 {p99}"
        yield self._comparison()
        for claim in self.claims:
            if not claim.holds:
                yield f"NOT TRUE: {claim.claim}"

    def _comparison(self) -> str:
        decisions = len(self.nanoseconds)
        begin = f"Same {decisions} decisions from an OPA server: "
        if self.comparison.skipped:
            return f"{begin}skipped, {self.comparison.skipped}"
        if self.comparison.failed:
            return f"{begin}failed, {self.comparison.failed}"
        apart = f" · in shadow {self.shadowed_equal} of {self.shadowed}" if self.shadowed else ""
        return f"{begin}{self.equal} equal{apart}"

    def document(self) -> dict[str, Any]:
        """It for a machine."""
        comparison: dict[str, Any] = {"equal": self.equal, "shadowed_equal": self.shadowed_equal}
        if self.comparison.skipped:
            comparison = {"skipped": self.comparison.skipped}
        elif self.comparison.failed:
            comparison = {"failed": self.comparison.failed}
        return {
            "kind": "summary",
            "calls": self.calls,
            "allowed": self.allowed,
            "asked": self.asked,
            "refused": self.refused,
            "shadowed": self.shadowed,
            "decisions": len(self.nanoseconds),
            "p50_ns": self.percentile(50),
            "p99_ns": self.percentile(99),
            "opa": comparison,
            "claims": [claim._asdict() for claim in self.claims],
            "holds": self.holds,
        }


def decision_document(scene: int, asked: Asked, call: Call) -> dict[str, Any]:
    """One decision, and what became of its call, for a machine."""
    decision = asked.decision
    return {
        "kind": "decision",
        "scene": scene,
        "decision_id": call.decision_id,
        "run_id": call.run_id,
        "agent": call.agent,
        "mode": call.mode,
        "tool": call.tool,
        "args": call.args,
        "effect": decision.effect.value,
        "reasons": [reason._asdict() for reason in decision.reasons],
        "approvals": [
            {"rule": demand.rule, "reason": demand.reason, "approvers": list(demand.approvers)}
            for demand in decision.approvals
        ],
        "ran": call.ran,
        "outcome": call.outcome,
        "approved_by": list(call.approved_by),
        "revision": decision.revision,
        "decision_ns": asked.nanoseconds,
    }


def _of_comparison(comparison: Comparison) -> tuple[Claim, ...]:
    if comparison.skipped:
        return ()
    return (
        Claim(
            "an OPA server gives the same decisions",
            not comparison.failed and all(comparison.equal),
        ),
    )
