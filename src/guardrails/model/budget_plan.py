"""Every account that configuration states, and which of them a run stands on."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from guardrails.model.account import THRESHOLDS, Allowance, Window
from guardrails.model.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.model.account import Match, Standing, Terms

DEFAULT_USD_A_DAY: Final[Mapping[str, int]] = MappingProxyType(
    {"dev": 50, "staging": 200, "prod": 1_000}
)
"""What an environment may spend in a day where nothing else is said, in US dollars."""

LEAST_USD_A_DAY: Final = 50
"""The same for an environment of another name: the least of them."""

LEASE: Final = 100
"""How many calls' worth a process takes of a shared account at one time."""


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """The accounts besides those of runs, and how they are kept.

    Attributes:
        environments: By the name of the environment.
        agents: By the agent's id.
        accounts: Named ones, each with the runs that stand on it.
        time_zone: In which days and months begin.
        thresholds: Percent at which accounts alert, ascending.
        lease: How many calls' worth a process takes at one time; 1: every call asks.
        on_crash: What becomes of what a crashed process had taken and not reported.
    """

    environments: Mapping[str, Allowance] = field(default_factory=dict)
    agents: Mapping[str, Allowance] = field(default_factory=dict)
    accounts: Mapping[str, tuple[Match, Allowance]] = field(default_factory=dict)
    time_zone: str = "UTC"
    thresholds: tuple[int, ...] = THRESHOLDS
    lease: int = LEASE
    on_crash: Literal["charge", "release"] = "charge"

    def terms_for(self, standing: Standing) -> tuple[Terms, ...]:
        """The accounts that a run stands on: its agent's, named ones, its environment's."""
        found: list[Terms] = []
        agent = self.agents.get(standing.agent)
        if agent is not None:
            found += agent.terms(f"agent/{standing.agent}", self.thresholds)
        for name, (match, allowance) in self.accounts.items():
            if match.covers(standing):
                found += allowance.terms(f"account/{name}", self.thresholds)
        environment = self.environments.get(standing.environment)
        if environment is not None:
            found += environment.terms(f"env/{standing.environment}", self.thresholds)
        return tuple(found)

    def every_term(self) -> tuple[Terms, ...]:
        """All accounts, for whoever lists them."""
        named = {f"env/{name}": allowance for name, allowance in self.environments.items()}
        named |= {f"agent/{name}": allowance for name, allowance in self.agents.items()}
        named |= {f"account/{name}": allowance for name, (_, allowance) in self.accounts.items()}
        return tuple(
            terms
            for account, allowance in named.items()
            for terms in allowance.terms(account, self.thresholds)
        )


def with_default(environment: str, said: Allowance | None) -> Allowance:
    """What an environment may spend: what is said, and the default a day where that is silent."""
    usd = DEFAULT_USD_A_DAY.get(environment, LEAST_USD_A_DAY)
    limits = dict(said.limits) if said is not None else {}
    day = limits.get(Window.DAY, Budget())
    if day.usd is None:
        limits[Window.DAY] = Budget(usd=usd, tokens=day.tokens, calls=day.calls)
    return Allowance(MappingProxyType(limits), None if said is None else said.top_up)
