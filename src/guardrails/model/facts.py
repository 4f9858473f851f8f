"""What policy may rely on because an agent cannot choose it: facts of tools and agents."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

KNOWN_LABELS: Final = frozenset(
    {"customer_facing", "moves_money", "production_config", "deletes_data"}
)
"""The labels that the shipped policy library knows: what no agent should do alone."""


class Mode(StrEnum):
    """How a run treats decisions; see ``docs/architecture.md``."""

    ENFORCE = "enforce"
    SHADOW = "shadow"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """The constants of a tool's decoration, as policy sees them.

    Attributes:
        name: Its name, unique under one governor.
        resource: What it works on; grants in the register name it.
        operation: What it does to it: ``read``, ``write``, ``execute``, …
        labels: Sorted words, as ``moves_money``.
        hidden: Sorted names of the parameters that policy does not see.
    """

    name: str
    resource: str
    operation: str = "execute"
    labels: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    document: dict[str, object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "document",
            {
                "name": self.name,
                "resource": self.resource,
                "operation": self.operation,
                "labels": list(self.labels),
                "hidden": list(self.hidden),
            },
        )


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """An agent as the register and the configuration describe it.

    Attributes:
        id: Its id in the register.
        version: The version in use, as ``"3"``.
        owner: The e-mail address of the person who answers for it.
        environment: Where it runs, from configuration alone.
        labels: Sorted words from the register.
        runbook: What its operators do when it misbehaves, where the register says so; not
            for policy.
    """

    id: str
    version: str
    owner: str
    environment: str
    labels: tuple[str, ...] = ()
    runbook: str | None = None
    document: dict[str, object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self,
            "document",
            {
                "id": self.id,
                "version": self.version,
                "owner": self.owner,
                "environment": self.environment,
                "labels": list(self.labels),
            },
        )
