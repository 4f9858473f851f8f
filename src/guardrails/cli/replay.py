"""``guardrails replay``: what another policy would have decided about the calls of a record."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from guardrails.cli.audit_storage import record_plan
from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.cli.machine import JsonOption
from guardrails.cli.progress import bar_of_progress
from guardrails.config import Config
from guardrails.errors import ConfigError
from guardrails.model.exact_text import read_exact
from guardrails.register import Register
from guardrails.replay import candidate_of, replay
from guardrails.replay.page import page_of
from guardrails.replay.replaying import findings_of
from guardrails.replay.told import document_of, markdown_of, places_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrails.replay import Replay

app = typer.Typer(add_completion=False)

_ROWS = 15


@app.command()
def command(  # noqa: PLR0913  # options, by name
    *,
    policy: Annotated[
        Path,
        typer.Option(
            "--policy",
            help="The candidate: a directory of policies, a bundle, or a guardrails.yaml.",
        ),
    ],
    log: Annotated[
        Path | None, typer.Option("--log", help="The record; else the configuration's.")
    ] = None,
    agents: Annotated[
        Path | None,
        typer.Option("--agents", help="Another register: what inputs say of agents is replaced."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="JSON that the program itself gives policies.")
    ] = None,
    library: Annotated[
        bool, typer.Option(help="Without a configuration: whether the shipped library is below.")
    ] = True,
    max_flips: Annotated[
        str | None, typer.Option("--max-flips", help="More flips exit with 1: `10` or `0.5%`.")
    ] = None,
    max_loosened: Annotated[
        str | None, typer.Option("--max-loosened", help="The same of flips that loosen.")
    ] = None,
    max_unreplayed: Annotated[
        str | None,
        typer.Option("--max-unreplayed", help="The same of decisions that cannot be replayed."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page there.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write a summary for a pull request there.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; else one a processor.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Decide every recorded call again by another policy. Nothing is executed.

    Exits with 1 where a threshold is passed, or where no decision could be replayed.
    """
    limits = {
        name: _limit(option, text)
        for name, option, text in (
            ("flips", "--max-flips", max_flips),
            ("loosened", "--max-loosened", max_loosened),
            ("unreplayed", "--max-unreplayed", max_unreplayed),
        )
        if text is not None
    }
    base = _configuration()
    record = record_plan(log).path
    candidate = candidate_of(
        policy, base, agents=agents, data=None if data is None else _object(data), library=library
    )
    facts = None if agents is None else _facts(Register.load(agents))
    with bar_of_progress("replaying") as tell:
        found = replay(record, candidate, agents=facts, workers=workers, progress=tell)
    findings = findings_of(found, candidate)
    if html is not None:
        html.write_text(page_of(found, findings), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(markdown_of(found), encoding="utf-8")
    if as_json:
        print_json(document_of(found, findings))
    else:
        _print(found)
    tally = found.tally
    # A line that is torn may have been a decision.
    unreplayed = tally.unreplayed + tally.torn
    figures = {
        "flips": (tally.flips, tally.decisions),
        "loosened": (tally.loosened, tally.decisions),
        "unreplayed": (unreplayed, tally.decisions + unreplayed),
    }
    passed = [
        f"{figures[name][0]} {name}, more than {text} permits"
        for name, (text, is_passed) in limits.items()
        if is_passed(*figures[name])
    ]
    if not tally.decisions:
        passed.append("no decision of the record could be replayed")
    for problem in passed:
        notices().print(plain("finding:", "bold red"), plain(problem))
    if passed:
        raise typer.Exit(ExitCode.FINDING)


def _configuration() -> Config | None:
    try:
        return Config.find()
    except ConfigError as error:
        # One that is there and wrong is told of; none at all is no fault.
        if "there is no guardrails.yaml" not in str(error):
            raise
        return None


def _limit(option: str, text: str) -> tuple[str, Callable[[int, int], bool]]:
    """What was written, and whether a number of so many is more than it permits."""
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)(%?)", text)
    if found is None or ("." in found[1] and not found[2]):
        raise ConfigError(f"{option}: a number or a percentage is needed, not `{text}`")
    most = Decimal(found[1])
    if not found[2]:
        return text, lambda value, _: value > most
    return text, lambda value, whole: value * 100 > most * whole


def _object(path: Path) -> dict[str, Any]:
    try:
        found = read_exact(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"--data: `{path}` cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"--data: `{path}` holds no object")
    return found


def _facts(register: Register) -> dict[str, dict[str, Any]]:
    return {
        name: {"version": entry.version, "owner": entry.owner, "labels": list(entry.labels)}
        for name, entry in register.entries.items()
    }


def _print(found: Replay) -> None:
    tally = found.tally
    say = output().print
    say(
        plain(f"{tally.flips:,} of {tally.decisions:,} decisions change", "bold"),
        plain(f"({tally.loosened:,} looser; {tally.reworded:,} more by other rules alone)"),
    )
    for gap, number in sorted(tally.gaps.items()):
        say(plain(f"not replayed: {number:,}: {gap.words}"))
        for name, times in places_of(gap, tally):
            say(plain(f"  {times:,}: {name}"), soft_wrap=True)
    if tally.torn:
        say(plain(f"not replayed: {tally.torn:,} lines that are no whole event"))
    if tally.undecided:
        say(plain(f"refused before policy was asked, and not decided again: {tally.undecided:,}"))
    changed = [(key, number) for key, number in tally.effects.most_common() if key[0] != key[1]]
    _table(("was", "becomes", "decisions"), [(*key, number) for key, number in changed])
    _table(
        ("rule", "speaks now", "no longer"),
        [
            (rule, sums.newly, sums.no_longer)
            for rule, sums in tally.rules.ranked(lambda sums: sums.newly + sums.no_longer)
        ],
    )
    for title, by in (("tool", tally.tools), ("agent", tally.agents)):
        _table(
            (title, "decisions", "flips", "looser"),
            [
                (name, sums.decisions, sums.flips, sums.loosened)
                for name, sums in by.ranked(lambda sums: sums.flips)
                if sums.flips
            ],
        )
    examples = {each.place: each for examples in tally.examples.values() for each in examples}
    _table(
        ("example", "agent", "tool", "was", "becomes", "rules"),
        [
            (
                each.decision_id,
                each.agent,
                each.tool,
                each.was[0],
                each.becomes[0],
                ", ".join(each.becomes[1] or each.was[1]),
            )
            for _, each in sorted(examples.items())
        ],
    )


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(plain(column), overflow="fold")
    for row in rows[:_ROWS]:
        table.add_row(*(plain(f"{each:,}" if isinstance(each, int) else each) for each in row))
    output().print()
    output().print(table)
    if len(rows) > _ROWS:
        output().print(plain(f"… and {len(rows) - _ROWS} more; --json has all"))
