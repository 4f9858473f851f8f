"""Agents of LangChain and graphs of LangGraph with a scripted model; as a program, they go on.

``python -m tests.adapters.langchain.agent CONFIG KIND SCRIPT`` goes on with the thread ``case-17``
of the checkpoints beside CONFIG, and prints what the model read.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import StructuredTool, tool
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import tools_condition
from langgraph.types import Command
from pydantic import Field
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.langchain import (
    GovernedRuns,
    GovernedToolNode,
    GuardrailsMiddleware,
    Words,
)

THREAD: Any = {"configurable": {"thread_id": "case-17"}}
WORDS = {"ungoverned_refund": Words(resource="payments", operation="write")}
KINDS = ("agent", "graph")


class Scripted(GenericFakeChatModel):
    """LangChain's own scripted model, which notes the tools that it is shown."""

    shown: list = Field(default_factory=list)

    def bind_tools(self, tools, **_):
        self.shown[:] = tools
        return self


def calls(*each: tuple[str, dict], first: int = 0) -> AIMessage:
    """One answer of the model: these calls, at once."""
    made = [
        {"name": name, "args": args, "id": f"call_{number}", "type": "tool_call"}
        for number, (name, args) in enumerate(each, first)
    ]
    return AIMessage("", tool_calls=made)


def tools() -> list:
    """The tools of the agent."""
    return [
        tool(refunds.refund),
        tool(refunds.refund_async),
        tool(refunds.delete_order),
        StructuredTool.from_function(
            func=refunds.blocking_refund, coroutine=refunds.slow_refund, name="slow_refund"
        ),
        tool(refunds.ungoverned_refund),
    ]


def model(*script: AIMessage) -> Scripted:
    """A model that says `script`, and then that it is done."""
    return Scripted(messages=iter([*script, *[AIMessage("done") for _ in range(3)]]), shown=[])


def agent(kind: str, *script: AIMessage, saver: Any = None, **options: Any) -> Any:
    """An agent, or a graph of one's own that does the same."""
    chat = options.pop("model", None) or model(*script)
    given = options.pop("tools", None) or tools()
    if kind == "agent":
        own = options.pop("middleware", [])
        return create_agent(
            chat, given, middleware=[*own, GuardrailsMiddleware(WORDS)], checkpointer=saver
        )
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [chat.invoke(state["messages"])]})
    builder.add_node("tools", GovernedToolNode(given, words=WORDS, **options))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition, {"tools": "tools", END: END})
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=saver)


def saver(config: Path) -> SqliteSaver:
    """The checkpoints beside a project."""
    path = config.parent / "checkpoints.sqlite"
    return SqliteSaver(sqlite3.connect(path, check_same_thread=False))


def read_by_model(result: dict) -> list[str]:
    """The messages of tools in the conversation."""
    return [str(each.content) for each in result["messages"] if isinstance(each, ToolMessage)]


def run(governor: gr.Governor, graph: Any, said: Any = "go", *, is_async=False, **options) -> dict:
    """What the graph gives, run to its end or interrupt."""
    input = said if isinstance(said, Command) else {"messages": [("user", said)]}
    with GovernedRuns(agent=refunds.AGENT, governor=governor, **options).of(THREAD):
        if is_async:
            return asyncio.run(graph.ainvoke(input, THREAD))
        return graph.invoke(input, THREAD)


def main(config: str, kind: str, script: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    said = [calls(*each, first=10 * number) for number, each in enumerate(json.loads(script), 1)]
    graph = agent(kind, *said, saver=saver(Path(config)))
    result = run(governor, graph, Command(resume={"approved": True}))
    waiting = [each.value for each in result.get("__interrupt__", ())]
    print(json.dumps({"read": read_by_model(result), "open": waiting}))
    governor.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
