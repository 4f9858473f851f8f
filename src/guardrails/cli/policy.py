"""``guardrails policy``: check, test, evaluate and deliver policies."""

from __future__ import annotations

import re
import sys
import time
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Final

import typer

from guardrails.cli.console import ExitCode, notices
from guardrails.cli.coverage_report import check_threshold
from guardrails.cli.policy_check import check
from guardrails.cli.policy_delivery import export, push
from guardrails.cli.policy_report import print_evaluation
from guardrails.cli.policy_sources import Suite, from_config, from_paths, needed_opa, suites_of
from guardrails.cli.suite_report import SuiteReport
from guardrails.config import Config
from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.coverage import Coverage
from guardrails.rego.explain import trace
from guardrails.rego.sources import read_data
from guardrails.rego.testing import run_tests
from guardrails.rego.values import from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.rego.explain import Trace
    from guardrails.rego.planner import PlannerName

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Check, test, evaluate and deliver policies."
)

DECISION: Final = "guardrails/decision"
"""What is evaluated where nothing else is named."""


class Planner(StrEnum):
    """Who turns Rego into a plan."""

    REGOPY = "regopy"
    OPA = "opa"


class Explain(StrEnum):
    """How much an explanation tells."""

    NOTES = "notes"
    FAILS = "fails"
    FULL = "full"


class Form(StrEnum):
    """How a result is printed."""

    PRETTY = "pretty"
    JSON = "json"


_Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        exists=True,
        help="Files and directories. Without them what guardrails.yaml names:"
        " the library, its presets, your policies.",
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
_Planner = Annotated[
    Planner | None,
    typer.Option("--planner", help="Who plans; else the configuration's planner, else regopy."),
]


app.command()(check)
app.command()(export)
app.command()(push)


