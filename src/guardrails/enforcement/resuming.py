"""Making an approved call in the place of its agent, perhaps in another process.

The tool is one that this governor knows by its name: nothing of what a store holds says which
code runs. The stored arguments become the function's own by its annotations, and must then read
as what was approved. Then the call goes the way of every call, and uses the approval, once.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from guardrails.enforcement.answers import groups_of
from guardrails.enforcement.call import new_call
from guardrails.errors import (
    ApprovalExpired,
    ApprovalPending,
    ApprovalRejected,
    ConfigError,
    StateUnavailable,
)
from guardrails.model.approval import ApprovalState, key_about

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool
    from guardrails.model.approval import ApprovalRequest, CallKey


def check(request: ApprovalRequest) -> None:
    """Nothing, where the request is one whose call can be made now.

    Raises:
        ConfigError: it is about something else.
        ApprovalPending: people have not answered it.
        ApprovalRejected: it was used or ended otherwise.
        ApprovalExpired: it has expired.
    """
    where: dict[str, Any] = {"tool": request.tool, "agent": request.agent, "run_id": request.run_id}
    if request.about not in ("call", "escalation"):
        hint = "; accept it first" if request.state is ApprovalState.PROPOSED else ""
        msg = f"`{request.id}` is about a {request.about}, which cannot be resumed{hint}"
        raise ConfigError(msg)
    match request.state:
        case ApprovalState.APPROVED:
            return
        case ApprovalState.PENDING:
            groups = groups_of(request)
            msg = f"request `{request.id}` waits for {', '.join(groups)}"
            raise ApprovalPending(msg, request_id=request.id, approvers=groups, **where)
        case ApprovalState.EXPIRED:
            msg = f"request `{request.id}` has expired"
            raise ApprovalExpired(msg, **where)
        case ApprovalState.CONSUMED:
            came = request.outcome or "unknown"
            msg = f"approval `{request.id}` was used already; what came of it: {came}"
            hint = "made again by its agent, people are asked, and told that this is not known"
            raise ApprovalRejected(msg, hint=hint if came == "unknown" else None, **where)
        case _:
            msg = f"request `{request.id}` was {request.state}"
            raise ApprovalRejected(msg, **where)


def call_of(tool: Tool, request: ApprovalRequest, hidden: Mapping[str, Any], call_id: str) -> Call:
    """The call of `request`, to be made in its run.

    Raises:
        ConfigError: such a tool cannot be resumed, or lacks what is hidden.
    """
    function = tool.function
    problem = ""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        problem = "it is a generator, whose items need whoever consumes them"
    elif tool.parameters.skip_first:
        problem = "it is a method, and its instance is not stored; govern a function that calls it"
    elif unknown := [name for name in hidden if name not in tool.parameters.hidden]:
        there = ", ".join(f"`{name}`" for name in tool.parameters.hidden) or "none"
        problem = f"`{unknown[0]}` is none of its hidden parameters; there are {there}"
    if problem:
        msg = f"`{tool.facts.name}` cannot be resumed: {problem}"
        raise ConfigError(msg)
    call = new_call(tool, (), dict(hidden), call_id, is_async=inspect.iscoroutinefunction(function))
    call.resumed = call.request = request
    return call


def of(call: Call) -> ApprovalRequest:
    """The request by which the call is resumed."""
    if call.resumed is None:
        message = "the call is not resumed"
        raise StateUnavailable(message)
    return call.resumed


def consume(call: Call, key: CallKey) -> None:
    """Use the approval by which the call is resumed, for the arguments as they are now.

    Args:
        call: The call.
        key: Its digest.
    """
    request = of(call)
    about = request.about
    call.consumed = call.run.governor.approvals.consume(
        request.id,
        key_about(about, key, request.question),
        call.decision.approvals if about == "call" else (),
        resumed=True,
    )
