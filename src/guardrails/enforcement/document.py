"""The input document: what policy gets to know about one call (``policies/input.schema.json``).

Nothing in it can be chosen by an agent but the arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.model.money import dollars

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.model.budget import Remaining, Usage
    from guardrails.model.call import Snapshot
    from guardrails.model.facts import AgentFacts, ToolFacts
    from guardrails.runs.run import Run


def input_document(  # noqa: PLR0913  # its parts, each by its name
    *,
    run: Run,
    agent: AgentFacts,
    tool: ToolFacts,
    args: dict[str, Any],
    call_id: str,
    snapshot: Snapshot,
    signals: Iterable[str],
    now_ns: int,
) -> dict[str, Any]:
    """The document about one call of `tool` in `run`, decided for `agent`."""
    return {
        "agent": agent.document,
        "principal": run.principal,
        "tool": tool.document,
        "args": args,
        "call": {"id": call_id},
        "run": {
            "id": run.id,
            "ancestry": list(run.ancestry),
            "labels": list(run.labels),
            "mode": run.mode.value,
            "calls": snapshot.calls,
            "history": dict(snapshot.history),
            "steps": [step._asdict() for step in snapshot.steps],
            "signals": list(signals),
            "spent": _usage(snapshot.spent),
            "reserved": _usage(snapshot.reserved),
            "remaining": _remaining(snapshot.remaining),
        },
        "time": now_ns,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {"usd": dollars(usage.micro_usd), "tokens": usage.tokens, "calls": usage.calls}


def _remaining(remaining: Remaining) -> dict[str, Any]:
    # A dimension without a limit is absent, so that no rule takes it for a number.
    left: dict[str, Any] = {}
    if remaining.micro_usd is not None:
        left["usd"] = dollars(remaining.micro_usd)
    if remaining.tokens is not None:
        left["tokens"] = remaining.tokens
    if remaining.calls is not None:
        left["calls"] = remaining.calls
    if remaining.seconds is not None:
        left["seconds"] = int(remaining.seconds)
    return left
