"""``guardrails policy check``: the gate for policies. What passes it may decide."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from guardrails.cli.console import ExitCode, notices, output, plain, print_json
from guardrails.cli.policy_sources import from_config, from_paths, needed_opa
from guardrails.config import Config
from guardrails.errors import ConfigError
from guardrails.rego.agreement import INPUTS
from guardrails.rego.lint import lint
from guardrails.rego.opa_binary import excerpt
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.rego.lint import Finding


class CheckForm(StrEnum):
    """How findings are printed."""

    PRETTY = "pretty"
    JSON = "json"


def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            exists=True,
            help="Files and directories. Without them what guardrails.yaml names:"
            " the library, its presets, your policies.",
        ),
    ] = None,
    *,
    compare: Annotated[
        int,
        typer.Option(
            "--compare",
            min=0,
            metavar="N",
            help="Over how many inputs OPA's plan is compared with regopy's, where there is an OPA"
            " binary; 0 for none.",
        ),
    ] = INPUTS,
    form: Annotated[
        CheckForm, typer.Option("--format", help="How findings are printed.")
    ] = CheckForm.PRETTY,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Find what is wrong in policies, with its place and its mend.

    Parses and plans every file, and looks for what OPA refuses, what fails
    open, and what can never hold; docs/policy-check.md lists the rules. Where
    there is an OPA binary, `opa check --strict` is asked too, and the plans of
    both planners are compared over generated inputs.
    """
    policies = from_paths(paths) if paths else from_config(Config.find())
    sources = {**policies.modules, **policies.tests}
    if not sources:
        named = ", ".join(str(path) for path in paths or ()) or "the policies of guardrails.yaml"
        raise ConfigError(f"there is no Rego file in {named}")
    opa = needed_opa("regopy", policies.opa)
    with notices().status("checking"):
        found = lint(
            sources,
            data=policies.data,
            opa=opa,
            use_opa=opa is not None,
            input_schema=published_schema("input"),
            data_schema=published_schema("data"),
            compare=compare,
        )
    if as_json or form is CheckForm.JSON:
        print_json({"files": len(sources), "findings": [each._asdict() for each in found]})
    else:
        _print(found, sources)
        _print_verdict(found, len(sources), asked_opa=opa is not None, compare=compare)
    if found:
        raise typer.Exit(ExitCode.FINDING)


def published_schema(name: str) -> dict[str, Any]:
    """A schema that is published with the library."""
    file = policies_directory() / "schemas" / name / "schema.json"
    try:
        schema = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: the schema cannot be read: {error}") from error
    return dict(schema)


def _print(found: Sequence[Finding], sources: Mapping[str, str]) -> None:
    """Every finding: place, rule and message; the line with a caret; the mend."""
    screen = output()
    # A terminal gets whole words; a file or a pipe gets whole lines.
    whole = not screen.is_terminal
    for finding in found:
        place = ":".join(str(part) for part in (finding.file, finding.row, finding.col) if part)
        message = finding.message.partition("\n")[0]
        source = sources.get(finding.file, "")
        shown = excerpt(source, finding.row or None, finding.col or None)
        head = plain(f"{place}: ", "bold") if place else plain("")
        screen.print(head + plain(f"{finding.rule_id}: {message}{shown}"), soft_wrap=whole)
        if finding.mend:
            screen.print(plain("  mend:", "green"), plain(finding.mend), soft_wrap=whole)


def _print_verdict(found: Sequence[Finding], count: int, *, asked_opa: bool, compare: int) -> None:
    by = "no OPA binary was asked"
    if asked_opa:
        by = "opa check --strict agrees" + ("; so do both plans" if compare else "")
    files = "1 file" if count == 1 else f"{count} files"
    if found:
        output().print(plain(f"{len(found)} to mend in {files}", "bold red"))
    else:
        output().print(plain(f"{files}, nothing to mend", "green"), plain(f"({by})"))


__all__ = ["check"]
