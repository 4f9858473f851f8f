"""``guardrails init``: a folder in which policy governs an agent at once."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from guardrails.cli.console import ExitCode, notices, output, plain, print_problem
from guardrails.config import VARIABLE
from guardrails.errors import ConfigError

app = typer.Typer(add_completion=False)

_TEMPLATES: Final = Path(__file__).resolve().parent / "templates"

FILES: Final = {
    "guardrails.yaml": ("guardrails.yaml", "environment, policies, modes"),
    "agents.yaml": ("agents.yaml", "the register: who exists and may do what"),
    "policies/rules/refunds.rego": ("refunds.rego", "a rule of your own"),
    "policies/rules/refunds_test.rego": ("refunds_test.rego", "its tests"),
    "tests/refunds.decisions.yaml": ("refunds.decisions.yaml", "decisions to expect, for pytest"),
    "agent.py": ("agent.py.txt", "an agent with one governed tool"),
    ".gitignore": ("gitignore", "keeps the record out of git"),
}
"""What is written: file → the template, and what it is for."""

_IGNORE: Final = ".gitignore"
"""The one file that a folder may have before: it stays as it is."""

_NEXT: Final = {
    "guardrails policy test": "the library's tests and yours",
    "pytest": "what is decided about whole calls; needs pytest",
    "python agent.py": "a call runs, one waits for a person, one is killed",
    "guardrails doctor": "what is configured, found and permitted",
    "guardrails tools agent": "what agent.py exposes, and to which agents",
}


@app.command()
def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder; it is made where there is none.")
    ] = Path(),
) -> None:
    """Set up a project: configuration, register, a first policy with its test, an agent.

    Never overwrites: if one of its files is there, nothing is written, and it exits with 1.
    """
    ignores = os.path.lexists(directory / _IGNORE)
    wanted = [name for name in FILES if not (ignores and name == _IGNORE)]
    present = [name for name in wanted if os.path.lexists(directory / name)]
    if present:
        for name in present:
            print_problem(f"{directory / name}: exists already")
        notices().print(
            plain("nothing was written; choose another folder, or move these files away")
        )
        raise typer.Exit(ExitCode.FINDING)
    for name in wanted:
        _write(directory / name, (_TEMPLATES / FILES[name][0]).read_bytes())
    _say_next(directory, wanted)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(content)
    except OSError as error:
        at = error.filename or path
        raise ConfigError(
            f"{at}: cannot be made: {error.strerror}; choose another folder"
        ) from error


def _say_next(directory: Path, written: list[str]) -> None:
    screen = output()
    here = directory.resolve() == Path.cwd()
    screen.print(plain(f"Made in {'this folder' if here else directory}:"), soft_wrap=True)
    wide = max(map(len, written))
    for name in written:
        screen.print(plain(f"  {name.ljust(wide)}  {FILES[name][1]}"), soft_wrap=True)
    if _IGNORE not in written:
        screen.print(plain(f"Add .guardrails/ to your {_IGNORE}: the record is written there."))
    screen.print()
    screen.print(plain("Next:"))
    if not here:
        screen.print(plain(f"  cd {shlex.quote(str(directory))}", "bold"), soft_wrap=True)
    wide = max(map(len, _NEXT))
    for command, purpose in _NEXT.items():
        screen.print(plain(f"  {command.ljust(wide)}", "bold"), plain(f" {purpose}"))
    screen.print(
        plain("Then put yourself into agents.yaml as the owner, and grant your own tools.")
    )
    if os.environ.get(VARIABLE):
        notices().print(
            plain("note:", "yellow"),
            plain(f"{VARIABLE} is set and names another configuration; unset it to use this one"),
        )
