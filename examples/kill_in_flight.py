"""A kill in mid-work: an agent and its two child runs stop inside calls that take 30 seconds.

Its loops swallow every `Exception`, as agent hosts do. A kill is none: it cancels the calls in
flight and passes through the loops, up to the run that was killed, which raises `RunStopped`.

    python examples/kill_in_flight.py
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

import guardrails as gr

HERE = Path(__file__).parent
TOPICS = ("credit rating", "lawsuits")


@gr.governed_tool(resource="web", operation="read")
@gr.budget(cost="0.05")
async def read_sources(topic: str) -> str:
    """What the web says about `topic`; it takes half a minute."""
    await asyncio.sleep(30)
    return f"nothing new about {topic}"


async def follow(topic: str) -> None:
    """A child run: read on and on, whatever goes wrong."""
    async with gr.run("research-agent"):
        while True:
            with suppress(Exception):
                await read_sources(topic)


async def research(governor: gr.Governor) -> None:
    """The agent's work: an overview, and a child run for each topic.

    Raises:
        guardrails.RunStopped: somebody killed it.
    """
    async with governor.run("research-agent"), asyncio.TaskGroup() as group:
        for topic in TOPICS:
            group.create_task(follow(topic))
        await read_sources("overview")


async def main() -> None:
    """Start the agent, and kill it a second later."""
    governor = gr.load_governor(HERE / "guardrails.yaml")
    work = asyncio.create_task(research(governor))
    await asyncio.sleep(1)
    killed = time.perf_counter()
    governor.kill("agent/research-agent", reason="wrong sources", by="dana.ruiz@acme.example")
    try:
        await work
    except gr.RunStopped as stopped:
        print(f"stopped after {(time.perf_counter() - killed) * 1000:.0f} ms: {stopped.message}")
    # No further run of this agent makes a call, until somebody resumes it.
    try:
        await research(governor)
    except gr.RunStopped:
        print("started again: stopped before its first call")
    governor.resume("agent/research-agent", reason="corrected", by="tom.okafor@acme.example")


if __name__ == "__main__":
    asyncio.run(main())
