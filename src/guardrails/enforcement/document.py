"""The input document: what policy gets to know about one call (``policies/input.schema.json``).

Nothing in it can be chosen by an agent but the arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.model.call import Step
from guardrails.model.money import dollars

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrails.enforcement.definition import Tool
    from guardrails.model.budget import Remaining, Usage
    from guardrails.model.call import Snapshot
    from guardrails.model.facts import AgentFacts
    from guardrails.runs.run import Run


class Constants:
    """The parts that the documents about calls of one tool, for one agent, in one run share.

    Nobody may change them: they stand in every document as they are.

    Attributes:
        agent: The agent as policy sees it.
        tool: The tool as policy sees it.
        ancestry: The run's ancestors, outermost first.
        labels: The run's labels.
        vouched: For the engine that decides: for what it has found these parts to fit, if so.
    """

    __slots__ = ("agent", "ancestry", "labels", "tool", "vouched")

    def __init__(self, run: Run, agent: AgentFacts, tool: Tool) -> None:
        self.agent = agent.document
        self.tool = tool.facts.document
        self.ancestry = [dict(each) for each in run.ancestry]
        self.labels = list(run.labels)
        self.vouched: object = None


def constants_of(run: Run, tool: Tool) -> tuple[Constants, ...]:
    """What documents about calls of `tool` in `run` share: one for each agent to decide for."""
    known: tuple[Constants, ...] | None = run.constants.get(tool)
    if known is None:
        agents = (run.agent, *run.narrowed_by)
        known = run.constants[tool] = tuple(Constants(run, agent, tool) for agent in agents)
    return known


def input_document(  # noqa: PLR0913  # its parts, each by its name
    *,
    run: Run,
    constants: Constants,
    args: dict[str, Any],
    call_id: str,
    snapshot: Snapshot,
    signals: Iterable[str],
    now_ns: int,
) -> dict[str, Any]:
    """The document about one call in `run`, of the tool and for the agent of `constants`.

    Raises:
        TypeError: a step of the snapshot is none.
    """
    return {
        "agent": constants.agent,
        "principal": run.principal,
        "tool": constants.tool,
        "args": args,
        "call": {"id": call_id},
        "run": {
            "id": run.id,
            "ancestry": constants.ancestry,
            "labels": constants.labels,
            "mode": run.mode.value,
            "calls": snapshot.calls,
            "history": dict(snapshot.history),
            "steps": _steps(snapshot.steps),
            "signals": list(signals),
            "spent": _usage(snapshot.spent),
            "reserved": _usage(snapshot.reserved),
            "remaining": _remaining(snapshot.remaining),
        },
        "time": now_ns,
    }


def _steps(steps: Sequence[Step]) -> list[dict[str, str]]:
    # Engines do not look at them again: their documents are made by `Step` alone.
    others = set(map(type, steps)) - _STEP
    if others:
        msg = f"a step of the run is a {min(each.__name__ for each in others)}"
        raise TypeError(msg)
    return [step.document for step in steps]


_STEP: Final = frozenset({Step})


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
