"""A call is resumed in a real other process, once: also by two at a time, and after a kill -9."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "resumed_tools.py"
AGENTS = """
billing:
  owner: dana@acme.example
  budget: {dev: {usd: 5, calls: 2}}
  access: {payments: [write]}
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path):
    (tmp_path / "guardrails.yaml").write_text("environment: dev\n", encoding="utf-8")
    (tmp_path / "agents.yaml").write_text(AGENTS, encoding="utf-8")
    return tmp_path


def start(project, *args):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *args], cwd=project, stdout=subprocess.PIPE, text=True
    )


def said(project, *args):
    out, _ = start(project, *args).communicate(timeout=100)
    return out


def approved(project, amount="5"):
    refusal, request_id, *_ = said(project, "ask", amount).split()
    assert refusal == "ApprovalPending"
    said(project, "approve", request_id)
    return request_id


def done(project):
    file = project / "done.txt"
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_another_process_resumes_it_once(project):
    request_id = approved(project)
    assert said(project, "resume", request_id) == "refunded 5\n"
    assert "used already" in said(project, "resume", request_id)
    assert len(done(project)) == 1


def test_of_two_processes_one_makes_it(project):
    request_id = approved(project)
    both = [start(project, "resume", request_id) for _ in range(2)]
    told = [each.communicate(timeout=100)[0] for each in both]
    assert len(done(project)) == 1
    assert sum("refunded" in each for each in told) == 1


def test_a_worker_that_is_killed_in_the_act_leaves_an_unknown_outcome(project):
    request_id = approved(project)
    (project / "hang").touch()
    worker = start(project, "resume", request_id)
    deadline = time.monotonic() + 60
    while not done(project) and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.kill()
    worker.communicate()
    (project / "hang").unlink()
    assert "what came of it: unknown" in said(project, "resume", request_id)
    again = said(project, "ask", "5")
    assert "whether it ran is unknown" in again
    second = again.split()[1]
    said(project, "approve", second)
    assert said(project, "resume", second) == "refunded 5\n"
    first_line, last_line = done(project)
    assert first_line == last_line, "with the same idempotency key"
