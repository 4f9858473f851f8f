"""What users run before a change of policies lands: pre-commit hooks, a GitHub workflow."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from tests.examples.outside import ROOT, program
from typer.testing import CliRunner

from guardrails.cli import app

HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
LONG = "true" in (os.environ.get("CI"), os.environ.get("GUARDRAILS_SOAK", "").replace("1", "true"))
WORKFLOW = ROOT / "examples" / "ci" / "github-actions.yaml"


def commands() -> list[str]:
    """Every command line of guardrails that hooks and workflow run."""
    steps = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["policies"]["steps"]
    lines = [hook["entry"] for hook in HOOKS] + [step.get("run", "") for step in steps]
    return sorted({line for line in lines if line.startswith("guardrails ")})


@pytest.mark.parametrize("line", commands())
def test_every_command_and_option_exists(line):
    _, *words = shlex.split(line)
    names = [word for word in words if not word.startswith("-")][:2]
    told = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert told.exit_code == 0, told.output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told.output)
    assert [word for word in words if word.startswith("--") and word not in plain] == []


def test_hooks_wake_for_what_they_are_about():
    wakes = {hook["id"]: re.compile(hook["files"]) for hook in HOOKS}
    for name in ("policies/a.rego", "policies/data.yaml", "data.json", "guardrails.yaml"):
        assert wakes["guardrails-policy-check"].search(name), name
        assert wakes["guardrails-policy-test"].search(name), name
    assert wakes["guardrails-agents-check"].search("deep/agents.yaml")
    for name in ("a.py", "README.md", "policies/regofile", "mydata.yaml"):
        assert not any(each.search(name) for each in wakes.values()), name
    assert all(hook["pass_filenames"] is False for hook in HOOKS)


def test_hooks_bring_what_the_command_line_needs():
    # A hook's environment has no extras: these stand in it by themselves.
    needed = re.search(
        r"^cli = (\[.*\])$", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE
    )
    assert needed is not None
    assert all(hook["additional_dependencies"] == yaml.safe_load(needed[1]) for hook in HOOKS)


def test_the_workflow_fits_the_published_schema():
    done = subprocess.run(
        [program("check-jsonschema"), "--builtin-schema", "vendor.github-workflows", WORKFLOW],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="pre-commit takes hooks from a repository")
@pytest.mark.skipif(
    not LONG, reason="makes an environment: runs where CI=true, and with `make soak`"
)
def test_pre_commit_runs_the_hooks(tmp_path):
    """The real pre-commit, which makes an environment for them; one hook: the others are slow."""
    pre_commit = program("pre-commit")
    project = tmp_path / "project"
    shutil.copytree(ROOT / "examples" / "sidecar", project)
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GUARDRAILS_", "GIT_"))
    }
    environment |= {"PRE_COMMIT_HOME": str(tmp_path / "home"), "GUARDRAILS_ENVIRONMENT": "dev"}

    def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=project, env=environment, capture_output=True, text=True, check=check
        )

    run("git", "init", "--quiet", ".")
    run("git", "add", "--all")
    hook = (
        pre_commit,
        "try-repo",
        str(ROOT),
        "guardrails-agents-check",
        "--all-files",
        "--verbose",
    )
    done = run(*hook, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "agents.yaml: 1 agent, nothing to settle" in done.stdout
    (project / "agents.yaml").write_text("billing: {onwer: dana@acme.example}\n")
    run("git", "add", "--all")
    failed = run(*hook, check=False)
    assert failed.returncode == 1
    assert "unknown key (did you mean `owner`?)" in failed.stdout
