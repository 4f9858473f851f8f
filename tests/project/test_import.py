"""`import guardrails` loads what every program needs, and nothing that only some do."""

from __future__ import annotations

import subprocess
import sys

UNWANTED = (
    *("opa_client", "regopy", "requests", "aiohttp", "redis", "sqlalchemy", "typer", "rich"),
    "pydantic",  # governors load it, and annotations that are more than plain types
)


def loaded(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_import_loads_nothing_that_only_some_programs_need():
    found = loaded("import guardrails")
    assert "guardrails.governor" in found
    assert found.isdisjoint(UNWANTED)


def test_what_the_commands_need_is_seen_where_it_is_loaded():
    assert "typer" in loaded("import guardrails.cli.runs")
