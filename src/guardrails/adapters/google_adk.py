"""Google ADK: tools governed by a plugin, approvals as confirmations that alone permit nothing.

::

    from guardrails.adapters.google_adk import GovernedRuns, Guardrails

    app = App(name="billing", root_agent=agent, plugins=[Guardrails()])
    runner = Runner(app=app, session_service=sessions)
    runs = GovernedRuns(agent="billing-agent")

    with runs.of(session_id):                      # the run's id is the session's
        async for event in runner.run_async(user_id=…, session_id=session_id, new_message=…):
            asked = confirmations(event)           # people were asked

    # another process with the same sessions, once they have answered
    with runs.of(session_id):
        async for event in runner.run_async(…, new_message=confirmed(asked)):
            …

The model reads a refusal as the tool's error. That a confirmation says yes is no approval: whether
a call may run is looked up where people answer, for the arguments that are about to run. One that
says no ends the call.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from google.adk.flows.llm_flows.functions import REQUEST_CONFIRMATION_FUNCTION_CALL_NAME
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.tools.set_model_response_tool import SetModelResponseTool
from google.adk.tools.transfer_to_agent_tool import TransferToAgentTool
from google.genai import types

from guardrails.adapters.agent_runs import AgentRuns
from guardrails.adapters.pending import described
from guardrails.adapters.words import ANY_OBJECT, Words
from guardrails.enforcement.host_calls import host_call
from guardrails.enforcement.tools import tool_of
from guardrails.errors import ApprovalPending, Refusal
from guardrails.for_model import for_model
from guardrails.runs.context import charge, current_run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from google.adk.agents.callback_context import CallbackContext
    from google.adk.events.event import Event
    from google.adk.models.llm_response import LlmResponse
    from google.adk.tools.base_tool import BaseTool
    from google.adk.tools.tool_context import ToolContext

    from guardrails.runs.run import Run

_HANDLING: Final = (SetModelResponseTool, TransferToAgentTool)
"""Tools by which the host handles its own work: they answer, or hand over to another agent."""


_LOCK: Final = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class GovernedRuns(AgentRuns):
    """Opens an agent's runs by the sessions of its runner."""

    def of(self, session_id: str) -> AbstractContextManager[Run]:
        """The session's run, for ``with``.

        Inside a run that the program has opened, that one. A killed run ends in ``RunStopped``
        where this is left.
        """
        return self.open(session_id)


class Guardrails(BasePlugin):
    """Decides each call of a tool, by whichever of the runner's agents.

    A tool is governed from its first call on, wherever it is called: last of all, after the
    callbacks of plugins and agents and the host's own confirmation, so that what is decided is
    what runs. Where its function carries ``@governed_tool``, that says everything, and the call is
    decided there, once. Every other tool, also one of an MCP server or an agent as a tool, is
    governed under its own name, by the schema that the model is shown.

    Not governed are the host's tools that hand over to another agent or give the answer, and those
    that the model's provider runs.

    Args:
        words: What policy is told of tools that say nothing themselves, by their names.
        prices: Charge the model's dollars to the run, besides its tokens: then every model must
            have a price.
        name: The plugin's name.
    """

    def __init__(
        self,
        words: Mapping[str, Words] | None = None,
        *,
        prices: bool = False,
        name: str = "guardrails",
    ) -> None:
        super().__init__(name=name)
        self._words = dict(words or {})
        self._prices = prices

    async def before_tool_callback(
        self, *, tool: BaseTool, tool_args: dict[str, Any], tool_context: ToolContext
    ) -> None:
        """Governs the tool; the call goes on, and is decided when it is made."""
        del tool_args, tool_context
        if isinstance(tool, _HANDLING):
            return
        with _LOCK:
            if not isinstance(tool.run_async, _Governed):
                governed = _Governed(tool, self._words.get(tool.name, Words()))
                vars(tool)["run_async"] = governed

    async def after_model_callback(
        self, *, callback_context: CallbackContext, llm_response: LlmResponse
    ) -> None:
        """Charges the tokens of the model's answer to the run."""
        del callback_context
        usage = llm_response.usage_metadata
        if usage is None or llm_response.partial or current_run() is None:
            return  # a stream's last part counts them all; without a run its tools are refused
        if self._prices:
            tokens = {
                "input_tokens": usage.prompt_token_count or 0,
                "output_tokens": (usage.candidates_token_count or 0)
                + (usage.thoughts_token_count or 0),
            }
            charge(usage=tokens, model=llm_response.model_version)
        elif usage.total_token_count:
            charge(tokens=usage.total_token_count)


class _Governed:
    """Makes a tool's calls; stands in the place of its ``run_async``."""

    def __init__(self, tool: BaseTool, words: Words) -> None:
        self._run_async = tool.run_async
        own = tool_of(getattr(tool, "func", None))
        self._name = tool.name if own is None else own.facts.name
        self._described: Callable[..., Awaitable[Any]] | None = None
        if own is None:
            self._described = words.tool(tool.name, _schema(tool))

    async def __call__(self, *, args: dict[str, Any], tool_context: ToolContext) -> Any:
        answer = tool_context.tool_confirmation
        if answer is not None and not answer.confirmed:
            return {"error": f"`{self._name}` was not executed: it was not confirmed."}
        try:
            with host_call(self._name, tool_context.function_call_id):
                return await self._make(args, tool_context)
        except ApprovalPending as waits:
            text = for_model(waits)
            if answer is None and tool_context.function_call_id:
                tool_context.request_confirmation(hint=text, payload=described(waits))
                tool_context.actions.skip_summarization = True  # the model is not asked meanwhile
            return {"error": text}
        except Refusal as refusal:
            return {"error": for_model(refusal)}

    async def _make(self, args: dict[str, Any], context: ToolContext) -> Any:
        if self._described is None:
            return await self._run_async(args=args, tool_context=context)

        async def make(decided: dict[str, Any]) -> Any:
            given = args if decided == args else decided
            return await self._run_async(args=given, tool_context=context)

        return await self._described(make, **args)


def confirmations(event: Event) -> list[dict[str, Any]]:
    """What of the event waits for people: ``id`` to confirm it by, and the request, plain JSON."""
    asked = []
    for call in event.get_function_calls():
        if call.name == REQUEST_CONFIRMATION_FUNCTION_CALL_NAME:
            payload = (call.args or {}).get("toolConfirmation", {}).get("payload")
            if isinstance(payload, dict) and "request_id" in payload:
                asked.append({**payload, "id": call.id})
    return asked


def confirmed(asked: Iterable[Mapping[str, Any]]) -> types.Content:
    """The message that lets the host make the calls again that waited; what `confirmations` gave.

    Send it once people have answered, whatever they said: the host makes a call again once.
    """
    return types.Content(
        role="user",
        parts=[
            types.Part(
                function_response=types.FunctionResponse(
                    id=each["id"],
                    name=REQUEST_CONFIRMATION_FUNCTION_CALL_NAME,
                    response={"confirmed": True},
                )
            )
            for each in asked
        ],
    )


def _schema(tool: BaseTool) -> Mapping[str, Any]:
    """The JSON schema that the model is shown; one of any object, where there is none."""
    declared = tool._get_declaration()  # noqa: SLF001  # what tools override to describe themselves
    if declared is None:
        return ANY_OBJECT
    if isinstance(declared.parameters_json_schema, dict):
        return declared.parameters_json_schema
    if declared.parameters is None:
        return {"type": "object", "properties": {}}
    found: dict[str, Any] = declared.parameters.json_schema.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return found


__all__ = ["GovernedRuns", "Guardrails", "Words", "confirmations", "confirmed"]
