"""The root of the command line: lazy, clear about what is missing, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardrails import errors
from guardrails.cli import app
from guardrails.cli.console import ExitCode, code_of, plain
from guardrails.cli.root import COMMANDS


def python(code, *words):
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(errors.__file__).parent.parent), "COLUMNS": "80"},
    )


def test_help_lists_every_command_and_imports_none():
    code = (
        "import sys\nfrom guardrails.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print([n for n in sys.modules if n.startswith('guardrails.cli.')])"
    )
    result = python(code, "--help")
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in COMMANDS)
    assert sorted(eval(result.stdout.splitlines()[-1])) == [  # noqa: S307  # our own print
        "guardrails.cli.console",
        "guardrails.cli.root",
    ]


def test_importing_the_package_imports_no_typer():
    code = "import sys, guardrails.cli\nprint('typer' in sys.modules, 'rich' in sys.modules)"
    assert python(code).stdout == "False False\n"


@pytest.mark.parametrize("absent", ["typer", "rich"])
def test_without_its_extra_one_line_says_how_to_mend_it(absent):
    code = f"import sys\nsys.modules['{absent}'] = None\nfrom guardrails.cli import main\nmain()"
    result = python(code, "agents", "check")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "pip install 'guardrails-opa[cli]'" in result.stderr


def test_an_unknown_command_is_a_usage_error_with_a_suggestion():
    result = CliRunner().invoke(app, ["agnts"])
    assert result.exit_code == 2
    assert "agents" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("x"), 2),
        (errors.PolicyLoadError("x"), 1),
        (errors.CallDenied("x"), 1),
        (errors.PolicyUnavailable("x"), 3),
        (errors.StateUnavailable("x"), 3),
    ],
)
def test_errors_have_the_exit_codes_of_the_grammar(error, code):
    assert code_of(error) == code
    assert code in list(ExitCode)


def test_control_characters_are_shown():
    assert plain("a\x1b[31m\u202eb\r\nc").plain == "a\\x1b[31m\\u202eb\\r\nc"
