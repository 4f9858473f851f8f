"""The input document: what policy gets to know about one call (``policies/input.schema.json``).

Nothing in it can be chosen by an agent but the arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardrails.model.money import dollars
from guardrails.runs.ledgers.books import Books

if TYPE_CHECKING:
    from guardrails.enforcement.definition import Tool
    from guardrails.model.call import Snapshot
    from guardrails.model.facts import AgentFacts
    from guardrails.runs.run import Run


class Constants:
    """The parts that the documents about calls of one tool, for one agent, in one run share.

    Nobody may change them: they stand in every document as they are.

    Attributes:
        agent: The agent as policy sees it.
        principal: On whose behalf, if anybody's.
        tool: The tool as policy sees it.
        run_id: The run.
        ancestry: The run's ancestors, outermost first.
        labels: The run's labels.
        mode: The run's mode.
        are_exact: Whether the run's ledger gives snapshots of exact types, as ours do.
        vouched: For the engine that decides: for what it has found these parts to fit, if so.
    """

    __slots__ = (
        "agent",
        "ancestry",
        "are_exact",
        "labels",
        "mode",
        "principal",
        "run_id",
        "tool",
        "vouched",
    )

    def __init__(self, run: Run, agent: AgentFacts, tool: Tool) -> None:
        self.agent = agent.document
        self.principal = run.principal
        self.tool = tool.facts.document
        self.run_id = run.id
        self.ancestry = [dict(each) for each in run.ancestry]
        self.labels = list(run.labels)
        self.mode = run.mode.value
        self.are_exact = isinstance(run.governor.ledger, Books)
        self.vouched: object = None


def constants_of(run: Run, tool: Tool) -> tuple[Constants, ...]:
    """What documents about calls of `tool` in `run` share: one for each agent to decide for."""
    known: tuple[Constants, ...] | None = run.constants.get(tool)
    if known is None:
        agents = (run.agent, *run.narrowed_by)
        known = run.constants[tool] = tuple(Constants(run, agent, tool) for agent in agents)
    return known


def input_document(  # noqa: PLR0913, PLR0917  # its parts; by name they would cost
    constants: Constants,
    args: dict[str, Any],
    call_id: str,
    snapshot: Snapshot,
    signals: list[str],
    now_ns: int,
) -> dict[str, Any]:
    """The document about one call of the tool, in the run and for the agent of `constants`.

    INVARIANT: Of exact arguments and an exact snapshot it is of the published shape
    (``tests/engines/test_made_documents.py``); nothing is copied, and nobody may change it.
    """
    remaining = snapshot.remaining
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
    spent = snapshot.spent
    reserved = snapshot.reserved
    return {
        "agent": constants.agent,
        "principal": constants.principal,
        "tool": constants.tool,
        "args": args,
        "call": {"id": call_id},
        "run": {
            "id": constants.run_id,
            "ancestry": constants.ancestry,
            "labels": constants.labels,
            "mode": constants.mode,
            "calls": snapshot.calls,
            "history": snapshot.history,
            "steps": snapshot.steps,
            "signals": signals,
            "spent": {
                "usd": dollars(spent.micro_usd),
                "tokens": spent.tokens,
                "calls": spent.calls,
            },
            "reserved": {
                "usd": dollars(reserved.micro_usd),
                "tokens": reserved.tokens,
                "calls": reserved.calls,
            },
            "remaining": left,
        },
        "time": now_ns,
    }
