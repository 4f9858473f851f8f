"""An agent of Microsoft Agent Framework with a scripted client; as a program, it goes on.

``python -m tests.adapters.agent_framework.agent CONFIG SESSION SCRIPT`` prints what the model read.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    FunctionTool,
    Message,
    ResponseStream,
    tool,
)
from tests.adapters import refunds

import guardrails as gr
from guardrails.adapters.agent_framework import AgentRuns, Guardrails, Words

WORDS = {"ungoverned_refund": Words(resource="payments", operation="write")}


class Script(FunctionInvocationLayer, ChatMiddlewareLayer, BaseChatClient):
    """A client of the host's own making, which says one answer after the other, then "done"."""

    def __init__(self, *answers: list[Content], tokens: int = 0) -> None:
        super().__init__()
        self.answers = list(answers)
        self.asked = 0
        self.shown: list = []
        self._usage: Any = {"input_token_count": tokens, "total_token_count": tokens}

    def _inner_get_response(self, *, messages: Any, stream: Any, options: Any, **_: Any) -> Any:
        self.asked += 1
        self.shown = list(options.get("tools") or [])
        contents: list[Any] = self.answers.pop(0) if self.answers else [Content.from_text("done")]
        if stream:
            return ResponseStream(self._stream(contents), finalizer=ChatResponse.from_updates)
        return self._answer(contents)

    async def _answer(self, contents: list[Any]) -> ChatResponse:
        await asyncio.sleep(0)
        message = Message("assistant", contents)
        return ChatResponse(messages=[message], usage_details=self._usage, model="scripted")

    async def _stream(self, contents: list[Any]) -> Any:
        for content in contents:
            yield ChatResponseUpdate(contents=[content], role="assistant")


def calls(*each: tuple[str, dict], first: int = 0) -> list[Content]:
    """One answer of the model: these calls, at once."""
    return [
        Content.from_function_call(f"call_{number}", name, arguments=json.dumps(args))
        for number, (name, args) in enumerate(each, first)
    ]


def tools() -> list[FunctionTool]:
    """The tools of the agent."""
    return [
        tool(refunds.refund),
        tool(refunds.refund_async),
        tool(refunds.delete_order),
        tool(refunds.slow_refund),
        tool(refunds.blocking_refund),
        tool(refunds.ungoverned_refund),
    ]


def agent(script: Script, governor: gr.Governor, **options: Any) -> Agent:
    """An agent; its model says the script."""
    more = options.pop("middleware", [])
    words = options.pop("words", WORDS)
    given = options.pop("tools", None)
    runs = AgentRuns(agent=refunds.AGENT, governor=governor, **options)
    return Agent(
        client=script,
        tools=tools() if given is None else given,
        middleware=[Guardrails(agent=refunds.AGENT, words=words, runs=runs), *more],
    )


def read_by_model(messages: Any) -> list[str]:
    """What the tools gave, in messages."""
    return [
        str(content.result)
        for message in messages
        for content in message.contents
        if content.type == "function_result"
    ]


def in_history(session: AgentSession) -> list[str]:
    """What the tools gave, in all of a conversation."""
    (state,) = [each for each in session.state.values() if "messages" in each]
    return read_by_model(state["messages"])


def main(config: str, kept: Path, script: str) -> None:
    """Go on with the work of another process."""
    governor = gr.load_governor(Path(config))
    said = [calls(*each, first=10 * number) for number, each in enumerate(json.loads(script), 1)]
    state = json.loads(kept.read_text("utf-8"))
    session = AgentSession.from_dict(state["session"])
    answers = [
        Content.from_dict(each).to_function_approval_response(approved=True)
        for each in state["requests"]
    ]

    async def go_on() -> Any:
        return await agent(Script(*said), governor).run(Message("user", answers), session=session)

    result = asyncio.run(go_on())
    requests = [each.to_dict() for each in result.user_input_requests]
    kept.write_text(json.dumps({"session": session.to_dict(), "requests": requests}), "utf-8")
    print(json.dumps({"read": in_history(session), "open": requests}))
    governor.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
