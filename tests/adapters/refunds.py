"""What every host's tests work with: a project on disk, an agent's tools, and who answers.

What a tool did stands in a file, so that it is seen from any process. The state of the project is
on disk, too: approvals are answered and calls resumed wherever somebody loads it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import guardrails as gr
from guardrails.model.approval import ApprovalState

AGENT = "billing-agent"
ROOT = Path(__file__).parents[2]

_AGENTS = f"""
{AGENT}:
  owner: dana.ruiz@acme.example
  budget: {{dev: {{usd: 5, calls: 20}}}}
  access: {{payments: [read, write], catalog: [read]}}
"""


def project(folder: Path) -> Path:
    """A new project in `folder`; its ``guardrails.yaml``."""
    (folder / "agents.yaml").write_text(_AGENTS, "utf-8")
    (folder / "guardrails.yaml").write_text("environment: dev\n", "utf-8")
    os.environ["REFUNDS"] = str(folder / "done.txt")
    return folder / "guardrails.yaml"


def done() -> list[str]:
    """What tools did, in any process."""
    path = Path(os.environ["REFUNDS"])
    return path.read_text("utf-8").splitlines() if path.exists() else []


def _do(line: str) -> None:
    with Path(os.environ["REFUNDS"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > 1000, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order.

    Args:
        order_id: The order, as A-17.
        amount: Whole dollars.
    """
    _do(f"refund {order_id} {amount}")
    return f"refunded {amount} for {order_id}"


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > 1000, approvers="finance-ops")
async def refund_async(order_id: str, amount: int) -> str:
    """Refund an order.

    Args:
        order_id: The order, as A-17.
        amount: Whole dollars.
    """
    await asyncio.sleep(0)
    _do(f"refund {order_id} {amount}")
    return f"refunded {amount} for {order_id}"


@gr.governed_tool(resource="orders", operation="delete")
def delete_order(order_id: str) -> str:
    """Delete an order."""
    _do(f"delete {order_id}")
    return "deleted"


def ungoverned_refund(order_id: str, amount: int) -> str:
    """Refund an order.

    Args:
        order_id: The order, as A-17.
        amount: Whole dollars.
    """
    _do(f"refund {order_id} {amount}")
    return f"refunded {amount} for {order_id}"


@gr.governed_tool(resource="payments", operation="write")
def asking_refund(order_id: str) -> str:
    """Refund an order to an account that a person names."""
    account = gr.escalate("to which account?", to="finance-ops")
    _do(f"refund {order_id} to {account}")
    return "refunded"


started = threading.Event()
killed = threading.Event()


@gr.governed_tool(resource="payments", operation="write")
async def slow_refund(order_id: str) -> str:
    """Refund an order, slowly."""
    _do(f"slow {order_id} began")
    started.set()
    await asyncio.sleep(30)
    _do(f"slow {order_id} ended")
    return "refunded"


@gr.governed_tool(resource="payments", operation="write")
def blocking_refund(order_id: str) -> str:
    """Refund an order, slowly, and cannot be stopped."""
    _do(f"slow {order_id} began")
    started.set()
    killed.wait(30)
    time.sleep(0.5)  # who was killed in the meantime hears of it before the end
    return "refunded"


def kill_once_started(governor: gr.Governor) -> threading.Thread:
    """A thread that kills the agent as soon as one of the slow tools is at work."""
    started.clear()
    killed.clear()

    def kill() -> None:
        assert started.wait(30)
        governor.kill(f"agent/{AGENT}", reason="wrong account")
        killed.set()

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def answer(config: Path, request_id: str, *, approved: bool = True) -> None:
    """Somebody of finance-ops answers, in this process."""
    governor = gr.load_governor(config)
    people: Any = governor.approvals
    say = people.approve if approved else people.reject
    say(request_id, by="kim.tan@acme.example", groups={"finance-ops"}, reason="as agreed")
    governor.close()


def edit(config: Path, request_id: str, args: dict[str, object]) -> None:
    """Somebody of finance-ops changes the arguments, and approves that."""
    governor = gr.load_governor(config)
    people: Any = governor.approvals
    kim = {"by": "kim.tan@acme.example", "groups": {"finance-ops"}}
    people.approve(people.edit(request_id, args, **kim).id, **kim)
    governor.close()


def pending(config: Path) -> list[str]:
    """The ids of the requests that wait."""
    governor = gr.load_governor(config)
    found = [each.id for each in governor.approvals.list(ApprovalState.PENDING)]
    governor.close()
    return found


def elsewhere(module: str, *args: object) -> str:
    """What another process prints that runs the module with the arguments."""
    command = [sys.executable, "-m", module, *map(str, args)]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def script(name: str) -> str:
    """What an example of an adapter prints."""
    path = ROOT / "examples" / "adapters" / name
    ended = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
