"""``guardrails resume``: lift a kill, on this machine, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from guardrails.cli.console import ExitCode, output, plain, print_json, print_problem
from guardrails.cli.machine import (
    ByOption,
    JsonOption,
    Machine,
    ReasonOption,
    StateOption,
    operator,
    write_act,
)
from guardrails.cli.moments import ago
from guardrails.cli.targets import scope_of
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.runs.kill_store import in_force

app = typer.Typer(add_completion=False)


@app.command()
def resume(
    target: Annotated[
        str, typer.Argument(help="What was killed, as `guardrails status` lists it.")
    ],
    *,
    reason: ReasonOption,
    by: ByOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Lift a kill: calls start again, in runs that are open and in new ones.

    What was cancelled stays cancelled, and a killed run never resumes.
    """
    machine = Machine.find(state)
    scope = scope_of(target, machine.listed()[0])
    who = operator(by)
    if not machine.has_kill_switch:
        raise ConfigError(f"`{scope}` is not killed; nothing ever was, in `{machine.state}`")
    # Before the act: what cannot be recorded does not go on.
    record = machine.record()
    switch = machine.kill_switch()
    killed = in_force(switch.store.acts()).get(scope)
    switch.resume(scope, reason=reason, by=who)
    still = [str(kill.scope) for kill in switch.active() if kill.scope.kind != "run"]
    recorded = True
    try:
        write_act(record, "resume", scope=str(scope), reason=reason, by=who)
    except StateUnavailable as error:
        print_problem(f"{scope} is resumed, but that could not be recorded: {error}")
        recorded = False
    if as_json:
        print_json({"target": str(scope), "reason": reason, "by": who, "still_killed": still})
    else:
        output().print(plain(f"resumed {scope}, by {who}: {reason}", "green"), soft_wrap=True)
        if killed is not None:
            said = f"it was killed {ago(killed.at)} ago by {killed.by}: {killed.reason}"
            output().print(plain(said), soft_wrap=True)
        if still:
            output().print(plain(f"still killed: {', '.join(still)}", "yellow"), soft_wrap=True)
    if not recorded:
        raise typer.Exit(ExitCode.OUT_OF_REACH)
