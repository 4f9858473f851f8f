"""The root of the command line: which commands there are, and where each one is.

A command ``NAME`` is the ``app`` of the module ``guardrails.cli.NAME``: a typer
application (with ``add_completion=False``) of one command, or a group of them. Its
module is imported when the command runs; the help of the root needs none of them.
"""

from __future__ import annotations

import errno
from importlib import import_module, metadata
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from guardrails.cli.console import ExitCode, output, print_problem, report
from guardrails.errors import GuardrailsError

COMMANDS: Final = {
    "init": "Set up a project: configuration, register, a first policy with its test.",
    "demo": "Watch agents work under policy, for 45 seconds.",
    "doctor": "Look at an installation and say what is amiss.",
    "status": "Show what is killed and which runs are open.",
    "tools": "List the governed and ungoverned callables of a package.",
    "agents": "Check, query, import and export the register of agents.",
    "approvals": "See what waits for people, and answer.",
    "serve": "Serve the HTTP API for approvals.",
    "alerts": "List the ways by which people are told, and try them.",
    "budget": "Show and set what runs may spend together.",
    "runs": "List, show and follow the runs of this machine.",
    "audit": "Show, export, verify, follow and prune the record.",
    "kill": "Stop agents, runs or tools, on this machine, at once.",
    "resume": "Lift a kill.",
    "policy": "Check, test, evaluate and deliver policies.",
    "replay": "Decide recorded calls again by another policy; nothing is executed.",
    "report": "Sum up the record by agent: calls, refusals, approvals, cost, feedback.",
    "mcp": "Put MCP servers behind policy; look at, approve and try them.",
    "bundle": "Look into bundles of OPA, and verify that they would be taken.",
}
"""The commands, in the order of the help."""


class _Deferred(TyperCommand):
    """A command whose module is imported when it runs."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """The context of the command itself, which then runs in this one's place."""
        module = import_module(f"guardrails.cli.{self.name}")
        command = typer.main.get_command(module.app)
        command.name = self.name
        return command.make_context(*args, **kwargs)


class _Root(TyperGroup):
    """The group of all commands; the one place where errors become exit codes."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        for name, words in COMMANDS.items():
            self.add_command(_Deferred(name=name, help=words, callback=_not_called))

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error is printed, and its code is exited with."""
        try:
            return super().invoke(ctx)
        except GuardrailsError as error:
            raise typer.Exit(report(error)) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click's to end: whoever read has heard enough
                raise
            print_problem(error)
            raise typer.Exit(ExitCode.OUT_OF_REACH) from error


def _not_called() -> None:
    """Stand where typer wants a function; the command's own context takes its place."""


app: Final = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    add_completion=False,
    # A traceback with the values of locals could print secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if not wanted:
        return
    try:
        version = metadata.version("guardrails-opa")
    except metadata.PackageNotFoundError:
        version = "(run from its source, not installed)"
    output().print(f"guardrails-opa {version}")
    raise typer.Exit


@app.callback()
def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Policy as code for AI agents: every tool call is decided by Rego before it runs.

    Exit codes: 0 ok, 1 finding or refusal, 2 usage, 3 out of reach.
    """
