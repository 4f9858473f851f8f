"""The pytest plugin: fixtures, tables of decision cases and golden decisions.

pytest loads this in every session of an environment in which guardrails is installed, so it brings
in the rest only where a test asks for it. ``docs/testing.md`` is its manual.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import pytest

from guardrails.pytest_plugin.fixtures import (
    approvers,
    golden_decisions,
    governed,
    governed_run,
    guardrails_config,
    guardrails_data,
)

if TYPE_CHECKING:
    from pathlib import Path

    from guardrails.pytest_plugin.items import TableFile

TABLES: Final = (".decisions.yaml", ".decisions.yml")
"""How the names of tables end."""

WRITTEN: Final = "guardrails.golden"
"""The name of a report's property that names a golden file that was written."""

UPDATE: Final = "--guardrails-update"

_MARK: Final = (
    "guardrails(agent=None, environment=None, principal=None, labels=(), at=None): whose calls the"
    " fixtures `governed` and `governed_run` decide, where, and when"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of this plugin."""
    group = parser.getgroup("guardrails", "guardrails: decisions about agents' calls")
    group.addoption(
        UPDATE,
        action="store_true",
        default=False,
        help="write the golden decisions as they are now; refused where CI is set",
    )
    parser.addini(
        "guardrails_config",
        "the guardrails.yaml whose policies tests decide with; else it is looked for upward from"
        " each test's folder",
        type="string",
        default="",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker; refuse to write golden decisions where nobody reviews them.

    Raises:
        UsageError: ``--guardrails-update`` is given where ``CI`` is set.
    """
    config.addinivalue_line("markers", _MARK)
    if config.getoption(UPDATE) and is_ci():
        msg = (
            f"{UPDATE} is refused: CI is set, and golden decisions are what people have agreed to;"
            " write them where somebody looks at the difference, and commit them"
        )
        raise pytest.UsageError(msg)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> TableFile | None:
    """The cases of a file ``*.decisions.yaml``."""
    if not file_path.name.endswith(TABLES):
        return None
    # Only here: a session without tables needs none of it.
    from guardrails.pytest_plugin.items import TableFile  # noqa: PLC0415  # as above

    found: TableFile = TableFile.from_parent(parent, path=file_path)
    return found


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the golden files that were written."""
    reports = [
        report
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
    ]
    written = sorted(
        {str(value) for each in reports for name, value in each.user_properties if name == WRITTEN}
    )
    if written:
        terminalreporter.section("golden decisions were written: review them", sep="-")
        for path in written:
            terminalreporter.line(path)


def is_ci() -> bool:
    """Whether this runs where nobody looks, as the variable ``CI`` says."""
    return os.environ.get("CI", "").strip().lower() not in {"", "0", "false", "no"}


__all__ = [
    "TABLES",
    "UPDATE",
    "WRITTEN",
    "approvers",
    "golden_decisions",
    "governed",
    "governed_run",
    "guardrails_config",
    "guardrails_data",
    "is_ci",
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_configure",
    "pytest_terminal_summary",
]
