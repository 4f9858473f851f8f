"""CrewAI: a refund that waits for a person, and is made by another process, once.

CrewAI suspends no call: the first crew is told that one waits, and ends; the second makes it again.
The model is scripted, so nothing is asked over the network.

How CrewAI is installed beside guardrails is said in docs/adapters.md.

    python examples/adapters/refunds_crewai.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before CrewAI is imported: it would report to its maker.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool

import guardrails as gr
from guardrails.adapters.crewai import GovernedRuns, governed
from guardrails.model.approval import ApprovalState

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
    return f"refunded ${amount:,} for {order_id}"


class Scripted(BaseLLM):
    """A model that makes one refund, and then repeats what it read of it."""

    amount: int

    def call(self, messages: Any, *_given: Any, **_options: Any) -> Any:
        """One answer."""
        read = [each["content"] for each in messages if each.get("role") == "tool"]
        if read:
            return read[0]
        arguments = json.dumps({"order_id": "A-18", "amount": self.amount})
        return [{"id": "call_1", "function": {"name": "refund", "arguments": arguments}}]

    def supports_function_calling(self) -> bool:
        """It has tools of its own."""
        return True


def work(governor: gr.Governor) -> str:
    """What a crew comes to; its run has the same id in each process."""
    billing = Agent(
        role="Billing",
        goal="Refund what is due.",
        backstory="You refund orders.",
        llm=Scripted(model="scripted", amount=2000),
        tools=[governed(refund)],
    )
    task = Task(description="Refund A-18.", expected_output="What was done.", agent=billing)
    with GovernedRuns(agent="billing-agent", governor=governor).of("case-17"):
        return str(Crew(agents=[billing], tasks=[task]).kickoff())


def agent(project: Path) -> None:
    """The first process: its call needs a person."""
    governor = gr.load_governor(project / "guardrails.yaml")
    print(f"agent: {work(governor)}", flush=True)
    (request,) = governor.approvals.list(ApprovalState.PENDING)
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


def worker(project: Path) -> None:
    """The second process: the same call, in a run of the same id."""
    governor = gr.load_governor(project / "guardrails.yaml")
    print(f"worker: {work(governor)}", flush=True)
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
