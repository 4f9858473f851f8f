"""Google ADK: a refund that waits for a person, and is made by another process, once.

The model is scripted, so nothing is asked over the network.

    pip install 'guardrails-opa[google_adk]'
    python examples/adapters/refunds_google_adk.py
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

import guardrails as gr
from guardrails.adapters.google_adk import GovernedRuns, Guardrails, confirmations, confirmed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

AGENTS = """
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5, calls: 20}}
  access: {payments: [write]}
"""
SMALL = 1000
"""Dollars up to which nobody is asked."""


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > SMALL, approvers="finance-ops")
def refund(order_id: str, amount: int) -> str:
    """Refund an order, in whole dollars."""
    return f"refunded ${amount:,} for {order_id}"


class Scripted(BaseLlm):
    """A model that makes two refunds at once, and then says that it is done."""

    async def generate_content_async(
        self,
        llm_request: Any,
        stream: bool = False,  # noqa: FBT001, FBT002  # the host's
    ) -> AsyncGenerator[LlmResponse, None]:
        """One answer."""
        del stream
        if len(llm_request.contents) > 1:
            parts = [types.Part(text="Both done.")]
        else:
            parts = [
                types.Part.from_function_call(name="refund", args={"order_id": order, "amount": of})
                for order, of in (("A-17", 20), ("A-18", 2000))
            ]
        yield LlmResponse(content=types.Content(role="model", parts=parts))


async def work(project: Path, governor: gr.Governor, message: types.Content) -> list[Any]:
    """What the agent makes of a message, as the host's events."""
    agent = LlmAgent(name="billing", model=Scripted(model="scripted"), tools=[refund])
    runner = Runner(
        app=App(name="refunds", root_agent=agent, plugins=[Guardrails()]),
        session_service=SqliteSessionService(str(project / "sessions.db")),
        auto_create_session=True,
    )
    with GovernedRuns(agent="billing-agent", governor=governor).of("case-17"):
        return [
            event
            async for event in runner.run_async(
                user_id="dana", session_id="case-17", new_message=message
            )
        ]


def agent(project: Path) -> None:
    """The first process: it works until people are needed, and ends."""
    governor = gr.load_governor(project / "guardrails.yaml")
    message = types.Content(role="user", parts=[types.Part(text="Refund both.")])
    events = asyncio.run(work(project, governor, message))
    asked = [each for event in events for each in confirmations(event)]
    (project / "asked.json").write_text(json.dumps(asked), "utf-8")
    (waits,) = asked
    print(f"agent: {waits['message']}", flush=True)

    request = governor.approvals.get(waits["request_id"])
    print(f"kim: yes to {dict(request.args)}", flush=True)
    governor.approvals.approve(request.id, by="kim.tan@acme.example", groups={"finance-ops"})
    governor.close()


def worker(project: Path) -> None:
    """The second process: it goes on with the session, in the same run."""
    governor = gr.load_governor(project / "guardrails.yaml")
    asked = json.loads((project / "asked.json").read_text("utf-8"))
    for event in asyncio.run(work(project, governor, confirmed(asked))):
        for response in event.get_function_responses():
            print(f"worker: {response.response['result']}", flush=True)
        for part in event.content.parts:
            if part.text:
                print(f"worker: {part.text}", flush=True)
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
