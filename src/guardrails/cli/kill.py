"""``guardrails kill``: stop everything in a target, on this machine, at once."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from guardrails.cli.console import ExitCode, on_one_line, output, plain, print_json, print_problem
from guardrails.cli.kill_notice import send
from guardrails.cli.machine import (
    ByOption,
    JsonOption,
    Machine,
    StateOption,
    given,
    operator,
    say,
    write_act,
)
from guardrails.cli.moments import ago, counted
from guardrails.cli.notified import concerned, line_of
from guardrails.cli.record_lines import at_work
from guardrails.cli.targets import doubts, scope_of
from guardrails.errors import ConfigError, GuardrailsError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.model.kill import Scope
    from guardrails.runs.directory import ListedRun
    from guardrails.runs.kill_answers import Answer

app = typer.Typer(add_completion=False)

_SHOWN: Final = 10
"""Runs that are spelled out."""

_WIDE: Final = ("all", "env")


@dataclass(frozen=True, slots=True)
class _Done:
    """A kill as it is told.

    Attributes:
        scope: What was killed.
        reason: Why.
        by: Who did it.
        covered: The open runs that it stops.
        people: Whom to tell.
        answers: What the processes with calls to cancel said.
        silent: Calls at work by the record in processes that were asked nothing.
        warnings: What speaks against the target.
        is_dry: Whether nothing was done.
    """

    scope: Scope
    reason: str
    by: str
    covered: Sequence[ListedRun]
    people: Sequence[dict[str, Any]]
    answers: Sequence[Answer] = ()
    silent: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: Sequence[str] = ()
    is_dry: bool = False


@app.command()
def kill(  # noqa: PLR0913  # a target and its options, each by its name
    target: Annotated[
        str,
        typer.Argument(
            help="`all`, `env/NAME`, `agent/ID`, `agent/ID@VERSION`, `run/ID` or `tool/NAME`."
        ),
    ],
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="Why; it is recorded and shown. `--dry-run` needs none.")
    ] = "",
    by: ByOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would stop; do nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, however wide the target.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for other processes' answers.")
    ] = 3.0,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop everything in a target: no further call starts, async calls at work are cancelled.

    It holds for every process of this machine when the command returns. A plain
    function at work cannot be stopped: its result is discarded. Exits with 1 where a
    process did not answer in time, and with 3 where the kill could not be recorded.
    """
    if not dry_run:
        given(reason)
    machine = Machine.find(state)
    listed, tools = machine.listed()
    scope = scope_of(target, listed)
    register = machine.register()
    runs = [run for run in listed if run.is_open]
    covered = [run for run in runs if run.is_covered_by(scope)]
    people = concerned(scope, register, covered)
    environment = None if machine.config is None else machine.config.environment
    warnings = list(doubts(scope, runs, tools=tools, environment=environment, register=register))
    who = operator(by)
    if dry_run:
        done = _Done(scope, reason, who, covered, people, warnings=warnings, is_dry=True)
        if as_json:
            print_json(_document(done))
        else:
            _print(done)
        return
    for warning in warnings:
        say(f"warning: {warning}")
    if scope.kind in _WIDE and not yes:
        _ask(scope, covered)
    switch = machine.kill_switch()
    made = switch.kill(scope, reason=reason, by=who)
    recorded = _record(machine, scope, reason, who)
    answers = switch.answers.wait(made.generation, wait)
    silent = _silent(machine, covered, answers)
    done = _Done(scope, reason, who, covered, people, answers, silent, warnings)
    if not as_json:
        _print(done)
    # Last, since a sink may take its time.
    told: list[dict[str, Any]] = []
    if machine.config is not None:
        agent = _agent_of(scope, covered)
        told = send(machine.config, register, scope, reason=reason, by=who, agent=agent)
    if as_json:
        print_json({**_document(done), "sinks": told})
    for notice in [] if as_json else told:
        why = "" if notice["told"] else f": {notice['why']}"
        _line("told" if notice["told"] else "not told", notice["sink"] + why)
    if not recorded:
        raise typer.Exit(ExitCode.OUT_OF_REACH)
    if any(answer.reach is None for answer in answers):
        raise typer.Exit(ExitCode.FINDING)


def _agent_of(scope: Scope, covered: Sequence[ListedRun]) -> str | None:
    """The one agent whom the kill concerns: the killed one, or that of the killed run."""
    if scope.kind == "agent":
        return scope.name.partition("@")[0]
    if scope.kind == "run":
        return next((run.agent for run in covered if run.id == scope.name), None)
    return None


def _ask(scope: Scope, covered: Sequence[ListedRun]) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(f"`{scope}` is a wide target; say that it is meant with `--yes`")
    agents = len({run.agent for run in covered})
    question = (
        f"kill {scope}: {counted(len(covered), 'open run')} of {counted(agents, 'agent')}, "
        "and every run to come. Go on?"
    )
    if not typer.confirm(question):
        raise typer.Exit(ExitCode.FINDING)


