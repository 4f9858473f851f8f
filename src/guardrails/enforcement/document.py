"""The input document: what policy gets to know about one call (``policies/input.schema.json``).

Nothing in it can be chosen by an agent but the arguments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement import breaking
from guardrails.engines.made_documents import decide_made_of
from guardrails.errors import PolicyError
from guardrails.model.budget import NO_USAGE
from guardrails.model.money import dollars
from guardrails.runs.ledgers.books import Books

if TYPE_CHECKING:
    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool
    from guardrails.model.budget import Usage
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
        decide_made: How the engine decides about documents whose types need no check; None where
            it has no such way, or where the run's ledger is not ours, whose snapshots are of exact
            types.
        vouched: For the engine that decides: for what it has found these parts to fit, if so.
    """

    __slots__ = (
        "agent",
        "ancestry",
        "decide_made",
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
        is_exact = isinstance(run.governor.ledger, Books)
        self.decide_made = decide_made_of(run.governor.engine) if is_exact else None
        self.vouched: object = None


def constants_of(run: Run, tool: Tool) -> tuple[Constants, ...]:
    """What documents about calls of `tool` in `run` share: one for each agent to decide for."""
    known: tuple[Constants, ...] | None = run.constants.get(tool)
    if known is None:
        agents = (run.agent, *run.narrowed_by)
        known = run.constants[tool] = tuple(Constants(run, agent, tool) for agent in agents)
    return known


def _amounts(usage: Usage) -> dict[str, Any]:
    usd, tokens, calls = usage
    return {"usd": dollars(usd), "tokens": tokens, "calls": calls}


_NOTHING: Final = _amounts(NO_USAGE)
"""What most calls find reserved: shared by all documents, as the constants are."""


def input_document(call: Call, constants: Constants) -> dict[str, Any]:
    """The document about `call`, with the parts that it shares with other calls; also put on it.

    INVARIANT: Of exact arguments and an exact snapshot it is of the published shape
    (``tests/engines/test_made_documents.py``); nothing is copied, and nobody may change it.

    Raises:
        PolicyError: the call holds no reservation.
    """
    hold = call.hold
    if hold is None:
        message = "a call is decided with its reservation"
        raise PolicyError(message)
    calls, history, spent, reserved, remaining, steps = hold.snapshot
    # A dimension without a limit is absent, so that no rule takes it for a number.
    left: dict[str, Any] = {}
    usd_left, tokens_left, calls_left, seconds_left = remaining
    if usd_left is not None:
        left["usd"] = dollars(usd_left)
    if tokens_left is not None:
        left["tokens"] = tokens_left
    if calls_left is not None:
        left["calls"] = calls_left
    if seconds_left is not None:
        left["seconds"] = int(seconds_left)
    spent_usd, spent_tokens, spent_calls = spent
    document = call.document = {
        "agent": constants.agent,
        "principal": constants.principal,
        "tool": constants.tool,
        "args": call.arguments.document,
        "call": {"id": call.decision_id if call.host is None else call.shown_id},
        "run": {
            "id": constants.run_id,
            "ancestry": constants.ancestry,
            "labels": constants.labels,
            "mode": constants.mode,
            "calls": calls,
            "history": history,
            "steps": steps,
            "signals": breaking.signals(call) if call.breakers else [],
            "spent": {"usd": dollars(spent_usd), "tokens": spent_tokens, "calls": spent_calls},
            "reserved": _NOTHING if reserved is NO_USAGE else _amounts(reserved),
            "remaining": left,
        },
        "time": call.run.governor.clock.now_ns(),
    }
    return document
