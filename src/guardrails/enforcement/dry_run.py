"""Deciding about a call that is not made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
        _step(call, Phase.READ, _read_json if as_json else _read_named)
        _step(call, Phase.KILL, perform.check_kill)
        _step(call, Phase.BREAKERS, breaking.peek)
        _step(call, Phase.RESERVE, perform.reserve)
        _step(call, Phase.DECIDE, deciding.decide)
        if transforms(call):
            _step(call, Phase.REWRITE, perform.rewrite)
            _step(call, Phase.DECIDE, deciding.decide)
            if transforms(call):
                refusal = second_transform()
                call.locate(refusal)
                raise refusal
    finally:
        perform.release(call)
    return call


def _read_named(call: Call) -> None:
    call.arguments = call.original = call.tool.parameters.read_named(
        call.given[1], call.run.governor.limits
    )
    secret_arguments.refuse(call)


def _read_json(call: Call) -> None:
    call.arguments = call.original = call.tool.parameters.read_named(
        call.given[1], call.run.governor.limits, as_json=True
    )
    secret_arguments.refuse(call)


def _step(call: Call, phase: Phase, perform_it: Callable[[Call], object]) -> None:
    try:
        perform_it(call)
    except Exception as fault:
        refusal = refusal_for(phase, fault)
        if isinstance(refusal, Refusal):
            call.locate(refusal)
        if refusal is fault:
            raise
        raise refusal from fault
