"""A run that real processes join: one budget, one kill, and nothing once it has ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import guardrails as gr

pytestmark = pytest.mark.slow

TOOLS = """
import guardrails as gr

@gr.governed_tool(resource="r", operation="read")
@gr.budget(cost="0.10")
def look_up(i: int) -> int:
    return i
"""

WORKER = """
import sys, time
import guardrails as gr
import joined_tools

ran = 0
try:
    with gr.join_run() as run:
        print("joined", run.id, flush=True)
        for i in range(int(sys.argv[1])):
            joined_tools.look_up(i)
            ran += 1
            time.sleep(float(sys.argv[2]))
except gr.Refusal as refusal:
    print(ran, refusal.code)
else:
    print(ran, "done")
"""

PATIENCE = 90


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "guardrails.yaml").write_text("environment: dev\n")
    (tmp_path / "agents.yaml").write_text(
        "bot: {owner: dana.ruiz@acme.example, budget: {dev: {usd: 5}}, access: {r: [read]}}\n"
    )
    (tmp_path / "joined_tools.py").write_text(TOOLS)
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    yield tmp_path
    sys.modules.pop("joined_tools", None)


def start(project, token, calls, pause=0.0):
    return subprocess.Popen(
        [sys.executable, "worker.py", str(calls), str(pause)],
        cwd=project,
        env={**os.environ, "GUARDRAILS_RUN_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def end_of(worker):
    said, _ = worker.communicate(timeout=PATIENCE)
    ran, code = said.splitlines()[-1].split()
    return int(ran), code


def test_exactly_the_calls_of_the_budget_run_wherever_they_are_made(project):
    governor = gr.load_governor(project / "guardrails.yaml")
    import joined_tools  # type: ignore[import-not-found]  # noqa: PLC0415  # made by the fixture

    with governor.run("bot", budget=gr.Budget(calls=12)) as run:
        joined_tools.look_up(0)
        token = gr.run_token()
        ends = [end_of(each) for each in [start(project, token, 8) for _ in range(2)]]
        assert sum(ran for ran, _ in ends) == 11
        assert "budget_exceeded" in {code for _, code in ends}
        with pytest.raises(gr.BudgetExceeded):
            joined_tools.look_up(0)
        assert run.remaining.calls == 0
    assert end_of(start(project, token, 1)) == (0, "run_closed")
    governor.close()


def test_a_kill_of_the_run_reaches_the_processes_that_have_joined_it(project):
    governor = gr.load_governor(project / "guardrails.yaml")
    with governor.run("bot") as run:
        worker = start(project, gr.run_token(), 10_000, 0.01)
        assert worker.stdout.readline() == f"joined {run.id}\n"
        time.sleep(0.05)
        run.kill("enough")
        ran, code = end_of(worker)
    assert code == "run_stopped"
    assert ran < 10_000
    governor.close()
