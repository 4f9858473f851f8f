"""OpenAI Agents SDK: a refund that waits for a person, and is made by another process, once.

The model is the SDK's own scripted one, so nothing is asked over the network.

    pip install 'guardrails-opa[openai_agents]'
    python examples/adapters/refunds_openai_agents.py
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from agents import RunConfig, RunState, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

import guardrails as gr
from guardrails.adapters.openai_agents import GovernedAgent, GovernedRunner

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""

SMALL = 1000
"""Dollars up to which nobody is asked."""


@function_tool
@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


def billing() -> GovernedAgent:
    """The agent; its model makes two refunds at once, and then says that it is done."""
    script = [
        function_call("refund", {"order_id": "A-17", "amount": 20}, call_id="call_1"),
        function_call("refund", {"order_id": "A-18", "amount": 2000}, call_id="call_2"),
    ]
    model = ScriptedModel([script, *[[assistant_message("Both are refunded.")]] * 2])
    return GovernedAgent(name="Billing", model=model, tools=[refund])


async def agent(project: Path) -> None:
    """The first process: it works until people are needed, and ends."""
    governor = gr.load_governor(project / "guardrails.yaml")
    runner = GovernedRunner(agent="billing-agent", governor=governor)
    quiet = RunConfig(tracing_disabled=True)
    result = await runner.run(billing(), "Refund both.", id="case-17", run_config=quiet)
    print(f"agent: {len(result.interruptions)} call waits", flush=True)
    (project / "state.json").write_text(result.to_state().to_string(), "utf-8")

    (request,) = governor.approvals.list()
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


async def worker(project: Path) -> None:
    """The second process: it goes on from the state, in the same run."""
    governor = gr.load_governor(project / "guardrails.yaml")
    runner = GovernedRunner(agent="billing-agent", governor=governor)
    afresh = GovernedAgent(
        name="Billing", model=ScriptedModel([[assistant_message("Both done.")]]), tools=[refund]
    )
    state = await RunState.from_string(afresh, (project / "state.json").read_text("utf-8"))
    quiet = RunConfig(tracing_disabled=True)
    result = await runner.run(afresh, state, id="case-17", run_config=quiet)
    for item in result.new_items:
        if item.type == "tool_call_output_item":
            print(f"worker: {item.output}", flush=True)
    print(f"worker: {result.final_output}", flush=True)
    governor.close()


def main() -> None:
    """Play both processes."""
    with TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "guardrails.yaml").write_text("environment: dev\n", "utf-8")
        (project / "agents.yaml").write_text(AGENTS, "utf-8")
        asyncio.run(agent(project))
        subprocess.run([sys.executable, __file__, folder], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(worker(Path(sys.argv[1])))
    else:
        main()
