"""An agent's entry in the register, as far as enforcement needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.model.budget import Budget


@dataclass(frozen=True, slots=True)
class RegisteredAgent:
    """What the register says about one agent.

    Attributes:
        id: Its id.
        version: The version in use.
        owner: The e-mail address of the person who answers for it.
        labels: Sorted words.
        budgets: Its budget by environment; an environment without one is closed to it.
        delegates: Agents that its runs may open child runs for; True where such a child
            is also decided for every agent of its ancestry (``narrow``).
        deputy: The e-mail address of who answers for it otherwise.
        on_call: Whom to tell when it misbehaves.
        runbook: What they do then.
        dashboard: What they look at.
    """

    id: str
    version: str
    owner: str
    labels: tuple[str, ...] = ()
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    delegates: Mapping[str, bool] = field(default_factory=dict)
    deputy: str | None = None
    on_call: str | None = None
    runbook: str | None = None
    dashboard: str | None = None

    @property
    def whom(self) -> dict[str, str]:
        """Whom to tell about it, and what they look at, without what is not named."""
        named = ("owner", "deputy", "on_call", "runbook", "dashboard")
        return {name: getattr(self, name) for name in named if getattr(self, name) is not None}
