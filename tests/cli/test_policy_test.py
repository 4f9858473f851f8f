"""`guardrails policy test --coverage`: what it prints, and what is below a threshold."""

from __future__ import annotations

import json
import os

import pytest
from typer.testing import CliRunner

from guardrails.cli import app
from guardrails.cli.coverage_report import ranges
from guardrails.rego.opa_binary import find_opa
from guardrails.resources import policies_directory

RULES = """\
package orders

import rego.v1

# Rows 6, 7 and 8 count; the brackets do not.
deny contains "many" if {
	input.pieces > 10
	input.kind == "small"
}

deny contains "none" if input.pieces == 0
"""

TESTS = """\
package guardrails_test.orders

import rego.v1

import data.orders

test_few if {
	count(orders.deny) == 0 with input as {"pieces": 1}
}

test_many if {
	count(orders.deny) == 1 with input as {"pieces": 11, "kind": "small"}
}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPA", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "orders.rego").write_text(RULES)
    (tmp_path / "p" / "orders_test.rego").write_text(TESTS)
    return tmp_path


def policy_test(*words):
    return CliRunner().invoke(app, ["policy", "test", "p", *words])


def test_every_file_has_its_share_and_its_rows(folder):
    result = policy_test("--coverage")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert "PASS: 2/2 (by guardrails; no OPA binary was asked)" in lines
    # Row 11: its condition was evaluated, and it never held; so it counts on both sides.
    assert lines[-4:] == [
        " 80.00%  p/orders.rego",
        "         not covered: p/orders.rego:11",
        "100.00%  p/orders_test.rego",
        "coverage: 88.89% (8 of 9 rows)",
    ]


def test_below_the_threshold_the_rows_are_named_and_it_fails(folder):
    assert policy_test("--threshold", "88").exit_code == 0
    result = policy_test("--threshold", "90", "-r", "few")
    assert result.exit_code == 1
    assert "PASS: 1/1" in result.stdout
    assert "not covered: p/orders.rego:6\n" in result.stdout
    assert "not covered: p/orders.rego:8\n" in result.stdout
    assert "not covered: p/orders_test.rego:11-12\n" in result.stdout
    assert ", below the threshold 90%" in result.stdout


def test_the_report_for_machines_has_opas_form(folder):
    for words in (["--format", "json"], ["--json"]):
        result = policy_test("--threshold", "99", *words)
        assert result.exit_code == 1
        told = json.loads(result.stdout)
        assert told["passed"] is False
        assert told["counts"]["fail"] == 0
        report = told["coverage"]
        assert (report["covered_lines"], report["not_covered_lines"]) == (8, 1)
        file = report["files"]["p/orders.rego"]
        assert file["not_covered"] == [
            {"start": {"row": 11, "col": 1}, "end": {"row": 11, "col": 21}}
        ]
    assert "coverage" not in json.loads(policy_test("--json").stdout)


def test_a_failing_test_fails_also_where_all_is_covered(folder):
    (folder / "p" / "orders_test.rego").write_text(TESTS + "\ntest_no if false\n")
    result = policy_test("--threshold", "0")
    assert result.exit_code == 1
    assert "FAIL: 2/3" in result.stdout


def test_a_runtime_error_shows_the_row_of_the_policy_and_its_line(folder):
    rule = '\ndeny contains "late" if input.pieces / input.days > 3\n'
    (folder / "p" / "orders.rego").write_text(RULES + rule)
    more = '\ntest_late if {\n\tcount(orders.deny) == 0 with input as {"pieces": 1, "days": 0}\n}\n'
    (folder / "p" / "orders_test.rego").write_text(TESTS + more)
    for words in ([], ["--coverage"]):
        result = policy_test(*words)
        assert result.exit_code == 1
        lines = result.stdout.splitlines()
        (at,) = [n for n, line in enumerate(lines) if "p/orders.rego:13: eval_builtin" in line]
        assert lines[at + 1].strip() == f"13 | {rule.strip()}"


@pytest.mark.parametrize("threshold", ["-1", "100.1", "nan", "x"])
def test_what_is_no_percentage_is_a_usage_error(folder, threshold):
    assert policy_test(f"--threshold={threshold}").exit_code == 2


def test_rows_without_a_gap_are_one_range():
    assert list(ranges([7, 1, 2, 3, 9, 8])) == [(1, 3), (7, 9)]
    assert list(ranges([])) == []


@pytest.mark.slow
@pytest.mark.opa
@pytest.mark.parametrize("planner", ["regopy", "opa"])
def test_the_shipped_policies_are_covered(monkeypatch, planner):
    if planner == "opa" and find_opa() is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    monkeypatch.chdir(policies_directory().parent)
    words = ["policy", "test", "--coverage", "--threshold", "95", "--planner", planner]
    result = CliRunner().invoke(app, [*words, policies_directory().name])
    assert result.exit_code == 0, result.output
