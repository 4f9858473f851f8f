"""Deciding about a call that is not made."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from guardrails.enforcement import breaking, deciding, perform, secret_arguments
from guardrails.enforcement.call import new_call
from guardrails.enforcement.invoke import new_id
from guardrails.enforcement.phases import Phase, refusal_for, second_transform, transforms
from guardrails.errors import NoActiveRun, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.enforcement.call import Call
    from guardrails.enforcement.definition import Tool
    from guardrails.model.decision import Decision
    from guardrails.runs.run import Run

_Given = TypeVar("_Given")


def decide(tool: Tool, args: Mapping[str, Any], run: Run | None) -> Decision:
    """The decision about a call of `tool` in `run`; its reservation is released at once.

    Raises:
        Refusal: there is no decision.
        RunKilled: the run was killed.
    """
    call = examine(tool, args, run)
    return replace(call.decision, decision_id=call.decision_id)


def examine(tool: Tool, args: Mapping[str, Any], run: Run | None, *, as_json: bool = False) -> Call:
    """A call of `tool` in `run` as far as the decision about it, holding nothing.

    As in a call that is made, arguments that policy rewrites are decided again; `decision` is
    the last one then, `original` the arguments as they came.

    Args:
        tool: The tool.
        args: The arguments by name.
        run: The run.
        as_json: Whether `args` are JSON values that stand for the arguments, as a date's text.

    Raises:
        Refusal: there is no decision.
        RunKilled: the run was killed.
    """
    call = new_call(tool, (), dict(args), new_id())
    if run is None:
        message = f"`{tool.facts.name}` is decided in a run, and none is open"
        raise NoActiveRun(message, tool=tool.facts.name)
    call.run = run
    try:
        look(call, partial(_read_named, as_json=as_json))
    finally:
        perform.release(call)
    return call


def look(call: Call, read: Callable[[Call], None] = perform.read_arguments) -> None:
    """Bring a call that is not made as far as the decision about it; no breaker notes it.

    It may hold a reservation then, also where this raises.

    Args:
        call: The call, in its run.
        read: Reads its arguments.

    Raises:
        Refusal: there is no decision.
        RunKilled: the run was killed.
    """
    step(call, Phase.READ, read)
    step(call, Phase.KILL, perform.check_kill)
    step(call, Phase.BREAKERS, breaking.peek)
    step(call, Phase.RESERVE, perform.reserve)
    step(call, Phase.DECIDE, deciding.decide)
    if transforms(call):
        step(call, Phase.REWRITE, perform.rewrite)
        step(call, Phase.DECIDE, deciding.decide)
        if transforms(call):
            refusal = second_transform()
            call.locate(refusal)
            raise refusal


def _read_named(call: Call, *, as_json: bool) -> None:
    call.arguments = call.original = call.tool.parameters.read_named(
        call.given[1], call.run.governor.limits, as_json=as_json
    )
    secret_arguments.refuse(call)


def step(call: Call, phase: Phase, perform_it: Callable[[Call], _Given]) -> _Given:
    """What one phase of a call that is not made gives; a fault in it is a refusal.

    Raises:
        Refusal: the phase refused, or failed.
        RunKilled: the run was killed.
    """
    try:
        return perform_it(call)
    except Exception as fault:
        refusal = refusal_for(phase, fault)
        if isinstance(refusal, Refusal):
            call.locate(refusal)
        if refusal is fault:
            raise
        raise refusal from fault
