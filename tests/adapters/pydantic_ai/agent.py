"""An agent of Pydantic AI with a scripted model; as a program, it goes on from a history.

``python -m tests.adapters.pydantic_ai.agent CONFIG HISTORY SCRIPT`` prints what the model read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import Agent, Tool
from pydantic_ai.messages import (
    ModelMessagesTypeAdapter,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RequestUsage
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.pydantic_ai import Guardrails, Words

WORDS = {"ungoverned_refund": Words(resource="payments", operation="write")}
REQUESTS = TypeAdapter(DeferredToolRequests)


class Script:
    """Pydantic AI's own model of a function, which says one answer after the other, then "done"."""

    def __init__(self, *answers: list[ToolCallPart], tokens: int = 0) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.shown: list = []
        self._usage = RequestUsage(input_tokens=tokens)
        self.model = FunctionModel(self._say, stream_function=self._stream)

    def _next(self, info: Any) -> list[ToolCallPart]:
        self.asked += 1
        self.shown = info.function_tools
        return self.answers.pop(0) if self.answers else []

    def _say(self, _messages: Any, info: Any) -> ModelResponse:
        parts: list[Any] = [*self._next(info)]
        return ModelResponse(parts or [TextPart("done")], usage=self._usage)

    async def _stream(self, _messages: Any, info: Any) -> Any:
        parts = self._next(info)
        if not parts:
            yield "done"
        for index, part in enumerate(parts):
            yield {
                index: DeltaToolCall(
                    part.tool_name, json.dumps(part.args), tool_call_id=part.tool_call_id
                )
            }


def calls(*each: tuple[str, dict], first: int = 0) -> list[ToolCallPart]:
    """One answer of the model: these calls, at once."""
    return [
        ToolCallPart(name, args, f"call_{number}")
        for number, (name, args) in enumerate(each, first)
    ]


def tools() -> list:
    """The tools of the agent."""
    return [
        refunds.refund,
        refunds.refund_async,
        refunds.delete_order,
        refunds.slow_refund,
        refunds.blocking_refund,
        Tool(refunds.ungoverned_refund),
    ]


def agent(script: Script, governor: gr.Governor, **options: Any) -> Agent[Any, Any]:
    """An agent; its model says the script."""
    more = options.pop("capabilities", [])
    words = options.pop("words", WORDS)
    given = options.pop("tools", None)
    runs = AgentRuns(agent=refunds.AGENT, governor=governor, **options)
    return Agent(
        script.model,
        tools=tools() if given is None else given,
        output_type=[str, DeferredToolRequests],
        capabilities=[Guardrails(agent=refunds.AGENT, words=words, runs=runs), *more],
    )


def read_by_model(messages: Any) -> list[str]:
    """What the tools gave, in the conversation."""
    return [
        str(part.content)
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReturnPart | RetryPromptPart)
    ]


async def main(config: str, kept: bytes, requests: bytes, script: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    said = [calls(*each, first=10 * number) for number, each in enumerate(json.loads(script), 1)]
    result = await agent(Script(*said), governor).run(
        message_history=ModelMessagesTypeAdapter.validate_json(kept),
        deferred_tool_results=REQUESTS.validate_json(requests).build_results(approve_all=True),
    )
    waiting = result.output.metadata if isinstance(result.output, DeferredToolRequests) else {}
    print(json.dumps({"read": read_by_model(result.all_messages()), "open": waiting}))
    governor.close()


if __name__ == "__main__":
    kept = Path(sys.argv[2])
    asyncio.run(
        main(
            sys.argv[1],
            kept.read_bytes(),
            kept.with_suffix(".requests").read_bytes(),
            sys.argv[3],
        )
    )
