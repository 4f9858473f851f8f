"""``guardrails runs``: the runs of this machine; one run; its lines in the record; its breakers."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from guardrails.cli.console import notices, on_one_line, output, plain, print_json
from guardrails.cli.machine import (
    ByOption,
    JsonOption,
    Machine,
    ReasonOption,
    StateOption,
    given,
    operator,
    say,
    write_act,
)
from guardrails.cli.moments import ago, clock
from guardrails.cli.record_lines import at_work, lines_of
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.model.kill import Subject
from guardrails.model.money import micro_usd
from guardrails.runs.ledgers.amounts import DIMENSIONS, in_units, words
from guardrails.runs.ledgers.overview import Overview
from guardrails.runs.ledgers.sqlite import FILE_NAME
from guardrails.runs.windows import Calendar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from guardrails.runs.directory import ListedRun, RunDirectory
    from guardrails.runs.ledgers.amounts import Amount

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="List, show and follow the runs of a machine."
)

_SHORTEST = 8
"""Characters of an id that are shown at least."""

_Id = Annotated[str, typer.Argument(help="The run's id, or as much of it as tells it apart.")]


@app.command("list")
def list_(
    *,
    ended: Annotated[bool, typer.Option("--all", "-a", help="Those that have ended, too.")] = False,
    agent: Annotated[str | None, typer.Option("--agent", help="Those of one agent.")] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the open runs, the newest first."""
    directory = Machine.find(state).directory()
    listed = () if directory is None else directory.runs(ended=ended)
    runs = [run for run in listed if agent in (None, run.agent)]
    if as_json:
        print_json([_document(run) for run in runs])
        return
    if not runs:
        output().print(plain("no runs" if ended else "no open runs"))
        return
    length = _length([run.id for run in listed])
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("run", "agent", "environment", "mode", "for", "state", "pid", "opened"):
        table.add_column(plain(column), overflow="fold")
    for run in runs:
        table.add_row(
            *map(
                plain,
                (
                    run.id[:length],
                    f"{run.agent}@{run.version}",
                    run.environment,
                    run.mode,
                    on_one_line(run.principal or "-"),
                    _state(run),
                    run.process.pid,
                    f"{ago(run.opened)} ago",
                ),
            )
        )
    output().print(table)


