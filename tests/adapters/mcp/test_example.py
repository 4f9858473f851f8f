"""The example does what its README shows, and a changed docstring takes its tool away."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.adapters.mcp.conftest import guardrails

EXAMPLE = Path(__file__).parents[3] / "examples" / "mcp"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(directory):
    done = subprocess.run(
        [sys.executable, "agent.py"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_shows_what_its_page_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    guardrails(tmp_path, "mcp", "approve", "crm", "--yes")
    shown = run(tmp_path)
    assert shown in (EXAMPLE / "README.md").read_text("utf-8")
    server = tmp_path / "crm_server.py"
    server.write_text(
        server.read_text("utf-8").replace("The people of a", "Everybody of a"), "utf-8"
    )
    again = run(tmp_path)
    assert again.startswith("tools: create_task\n")
    assert "list_contacts: `crm.list_contacts` was not executed (denied)" in again
