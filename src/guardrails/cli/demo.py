"""``guardrails demo``: watch agents work under policy."""

from __future__ import annotations

import io
import sys
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.console import Console

from guardrails.cli.console import ExitCode, print_json
from guardrails.demo.keys import Keys, has_keys
from guardrails.demo.show import play
from guardrails.demo.stage import WIDTH, Stage

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a decision, then a summary.")
    ] = False,
    fast: Annotated[bool, typer.Option("--fast", help="No pauses, scripted answers.")] = False,
    scene: Annotated[
        int | None, typer.Option("--scene", min=1, max=5, help="Play this scene alone.")
    ] = None,
) -> None:
    """Watch agents work under policy, for 45 seconds.

    Calls are decided, an approval is asked of you, a tampered one is refused, a
    budget holds, a kill stops work in flight. Without a terminal the answers are
    scripted. Exits with 1 where something that it claims did not happen.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character gets a mark in its place.
        sys.stdout.reconfigure(errors="replace")
    console = Console(width=WIDTH, markup=False, highlight=False, emoji=False, quiet=as_json)
    with Keys() if has_keys() and not fast and not as_json else nullcontext() as keys:
        stage = Stage(console, keys=keys, pace=0.0 if fast or as_json else 1.0)
        summary = play(stage, only=scene, write=print_json if as_json else None)
    if not summary.holds:
        raise typer.Exit(ExitCode.FINDING)
