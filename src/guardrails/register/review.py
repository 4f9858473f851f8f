"""What a valid register still lacks: findings that a review should settle before production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from guardrails.register.entries import AgentEntry
    from guardrails.register.register import Register
    from guardrails.register.source import Problem

PRODUCTION: Final = frozenset({"prod", "production", "live"})
"""Environments in which an agent's entry has to be complete."""

COMPLETE: Final = ("deputy", "purpose", "on_call", "signed_off", "review_by")
"""What an entry needs there."""


def findings(register: Register, today: date) -> tuple[Problem, ...]:
    """What is not settled, in the order of the file; nothing is a good register.

    Args:
        register: A register that loads.
        today: The day on which reviews must not be overdue.
    """
    found = (
        register.source.problem((name, *path), message, of_key=not path)
        for name, entry in register.entries.items()
        for path, message in _of_agent(entry, today)
    )
    return tuple(sorted(found, key=lambda problem: (problem.line, problem.col)))


def _of_agent(entry: AgentEntry, today: date) -> Iterator[tuple[tuple[str, ...], str]]:
    if not entry.budget:
        yield (), "has no budget, so no environment is open to it"
    if not entry.access:
        yield (), "has no access, so policy allows it nothing"
    production = sorted(PRODUCTION & entry.budget.keys())
    if production:
        for name in COMPLETE:
            if getattr(entry, name) is None:
                yield (), f"lacks `{name}`, which an agent in `{production[0]}` needs"
    if entry.review_by is not None and entry.review_by < today:
        yield ("review_by",), f"the review was due on {entry.review_by}; review it, set a new date"
    if entry.signed_off is not None and entry.signed_off.on > today:
        yield ("signed_off", "on"), f"{entry.signed_off.on} is in the future"
