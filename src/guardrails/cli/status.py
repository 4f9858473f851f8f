"""``guardrails status``: what is killed, which runs are open, what decides about them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table

from guardrails.cli.candidate_checkup import candidate_line
from guardrails.cli.console import on_one_line, output, plain, print_json
from guardrails.cli.engine_facts import engine_facts
from guardrails.cli.machine import JsonOption, Machine, NothingShared, StateOption
from guardrails.cli.moments import ago, clock, counted
from guardrails.cli.policy_sources import nearby
from guardrails.runs.directory import State
from guardrails.runs.kill_facts import kill_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.cli.engine_facts import EngineFacts
    from guardrails.config import Config
    from guardrails.runs.directory import ListedRun
    from guardrails.runs.kill_facts import KillFacts

app = typer.Typer(add_completion=False)


@app.command()
def status(*, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show what is killed, which runs are open on this machine, and what decides about them."""
    try:
        machine = Machine.find(state)
    except NothingShared as error:
        _print_unshared(error.config, as_json=as_json)
        return
    facts = kill_facts(machine.state)
    listed, _ = machine.listed()
    runs = [run for run in listed if run.is_open]
    lost = [run for run in listed if run.state is State.LOST]
    environment = None if machine.config is None else machine.config.environment
    engine = None if machine.config is None else engine_facts(machine.config, load=False)
    if as_json:
        document = _document(machine, facts, runs, lost)
        more = {"engine": None if engine is None else engine.document()}
        print_json(document | more | {"candidate": _candidate(machine.config)})
        return
    where = f"{nearby(machine.state)}" + (f", environment {environment}" if environment else "")
    output().print(plain(f"state    {where}"), soft_wrap=True)
    _print_kills(facts)
    _print_runs(runs, lost)
    if runs:
        revisions = sorted({run.revision for run in runs})
        shown = ", ".join(each.removeprefix("sha256:")[:12] for each in revisions)
        output().print(plain(f"policy   revision {shown}"), soft_wrap=True)
    if engine is not None:
        _print_engine(engine)
    _print_candidate(machine.config)
    output().print(plain("budgets  guardrails budget show"))


def _print_unshared(config: Config, *, as_json: bool) -> None:
    """What can be seen where processes share no state: what decides."""
    engine = engine_facts(config, load=False)
    if as_json:
        unknown = dict.fromkeys(("state", "killed", "open", "lost", "revisions"))
        known = {"environment": config.environment, "engine": engine.document()}
        print_json({**unknown, **known, "candidate": _candidate(config)})
        return
    said = "null: kills, runs and bundles of other processes cannot be seen"
    output().print(plain(f"state    {said}, environment {config.environment}"), soft_wrap=True)
    _print_engine(engine)
    _print_candidate(config)


def _print_engine(engine: EngineFacts) -> None:
    for word, said, is_amiss in engine.lines():
        output().print(plain(f"{word:8} {said}", "bold red" if is_amiss else ""), soft_wrap=True)


def _print_candidate(config: Config | None) -> None:
    said = None if config is None else candidate_line(config)
    if said is not None:
        output().print(plain(f"tries    {said}"), soft_wrap=True)


def _candidate(config: Config | None) -> dict[str, Any] | None:
    wanted = None if config is None else config.candidate
    return None if wanted is None else {"policy": str(wanted.policy), "share": wanted.share}


def _print_kills(facts: KillFacts) -> None:
    killed = [act for act in facts.killed if act.scope.kind != "run"]
    of_runs = len(facts.killed) - len(killed)
    more = f", and {counted(of_runs, 'single run')}" if of_runs else ""
    if not killed:
        output().print(plain(f"killed   nothing{more}", "" if of_runs else "green"))
        return
    for act in killed:
        said = on_one_line(
            f"{act.scope}, {ago(act.at)} ago ({clock(act.at)}) by {act.by}: {act.reason}"
        )
        output().print(plain("killed   ", "bold red"), plain(said), sep="", soft_wrap=True)
    if more:
        output().print(plain(f"         {more.removeprefix(', ')}"))


def _print_runs(runs: Sequence[ListedRun], lost: Sequence[ListedRun]) -> None:
    by_agent: dict[str, list[ListedRun]] = defaultdict(list)
    for run in runs:
        by_agent[f"{run.agent}@{run.version}"].append(run)
    output().print(plain(f"open     {counted(len(runs), 'run')}"))
    if by_agent:
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for name, its in sorted(by_agent.items()):
            processes = ", ".join(
                str(pid) for pid in sorted({one.pid for run in its for one in run.processes})
            )
            table.add_row(
                plain("       "),
                plain(name),
                plain(counted(len(its), "run")),
                plain(f"oldest {ago(min(run.opened for run in its))}"),
                plain(f"pid {processes}"),
            )
        output().print(table)
    if lost:
        said = f"{counted(len(lost), 'run')} whose process is gone: guardrails runs list --all"
        output().print(plain(f"lost     {said}", "yellow"), soft_wrap=True)


def _document(
    machine: Machine, facts: KillFacts, runs: Sequence[ListedRun], lost: Sequence[ListedRun]
) -> dict[str, Any]:
    return {
        "state": str(machine.state),
        "environment": None if machine.config is None else machine.config.environment,
        "killed": [
            {"target": str(act.scope), "by": act.by, "reason": act.reason, "at": act.at}
            for act in facts.killed
        ],
        "open": [
            {"id": run.id, "agent": run.agent, "version": run.version, "pid": run.process.pid}
            for run in runs
        ],
        "lost": [run.id for run in lost],
        "revisions": sorted({run.revision for run in runs}),
    }
