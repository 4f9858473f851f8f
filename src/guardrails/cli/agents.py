"""``guardrails agents``: check, query, import and export the register."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from guardrails.audit.exact_json import exact_json
from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.config import Config, find_file
from guardrails.errors import ConfigError
from guardrails.register import Problem, Register, SourceError
from guardrails.register.csv_table import from_csv, to_csv
from guardrails.register.review import findings
from guardrails.register.source import quoted, read_text
from guardrails.register.yaml_text import to_yaml

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Check, query, import and export the register.",
)

_WIDEST_MATRIX = 5
"""More resources than this are listed one a line."""

_File = Annotated[
    Path | None,
    typer.Option(
        "--file",
        "-f",
        help="The register. Without it the one that guardrails.yaml names, else ./agents.yaml.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file, not to the screen.")
]
_Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


class Format(StrEnum):
    """The forms in which a register leaves."""

    CSV = "csv"
    YAML = "yaml"
    DATA = "data"


@app.command()
def check(
    file: Annotated[
        Path | None,
        typer.Argument(help="The register; else the one of guardrails.yaml, else ./agents.yaml."),
    ] = None,
    *,
    as_json: _Json = False,
) -> None:
    """Say what is wrong in the register, and what a review should settle.

    Exits with 1 where there is anything: an unknown key, an overdue review,
    an owner that is a group, a production agent without a sign-off.
    """
    path = _register_file(file)
    problems: tuple[Problem, ...]
    agents = 0
    try:
        register = Register.load(path)
    except SourceError as error:
        problems = error.problems
    else:
        agents = len(register.entries)
        problems = findings(register, datetime.now(UTC).date())
    if as_json:
        found = [problem._asdict() for problem in problems]
        print_json({"file": str(path), "agents": agents, "problems": found})
    elif problems:
        for problem in problems:
            output().print(plain(problem), soft_wrap=True)
    else:
        output().print(plain(f"{path}: {_count(agents, 'agent')}, nothing to settle", "green"))
    if problems:
        raise typer.Exit(ExitCode.FINDING)


@app.command()
def matrix(*, file: _File = None, as_json: _Json = False) -> None:
    """Show which agent may do what: agent × resource → operations."""
    granted = Register.load(_register_file(file)).matrix()
    if as_json:
        print_json(granted)
        return
    resources = sorted({resource for access in granted.values() for resource in access})
    if len(resources) > _WIDEST_MATRIX:
        rows = [
            [agent, resource, ", ".join(operations)]
            for agent, access in granted.items()
            for resource, operations in access.items()
        ]
        output().print(_table(["agent", "resource", "operations"], rows))
        return
    rows = [
        [agent, *(", ".join(access.get(resource, ())) or "-" for resource in resources)]
        for agent, access in granted.items()
    ]
    output().print(_table(["agent", *resources], rows))


@app.command()
def who_can(
    operation: Annotated[str, typer.Argument(help="As `read`.")],
    resource: Annotated[str, typer.Argument(help="As `payments`.")],
    *,
    file: _File = None,
    as_json: _Json = False,
) -> None:
    """List the agents that the register grants an operation on a resource."""
    register = Register.load(_register_file(file))
    agents = register.who_can(operation, resource)
    if as_json:
        print_json({"operation": operation, "resource": resource, "agents": agents})
        return
    if agents:
        rows = [
            [name, register.entries[name].owner, _environments(register, name)] for name in agents
        ]
        output().print(_table(["agent", "owner", "environments"], rows))
        return
    output().print(plain(f"no agent may {operation} {resource}"))
    known = sorted({name for access in register.matrix().values() for name in access})
    if resource not in known:
        there = quoted(known) or "none"
        notices().print(plain(f"note: nothing is granted on `{resource}`; there are {there}"))


@app.command("import")
def import_(
    table: Annotated[Path, typer.Argument(help="A table in CSV, as `agents export` writes it.")],
    *,
    to: _Output = None,
    force: _Force = False,
) -> None:
    """Turn a table in CSV into the register's YAML."""
    register = from_csv(read_text(table), str(table))
    _deliver(to_yaml(register), to, force=force)


@app.command()
def export(
    *,
    form: Annotated[
        Format,
        typer.Option("--format", help="csv: a table; yaml: the register; data: JSON for OPA."),
    ] = Format.CSV,
    file: _File = None,
    to: _Output = None,
    force: _Force = False,
) -> None:
    """Write the register as a table, as YAML, or as the data that policies read."""
    register = Register.load(_register_file(file))
    if form is Format.CSV:
        text = to_csv(register)
    elif form is Format.YAML:
        text = to_yaml(register)
    else:
        data: dict[str, Any] = {"guardrails_data": {"agents": register.policy_data()}}
        text = exact_json(data) + "\n"
    _deliver(text, to, force=force)


def _register_file(given: Path | None) -> Path:
    """The register that is meant, relative to the working directory where it is below it."""
    if given is not None:
        return given
    usual = Path("agents.yaml")
    try:
        config = find_file()
    except ConfigError:
        if usual.is_file():
            return usual
        raise
    named = Config.load(config).agents
    here = Path.cwd()
    return named.relative_to(here) if named.is_relative_to(here) else named


def _deliver(text: str, to: Path | None, *, force: bool) -> None:
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        with to.open("w" if force else "x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{to}: exists already; replace it with --force") from None
    except OSError as error:
        raise ConfigError(f"{to}: cannot be written: {error.strerror}") from error
    notices().print(plain(f"wrote {to}"))


def _environments(register: Register, name: str) -> str:
    return ", ".join(sorted(register.entries[name].budget)) or "-"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _table(columns: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # Folded, never cut: what a table leaves out would be read as not granted.
        table.add_column(plain(column), overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    return table