@app.command("test")
def run_suites(  # noqa: PLR0913  # OPA's flags, each by its name
    paths: _Paths = None,
    *,
    run: Annotated[
        str | None,
        typer.Option("--run", "-r", metavar="REGEX", help="Only tests whose `package.name` fits."),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Name every test.")] = False,
    coverage: Annotated[
        bool, typer.Option("--coverage", "-c", help="Tell which rows the tests reached.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", metavar="PERCENT", help="Fail below this coverage; implies --coverage."
        ),
    ] = None,
    library: Annotated[
        bool,
        typer.Option("--library", help="The tests of the library and its presets, too."),
    ] = False,
    planner: _Planner = None,
    form: Annotated[Form, typer.Option("--format", help="How results are printed.")] = Form.PRETTY,
    as_json: _Json = False,
) -> None:
    """Run the tests of policies: rules `test_…` in files `*_test.rego`.

    Without paths your own tests run, on top of the library; with --library
    each layer's, with the layers below it. Where there is an OPA binary,
    `opa test` runs the same tests, and both must pass.
    """
    if library and paths:
        raise ConfigError("--library goes without paths: they are all that is tested")
    _check_pattern(run)
    check_threshold(threshold)
    config = None if paths else Config.find()
    suites = (
        suites_of(config, library=library)
        if config
        else [Suite(_named(paths or []), tuple(paths or ()))]
    )
    chosen = _chosen(planner, config)
    opa = needed_opa(chosen, str(config.opa) if config and config.opa else None)
    beside = frozenset().union(*(suite.beside for suite in suites))
    reached = Coverage(beside) if coverage or threshold is not None else None
    as_json = as_json or form is Form.JSON
    report = SuiteReport(
        verbose=verbose, as_json=as_json, given=paths or (), coverage=reached, threshold=threshold
    )
    for suite in suites:
        began = time.perf_counter()
        with notices().status(f"testing {suite.name}"):
            results = run_tests(suite.paths, run=run, planner=chosen, opa=opa, coverage=reached)
        report.add(suite, results, time.perf_counter() - began)
    report.close()
    if not report.passed:
        raise typer.Exit(ExitCode.FINDING)


@app.command("eval")
def evaluate(  # noqa: PLR0913  # OPA's flags, each by its name
    entrypoint: Annotated[
        str, typer.Argument(help="A rule or package, as `guardrails/decision`.")
    ] = DECISION,
    *,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            "--data",
            "-d",
            exists=True,
            help="A directory or file of policies or data; may be repeated."
            " Without it what guardrails.yaml names, with the register.",
        ),
    ] = None,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input", "-i", help="The input document, JSON or YAML; `-` reads JSON here."
        ),
    ] = None,
    explain: Annotated[
        Explain | None,
        typer.Option(
            "--explain",
            help="Why: notes, the rules that ran; fails, also what failed in them; full, all.",
        ),
    ] = None,
    form: Annotated[
        Form, typer.Option("--format", help="How the result is printed.")
    ] = Form.PRETTY,
    planner: _Planner = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict-builtin-errors/--no-strict-builtin-errors",
            help="A builtin that fails is an error, as in a decision; else it is undefined.",
        ),
    ] = True,
    fail: Annotated[
        bool, typer.Option("--fail", help="Exit with 1 where the result is undefined.")
    ] = False,
) -> None:
    """Evaluate a rule for an input, as a decision is evaluated, and say why.

    Exits with 1 where the evaluation fails, and with --fail where the result
    is undefined; a denial is a result as any other.
    """
    config = None if data else Config.find()
    policies = from_config(config) if config else from_paths(data or [])
    document = UNDEFINED if input_file is None else _read_input(input_file)
    chosen = _chosen(planner, config)
    wanted = _entrypoint(entrypoint)
    modules = dict(policies.modules)
    if wanted.startswith("guardrails_test/"):
        modules |= policies.tests
    if not modules:
        raise ConfigError(f"there is no Rego file in {_named(data or [])}")
    program = Program.from_modules(
        modules,
        [wanted],
        data=policies.data,
        planner=chosen,
        opa=needed_opa(chosen, policies.opa) if chosen == "opa" else None,
    )
    told = _explained(program, wanted, document, modules, strict=strict)
    mode = None if explain is None else explain.value
    print_evaluation(told, mode, modules, as_json=form is Form.JSON)  # type: ignore[arg-type]  # the enum has just these values
    if told.error is not None or (fail and not told.results):
        raise typer.Exit(ExitCode.FINDING)


def _explained(
    program: Program, entrypoint: str, document: object, sources: Mapping[str, str], *, strict: bool
) -> Trace:
    """As ``Program.explain``, in the words of the sources."""
    try:
        given = document if document is UNDEFINED else from_json(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the input cannot be used: {error}") from error
    return trace(
        program.interpreter,
        program.policy.plans[entrypoint],
        given,
        program.data,
        EvaluationContext(),
        strict_builtin_errors=strict,
        sources=sources,
    )


def _read_input(file: Path) -> object:
    """The input document; its problems are the caller's, not the policy's."""
    if str(file) != "-":
        try:
            return read_data(file)
        except PolicyLoadError as error:
            raise ConfigError(f"the input cannot be used: {error}") from error
    with TemporaryDirectory() as directory:
        copy = Path(directory) / "input.json"
        copy.write_bytes(sys.stdin.buffer.read())
        try:
            return read_data(copy)
        except PolicyLoadError as error:
            place = f"{error.row}:{error.col}: " if error.row else ""
            raise ConfigError(f"the input cannot be used: -:{place}{error.message}") from error


def _entrypoint(text: str) -> str:
    """An entry point, also where it is written as a reference: ``data.guardrails.decision``."""
    if "/" in text:
        return text.strip("/")
    return text.removeprefix("data.").replace(".", "/")


def _chosen(planner: Planner | None, config: Config | None) -> PlannerName:
    if planner is not None:
        return planner.value
    return config.planner if config else "regopy"


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise ConfigError(f"--run: `{pattern}` is no regular expression: {error}") from error


def _named(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths) or "the policies of guardrails.yaml"
