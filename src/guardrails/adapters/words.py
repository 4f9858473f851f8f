"""What policy is told of a host's tool whose function carries no ``@governed_tool``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Words:
    """What policy is told of a tool.

    Attributes:
        resource: What it works on, as grants name it; None for the tool's name.
        operation: What it does to it.
        labels: Words for policy.
    """

    resource: str | None = None
    operation: str = "execute"
    labels: tuple[str, ...] = ()
