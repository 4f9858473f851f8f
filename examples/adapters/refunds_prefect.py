"""Prefect: a flow run that waits for a person, and is resumed by another process.

Prefect's own server runs here for the time of the example.

    pip install 'guardrails-opa[prefect]'
    python examples/adapters/refunds_prefect.py
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import prefect
from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.flow_runs import resume_flow_run
from prefect.testing.utilities import prefect_test_harness

import guardrails as gr
from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.prefect import governed, governed_flow

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
SMALL = 1000
"""Dollars up to which nobody is asked."""


@governed
@task(retries=2)
@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


def work(project: Path, flow_run_id: UUID, who: str) -> gr.Governor:
    """Run the flow run, as a worker of Prefect does; the governor that is still open."""
    governor = gr.load_governor(project / "guardrails.yaml")
    runs = AgentRuns(agent="billing-agent", governor=governor)

    @flow(name="refunds", persist_result=True)
    @governed_flow(agent="billing-agent", runs=runs)
    def refunds() -> list[str]:
        return [refund("A-17", 20), refund("A-18", 2000)]

    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(flow_run_id)
    try:
        made = run_flow(refunds, flow_run=flow_run)
    except Pause:
        print(f"{who}: the flow run is suspended", flush=True)
    else:
        if isinstance(made, list):
            for line in made:
                print(f"{who}: {line}", flush=True)
    return governor


def agent(project: Path) -> None:
    """The first process: it works until people are needed; they answer; the flow run is resumed."""
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(
            flow_id=client.create_flow_from_name("refunds"), name="refunds"
        )
        flow_run_id = client.create_flow_run_from_deployment(deployment).id
    governor = work(project, flow_run_id, "agent")
    for request in governor.approvals.list():
        print(f"kim: yes to {dict(request.args)}", flush=True)
        governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()
    resume_flow_run(flow_run_id)
    url = str(prefect.settings.PREFECT_API_URL.value())
    subprocess.run(
        [sys.executable, __file__, str(project), str(flow_run_id)],
        check=True,
        env={**os.environ, "PREFECT_API_URL": url},
    )


def main() -> None:
    """Play both processes."""
    with TemporaryDirectory() as folder, prefect_test_harness(server_startup_timeout=240):
        project = Path(folder)
        (project / "guardrails.yaml").write_text("environment: dev\n", "utf-8")
        (project / "agents.yaml").write_text(AGENTS, "utf-8")
        agent(project)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(Path(sys.argv[1]), UUID(sys.argv[2]), "worker").close()
    else:
        main()
