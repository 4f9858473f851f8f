"""The description is what the server does: a program that reads it finds nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

FIRST = "import guardrails.server.failures as them; them.AT_MOST = 10**6"
"""What asks without a token hundreds of times wants to be told 401 each time, not 429."""


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_nothing_that_is_asked_gets_an_answer_that_is_not_described(project, tmp_path):
    program = ROOT / ".tools" / "outside" / "bin" / "schemathesis"
    if not program.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("no schemathesis: run `make outside`")
        pytest.skip("no schemathesis: run `make outside`")
    project.ask()
    ran = subprocess.run(
        [
            program,
            "run",
            f"{project.url}/openapi.json",
            "--header",
            f"Authorization: Bearer {project.tokens['lee']}",
            "--checks=all",
            "--seed=1",
            "--max-examples=25",
            "--generation-database=none",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
