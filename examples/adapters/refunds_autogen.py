"""AutoGen: a refund that waits for a person, and is made by another process, once.

The model is AutoGen's own double, which replays what it is given: nothing goes over the network.

    pip install 'guardrails-opa[autogen]' autogen-ext
    python examples/adapters/refunds_autogen.py
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from autogen_core import AgentId, FunctionCall, SingleThreadedAgentRuntime
from autogen_core.models import (
    CreateResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    UserMessage,
)
from autogen_core.tool_agent import ToolAgent, tool_agent_caller_loop
from autogen_core.tools import FunctionTool, Tool
from autogen_ext.models.replay import ReplayChatCompletionClient

import guardrails as gr
from guardrails.adapters.autogen import AgentRuns, Guardrails, governed

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
SMALL = 1000
"""Dollars up to which nobody is asked."""
ABOUT: Any = {
    "vision": False,
    "function_calling": True,
    "json_output": False,
    "family": "unknown",
    "structured_output": False,
}


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


TOOLS: list[Tool] = [governed(FunctionTool(refund, "Refund an order."))]


def model(refunds: list[tuple[str, int]], then: str) -> ReplayChatCompletionClient:
    """A model that makes these refunds at once, and then says that."""
    asked = [
        FunctionCall(order, json.dumps({"order_id": order, "amount": amount}), "refund")
        for order, amount in refunds
    ]
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    answer = CreateResult(finish_reason="function_calls", content=asked, usage=usage, cached=False)
    return ReplayChatCompletionClient([answer, then], model_info=ABOUT)


async def work(governor: gr.Governor, said: ReplayChatCompletionClient) -> list[LLMMessage]:
    """What the agent says, in a run of which the id is the case's."""
    runs = AgentRuns(agent="billing-agent", governor=governor)
    guardrails = Guardrails(agent="billing-agent", runs=runs)
    runtime = SingleThreadedAgentRuntime(intervention_handlers=[guardrails])
    await ToolAgent.register(runtime, "tools", lambda: ToolAgent("Refunds.", TOOLS))
    runtime.start()
    asked: list[LLMMessage] = [UserMessage(content="Refund both.", source="user")]
    try:
        with guardrails.of("case-17"):
            there = AgentId("tools", "default")
            return await tool_agent_caller_loop(runtime, there, said, asked, TOOLS)
    finally:
        await runtime.stop()


def tell(who: str, messages: list[LLMMessage]) -> None:
    """Print what the tools and the model said."""
    for message in messages:
        if isinstance(message, FunctionExecutionResultMessage):
            for result in message.content:
                print(f"{who}: {result.content}", flush=True)
    print(f"{who}: {messages[-1].content}", flush=True)


def agent(project: Path) -> None:
    """The first process: it works until people are needed, and ends."""
    governor = gr.load_governor(project / "guardrails.yaml")
    said = model([("A-17", 20), ("A-18", 2000)], "A-18 waits.")
    tell("agent", asyncio.run(work(governor, said)))

    (request,) = governor.approvals.list()
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


def worker(project: Path) -> None:
    """The second process: the same call, in a run of the same id."""
    governor = gr.load_governor(project / "guardrails.yaml")
    said = model([("A-18", 2000)], "Both done.")
    tell("worker", asyncio.run(work(governor, said)))
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
