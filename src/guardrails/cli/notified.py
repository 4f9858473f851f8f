"""Whom a kill concerns: owner, deputy and on-call of the agents, by the register."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.model.kill import Scope
    from guardrails.register import Register
    from guardrails.runs.directory import ListedRun


def concerned(
    scope: Scope, register: Register | None, covered: Iterable[ListedRun]
) -> list[dict[str, Any]]:
    """Whom to tell, by agent: the agent named, and those of the runs that are covered."""
    agents = {run.agent for run in covered}
    if scope.kind == "agent":
        agents.add(scope.name.partition("@")[0])
    if register is None:
        return []
    people = []
    for agent in sorted(agents & register.entries.keys()):
        entry = register.entries[agent]
        one: dict[str, Any] = {"agent": agent, "owner": entry.owner}
        if entry.deputy is not None:
            one["deputy"] = entry.deputy
        if entry.on_call is not None:
            one["on_call"] = entry.on_call.notify
            if entry.on_call.runbook is not None:
                one["runbook"] = entry.on_call.runbook
        people.append(one)
    return people


def line_of(one: dict[str, Any]) -> str:
    """One agent's people on a line."""
    words = [f"owner {one['owner']}"]
    words += [
        f"{word.replace('_', ' ')} {one[word]}" for word in ("deputy", "on_call") if word in one
    ]
    words += [f"runbook {one['runbook']}"] if "runbook" in one else []
    return f"{one['agent']}: {', '.join(words)}"
