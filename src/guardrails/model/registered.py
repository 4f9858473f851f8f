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
    """

    id: str
    version: str
    owner: str
    labels: tuple[str, ...] = ()
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    delegates: Mapping[str, bool] = field(default_factory=dict)
