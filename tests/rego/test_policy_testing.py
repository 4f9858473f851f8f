"""``policy test``: every test runs, in this process and by OPA, and no verdict is made up."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guardrails.errors import PolicyLoadError
from guardrails.rego.planner import find_opa
from guardrails.rego.sources import find_sources
from guardrails.rego.testing import TestResult, run_tests

LIBRARY = Path(__file__).parents[2] / "policies"
POLICY = """package guardrails.rules.probe

import future.keywords.not

deny contains "too much" if not small

small if input.args.n < data.guardrails_data.limit
"""
HEAD = """package guardrails_test.probe

import data.guardrails.rules.probe
import future.keywords.not

"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "probe.rego").write_text(POLICY, "utf-8")
    (tmp_path / "data.yaml").write_text("guardrails_data:\n  limit: 5\n", "utf-8")
    return tmp_path


def results(
    policies: Path, tests: str, *, opa: bool = False, run: str | None = None
) -> dict[str, TestResult]:
    (policies / "probe_test.rego").write_text(HEAD + tests, "utf-8")
    return {result.name: result for result in run_tests([policies], run=run, use_opa=opa)}


def outcomes(policies: Path, tests: str, *, opa: bool = False) -> dict[str, str]:
    return {name: result.outcome for name, result in results(policies, tests, opa=opa).items()}


def test_true_passes_and_everything_else_does_not(policies: Path) -> None:
    tests = """
test_true if count(probe.deny) == 0 with input.args.n as 1
test_undefined if count(probe.deny) == 0 with input.args.n as 9
test_false := false
test_number := 1
test_text := "true"
todo_test_later if true
helper_test_me if false
"""
    assert outcomes(policies, tests) == {
        "test_true": "pass",
        "test_undefined": "fail",
        "test_false": "fail",
        "test_number": "fail",
        "test_text": "fail",
        "todo_test_later": "skip",
    }


def test_a_result_has_its_place_and_its_duration(policies: Path) -> None:
    result = results(policies, "test_a if true\n\ntest_b if false\n")["test_b"]
    assert (Path(result.file).name, result.row, result.package) == (
        "probe_test.rego",
        8,
        "guardrails_test.probe",
    )
    assert result.seconds > 0
    assert result.message
    assert result.engines == ("guardrails",)


def test_the_filter_looks_at_package_and_name(policies: Path) -> None:
    tests = "test_one if true\ntest_two if true\n"
    assert set(results(policies, tests, run="two$")) == {"test_two"}
    assert set(results(policies, tests, run=r"probe\.test_one")) == {"test_one"}
    assert results(policies, tests, run="nothing") == {}


@pytest.mark.parametrize(
    "body",
    [
        'count(probe.deny) == 0 with input as {"args": {"n": 1}}',
        'probe.small with input as {"args": {"n": 1}}',
        "probe.small with input as call",
        "probe.small with input.args as call.args",
        "probe.small with input.args.n as 7 with data.guardrails_data.limit as 8",
        'every n in [5, 6, "7"] { not small(n) }',
    ],
)
def test_the_usual_idioms_run_without_opa(policies: Path, body: str) -> None:
    helpers = 'call := {"args": {"n": 1}}\nsmall(n) if probe.small with input.args.n as n\n'
    tests = f"{helpers}test_it if {{\n\t{body}\n}}\n"
    assert outcomes(policies, tests) == {"test_it": "pass"}


def test_what_cannot_be_planned_costs_only_its_own_test(policies: Path) -> None:
    tests = """
test_sound if probe.small with input.args.n as 1
test_trap if {
	some m in probe.deny with input as {"args": {"n": 9}}
	m == "x"
}
test_also_sound if { not probe.small with input.args.n as 9 }
"""
    found = results(policies, tests)
    assert found["test_sound"].outcome == found["test_also_sound"].outcome == "pass"
    assert found["test_trap"].outcome == "error"
    assert ":9:" in found["test_trap"].message
    assert "with input.tool" in found["test_trap"].message


def test_a_file_that_does_not_parse_is_an_error_and_the_others_run(policies: Path) -> None:
    (policies / "broken_test.rego").write_text("package guardrails_test.b\ntest_x if {\n", "utf-8")
    found = results(policies, "test_sound if true\n")
    assert {name: result.outcome for name, result in found.items()} == {
        "(file)": "error",
        "test_sound": "pass",
    }
    assert found["(file)"].row == 2


def test_a_builtin_error_is_an_error_as_in_a_decision(policies: Path) -> None:
    found = results(policies, 'test_it if not to_number("x") == 1\n')
    assert found["test_it"].outcome == "error"
    assert "to_number" in found["test_it"].message


