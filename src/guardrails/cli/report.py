"""``guardrails report``: what agents have done, for the people who answer for them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from guardrails.cli.audit_storage import moment, record_plan
from guardrails.cli.console import output, plain, print_json
from guardrails.cli.machine import JsonOption
from guardrails.cli.progress import bar_of_progress
from guardrails.errors import ConfigError
from guardrails.report import AgentSums, report
from guardrails.report.told import csv_of, page_of

app = typer.Typer(add_completion=False)

_SHOWN = ("agent", "version", "runs", "calls", "refused", "shadowed", "errors", "usd", "loops")


@app.command()
def command(  # noqa: PLR0913  # options, by name
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", help="A date, or an age as `7d` or `12h`; else all of it."),
    ] = None,
    log: Annotated[
        Path | None, typer.Option("--log", help="The record; else the configuration's.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", help="`owner`: one page and one table for each owner, in --out."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The directory for the files of `--to owner`.")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page there.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a table there.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Sum up the record by agent and version: calls, refusals, approvals, cost, loops, feedback."""
    begin = 0 if since is None else moment(since, "--since")
    if to not in (None, "owner"):
        raise ConfigError(f"--to: only `owner` is known, not `{to}`")
    if (to is None) is not (out is None):
        raise ConfigError("`--to owner` and `--out DIR` belong together")
    record = record_plan(log).path
    with bar_of_progress("reading") as tell:
        found = report(record, since=begin, progress=tell)
    agents = found.agents
    if html is not None:
        html.write_text(page_of(agents, since=begin, title="Agents"), encoding="utf-8")
    if csv is not None:
        csv.write_text(csv_of(agents), encoding="utf-8")
    written = {} if out is None else _by_owner(agents, out, begin)
    if as_json:
        document: dict[str, Any] = {
            "since": begin,
            "events": found.events,
            "torn": found.torn,
            "agents": [sums.document() for sums in agents],
        }
        if written:
            document["written"] = written
        print_json(document)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _SHOWN:
        table.add_column(plain(column), overflow="fold")
    for sums in agents:
        row = sums.row()
        table.add_row(*(plain("-" if row[name] is None else row[name]) for name in _SHOWN))
    output().print(table if agents else plain("the record names no agents in this time"))
    if found.torn:
        output().print(plain(f"{found.torn:,} lines of the record are no whole event"))
    for owner, files in written.items():
        output().print(plain(f"for {owner}: {', '.join(files)}"), soft_wrap=True)


def _by_owner(agents: list[AgentSums], out: Path, since: int) -> dict[str, list[str]]:
    """Write each owner's files; which ones, by owner."""
    out.mkdir(parents=True, exist_ok=True)
    owned: dict[str, list[AgentSums]] = {}
    for sums in agents:
        owned.setdefault(sums.owner or "nobody", []).append(sums)
    written: dict[str, list[str]] = {}
    taken: set[str] = set()
    for number, (owner, theirs) in enumerate(sorted(owned.items())):
        # An owner stands in the record, and is no path.
        stem = re.sub(r"[^A-Za-z0-9@_-]+", "_", owner)[:100]
        stem = f"{stem}-{number}" if stem in taken else stem
        taken.add(stem)
        for kind, text in _texts(theirs, owner, since).items():
            path = out / f"{stem}.{kind}"
            path.write_text(text, encoding="utf-8")
            written.setdefault(owner, []).append(str(path))
    return written


def _texts(agents: list[AgentSums], owner: str, since: int) -> dict[Literal["html", "csv"], str]:
    page = page_of(agents, since=since, title=f"Agents of {owner}")
    return {"html": page, "csv": csv_of(agents)}
