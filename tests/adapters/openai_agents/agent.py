"""An agent of the OpenAI Agents SDK with a scripted model; as a program, it goes on from a state.

``python -m tests.adapters.openai_agents.agent CONFIG STATE RUN_ID`` prints what the model read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agents import RunConfig, RunState, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.usage import Usage
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.openai_agents import GovernedAgent, GovernedRunner, governed

QUIET = RunConfig(tracing_disabled=True)


def calls(*each: tuple[str, dict], first: int = 0) -> list:
    """One answer of the model: these calls, at once."""
    return [
        function_call(name, arguments, call_id=f"call_{number}")
        for number, (name, arguments) in enumerate(each, first)
    ]


def agent(*script: Any, tools: list | None = None) -> GovernedAgent:
    """An agent whose model says `script`, and then that it is done."""
    return GovernedAgent(
        name="Billing",
        model=ScriptedModel([*script, *[[assistant_message("done")]] * 3]),
        tools=tools
        if tools is not None
        else [
            function_tool(refunds.refund),
            function_tool(refunds.refund_async),
            function_tool(refunds.delete_order),
            function_tool(refunds.slow_refund),
            function_tool(refunds.blocking_refund),
            governed(
                function_tool(refunds.ungoverned_refund), resource="payments", operation="write"
            ),
        ],
    )


def read_by_model(result) -> list[str]:
    """The outputs of tools in the conversation."""
    return [
        item["output"]
        for item in result.to_input_list()
        if item.get("type") == "function_call_output"
    ]


async def go_on(config: str, state: str, run_id: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    billing = agent(*(json.loads(sys.argv[4]) if len(sys.argv) > 4 else []))
    saved = await RunState.from_string(billing, state)
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor)
    result = await runner.run(billing, saved, id=run_id, run_config=QUIET)
    print(json.dumps({"read": read_by_model(result), "open": len(result.interruptions)}))
    governor.close()


__all__ = ["QUIET", "Usage", "agent", "calls", "read_by_model"]

if __name__ == "__main__":
    asyncio.run(go_on(sys.argv[1], Path(sys.argv[2]).read_text("utf-8"), sys.argv[3]))