@app.command()
def show(run_id: _Id, *, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one run: who, where, for whom, what it called, and whether it is killed."""
    machine = Machine.find(state)
    run = _directory(machine).find(run_id)
    switch = machine.kill_switch() if machine.has_kill_switch else None
    subject = Subject(
        (*(id for id, _ in run.ancestors), run.id), run.agent, run.version, run.environment
    )
    kill = None if switch is None else switch.find(subject)
    record = machine.record_path
    there = record is not None and record.exists()
    calls: Counter[tuple[str, str]] = Counter()
    working: Counter[tuple[str, str]] = Counter()
    spent = _spent_now(machine, run) if run.is_open else None
    if record is not None and there:
        events = list(lines_of(record, run.id))
        calls = _calls(events)
        spent = spent or _spent_at_end(events)
        working = at_work(record, {run.id}) if run.closed is None else working
    if as_json:
        document = _document(run)
        document["killed"] = None if kill is None else {"by": kill.by, "reason": kill.reason}
        document["calls"] = [
            {"tool": tool, "outcome": outcome, "calls": number}
            for (tool, outcome), number in sorted(calls.items())
        ]
        document["spent"] = (
            None
            if spent is None
            else {name: in_units(index, spent[index]) for index, name in enumerate(DIMENSIONS)}
        )
        unended = {tool: number for (_, tool), number in sorted(working.items())}
        document["at_work"] = unended if run.is_open else {}
        document["unknown"] = {} if run.is_open else unended
        print_json(document)
        return
    shown = [
        ("run", run.id),
        ("agent", f"{run.agent}@{run.version}, {run.environment}, owner {run.owner}"),
        ("mode", run.mode),
        ("for", run.principal or "nobody in particular"),
        ("in run", " > ".join(f"{id} ({agent})" for id, agent in run.ancestors)),
        ("state", _state(run)),
        ("killed", f"by {kill.by}: {kill.reason} ({kill.scope})" if kill is not None else ""),
        ("process", f"{run.process.pid}, {run.life}"),
        ("workers", ", ".join(str(each.pid) for each in run.workers)),
        ("opened", f"{clock(run.opened)}, {ago(run.opened)} ago"),
        ("ended", clock(run.closed) if run.closed is not None else ""),
        ("policy", run.revision),
        ("spent", _amount(spent)),
        ("calls", _counts(calls) if there else "not known: there is no record to read"),
        (
            "at work" if run.is_open else "unknown",
            ", ".join(f"{number} × {tool}" for (_, tool), number in sorted(working.items()))
            + ("" if run.is_open or not working else " started; whether it ran is not known"),
        ),
    ]
    for word, text in shown:
        if text:
            output().print(plain(f"{word:<9}"), plain(on_one_line(text)), sep="", soft_wrap=True)


@app.command()
def tail(
    run_id: _Id,
    *,
    follow: Annotated[
        bool, typer.Option("--follow/--no-follow", help="Go on until the run has ended.")
    ] = True,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a run's lines in the record, and go on with those to come until it has ended."""
    machine = Machine.find(state)
    directory = _directory(machine)
    run = directory.find(run_id)
    record = machine.record_path
    if record is None:
        raise ConfigError(
            "there is no record to read: it is kept in memory, or `--state` was given"
        )

    def go_on() -> bool:
        return follow and directory.find(run.id).is_open

    try:
        for event in lines_of(record, run.id, go_on=go_on):
            if as_json:
                print_json(event)
            else:
                output().print(plain(_line(event)), soft_wrap=True)
    except KeyboardInterrupt:
        notices().print(plain("the run goes on"))


@app.command("reset-breaker")
def reset_breaker(
    run_id: _Id,
    *,
    reason: ReasonOption,
    by: ByOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a run go on that a breaker stopped: with its next call its breakers begin anew.

    It holds for the run in every process that has joined it. A run that was killed stays so.
    """
    given(reason)
    machine = Machine.find(state)
    directory = _directory(machine)
    run = directory.find(run_id)
    if not run.is_open:
        raise ConfigError(f"the run `{run.id}` is {run.state}: it makes no further call")
    who = operator(by)
    # Before the act: what cannot be recorded stays stopped.
    write_act(machine.record(), "breaker.reset", run=run.id, reason=reason, by=who)
    directory.reset_breakers(run.id, reason=reason, by=who)
    if as_json:
        print_json({"run": run.id, "reason": reason, "by": who})
        return
    output().print(
        plain(
            f"run {run.id} goes on with its next call, if a breaker has stopped it "
            f"(by {who}: {reason})"
        ),
        soft_wrap=True,
    )


def _directory(machine: Machine) -> RunDirectory:
    directory = machine.directory()
    if directory is None:
        raise ConfigError(f"no run was opened yet with the state in `{machine.state}`")
    return directory


def _length(ids: Sequence[str]) -> int:
    """How many characters tell all of `ids` apart."""
    length = _SHORTEST
    for one, other in itertools.pairwise(sorted(set(ids))):
        while length < len(other) and one[:length] == other[:length]:
            length += 1
    return length


def _state(run: ListedRun) -> str:
    elsewhere = run.is_open and run.life == "unknown"
    return f"{run.state} (in another container)" if elsewhere else str(run.state)


def _calls(events: Iterable[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """How often each tool came to which end."""
    found: Counter[tuple[str, str]] = Counter()
    for event in events:
        detail = event.get("detail") or {}
        match event["kind"]:
            case "call.finished":
                found[event["tool"], str(detail.get("outcome", ""))] += 1
            case "call.refused":
                found[event["tool"], str(detail.get("code", ""))] += 1
            case "call.shadowed":
                found[event["tool"], "shadowed"] += 1
            case _:
                pass
    return found


def _spent_now(machine: Machine, run: ListedRun) -> Amount | None:
    """What an open run has spent, as reported a second ago at most; None where nobody knows."""
    path = machine.state / FILE_NAME
    if not path.exists():
        return None
    try:
        with closing(Overview(path, (), Calendar())) as overview:
            stand = overview.run(run.id)
    except StateUnavailable as error:
        say(f"warning: {error}")
        return None
    return None if stand is None else stand.spent


def _spent_at_end(events: Iterable[dict[str, Any]]) -> Amount | None:
    """What a run had spent when it was closed, by the record."""
    for event in events:
        if event["kind"] == "run.closed":
            sums = event["detail"]["spent"]
            return micro_usd(sums["usd"]), sums["tokens"], sums["calls"]
    return None


def _amount(spent: Amount | None) -> str:
    if spent is None:
        return ""
    return ", ".join(words(index, part) for index, part in enumerate(spent) if part) or "nothing"


def _counts(calls: Counter[tuple[str, str]]) -> str:
    shown = (f"{number} × {tool} {outcome}" for (tool, outcome), number in sorted(calls.items()))
    return ", ".join(shown) or "none"


def _line(event: dict[str, Any]) -> str:
    words = [clock(event["time"]), f"{event['kind']:<14}"]
    words += [str(event[key]) for key in ("tool", "effect") if event.get(key) is not None]
    detail = event.get("detail") or {}
    words += [str(detail[key]) for key in ("outcome", "code", "message") if detail.get(key)]
    return on_one_line("  ".join(words))


def _document(run: ListedRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "agent": run.agent,
        "version": run.version,
        "environment": run.environment,
        "owner": run.owner,
        "mode": run.mode,
        "principal": run.principal,
        "parent": run.parent,
        "state": run.state.value,
        "pid": run.process.pid,
        "workers": [each.pid for each in run.workers],
        "life": run.life.value,
        "opened": run.opened,
        "closed": run.closed,
        "revision": run.revision,
    }
