"""A worker makes approved calls: the agent asks and goes home, another process pays later, once.

The agent's process leaves its run when people have to answer. A worker of a queue knows the
tools (`tools=[…]`) and makes the call by the id of its request, when it is approved. A job that
is delivered twice is paid once.

    python examples/approvals_queue_worker.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import guardrails as gr

AGENTS = """
invoice-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5}}
  access: {payments: [write]}
"""


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(approvers="finance-ops")
def pay(invoice: str, amount: int) -> str:
    """Pay an invoice."""
    return f"paid ${amount:,} for {invoice}"


def worker(project: str, *jobs: str) -> None:
    """Work through a queue of request ids, as any queue delivers them: at least once."""
    governor = gr.load_governor(Path(project) / "guardrails.yaml", tools=[pay])
    for request_id in jobs:
        try:
            print(f"worker: {governor.resume_call(request_id)}", flush=True)
        except gr.Refusal as refusal:
            print(f"worker: not made ({refusal.code})", flush=True)
    governor.close()


def main() -> None:
    """Play the agent, then finance-ops, then the queue."""
    with TemporaryDirectory() as project:
        Path(project, "guardrails.yaml").write_text("environment: dev\n", "utf-8")
        Path(project, "agents.yaml").write_text(AGENTS, "utf-8")
        governor = gr.load_governor(Path(project) / "guardrails.yaml")
        jobs: list[str] = []
        with governor.run("invoice-agent", id="invoices-of-today"):
            for invoice, amount in (("INV-1", 4180), ("INV-2", 9000)):
                try:
                    pay(invoice, amount)
                except gr.ApprovalPending as pending:
                    print(f"agent: {invoice} asked", flush=True)
                    jobs.append(pending.request_id)

        # A person approves the first, and halves the second.
        people = governor.approvals
        kim = {"by": "kim.tan@acme.example", "groups": {"finance-ops"}}
        people.approve(jobs[0], **kim)  # type: ignore[arg-type]  # who it is, by name
        half = people.edit(jobs[1], {"invoice": "INV-2", "amount": 4500}, **kim)  # type: ignore[attr-defined]  # as above
        people.approve(half.id, **kim)  # type: ignore[arg-type]  # as above
        governor.close()
        queue = [jobs[0], jobs[1], jobs[0]]
        subprocess.run([sys.executable, __file__, project, *queue], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(*sys.argv[1:])
    else:
        main()
