"""A project that adapters are tried in: a shop's tools, real policies, state that processes share.

``shop.read_order`` is allowed, ``shop.delete_order`` denied, ``shop.refund`` needs ``finance-ops``
above 100, ``shop.slow`` works until it is killed. Each notes in ``effects.txt`` that it ran.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

AGENT = "billing-agent"
CALLS = 8
"""How many calls a run may make."""

_CONFIG = """
environment: dev
agents: agents.yaml
policies: policies
breakers: null
"""
_AGENTS = f"""
{AGENT}:
  owner: dana@acme.example
  budget: {{dev: {{usd: 5, calls: {CALLS}}}}}
  access:
    shop.orders: [read]
    shop.payments: [write]
    shop.work: [execute]
"""
_DATA = """
guardrails_data:
  thresholds:
    shop.refund: {amount: {above: 100, approvers: [finance-ops]}}
"""

FACTS = {
    "read_order": ("shop.orders", "read"),
    "delete_order": ("shop.orders", "delete"),
    "refund": ("shop.payments", "write"),
    "slow": ("shop.work", "execute"),
}
"""Resource and operation of each tool."""


def write_project(directory: Path) -> Path:
    """Make the project in `directory`."""
    (directory / "policies").mkdir()
    (directory / "guardrails.yaml").write_text(_CONFIG, "utf-8")
    (directory / "agents.yaml").write_text(_AGENTS, "utf-8")
    (directory / "policies" / "data.yaml").write_text(_DATA, "utf-8")
    return directory


def effects(directory: Path) -> list[str]:
    """What ran, a line each."""
    file = directory / "effects.txt"
    return file.read_text("utf-8").splitlines() if file.exists() else []


def act(directory: Path, *words: str) -> str:
    """Act as an operator in a process of its own; `words` are those of ``operator_acts.py``."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("operator_acts.py")), *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
