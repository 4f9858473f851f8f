"""The register: every agent that exists, who answers for it and what it may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from guardrails.errors import ConfigError
from guardrails.model.registered import RegisteredAgent
from guardrails.register.entries import AgentEntry, Entries
from guardrails.register.source import Source, SourceError, nearest, quoted
from guardrails.register.written import for_policies
from guardrails.register.yaml_source import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from guardrails.register.source import Problem


@dataclass(frozen=True, slots=True)
class Register:
    """The agents by their ids; implements :class:`guardrails.ports.Register`.

    Attributes:
        entries: What the file says about each agent.
        source: Where it says so.
    """

    entries: Mapping[str, AgentEntry]
    source: Source = field(compare=False, repr=False)
    _agents: Mapping[str, RegisteredAgent] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        agents = {name: _registered(name, entry) for name, entry in self.entries.items()}
        object.__setattr__(self, "_agents", MappingProxyType(agents))

    @classmethod
    def load(cls, path: str | Path) -> Register:
        """The register in the YAML file at `path`.

        Raises:
            ConfigError: it cannot be read.
            SourceError: it is no register; every problem is named with its place.
        """
        return cls.from_source(read_yaml(path))

    @classmethod
    def from_source(cls, source: Source) -> Register:
        """The register that `source` holds.

        Raises:
            SourceError: it is no register; every problem is named with its place.
        """
        entries = source.validate(Entries).root
        problems = list(_unknown_delegates(entries, source))
        if problems:
            raise SourceError(problems)
        return cls(entries, source)

    def agent(self, agent_id: str) -> RegisteredAgent:
        """What enforcement needs of the agent's entry.

        Raises:
            ConfigError: there is no such agent; the message names those that exist.
        """
        found = self._agents.get(agent_id)
        if found is None:
            known = sorted(self._agents)
            raise ConfigError(
                f"there is no agent `{agent_id}` in {self.source.file}"
                f"{nearest(str(agent_id), known)}; there are {quoted(known)}"
            )
        return found

    def policy_data(self) -> dict[str, Any]:
        """What policies read as ``data.guardrails_data.agents``: a new plain value each time."""
        return {name: for_policies(entry) for name, entry in self.entries.items()}

    def matrix(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """What the register grants: agent → resource → operations, each sorted."""
        return {
            name: {
                resource: tuple(sorted(operations))
                for resource, operations in sorted(entry.access.items())
            }
            for name, entry in sorted(self.entries.items())
        }

    def who_can(self, operation: str, resource: str) -> tuple[str, ...]:
        """The agents that the register grants `operation` on `resource`, sorted."""
        return tuple(
            name for name, access in self.matrix().items() if operation in access.get(resource, ())
        )


def _registered(name: str, entry: AgentEntry) -> RegisteredAgent:
    on_call = entry.on_call
    return RegisteredAgent(
        id=name,
        version=entry.version,
        owner=entry.owner,
        labels=entry.labels,
        budgets=MappingProxyType({env: limit.budget() for env, limit in entry.budget.items()}),
        delegates=MappingProxyType({each.to: each.narrow for each in entry.delegates}),
        deputy=entry.deputy,
        on_call=None if on_call is None else on_call.notify,
        runbook=None if on_call is None else on_call.runbook,
        dashboard=None if on_call is None else on_call.dashboard,
    )


def _unknown_delegates(entries: Mapping[str, AgentEntry], source: Source) -> Iterator[Problem]:
    for name, entry in entries.items():
        for index, delegate in enumerate(entry.delegates):
            path = (name, "delegates", index)
            if delegate.to == name:
                yield source.problem(path, "an agent is no delegate of itself")
            elif delegate.to not in entries:
                known = sorted(entries.keys() - {name})
                there = f"there are {quoted(known)}" if known else "there is no other"
                hint = nearest(delegate.to, known)
                yield source.problem(path, f"there is no agent `{delegate.to}`{hint}; {there}")
