"""`guardrails policy`: check, test and eval, with places, mends and exit codes."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from typer.testing import CliRunner

from guardrails.cli import app
from guardrails.rego.opa_binary import find_opa
from guardrails.resources import policies_directory

RULE = """\
# METADATA
# scope: package
# title: Orders
# description: Small orders.
# custom:
#   severity: low
#   runbook: ask the owner
package guardrails.rules.orders

import future.keywords.not

deny contains "an order has 1 to 10 pieces" if not small

small if {
	is_number(input.args.pieces)
	input.args.pieces >= 1
	input.args.pieces <= data.guardrails_data.project.most
}
"""

TESTS = """\
package guardrails_test.orders

import data.guardrails.rules.orders

test_small if {
	count(orders.deny) == 0 with input.args.pieces as 10
}

test_large if {
	count(orders.deny) == 1 with input.args.pieces as 11
}
"""

DATA = "guardrails_data: {project: {most: 10}}\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.delenv("OPA", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    # An OPA binary that the machine happens to have makes no difference here.
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "orders.rego").write_text(RULE)
    (policies / "orders_test.rego").write_text(TESTS)
    (policies / "data.yaml").write_text(DATA)
    return tmp_path


@pytest.fixture
def project(folder):
    assert CliRunner().invoke(app, ["init", "made"]).exit_code == 0
    for file in (folder / "made").iterdir():
        if file.name != "policies":
            shutil.move(file, folder / file.name)
    return folder


def run(*words, text=None):
    return CliRunner().invoke(app, ["policy", *words], input=text)


def change(folder, old, new, name="policies/orders.rego"):
    file = folder / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize("command", ["check", "test", "eval"])
def test_without_a_configuration_the_error_names_init(folder, command):
    result = run(command)
    assert result.exit_code == 2
    assert "guardrails init" in result.stderr


@pytest.mark.parametrize(
    "words", [("check", "absent"), ("test", "absent"), ("eval", "-d", "absent")]
)
def test_a_path_that_is_not_there_is_a_usage_error(folder, words):
    result = run(*words)
    assert result.exit_code == 2
    assert "absent" in result.stderr


@pytest.mark.parametrize("words", [("check", "empty"), ("eval", "-d", "empty")])
def test_a_folder_without_policies_is_a_usage_error(folder, words):
    (folder / "empty").mkdir()
    result = run(*words)
    assert result.exit_code == 2
    assert "there is no Rego file in empty" in result.stderr


def test_a_file_of_another_kind_is_refused(folder):
    (folder / "notes.txt").write_text("x")
    result = run("check", "notes.txt")
    assert result.exit_code == 2
    assert "notes.txt: is neither Rego" in result.stderr


# -------------------------------------------------------------------------------------------- test


def test_tests_that_pass(folder):
    result = run("test", "policies", "-v")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("PASS   policies/orders_test.rego:5: test_small (")
    assert lines[1].startswith("PASS   policies/orders_test.rego:9: test_large (")
    assert lines[2].startswith("policies: 2 passed in ")
    assert lines[3] == "PASS: 2/2 (by guardrails; no OPA binary was asked)"


def test_a_failing_test_says_where_and_how_to_see_why(folder):
    change(folder, "most: 10", "most: 11", "policies/data.yaml")
    result = run("test", "policies")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "FAIL   policies/orders_test.rego:9: test_large"
    assert "9 | test_large if {" in result.stdout
    assert "FAIL: 1/2 (1 failed)" in lines
    why = lines[-1]
    assert why.startswith("why: guardrails policy eval -d policies --explain=fails ")
    told = run(*why.split()[3:])
    assert told.exit_code == 0
    assert "count(data.guardrails.rules.orders.deny) == 1" in told.stdout


def test_what_keeps_a_whole_file_from_running_is_told_once(folder):
    change(folder, "is_number(", "is_nmber(")
    result = run("test", "policies")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["ERROR", "ERROR"]
    assert lines[2].startswith("  policies/orders.rego:15:")
    assert result.stdout.count("is_nmber(input.args.pieces)") == 1
    assert lines[-1] == "why: guardrails policy check policies"


def test_results_for_machines(folder):
    change(folder, "most: 10", "most: 11", "policies/data.yaml")
    result = run("test", "policies", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["passed"]
    assert found["counts"] == {"pass": 1, "fail": 1, "error": 0, "skip": 0}
    assert [test["name"] for test in found["tests"]] == ["test_small", "test_large"]
    assert found["tests"][1]["engines"] == ["guardrails"]


def test_only_the_tests_that_are_named_run(folder):
    result = run("test", "policies", "-r", "orders.test_sm")
    assert result.exit_code == 0
    assert "PASS: 1/1" in result.stdout


def test_that_no_test_ran_is_a_finding(folder):
    result = run("test", "policies", "-r", "nothing_of_the_kind")
    assert result.exit_code == 1
    assert "no test ran" in result.stdout


def test_a_wrong_pattern_is_a_usage_error(folder):
    result = run("test", "policies", "-r", "[")
    assert result.exit_code == 2
    assert "`[` is no regular expression" in result.stderr


@pytest.mark.parametrize("words", [("test", "policies"), ("eval", "-d", "policies")])
def test_a_planner_that_is_not_there_is_a_usage_error_with_the_mend(folder, words):
    result = run(*words, "--planner", "opa")
    assert result.exit_code == 2
    assert "take the planner `regopy`" in result.stderr


@pytest.mark.slow
def test_a_projects_stricter_rule_does_not_fail_the_librarys_own_tests(project):
    change(project, "if not small", "if true")
    change(project, "== 0", "== 1", "policies/orders_test.rego")
    change(
        project, "policies: policies", "policies: policies\npresets: [read_only]", "guardrails.yaml"
    )
    words = ["test", "-r", "narrows|orders|main"]
    for more, wanted in (
        (["--library"], ["library", "preset read_only", "policies", "PASS"]),
        ([], ["policies", "PASS"]),
    ):
        result = run(*words, *more)
        assert result.exit_code == 0, result.output
        assert [line.partition(":")[0] for line in result.stdout.splitlines()] == wanted


@pytest.mark.slow
def test_without_policies_of_its_own_a_project_has_the_librarys_tests(project):
    change(project, "policies: policies", "policies: []", "guardrails.yaml")
    result = run("test", "-r", "main")
    assert result.stdout.startswith("library: "), result.output


def test_whole_layers_are_not_tested_with_paths(folder):
    result = run("test", "policies", "--library")
    assert result.exit_code == 2
    assert "goes without paths" in result.stderr


@pytest.mark.slow
def test_what_the_projects_tests_reach_is_counted_of_its_own_files(project):
    result = run("test", "--coverage", "--json")
    files = json.loads(result.stdout)["coverage"]["files"]
    assert files
    assert all(name.startswith("policies/") for name in files)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["check", "test"])
def test_the_shipped_policies_pass(monkeypatch, command):
    monkeypatch.chdir(policies_directory().parent)
    result = run(command, policies_directory().name)
    assert result.exit_code == 0, result.output


@pytest.fixture
def opa():
    found = find_opa()
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no OPA binary; `make opa` puts one at .tools/opa")
    if found is None:
        pytest.skip("there is no OPA binary; `make opa` puts one at .tools/opa")
    return found


@pytest.mark.opa
def test_with_an_opa_binary_both_engines_are_asked(opa, folder, monkeypatch):
    monkeypatch.setenv("OPA", opa)
    for planner in ("regopy", "opa"):
        result = run("test", "policies", "--planner", planner)
        assert result.exit_code == 0, result.output
        assert "PASS: 2/2 (guardrails and opa agree)" in result.stdout
        assert evaluate("--planner", planner, pieces=5).stdout == "[]\n"


# -------------------------------------------------------------------------------------------- eval


def evaluate(*words, pieces, entrypoint="guardrails/rules/orders/deny"):
    document = json.dumps({"args": {"pieces": pieces}})
    return run("eval", "-d", "policies", "-i", "-", *words, entrypoint, text=document)


def test_a_value_is_printed(folder):
    result = evaluate(pieces=11)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == ["an order has 1 to 10 pieces"]
    machine = evaluate("--format=json", pieces=11)
    assert json.loads(machine.stdout) == {"result": ["an order has 1 to 10 pieces"]}


@pytest.mark.parametrize(
    "name", ["guardrails.rules.orders.small", "data.guardrails.rules.orders.small"]
)
def test_an_entrypoint_may_be_written_as_a_reference(folder, name):
    assert evaluate(pieces=1, entrypoint=name).stdout == "true\n"


def test_what_is_undefined_is_a_finding_only_if_it_is_to_fail_and_says_how_to_see_why(folder):
    small = "guardrails/rules/orders/small"
    assert evaluate("--fail", pieces=11, entrypoint=small).exit_code == 1
    result = evaluate(pieces=11, entrypoint=small)
    assert result.exit_code == 0
    assert result.stdout == "undefined\n"
    assert "--explain=fails" in result.stderr
    assert json.loads(evaluate("--format=json", pieces=11, entrypoint=small).stdout) == {}


@pytest.mark.parametrize("mode", ["notes", "fails", "full"])
def test_an_explanation_names_file_and_row(folder, mode):
    result = evaluate(f"--explain={mode}", pieces=11)
    assert "policies/orders.rego:12  data.guardrails.rules.orders.deny" in result.stdout
    assert ("policies/orders.rego:17  fails: " in result.stdout) is (mode != "notes")
    told = json.loads(evaluate(f"--explain={mode}", "--format=json", pieces=11).stdout)
    assert any("orders.rego:12" in line for line in told["explanation"])


def test_a_builtin_that_fails_is_an_error_with_its_place(folder):
    change(folder, "is_number(input.args.pieces)", "startswith(input.args.pieces, `1`)")
    result = evaluate(pieces=11)
    assert result.exit_code == 1
    assert "error: policies/orders.rego:15: eval_type_error" in result.stderr
    told = json.loads(evaluate("--format=json", pieces=11).stdout)
    assert told["error"]["row"] == 15


def test_data_files_of_any_name_join_and_may_not_disagree(folder):
    (folder / "more.json").write_text('{"guardrails_data": {"project": {"least": 1.50}}}')
    result = run("eval", "-d", "policies", "-d", "more.json", "guardrails/rules/orders/deny")
    assert result.exit_code == 0, result.output
    (folder / "more.json").write_text('{"guardrails_data": {"project": {"most": 9}}}')
    result = run("eval", "-d", "policies", "-d", "more.json", "guardrails/rules/orders/deny")
    assert result.exit_code == 1
    assert "`data.guardrails_data.project.most` stands in another data file too" in result.stderr


def test_the_configuration_brings_the_register_and_its_layers(project):
    tool = {"name": "refund", "resource": "payments", "operation": "read", "labels": []}
    document = {
        "agent": {"id": "billing", "owner": "first.last@acme.example", "environment": "dev"},
        "tool": tool,
        "args": {"pieces": 3},
        "run": {"remaining": {"usd": 1}},
        "time": 1781524800000000000,
    }
    (project / "input.json").write_text(json.dumps(document))
    result = run("eval", "-i", "input.json", "--format=json")
    assert json.loads(result.stdout)["result"]["effect"] == "allow", result.output
    document["args"] = {}
    (project / "input.json").write_text(json.dumps(document))
    decision = json.loads(run("eval", "-i", "input.json", "--format=json").stdout)["result"]
    assert decision["reasons"] == [{"rule": "orders", "reason": "an order has 1 to 10 pieces"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [("{,}", "-:1:2: "), ("NaN", "`NaN` is no JSON number"), ('{"a":1,"a":2}', "is given twice")],
)
def test_an_input_that_is_no_json_is_a_usage_error(folder, text, said):
    result = run("eval", "-d", "policies", "-i", "-", "guardrails/rules/orders/deny", text=text)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_input_file_that_is_not_there_is_a_usage_error(folder):
    result = run("eval", "-d", "policies", "-i", "absent.json", "guardrails/rules/orders/deny")
    assert result.exit_code == 2
    assert "absent.json" in result.stderr


def test_an_unknown_entrypoint_names_those_that_are_there(folder):
    result = evaluate(pieces=1, entrypoint="guardrails/rules/ordres")
    assert result.exit_code == 1
    assert "`guardrails/rules/orders/deny`" in result.stderr


def test_long_values_break_over_lines_and_keep_their_numbers(folder):
    document = {"args": {"pieces": 1}, "wide": ["x" * 40, "y" * 40]}
    (folder / "echo.rego").write_text("package echo\n\nall := input\n\nexact := input.n\n")
    words = ("eval", "-d", "echo.rego", "-i", "-")
    result = run(*words, "echo/all", text=json.dumps(document))
    assert json.loads(result.stdout) == document
    assert len(result.stdout.splitlines()) > 3
    exact = run(*words, "echo/exact", text='{"n": 0.10000000000000000000001}')
    assert exact.stdout == "0.10000000000000000000001\n"


def test_no_text_of_a_policy_steers_the_terminal(folder):
    (folder / "echo.rego").write_text('package echo\n\nall := "[bold]\\u001b]0;x\\u0007"\n')
    result = run("eval", "-d", "echo.rego", "echo/all")
    assert "\x1b" not in result.output
    assert "[bold]" in result.output
