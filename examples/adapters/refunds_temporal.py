"""Temporal: a refund that waits for a person, while its workflow waits for a signal.

It needs a server:

    pip install 'guardrails-opa[temporal]'
    temporal server start-dev
    python examples/adapters/refunds_temporal.py
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    import guardrails as gr
    from guardrails.adapters.agent_runs import AgentRuns
    from guardrails.adapters.temporal import GovernedActivities, GovernedWorkflow, tell_workflow
    from guardrails.model.approval import ApprovalState

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
SMALL = 1000
"""Dollars up to which nobody is asked."""


@activity.defn
@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


@workflow.defn
class Refunds(GovernedWorkflow):
    """Makes two refunds, the second of which waits for a person."""

    @workflow.run
    async def run(self) -> list[str]:
        """What they gave."""
        made = []
        for order_id, amount in (("A-17", 20), ("A-18", 2000)):
            said = await self.governed_activity(
                refund, order_id, amount, start_to_close_timeout=timedelta(minutes=1)
            )
            made.append(said)
        return made


async def kim(client: Client, governor: gr.Governor) -> None:
    """Somebody of finance-ops: says yes to what waits, and lets its workflow know."""
    approvals = governor.approvals
    while not (waiting := list(approvals.list(ApprovalState.PENDING))):  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.2)
    for request in waiting:
        print(f"kim: yes to {dict(request.args)}", flush=True)
        approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
        await tell_workflow(client, request)


async def main(address: str) -> None:
    """Start a worker and a workflow, and answer."""
    client = await Client.connect(address)
    with TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "guardrails.yaml").write_text("environment: dev\n", "utf-8")
        (project / "agents.yaml").write_text(AGENTS, "utf-8")
        governor = gr.load_governor(project / "guardrails.yaml")
        governed = GovernedActivities(
            agent="billing-agent", runs=AgentRuns(agent="billing-agent", governor=governor)
        )
        with ThreadPoolExecutor(4) as threads:
            async with Worker(
                client,
                task_queue="refunds",
                workflows=[Refunds],
                activities=[refund],
                activity_executor=threads,
                interceptors=[governed],
            ):
                handle = await client.start_workflow(
                    Refunds.run, id=f"case-{uuid4()}", task_queue="refunds"
                )
                await kim(client, governor)
                for line in await handle.result():
                    print(f"workflow: {line}", flush=True)
        governed.close()
        governor.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "localhost:7233"))
