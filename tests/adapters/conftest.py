"""Each host's tests run in its own environment alone, and note what they have shown.

``ADAPTER_HOST`` names the host whose environment this is. Without it, as in ``make test``,
nothing below this directory is collected but what needs no host.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_HOST = os.environ.get("ADAPTER_HOST")
_NOTES = os.environ.get("ADAPTER_NOTES")


def pytest_ignore_collect(collection_path):
    """The folders of other hosts."""
    if collection_path == _HERE:
        return None
    host = collection_path.relative_to(_HERE).parts[0]
    return True if (_HERE / host).is_dir() and host != _HOST else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Note how a test that shows a scenario ended."""
    report = yield
    if _NOTES and (report.when == "call" or report.outcome != "passed"):
        lines = [
            json.dumps({"scenario": mark.args[0], "outcome": report.outcome, "but": mark.args[1]})
            for mark in item.iter_markers("scenario")
        ]
        with Path(_NOTES).open("a", encoding="utf-8") as notes:
            notes.writelines(f"{line}\n" for line in lines)
    return report
