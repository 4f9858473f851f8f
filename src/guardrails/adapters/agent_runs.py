"""The run of an agent, opened by the adapter where the program has opened none."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.assembly import run
from guardrails.errors import ConfigError
from guardrails.runs.context import current_run

if TYPE_CHECKING:
    from collections.abc import Collection

    from guardrails.governor import Governor
    from guardrails.model.budget import Budget
    from guardrails.runs.run import Run


@dataclass(frozen=True, kw_only=True)
class AgentRuns:
    """How runs of one agent are opened; the words are those of ``guardrails.run``.

    Attributes:
        agent: The agent's id in the register.
        governor: None for the default one.
        budget: A run's limits; None for the register's.
        principal: On whose behalf.
        labels: Words for policy.
        mode: None for enforcement.
        wait: Seconds that a call waits for people in place; None to be suspended at once.
    """

    agent: str
    governor: Governor | None = None
    budget: Budget | None = None
    principal: str | None = None
    labels: Collection[str] | None = None
    mode: str | None = None
    wait: float | None = None

    def open(self, id: str | None) -> AbstractContextManager[Run]:
        """The current run where there is one, which stays open; else a new one.

        Args:
            id: The new run's id. Approvals belong to it: whoever goes on with the work in
                another process opens the run with the same id.
        """
        current = current_run()
        if current is not None:
            return nullcontext(current)
        return run(
            self.agent,
            budget=self.budget,
            principal=self.principal,
            labels=self.labels,
            mode=self.mode,
            id=id,
            wait=self.wait,
            governor=self.governor,
        )


def runs_of(agent: str, runs: AgentRuns | None) -> AgentRuns:
    """How the runs of `agent` are opened: as `runs` says, or as its register says.

    Raises:
        ConfigError: `runs` are those of another agent.
    """
    if runs is None:
        return AgentRuns(agent=agent)
    if runs.agent != agent:
        msg = f"the runs of `{runs.agent}` are no runs of `{agent}`; name the same agent in both"
        raise ConfigError(msg)
    return runs


__all__ = ["AgentRuns", "runs_of"]
