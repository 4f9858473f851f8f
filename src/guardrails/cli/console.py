"""What every command prints with: consoles, errors, exit codes.

Text that came from a file, a policy or an agent is never read as markup, and its
control characters are shown, not sent: it cannot steer the terminal.
"""

from __future__ import annotations

from enum import IntEnum

from rich.console import Console
from rich.text import Text

from guardrails.audit.exact_json import exact_json
from guardrails.errors import (
    ConfigError,
    GuardrailsError,
    PolicyUnavailable,
    StateUnavailable,
)
from guardrails.register import SourceError


class ExitCode(IntEnum):
    """What a command's end says."""

    OK = 0
    FINDING = 1
    USAGE = 2
    OUT_OF_REACH = 3


def output() -> Console:
    """The console for what a command is asked for."""
    return Console(markup=False, highlight=False, emoji=False)


def notices() -> Console:
    """The console for errors and remarks: standard error."""
    return Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)


def plain(text: object, style: str = "") -> Text:
    """`text` for a console, with its control characters shown as escapes."""
    return Text("\n".join(map(on_one_line, str(text).split("\n"))), style)


def on_one_line(text: object) -> str:
    """`text` with whatever cannot be printed as escapes, ends of lines too.

    For words within a line, which must not look like a line of their own.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in str(text)
    )


def print_json(value: object) -> None:
    """Print `value` as JSON on one line."""
    output().print(exact_json(value), soft_wrap=True)


def print_problem(text: object) -> None:
    """Print one thing that is wrong, on standard error."""
    notices().print(plain("error:", "bold red"), plain(text))


def report(error: GuardrailsError) -> ExitCode:
    """Print `error`, one line a problem, and give the code to exit with."""
    problems = error.problems if isinstance(error, SourceError) else (error,)
    for problem in problems:
        print_problem(problem)
    return code_of(error)


def code_of(error: GuardrailsError) -> ExitCode:
    """The code to exit with after `error`."""
    match error:
        case PolicyUnavailable() | StateUnavailable():
            return ExitCode.OUT_OF_REACH
        case ConfigError():
            return ExitCode.USAGE
        case _:
            return ExitCode.FINDING