def test_a_policy_that_does_not_load_is_told_by_every_test(policies: Path) -> None:
    (policies / "probe.rego").write_text(POLICY + "\nbad if inpt.x\n", "utf-8")
    result = results(policies, "test_it if true\n")["test_it"]
    assert result.outcome == "error"
    assert "never assigned" in result.message


def test_tests_in_another_package_are_errors(policies: Path) -> None:
    (policies / "x_test.rego").write_text("package guardrails.rules.x\ntest_it if true\n", "utf-8")
    (result,) = run_tests([policies], use_opa=False)
    assert result.outcome == "error"
    assert "guardrails_test" in result.message


@pytest.mark.skipif(not LIBRARY.is_dir(), reason="the library is not in this tree")
def test_the_library_passes_its_tests() -> None:
    found = run_tests([LIBRARY], use_opa=False)
    assert found
    assert [(result.name, result.message) for result in found if result.outcome != "pass"] == []


@pytest.fixture
def opa() -> str:
    binary = find_opa()
    if binary is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    return binary


def test_with_opa_both_engines_run(policies: Path, opa: str) -> None:
    found = results(policies, "test_good if true\ntest_bad if input.x == 1\n", opa=True)
    assert {name: (result.outcome, result.engines) for name, result in found.items()} == {
        "test_good": ("pass", ("guardrails", "opa")),
        "test_bad": ("fail", ("guardrails", "opa")),
    }


def test_what_only_opa_can_plan_counts_as_opa_says(policies: Path, opa: str) -> None:
    tests = """
test_good if {
	some m in probe.deny with input as {"args": {"n": 9}}
	m == "too much"
}
test_bad if {
	some m in probe.deny with input as {"args": {"n": 9}}
	m == "x"
}
"""
    found = results(policies, tests, opa=True)
    assert {name: (result.outcome, result.engines) for name, result in found.items()} == {
        "test_good": ("pass", ("opa",)),
        "test_bad": ("fail", ("opa",)),
    }


def test_engines_that_differ_never_pass(policies: Path, opa: str) -> None:
    found = results(policies, 'test_it if not to_number("x") == 1\n', opa=True)["test_it"]
    assert found.outcome == "error"
    assert "the engines differ" in found.message


def test_opa_can_plan_the_tests_too(policies: Path, opa: str) -> None:
    (policies / "probe_test.rego").write_text(
        HEAD + "test_it if probe.small with input.args.n as 1\n", "utf-8"
    )
    (result,) = run_tests([policies], planner="opa", opa=opa, use_opa=False)
    assert (result.outcome, result.engines) == ("pass", ("guardrails",))


# The files of a policy directory.


def test_sources_keep_tests_and_data_apart(policies: Path) -> None:
    (policies / "probe_test.rego").write_text(HEAD, "utf-8")
    nested = policies / "guardrails_data" / "agents"
    nested.mkdir(parents=True)
    (nested / "data.json").write_text('{"a": {"limit": 0.1}}', "utf-8")
    (policies / ".hidden").mkdir()
    (policies / ".hidden" / "x.rego").write_text("package x", "utf-8")
    (policies / "other.yaml").write_text("x: 1", "utf-8")
    sources = find_sources([policies])
    assert [Path(name).name for name in sources.modules] == ["probe.rego"]
    assert [Path(name).name for name in sources.tests] == ["probe_test.rego"]
    assert str(sources.data["guardrails_data"]["agents"]["a"]["limit"]) == "0.1"
    assert sources.data["guardrails_data"]["limit"] == 5
    assert find_sources([policies], ignore_tests=True).tests == {}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("data.json", '{"a": 1, "a": 2}', "`a` is given twice"),
        ("data.json", '{"a": NaN}', "NaN"),
        ("data.json", "{", "data.json:1:2"),
        ("data.json", "[]", "must be an object"),
        ("data.yaml", "a: 1\na: 2", "`a` is given twice"),
        ("data.yaml", "a: .inf", "no JSON number"),
        ("data.yaml", "a: 2026-01-01", "write it in quotes"),
        ("data.yaml", "1: a", "no string"),
        ("data.yaml", "a: [", "data.yaml:1"),
        ("data.yaml", "a: !!python/object:os.system {}", "could not determine"),
        ("p.rego", b"\xff", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error(
    tmp_path: Path, name: str, text: str | bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PolicyLoadError) as caught:
        find_sources([tmp_path])
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_data_files_that_disagree_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text('{"a": {"b": 1}}', "utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data.yaml").write_text("b: 2", "utf-8")
    with pytest.raises(PolicyLoadError, match=r"data\.a\.b"):
        find_sources([tmp_path])


def test_a_path_that_is_not_there_is_an_error() -> None:
    with pytest.raises(PolicyLoadError, match="no such file"):
        find_sources(["/no/such/path"])
