"""Programs of others that some tests run: ``make outside`` puts them into an environment apart."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(name: str) -> str:
    """The path of a program; without it the test is skipped, or fails where CI runs it."""
    path = ROOT / ".tools" / "outside" / "bin" / name
    if not path.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing: run `make outside`")
        pytest.skip(f"no {name}: run `make outside`")
    return str(path)