def _record(machine: Machine, scope: Scope, reason: str, who: str) -> bool:
    """Whether it could be recorded. The kill is in force in any case."""
    try:
        write_act(machine.record(), "kill", scope=str(scope), reason=reason, by=who)
    except GuardrailsError as error:
        print_problem(f"{scope} is killed, but that could not be recorded: {error}")
        return False
    return True


def _silent(
    machine: Machine, covered: Sequence[ListedRun], answers: Sequence[Answer]
) -> Counter[tuple[str, str]]:
    """The calls at work in the covered runs of processes that gave no answer."""
    answered = {answer.pid for answer in answers if answer.reach is not None}
    ids = {run.id for run in covered if any(each.pid not in answered for each in run.processes)}
    if machine.record_path is None or not ids:
        return Counter()
    try:
        return at_work(machine.record_path, ids)
    except StateUnavailable as error:
        say(f"warning: {error}")
        return Counter()


def _print(done: _Done) -> None:
    if done.is_dry:
        _line("would kill", f"{done.scope}", "bold yellow")
        for warning in done.warnings:
            _line("warning", warning, "yellow")
    else:
        _line("killed", f"{done.scope}, by {done.by}: {done.reason}", "bold red")
    _tell_runs(done)
    if not done.is_dry:
        _tell_calls(done)
    for one in done.people:
        _line("tell", line_of(one))
    if not done.people and done.covered:
        _line("tell", "nobody: the register names none of these agents")
    _line("resume", _resume(done.scope))


def _tell_runs(done: _Done) -> None:
    processes = len({each for run in done.covered for each in run.processes})
    words = f"{counted(len(done.covered), 'open run')} in {counted(processes, 'process')}"
    _line("stops" if done.is_dry else "stopped", words)
    for run in done.covered[:_SHOWN]:
        on_behalf = f", for {run.principal}" if run.principal else ""
        pids = ", ".join(str(each.pid) for each in run.workers)
        joined = f", joined by pid {pids}" if pids else ""
        _line(
            "",
            f"{run.id}  {run.agent}@{run.version}  {run.environment}  pid {run.process.pid}"
            f"{joined}, opened {ago(run.opened)} ago{on_behalf}",
        )
    if len(done.covered) > _SHOWN:
        _line("", f"and {len(done.covered) - _SHOWN} more: guardrails runs list")


def _tell_calls(done: _Done) -> None:
    for answer in done.answers:
        if answer.reach is None:
            _line(
                "no answer",
                f"pid {answer.pid}: it refuses its next call, but whether calls at work there "
                "were cancelled is not known",
                "bold yellow",
            )
            continue
        cancelled, woken, plain_ones = answer.reach
        words = [f"{counted(cancelled, 'async call')} cancelled"]
        words += [f"{counted(woken, 'wait')} for approval ended"] if woken else []
        words += [f"{counted(plain_ones, 'plain call')} abandoned"] if plain_ones else []
        _line("cancelled", f"pid {answer.pid}: {', '.join(words)}")
    for (run_id, tool), number in sorted(done.silent.items()):
        _line("abandoned", f"run {run_id}: {counted(number, 'call')} of {tool} at work")
    if done.silent or any(answer.reach and answer.reach.at_work for answer in done.answers):
        _line("", "a plain function cannot be stopped: its effects stand, its result is discarded")


def _resume(scope: Scope) -> str:
    if scope.kind == "run":
        return "never: a killed run stays killed; open a new run"
    return f'guardrails resume {scope} --reason "…"'


def _line(word: str, text: str, style: str = "") -> None:
    output().print(plain(f"{word:<11}", style), plain(on_one_line(text)), sep="", soft_wrap=True)


def _document(done: _Done) -> dict[str, Any]:
    return {
        "target": str(done.scope),
        "reason": done.reason,
        "by": done.by,
        "dry_run": done.is_dry,
        "warnings": list(done.warnings),
        "runs": [
            {
                "id": run.id,
                "agent": run.agent,
                "version": run.version,
                "pid": run.process.pid,
                "workers": [each.pid for each in run.workers],
            }
            for run in done.covered
        ],
        "processes": [
            {"pid": answer.pid, "answered": False}
            if answer.reach is None
            else {"pid": answer.pid, "answered": True, **answer.reach._asdict()}
            for answer in done.answers
        ],
        "at_work": [
            {"run": run_id, "tool": tool, "calls": number}
            for (run_id, tool), number in sorted(done.silent.items())
        ],
        "tell": list(done.people),
        "resume": _resume(done.scope) if done.scope.kind != "run" else None,
    }
