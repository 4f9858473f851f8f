"""What docs/testing.md shows first works as it stands, in the project of `guardrails init`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from guardrails.cli.root import app

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "testing.md").read_text("utf-8")


def first(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.mark.slow
@pytest.mark.timeout(600)  # it starts pytest in a process of its own
def test_the_first_test_and_the_table_pass_in_a_new_project(pytester, monkeypatch):
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    assert CliRunner().invoke(app, ["init", str(pytester.path)]).exit_code == 0
    (pytester.path / "pytest.ini").write_text("[pytest]\npythonpath = .\n", "utf-8")
    assert (pytester.path / "tests").is_dir()
    (pytester.path / "tests" / "test_refunds.py").write_text(first("python"), "utf-8")
    (pytester.path / "tests" / "more.decisions.yaml").write_text(first("yaml"), "utf-8")
    made = (pytester.path / "tests" / "refunds.decisions.yaml").read_text("utf-8")
    ran = pytester.runpytest_subprocess("-p", "no:asyncio", timeout=300)
    cases = [*re.findall(r"expect:", first("yaml")), *re.findall(r"expect:", made)]
    ran.assert_outcomes(passed=1 + len(cases))


def test_the_page_names_every_word_that_a_table_knows():
    from guardrails.register.source import field_names  # noqa: PLC0415  # only this test looks
    from guardrails.testing import tables  # noqa: PLC0415  # as above

    words = {*field_names(tables._Case), *field_names(tables._Table)} - {"cases"}
    assert not [word for word in words if f"`{word}`" not in PAGE]
