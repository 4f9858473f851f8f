"""The section ``budgets`` of ``guardrails.yaml``: what runs may spend together.

::

    budgets:
      time_zone: Europe/Berlin        # in which days and months begin; UTC
      thresholds: [50, 80]            # percent of a limit at which it alerts
      environments:                   # all runs in one; else dev 50, staging 200, prod 1,000
        prod: {day: {usd: 1000}, month: {usd: 20000}, minute: {calls: 600}}
      agents:                         # all runs of one; agents.yaml: what a single run may
        billing:
          day: {usd: 50, calls: 5000}
          on_exhausted: ask           # or refuse
          top_up: {usd: 20, approvers: [finance-ops], quorum: 1, expires_in: 4h}
      accounts:                       # any others: a team's, a customer's
        team-x:
          match: {agents: [billing, clerk], labels: [team-x], principals: [], environments: []}
          month: {usd: 500}
      lease: 100                      # calls' worth that a process takes; 1: each call asks
      on_crash: charge                # what a crashed process had taken counts as spent; or release

Windows are ``minute``, ``hour``, ``day`` and ``month``; limits in them ``usd``, ``tokens`` and
``calls``. A run stands on a named account if, of each part of ``match`` that is given, one word
is its own. Labels are the run's, or its agent's in the register.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from guardrails.errors import ConfigError
from guardrails.model.account import THRESHOLDS, Allowance, Match, TopUp, Window
from guardrails.model.budget import Budget
from guardrails.model.budget_plan import LEASE, BudgetPlan, with_default
from guardrails.register.source import Mapped, nearest, quoted, shown
from guardrails.register.words import (  # noqa: TC001  # pydantic reads them at run time
    AgentId,
    Count,
    Dollars,
    EnvironmentName,
    Keyed,
    Listed,
    Name,
    Quorum,
    Seconds,
    Some,
    Text,
)
from guardrails.runs.windows import time_zone

if TYPE_CHECKING:
    from collections.abc import Callable

_EXHAUSTED: Final = ("refuse", "ask")
_CRASH: Final = ("charge", "release")


def _one_of(known: tuple[str, ...]) -> Callable[[object], object]:
    def check(value: object) -> object:
        if value not in known:
            hint = nearest(str(value), known)
            msg = f"{shown(value)} is not known{hint}; there are {quoted(known)}"
            raise ValueError(msg)
        return value

    return check


def _zone(value: str) -> str:
    try:
        time_zone(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return value


def _ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(values))


class WindowLimits(Mapped):
    """The limits of one window; at least one."""

    usd: Dollars | None = None
    tokens: Count | None = None
    calls: Count | None = None

    @model_validator(mode="after")
    def _some_limit(self) -> WindowLimits:
        if self.budget().is_empty:
            msg = "a window names at least one limit: `usd`, `tokens` or `calls`"
            raise ValueError(msg)
        return self

    def budget(self) -> Budget:
        """The limits as enforcement counts them."""
        return Budget(usd=self.usd, tokens=self.tokens, calls=self.calls)


class TopUpAsked(WindowLimits):
    """By how much people may raise a limit that is used up, and which people."""

    approvers: Some[Name]
    quorum: Quorum = 1
    expires_in: Seconds = 14_400


class Account(Mapped):
    """What one account may spend, window by window."""

    minute: WindowLimits | None = None
    hour: WindowLimits | None = None
    day: WindowLimits | None = None
    month: WindowLimits | None = None
    on_exhausted: Annotated[Literal["refuse", "ask"], BeforeValidator(_one_of(_EXHAUSTED))] = (
        "refuse"
    )
    top_up: TopUpAsked | None = None

    @model_validator(mode="after")
    def _some_window(self) -> Account:
        if not self.limits():
            msg = "an account names at least one window: `minute`, `hour`, `day` or `month`"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _asks_for_something(self) -> Account:
        if (self.on_exhausted == "ask") is (self.top_up is None):
            msg = "`on_exhausted: ask` and `top_up` belong together: who is asked, and for how much"
            raise ValueError(msg)
        return self

    def limits(self) -> dict[Window, Budget]:
        """The limits by window."""
        written = {window: getattr(self, window.value) for window in Window}
        return {window: each.budget() for window, each in written.items() if each is not None}

    def allowance(self) -> Allowance:
        """The account as enforcement keeps it."""
        asked = self.top_up
        top_up = (
            None
            if asked is None
            else TopUp(asked.budget(), asked.approvers, asked.quorum, asked.expires_in)
        )
        return Allowance(MappingProxyType(self.limits()), top_up)


class Matched(Mapped):
    """Which runs stand on a named account; at least one word."""

    agents: Listed[AgentId] = ()
    labels: Listed[Name] = ()
    principals: Listed[Text] = ()
    environments: Listed[EnvironmentName] = ()

    @model_validator(mode="after")
    def _some_word(self) -> Matched:
        if not (self.agents or self.labels or self.principals or self.environments):
            msg = "`match` names at least one agent, label, principal or environment"
            raise ValueError(msg)
        return self

    def match(self) -> Match:
        """The same as enforcement compares it."""
        return Match(
            frozenset(self.agents),
            frozenset(self.labels),
            frozenset(self.principals),
            frozenset(self.environments),
        )


class NamedAccount(Account):
    """An account that configuration names, with the runs that stand on it."""

    match: Matched


class Budgets(Mapped):
    """The section as it is written."""

    time_zone: Annotated[Text, AfterValidator(_zone)] = "UTC"
    thresholds: Annotated[Some[Annotated[int, Field(ge=1, le=100)]], AfterValidator(_ascending)] = (
        THRESHOLDS
    )
    environments: Keyed[EnvironmentName, Account] = Field(default={}, validate_default=True)
    agents: Keyed[AgentId, Account] = Field(default={}, validate_default=True)
    accounts: Keyed[AgentId, NamedAccount] = Field(default={}, validate_default=True)
    lease: Annotated[int, Field(ge=1, le=1_000_000)] = LEASE
    on_crash: Annotated[Literal["charge", "release"], BeforeValidator(_one_of(_CRASH))] = "charge"

    def plan(self, environment: str) -> BudgetPlan:
        """The accounts as they hold in `environment`, its default included."""
        environments = {name: each.allowance() for name, each in self.environments.items()}
        environments[environment] = with_default(environment, environments.get(environment))
        return BudgetPlan(
            environments=MappingProxyType(environments),
            agents=MappingProxyType({name: each.allowance() for name, each in self.agents.items()}),
            accounts=MappingProxyType(
                {
                    name: (each.match.match(), each.allowance())
                    for name, each in self.accounts.items()
                }
            ),
            time_zone=self.time_zone,
            thresholds=self.thresholds,
            lease=self.lease,
            on_crash=self.on_crash,
        )
