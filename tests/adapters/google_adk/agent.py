"""An agent of Google ADK with a scripted model; as a program, it goes on with a session.

``python -m tests.adapters.google_adk.agent CONFIG SESSIONS ASKED SCRIPT`` prints what it came to.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig
from google.adk.apps import App
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types
from pydantic import Field
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.google_adk import (
    GovernedRuns,
    Guardrails,
    Words,
    confirmations,
    confirmed,
)

WORDS = {"ungoverned_refund": Words(resource="payments", operation="write")}
USER, SESSION = "u", "case-17"
CONFIG = RunConfig()


class Script(BaseLlm):
    """A model of the host's own kind, which says one answer after the other, then "done"."""

    model: str = "scripted"
    answers: list[list[types.Part]] = Field(default_factory=list)
    tokens: int = 0
    asked: int = 0
    shown: list[Any] = Field(default_factory=list)

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        """The next answer; streamed, in two parts."""
        self.asked += 1
        self.shown = [
            declared
            for tool in llm_request.config.tools or []
            for declared in tool.function_declarations
        ]
        parts = self.answers.pop(0) if self.answers else [types.Part(text="done")]
        usage = types.GenerateContentResponseUsageMetadata(total_token_count=self.tokens)
        content = types.Content(role="model", parts=parts)
        if stream:
            first = types.Content(role="model", parts=[types.Part(text="…")])
            yield LlmResponse(content=first, partial=True, usage_metadata=usage)
        yield LlmResponse(content=content, partial=False, usage_metadata=usage)


def script(*answers: list[types.Part], tokens: int = 0) -> Script:
    """A model that says `answers`."""
    return Script(answers=list(answers), tokens=tokens)


def calls(*each: tuple[str, dict], first: int = 0) -> list[types.Part]:
    """One answer of the model: these calls, at once."""
    return [
        types.Part(function_call=types.FunctionCall(name=name, args=args, id=f"call_{number}"))
        for number, (name, args) in enumerate(each, first)
    ]


def tools() -> list[Any]:
    """The tools of the agent."""
    return [
        refunds.refund,
        refunds.refund_async,
        refunds.delete_order,
        refunds.slow_refund,
        refunds.blocking_refund,
        refunds.ungoverned_refund,
    ]


def runner(model: Script, *, sessions: Any = None, plugins: Any = (), **options: Any) -> Runner:
    """A runner of one agent, whose model says the script."""
    agent = LlmAgent(name="billing", model=model, **{"tools": tools(), **options})
    app = App(name="refunds", root_agent=agent, plugins=[*plugins, Guardrails(WORDS)])
    return Runner(
        app=app,
        session_service=sessions or InMemorySessionService(),
        auto_create_session=True,
    )


def said(text: str) -> types.Content:
    """What a user says."""
    return types.Content(role="user", parts=[types.Part(text=text)])


async def talk(
    host: Runner, governor: gr.Governor | None, message: Any = None, **options: Any
) -> tuple[list[str], list[dict[str, Any]]]:
    """One message to the agent: what the model reads of its tools, and what waits for people."""
    config = options.pop("run_config", CONFIG)
    runs = GovernedRuns(agent=refunds.AGENT, governor=governor, **options)
    read, waiting = [], []
    with runs.of(SESSION):
        events = host.run_async(
            user_id=USER,
            session_id=SESSION,
            new_message=message or said("go"),
            run_config=config,
        )
        async with aclosing(events):
            async for event in events:
                read += read_of(event)
                waiting += confirmations(event)
    return read, waiting


def read_of(event: Any) -> list[str]:
    """What tools gave, as the model reads it."""
    return [
        str(each.response.get("error", each.response.get("result", each.response)))
        for each in event.get_function_responses()
        if event.author != "user"
    ]


async def main(config: str, sessions: str, asked: str, answers: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    model = script(*(calls(*each, first=10 * n) for n, each in enumerate(json.loads(answers), 1)))
    host = runner(model, sessions=SqliteSessionService(sessions))
    read, waiting = await talk(host, governor, confirmed(json.loads(asked)))
    print(json.dumps({"read": read, "open": waiting, "asked": model.asked}))
    governor.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
