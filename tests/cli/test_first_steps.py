"""The README's first steps, as a newcomer types them in a fresh folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import guardrails
from guardrails.audit.reading import read

SOURCE = Path(guardrails.__file__).resolve().parent.parent
README = Path(__file__).resolve().parents[2] / "README.md"
GUARDRAILS = "import sys; sys.argv[0] = 'guardrails'; from guardrails.cli import main; main()"


def step(directory, *words):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("GUARDRAILS_")
    }
    environment |= {"PYTHONPATH": str(SOURCE), "COLUMNS": "80"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def test_init_policy_test_and_the_agent_work_at_once(tmp_path):
    made = step(tmp_path, "-c", GUARDRAILS, "init", "my-agent")
    assert made.returncode == 0, made.stderr
    project = tmp_path / "my-agent"

    tested = step(project, "-c", GUARDRAILS, "policy", "test")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    lines = tested.stdout.splitlines()
    assert lines[0].startswith("policies: 5 passed")
    assert lines[1].startswith("PASS: 5/5")

    assert_runs(step(project, "agent.py"))
    assert len(list(read(project / ".guardrails" / "record"))) > 3

    looked = step(project, "-c", GUARDRAILS, "doctor")
    assert looked.returncode == 0, looked.stdout + looked.stderr

    listed = step(project, "-c", GUARDRAILS, "tools", "agent")
    assert listed.returncode == 0, listed.stderr
    assert "billing  granted in dev" in listed.stdout


def test_the_readmes_example_runs_as_it_is_written(tmp_path):
    assert step(tmp_path, "-c", GUARDRAILS, "init").returncode == 0
    (example,) = re.findall(
        r"^```python\n(.*?)^```", README.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "example.py").write_text(example)
    assert_runs(step(tmp_path, "example.py"))


def assert_runs(ran):
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert said[0] == "refunded 20 for A-17"
    assert said[1].startswith("`refund` waits for approval by finance-ops.")
    assert said[2].endswith("was killed: operator stop")
    assert said[3] == "1 call, 0.02 dollars"
