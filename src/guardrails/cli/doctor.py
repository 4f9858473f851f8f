"""``guardrails doctor``: what is configured, found, loaded and permitted here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table

from guardrails.cli.checkup import examine
from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.cli.finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(add_completion=False)

_STYLES: Final = {Status.OK: "green", Status.WARN: "bold yellow", Status.FAIL: "bold red"}


@app.command()
def doctor(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False
) -> None:
    """Look at an installation and its configuration, and say what is amiss.

    Loads the policies, and changes nothing. Exits with 1 where something fails,
    and with 3 where only something out of reach does: a record that cannot be
    written, an OPA binary that is not there. Warnings alone are ok.
    """
    with notices().status("looking"):
        found = list(examine())
    code = _code(found)
    if as_json:
        print_json({"ok": code is ExitCode.OK, "checks": [asdict(each) for each in found]})
    else:
        _print(found)
    if code is not ExitCode.OK:
        raise typer.Exit(code)


def _print(found: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in found:
        table.add_row(
            plain(each.status.value, _STYLES[each.status]), plain(each.name), plain(each.found)
        )
        if each.mend:
            table.add_row("", plain("  mend", "green"), plain(each.mend))
    output().print(table)
    failed = sum(each.status is Status.FAIL for each in found)
    warned = sum(each.status is Status.WARN for each in found)
    style = "bold red" if failed else "yellow" if warned else "green"
    words = [f"{failed} to mend"] * bool(failed) + [f"{warned} to look at"] * bool(warned)
    output().print(plain(", ".join(words) or "nothing amiss", style))


def _code(found: Sequence[Finding]) -> ExitCode:
    failed = [each for each in found if each.status is Status.FAIL]
    if not failed:
        return ExitCode.OK
    return ExitCode.OUT_OF_REACH if all(each.out_of_reach for each in failed) else ExitCode.FINDING
