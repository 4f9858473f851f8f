"""``guardrails resume``: lift a kill, on this machine, at once."""

from __future__ import annotations

from typing import Annotated

import typer

from guardrails.cli.console import on_one_line, output, plain, print_json
from guardrails.cli.machine import (
    ByOption,
    JsonOption,
    Machine,
    ReasonOption,
    StateOption,
    given,
    operator,
    write_act,
)
from guardrails.cli.moments import ago
from guardrails.cli.targets import scope_of
from guardrails.errors import ConfigError
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
    given(reason)
    machine = Machine.find(state)
    scope = scope_of(target, machine.listed()[0])
    who = operator(by)
    if not machine.has_kill_switch:
        raise ConfigError(f"`{scope}` is not killed; nothing ever was, in `{machine.state}`")
    switch = machine.kill_switch()
    killed = in_force(switch.store.acts()).get(scope)
    said = {"scope": str(scope), "reason": reason, "by": who}
    record = machine.record()
    if killed is not None and scope.kind != "run":
        # Before the act: what cannot be recorded stays killed.
        write_act(record, "resume", **said)
    try:
        switch.resume(scope, reason=reason, by=who)
    except Exception:
        if killed is not None:
            write_act(record, "resume.failed", **said)
        raise
    still = [str(kill.scope) for kill in switch.active() if kill.scope.kind != "run"]
    if as_json:
        print_json({"target": str(scope), "reason": reason, "by": who, "still_killed": still})
    else:
        done = on_one_line(f"resumed {scope}, by {who}: {reason}")
        output().print(plain(done, "green"), soft_wrap=True)
        if killed is not None:
            how = f"it was killed {ago(killed.at)} ago by {killed.by}: {killed.reason}"
            output().print(plain(on_one_line(how)), soft_wrap=True)
        if still:
            output().print(plain(f"still killed: {', '.join(still)}", "yellow"), soft_wrap=True)
