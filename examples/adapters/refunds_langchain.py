"""LangChain: a refund that waits for a person, and is made by another process, once.

The model is LangChain's own scripted one, so nothing is asked over the network.

    pip install 'guardrails-opa[langchain]' langgraph-checkpoint-sqlite
    python examples/adapters/refunds_langchain.py
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Command

import guardrails as gr
from guardrails.adapters.langchain import GovernedRuns, GuardrailsMiddleware

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
CASE: Any = {"configurable": {"thread_id": "case-17"}}
SMALL = 1000
"""Dollars up to which nobody is asked."""


@tool
@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


class Scripted(GenericFakeChatModel):
    """A model that says what it is told to."""

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        """Itself: it knows which tools it calls."""
        del tools
        return self


def billing(project: Path, *script: AIMessage) -> Any:
    """The agent; what it has done so far is kept in the project."""
    checkpoints = sqlite3.connect(project / "checkpoints.sqlite", check_same_thread=False)
    return create_agent(
        Scripted(messages=iter(script)),
        [refund],
        middleware=[GuardrailsMiddleware()],
        checkpointer=SqliteSaver(checkpoints),
    )


def agent(project: Path) -> None:
    """The first process: it works until people are needed, and ends."""
    governor = gr.load_governor(project / "guardrails.yaml")
    both = AIMessage(
        "",
        tool_calls=[
            {"name": "refund", "args": {"order_id": "A-17", "amount": 20}, "id": "call_1"},
            {"name": "refund", "args": {"order_id": "A-18", "amount": 2000}, "id": "call_2"},
        ],
    )
    with GovernedRuns(agent="billing-agent", governor=governor).of(CASE):
        result = billing(project, both).invoke({"messages": [("user", "Refund both.")]}, CASE)
    (waits,) = result["__interrupt__"]
    print(f"agent: {waits.value['message']}", flush=True)

    request = governor.approvals.get(waits.value["request_id"])
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


def worker(project: Path) -> None:
    """The second process: it goes on with the thread, in the same run."""
    governor = gr.load_governor(project / "guardrails.yaml")
    with GovernedRuns(agent="billing-agent", governor=governor).of(CASE):
        result = billing(project, AIMessage("Both done.")).invoke(Command(resume=True), CASE)
    for message in result["messages"]:
        if isinstance(message, ToolMessage):
            print(f"worker: {message.content}", flush=True)
    print(f"worker: {result['messages'][-1].content}", flush=True)
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
