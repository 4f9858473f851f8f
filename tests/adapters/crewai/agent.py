"""A crew of CrewAI with a scripted model; as a program, it goes on with a run.

``python -m tests.adapters.crewai.agent CONFIG RUN SCRIPT`` prints what the model read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# Before the host is imported: it would report to its maker.
os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true"}
os.environ |= {"CREWAI_DISABLE_TRACKING": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import Agent, Crew, Task
from crewai.llms.base_llm import BaseLLM
from crewai.tools import tool
from pydantic import Field
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.crewai import GovernedRuns, governed

RUN = "case-17"


class Script(BaseLLM):
    """A model of the host's own kind, which says one answer after the other, then "done"."""

    answers: list[Any] = Field(default_factory=list)
    shown: list[Any] = Field(default_factory=list)
    heard: list[Any] = Field(default_factory=list)
    asked: int = 0

    def call(self, messages: Any, *_given: Any, **options: Any) -> Any:
        """The next answer."""
        self.asked += 1
        self.shown = options.get("tools") or self.shown
        self.heard = list(messages)
        return self.answers.pop(0) if self.answers else "done"

    async def acall(self, messages: Any, *given: Any, **options: Any) -> Any:
        """The same on an event loop."""
        return self.call(messages, *given, **options)

    def supports_function_calling(self) -> bool:
        """It has tools of its own."""
        return True

    def read(self) -> list[str]:
        """What tools gave, as the model reads it."""
        return [each["content"] for each in self.heard if each.get("role") == "tool"]


def script(*answers: Any) -> Script:
    """A model that says `answers`."""
    return Script(model="scripted", answers=list(answers))


def calls(*each: tuple[str, dict], first: int = 0) -> list[Any]:
    """One answer of the model: these calls, at once."""
    return [
        {"id": f"call_{n}", "function": {"name": name, "arguments": json.dumps(args)}}
        for n, (name, args) in enumerate(each, first)
    ]


def tools() -> list[Any]:
    """The tools of the agent."""
    return [
        governed(tool(refunds.refund)),
        governed(tool(refunds.refund_async)),
        governed(tool(refunds.delete_order)),
        governed(tool(refunds.slow_refund)),
        governed(tool(refunds.blocking_refund)),
        governed(tool(refunds.ungoverned_refund), resource="payments", operation="write"),
    ]


def crew(model: Script, *, given: Any = None, is_async: bool = False) -> Crew:
    """A crew of one agent, whose model says the script."""
    made: Any = Agent  # whose fields its types do not tell
    billing = made(
        role="Billing",
        goal="Refund.",
        backstory="Refunds.",
        llm=model,
        tools=tools() if given is None else given,
    )
    task = Task(
        description="Go.", expected_output="What was done.", agent=billing, async_execution=is_async
    )
    return Crew(agents=[billing], tasks=[task])


def work(model: Script, governor: gr.Governor, **options: Any) -> list[str]:
    """One kickoff: what the model read of its tools."""
    made = crew(model, given=options.pop("given", None), is_async=options.pop("is_async", False))
    with GovernedRuns(agent=refunds.AGENT, governor=governor, **options).of(RUN):
        made.kickoff()
    return model.read()


def main(config: str, answers: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    model = script(*(calls(*each, first=10 * n) for n, each in enumerate(json.loads(answers), 1)))
    print(json.dumps(work(model, governor)))
    governor.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
