"""What several runs share a limit of: an account, its windows, and what happens at its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.model.budget import Budget

THRESHOLDS: Final = (50, 80)
"""Percent of a limit at which an account alerts where nothing else is said."""


class Window(StrEnum):
    """How long a limit counts before it starts anew."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def words(self) -> str:
        """As it stands behind a limit: ``a day``, ``an hour``."""
        return f"{'an' if self is Window.HOUR else 'a'} {self.value}"


@dataclass(frozen=True, slots=True)
class TopUp:
    """What people may be asked for when a limit is used up.

    Attributes:
        by: By how much the limit of this window is raised, once.
        approvers: Groups whose members may answer.
        quorum: How many distinct people must agree.
        expires_in: Seconds after which the request expires.
    """

    by: Budget
    approvers: tuple[str, ...]
    quorum: int = 1
    expires_in: int = 14_400


@dataclass(frozen=True, slots=True)
class Terms:
    """One account in one window, as configuration states it.

    Attributes:
        account: Its name, as ``agent/billing``, ``env/prod`` or ``account/team-x``.
        window: How long the limits count.
        limits: The limits; without seconds.
        top_up: Whom a call asks that finds it used up; None: it is refused.
        thresholds: Percent at which it alerts, ascending.
    """

    account: str
    window: Window
    limits: Budget
    top_up: TopUp | None = None
    thresholds: tuple[int, ...] = THRESHOLDS


class Exhausted(NamedTuple):
    """An account whose limit is used up, and by how much people may raise it.

    Attributes:
        account: Its name.
        window: Its window.
        start: When the window began, in UTC nanoseconds.
        revision: How often its limit has changed in this window: what a top-up is asked for
            counts for this state of the limit alone.
        top_up: Whom to ask, and for how much.
        figures: How it stands, in words.
    """

    account: str
    window: str
    start: int
    revision: int
    top_up: TopUp
    figures: str


@dataclass(frozen=True, slots=True)
class Match:
    """Which runs stand on a named account: those that every part that is given speaks of.

    Attributes:
        agents: Ids of agents.
        labels: Words of the run, or of its agent in the register.
        principals: On whose behalf the run works.
        environments: Where it runs.
    """

    agents: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()
    principals: frozenset[str] = frozenset()
    environments: frozenset[str] = frozenset()

    def covers(self, standing: Standing) -> bool:
        """Whether a run stands on the account. A match that says nothing covers nothing."""
        said = [
            bool(mine & its)
            for mine, its in (
                (self.agents, frozenset({standing.agent})),
                (self.labels, standing.labels),
                (self.principals, frozenset({standing.principal})),
                (self.environments, frozenset({standing.environment})),
            )
            if mine
        ]
        return bool(said) and all(said)


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a run decides on which accounts it stands."""

    agent: str
    environment: str
    principal: str | None = None
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one account may spend: limits by window, and what happens at their end."""

    limits: Mapping[Window, Budget]
    top_up: TopUp | None = None

    def terms(self, account: str, thresholds: tuple[int, ...]) -> tuple[Terms, ...]:
        """The same as terms, the shortest window first."""
        return tuple(
            Terms(account, window, self.limits[window], self.top_up, thresholds)
            for window in Window
            if window in self.limits
        )
