"""Pydantic AI: a refund that waits for a person, and is made by another process, once.

The model is Pydantic AI's own model of a function, so nothing is asked over the network.

    pip install 'guardrails-opa[pydantic_ai]'
    python examples/adapters/refunds_pydantic_ai.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.tools import DeferredToolRequests

import guardrails as gr
from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.pydantic_ai import METADATA, Guardrails

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
REQUESTS = TypeAdapter(DeferredToolRequests)
SMALL = 1000
"""Dollars up to which nobody is asked."""


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


def says(messages: list[Any], _info: Any) -> ModelResponse:
    """A model that makes two refunds at once, and then says that it is done."""
    if len(messages) > 1:
        return ModelResponse([TextPart("Both done.")])
    return ModelResponse(
        [
            ToolCallPart("refund", {"order_id": "A-17", "amount": 20}, "call_1"),
            ToolCallPart("refund", {"order_id": "A-18", "amount": 2000}, "call_2"),
        ]
    )


def billing(governor: gr.Governor) -> Agent[None, str | DeferredToolRequests]:
    """The agent; each of its runs is governed."""
    runs = AgentRuns(agent="billing-agent", governor=governor)
    return Agent(
        FunctionModel(says),
        tools=[refund],
        output_type=[str, DeferredToolRequests],
        capabilities=[Guardrails(agent="billing-agent", runs=runs)],
    )


def agent(project: Path) -> None:
    """The first process: it works until people are needed, and ends."""
    governor = gr.load_governor(project / "guardrails.yaml")
    result = asyncio.run(billing(governor).run("Refund both.", conversation_id="case-17"))
    if not isinstance(result.output, DeferredToolRequests):
        raise TypeError(result.output)
    (project / "history.json").write_bytes(result.all_messages_json())
    (project / "requests.json").write_bytes(REQUESTS.dump_json(result.output))
    (waits,) = result.output.metadata.values()
    print(f"agent: {waits[METADATA]['message']}", flush=True)

    request = governor.approvals.get(waits[METADATA]["request_id"])
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


def worker(project: Path) -> None:
    """The second process: it goes on with the conversation, in the same run."""
    governor = gr.load_governor(project / "guardrails.yaml")
    requests = REQUESTS.validate_json((project / "requests.json").read_bytes())
    history = ModelMessagesTypeAdapter.validate_json((project / "history.json").read_bytes())
    result = asyncio.run(
        billing(governor).run(
            message_history=history,
            deferred_tool_results=requests.build_results(approve_all=True),
        )
    )
    for message in result.all_messages():
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                print(f"worker: {part.content}", flush=True)
    print(f"worker: {result.output}", flush=True)
    governor.close()


def main() -> None:
    """Play both processes."""
    with TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "guardrails.yaml").write_text("environment: dev\n", "utf-8")
        (project / "agents.yaml").write_text(AGENTS, "utf-8")
        agent(project)
        subprocess.run([sys.executable, __file__, folder], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(Path(sys.argv[1]))
    else:
        main()
