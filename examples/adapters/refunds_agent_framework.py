"""Microsoft Agent Framework: a refund that waits for a person, made by another process, once.

The model is a client of this file's own, on the framework's layers: nothing goes over the network.

    pip install 'guardrails-opa[agent_framework]'
    python examples/adapters/refunds_agent_framework.py
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    Message,
    tool,
)

import guardrails as gr
from guardrails.adapters.agent_framework import METADATA, AgentRuns, Guardrails

if TYPE_CHECKING:
    from collections.abc import Awaitable

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
SMALL = 1000
"""Dollars up to which nobody is asked."""


@tool
@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    print(f"tool: refunded ${amount:,} for {order_id}", flush=True)
    return f"refunded ${amount:,} for {order_id}"


class Model(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """A model that makes two refunds at once, and then says that it is done."""

    async def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
        if len(messages) > 1:
            contents = [Content.from_text("Both done.")]
        else:
            contents = [
                Content.from_function_call(
                    f"call_{number}",
                    "refund",
                    arguments={"order_id": f"A-{number}", "amount": amount},
                )
                for number, amount in ((17, 20), (18, 2000))
            ]
        return ChatResponse(messages=[Message("assistant", contents)])


def billing(governor: gr.Governor) -> Agent:
    """The agent; each of its runs is governed."""
    runs = AgentRuns(agent="billing-agent", governor=governor)
    return Agent(
        client=Model(), tools=[refund], middleware=[Guardrails(agent="billing-agent", runs=runs)]
    )


async def ended(going: Awaitable[Any]) -> Any:
    """What comes of a run."""
    return await going


def agent(project: Path) -> None:
    """The first process: it works until people are needed, and ends."""
    governor = gr.load_governor(project / "guardrails.yaml")
    working = billing(governor)
    session = working.create_session(session_id="case-17")
    result = asyncio.run(ended(working.run("Refund both.", session=session)))
    (waits,) = result.user_input_requests
    kept = {"session": session.to_dict(), "request": waits.to_dict()}
    (project / "kept.json").write_text(json.dumps(kept), "utf-8")
    shown = waits.additional_properties[METADATA]
    print(f"agent: {shown['message']}", flush=True)

    request = governor.approvals.get(shown["request_id"])
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


def worker(project: Path) -> None:
    """The second process: it goes on with the session, in the same run."""
    governor = gr.load_governor(project / "guardrails.yaml")
    kept = json.loads((project / "kept.json").read_text("utf-8"))
    session = AgentSession.from_dict(kept["session"])
    answer = Content.from_dict(kept["request"]).to_function_approval_response(approved=True)
    again = billing(governor).run(Message("user", [answer]), session=session)
    result = asyncio.run(ended(again))
    for message in result.messages:
        for content in message.contents:
            if content.type == "function_result":
                print(f"worker: {content.result}", flush=True)
    print(f"worker: {result.text}", flush=True)
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
