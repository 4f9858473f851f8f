"""A tool agent of AutoGen with its replayed model; as a program, it goes on in the same run.

``python -m tests.adapters.autogen.agent CONFIG RUN_ID SCRIPT`` prints what the model read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from autogen_core import AgentId, FunctionCall, SingleThreadedAgentRuntime
from autogen_core.models import (
    CreateResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    UserMessage,
)
from autogen_core.tool_agent import ToolAgent, tool_agent_caller_loop
from autogen_core.tools import FunctionTool
from autogen_ext.models.replay import ReplayChatCompletionClient
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.autogen import AgentRuns, Guardrails, governed


def calls(*each: tuple[str, dict], first: int = 0) -> CreateResult:
    """One answer of the model: these calls, at once."""
    content = [
        FunctionCall(id=f"call_{number}", name=name, arguments=json.dumps(args))
        for number, (name, args) in enumerate(each, first)
    ]
    usage = RequestUsage(prompt_tokens=0, completion_tokens=0)
    return CreateResult(finish_reason="function_calls", content=content, usage=usage, cached=False)


def model(*answers: Any) -> ReplayChatCompletionClient:
    """AutoGen's own double of a model, which says one answer after the other, then "done"."""
    return ReplayChatCompletionClient([*answers, "done"], model_info=INFO)


INFO: Any = {
    "vision": False,
    "function_calling": True,
    "json_output": False,
    "family": "unknown",
    "structured_output": False,
}


def tools() -> list[Any]:
    """The tools of the agent."""
    own: list[Any] = [
        refunds.refund,
        refunds.refund_async,
        refunds.delete_order,
        refunds.slow_refund,
        refunds.blocking_refund,
        refunds.asking_refund,
    ]
    return [
        *(governed(FunctionTool(each, each.__doc__ or "")) for each in own),
        governed(
            FunctionTool(refunds.ungoverned_refund, "Refund."),
            resource="payments",
            operation="write",
        ),
    ]


def handler(governor: gr.Governor, **options: Any) -> Guardrails:
    """The handler of the runtime."""
    runs = AgentRuns(agent=refunds.AGENT, governor=governor, **options)
    return Guardrails(agent=refunds.AGENT, runs=runs)


async def work(guardrails: Guardrails, said: Any, *, run_id: str | None = None) -> list[LLMMessage]:
    """The messages of an agent whose model says that, in a runtime that began before the run."""
    runtime = SingleThreadedAgentRuntime(intervention_handlers=[guardrails])
    await ToolAgent.register(runtime, "tools", lambda: ToolAgent("tools", tools()))
    runtime.start()
    asked: list[LLMMessage] = [UserMessage(content="go", source="user")]
    try:
        with guardrails.of(run_id):
            there = AgentId("tools", "default")
            return await tool_agent_caller_loop(runtime, there, said, asked, tools())
    finally:
        await runtime.stop()


def read_by_model(messages: list[LLMMessage]) -> list[str]:
    """What the tools gave, in the conversation."""
    return [
        result.content
        for message in messages
        if isinstance(message, FunctionExecutionResultMessage)
        for result in message.content
    ]


def main(config: str, run_id: str, script: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    said = [calls(*each, first=10 * number) for number, each in enumerate(json.loads(script), 1)]
    messages = asyncio.run(work(handler(governor), model(*said), run_id=run_id))
    print(json.dumps(read_by_model(messages)))
    governor.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3])
