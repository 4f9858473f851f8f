"""What one agent's version has done, summed up."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from guardrails.replay.counts import ByName, Times
from guardrails.replay.timeline import DAY_NS, Timeline


def _counts() -> ByName[Times]:
    return ByName(Times, most=200)


class Day(enum.IntEnum):
    """What became of a call, of each of which a day has a count."""

    RAN = 0
    REFUSED = 1
    SHADOWED = 2


def days() -> Timeline:
    """Calls by what became of them, by day in UTC; by more days where there are many."""
    return Timeline(len(Day), shortest=DAY_NS, most=100)


@dataclass(slots=True)
class AgentSums:
    """One version of one agent.

    Attributes:
        agent: Its id.
        version: The version; ``?`` where a run began before the time that is reported.
        owner: Who answers for it, as its last run was opened.
        runs: Runs that were opened.
        ended: Runs that were closed.
        calls: Calls whose body started.
        refused: Calls that were refused.
        shadowed: Calls that were withheld.
        would_run: Withheld calls that would have run at once.
        errors: Calls whose body failed.
        asked: Approvals that people were asked for.
        approved: Those that were approved.
        rejected: Those that were rejected.
        expired: Those that nobody answered in time.
        waited: Seconds from request to answer, all together.
        answered: Over how many requests that is.
        usd: What its runs spent, their children included.
        tokens: Likewise.
        loops: What breakers said.
        differed: Calls that the candidate decides otherwise.
        scored: Feedback with a score.
        score: The sum of these scores.
        feedback: Feedback of any form.
        codes: Refusals by their code.
        rules: Refusals by rule.
        outcomes: Runs by what came of them.
        days: Calls by day: those that started, were refused, and were withheld.
    """

    agent: str
    version: str
    owner: str = ""
    runs: int = 0
    ended: int = 0
    calls: int = 0
    refused: int = 0
    shadowed: int = 0
    would_run: int = 0
    errors: int = 0
    asked: int = 0
    approved: int = 0
    rejected: int = 0
    expired: int = 0
    waited: Decimal = Decimal(0)
    answered: int = 0
    usd: Decimal = Decimal(0)
    tokens: int = 0
    loops: int = 0
    differed: int = 0
    scored: int = 0
    score: Decimal = Decimal(0)
    feedback: int = 0
    codes: ByName[Times] = field(default_factory=_counts)
    rules: ByName[Times] = field(default_factory=_counts)
    outcomes: ByName[Times] = field(default_factory=_counts)
    days: Timeline = field(default_factory=days)

    def row(self) -> dict[str, Any]:
        """The numbers by their names, as a table has them."""
        completed = self.outcomes.rows.get("completed")
        tasks = 0 if completed is None else completed.times
        return {
            "agent": self.agent,
            "version": self.version,
            "owner": self.owner,
            "runs": self.runs,
            "calls": self.calls,
            "refused": self.refused,
            "shadowed": self.shadowed,
            "would_run": self.would_run,
            "errors": self.errors,
            "approvals_asked": self.asked,
            "approved": self.approved,
            "rejected": self.rejected,
            "expired": self.expired,
            "seconds_waited": _mean(self.waited, self.answered),
            "usd": self.usd,
            "usd_per_run": _mean(self.usd, self.ended),
            "usd_per_completed_task": _mean(self.usd, tasks),
            "tokens": self.tokens,
            "loops": self.loops,
            "candidate_differs": self.differed,
            "feedback": self.feedback,
            "score": _mean(self.score, self.scored),
        }

    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            **self.row(),
            "refusals_by_code": _times(self.codes),
            "refusals_by_rule": _times(self.rules),
            "outcomes": _times(self.outcomes),
            "days": days_of(self.days),
        }


def days_of(found: Timeline) -> list[dict[str, int]]:
    """The spans of a time line as JSON values: ``time`` is where one begins, in nanoseconds."""
    return [
        {"time": start, "calls": ran, "refused": refused, "shadowed": shadowed}
        for start, (ran, refused, shadowed) in found.rows(_ROWS)
    ]


_ROWS: Final = 100
"""Spans of a time line that are told."""


def _times(by: ByName[Times]) -> dict[str, int]:
    return {name: sums.times for name, sums in by.ranked(lambda sums: sums.times)}


def _mean(total: Decimal, number: int) -> Decimal | None:
    return None if not number else round(total / number, 6)
