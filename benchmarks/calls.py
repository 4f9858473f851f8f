"""Input documents for benchmarks, in the shape that enforcement gives them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON: Final = 1_781_524_800_000_000_000
"""2026-06-15T12:00:00Z in nanoseconds: when every call takes place that says nothing else."""

_STEPS: Final = (
    {"tool": "get_order", "operation": "read", "effect": "allow", "outcome": "ok"},
    {"tool": "get_customer", "operation": "read", "effect": "allow", "outcome": "ok"},
    {"tool": "send_mail", "operation": "write", "effect": "deny", "outcome": "refused"},
    {"tool": "get_order", "operation": "read", "effect": "allow", "outcome": "ok"},
)


def call(  # noqa: PLR0913  # the parts of a call, by name
    *,
    agent: str,
    tool: str,
    resource: str,
    operation: str,
    args: dict[str, Any],
    labels: Sequence[str] = (),
    environment: str = "prod",
    owner: str = "dana.ruiz@acme.example",
    remaining: dict[str, Any] | None = None,
    time: int = NOON,
) -> dict[str, Any]:
    """The document about one call, as :mod:`guardrails.enforcement.document` makes it.

    Args:
        agent: The agent's id.
        tool: The tool's name.
        resource: What it works on.
        operation: What it does to it.
        args: The arguments, of exact JSON types.
        labels: The tool's labels.
        environment: Where the agent runs.
        owner: The person who answers for the agent.
        remaining: What the run may still spend; None for some of everything.
        time: UTC, in nanoseconds.
    """
    return {
        "agent": {
            "id": agent,
            "version": "3",
            "owner": owner,
            "environment": environment,
            "labels": [],
        },
        "principal": "customer:4711",
        "tool": {
            "name": tool,
            "resource": resource,
            "operation": operation,
            "labels": sorted(labels),
            "hidden": [],
        },
        "args": args,
        "call": {"id": "0197739c-1c00-7000-8000-00000000002a"},
        "run": {
            "id": "0197739c-0000-7000-8000-000000000001",
            "ancestry": [],
            "labels": [],
            "mode": "enforce",
            "calls": 4,
            "history": {"get_order": 2, "get_customer": 1, "send_mail": 1},
            "steps": [dict(step) for step in _STEPS],
            "signals": [],
            "spent": {"usd": Decimal("0.04"), "tokens": 5120, "calls": 4},
            "reserved": {"usd": Decimal(0), "tokens": 0, "calls": 0},
            "remaining": {"usd": Decimal("4.96"), "calls": 46, "seconds": 512}
            if remaining is None
            else remaining,
        },
        "time": time,
    }
