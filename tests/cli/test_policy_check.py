"""`guardrails policy check`: what it prints, what it exits with, and what it compares."""

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
	data.guardrails_data.project.most - input.args.pieces >= 0
}
"""

TESTS = """\
package guardrails_test.orders

import data.guardrails.rules.orders

test_small if {
	count(orders.deny) == 0 with input.args.pieces as 10
}
"""

DATA = "guardrails_data: {project: {most: 10}}\n"
SCRIPTED = (
    ("check", "policies", "--format", "json"),
    ("check", "policies", "--json"),
)


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


@pytest.fixture
def opa(monkeypatch):
    found = find_opa()
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no OPA binary; `make opa` puts one at .tools/opa")
    if found is None:
        pytest.skip("there is no OPA binary; `make opa` puts one at .tools/opa")
    return found


def run(*words):
    return CliRunner().invoke(app, ["policy", *words])


def change(folder, old, new, name="policies/orders.rego"):
    file = folder / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_good_policies_are_ok(folder):
    result = run("check", "policies")
    assert result.exit_code == 0, result.output
    assert result.stdout == "2 files, nothing to mend (no OPA binary was asked)\n"


def test_a_finding_has_its_place_its_rule_its_line_and_its_mend(folder):
    change(folder, "if not small", "if not smal")
    result = run("check", "policies")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == (
        "policies/orders.rego:12:52: unsafe-variable: the variable `smal` is unsafe: nothing gives"
        " it a value"
    )
    assert lines[1] == '  12 | deny contains "an order has 1 to 10 pieces" if not smal'
    assert lines[2] == "     | " + " " * 51 + "^"
    assert lines[3] == "  mend: bind it in the body, with `:=`, `some` or `in`, or correct its name"
    assert lines[-1] == "2 to mend in 2 files"
    assert "policies/orders.rego:14:1: unused-rule: nobody uses `small`" in result.stdout


def test_a_number_that_no_planner_takes_is_a_finding(folder):
    change(folder, "pieces >= 1", "pieces >= 1e9999999999999999999")
    result = run("check", "policies")
    assert result.exit_code == 1
    assert "the number `1e9999999999999999999` is too large" in " ".join(result.stdout.split())


@pytest.mark.parametrize("words", SCRIPTED)
def test_findings_for_machines(folder, words):
    change(folder, "is_number(", "is_nmber(")
    result = run(*words)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["files"] == 2
    first = found["findings"][0]
    assert (first["file"], first["row"], first["col"]) == ("policies/orders.rego", 15, 2)
    assert first["rule_id"] == "unknown-builtin"
    assert "did you mean `is_number`" in first["message"]
    assert first["mend"]


@pytest.mark.parametrize("words", SCRIPTED)
def test_nothing_found_is_an_empty_list_for_machines(folder, words):
    result = run(*words)
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"files": 2, "findings": []})


def test_syntax_that_no_planner_takes_is_one_finding_with_one_excerpt(folder):
    change(folder, "small if {", "small if {{{")
    result = run("check", "policies")
    assert result.exit_code == 1
    assert "policies/orders.rego:" in result.stdout
    assert "parse-error" in result.stdout
    assert result.stdout.count(" | small if {{{") <= 1
    assert "Traceback" not in result.output


def test_the_published_schemas_are_asked(folder):
    change(folder, "input.args.pieces >= 1", 'input.tol.name == "x"')
    change(folder, "project.most", "projct.most")
    result = run("check", "policies")
    assert result.exit_code == 1
    assert "unknown-input-field: the input has no `input.tol`" in result.stdout
    assert "mend: did you mean `tool`?" in result.stdout
    assert "unknown-data-field: the data has no `data.guardrails_data.projct`" in result.stdout


def test_no_comment_silences_a_finding(folder):
    change(folder, "if not small", "if not smal # noqa: unsafe-variable")
    assert run("check", "policies").exit_code == 1


def test_without_paths_the_configuration_is_checked(project):
    result = run("check")
    assert result.exit_code == 0, result.output
    files = int(result.stdout.split()[0])
    library = list((policies_directory() / "guardrails").rglob("*.rego"))
    fixtures = list((policies_directory() / "fixtures").rglob("*.rego"))
    assert files == len(library) + len(fixtures) + 2


def test_what_init_writes_has_no_finding(folder):
    assert CliRunner().invoke(app, ["init", "made"]).exit_code == 0
    shutil.copytree(policies_directory() / "fixtures", folder / "made" / "fixtures")
    result = run("check", "made")
    assert result.exit_code == 0, result.output


def test_a_projects_data_on_a_rules_path_is_found(project):
    (project / "policies" / "data.yaml").write_text(
        "guardrails: {rules: {orders: {small: true}}}\n"
    )
    result = run("check")
    assert result.exit_code == 1
    assert "data-over-rules" in result.stdout


def test_a_data_file_may_not_pose_as_the_register(project):
    (project / "policies" / "data.yaml").write_text("guardrails_data: {agents: {}}\n")
    result = run("check")
    assert result.exit_code == 1
    assert "given by the register" in result.stderr


@pytest.mark.parametrize("words", [("--compare", "-1"), ("--format", "xml"), ("absent",)])
def test_wrong_usage_exits_with_two(folder, words):
    assert run("check", "policies", *words).exit_code == 2


@pytest.mark.opa
def test_with_an_opa_binary_it_is_asked_too(opa, folder, monkeypatch):
    monkeypatch.setenv("OPA", opa)
    assert "(opa check --strict agrees; so do both plans)" in run("check", "policies").stdout
    assert "(opa check --strict agrees)" in run("check", "policies", "--compare", "0").stdout


@pytest.mark.opa
def test_what_the_planners_disagree_about_is_shown(opa, folder, monkeypatch):
    change(folder, "import future.keywords.not\n\n", "")
    change(folder, "if not small", 'if not startswith(input.args.to, "a")')
    change(folder, "\ndeny contains", '\ndeny contains "too many" if not small\n\ndeny contains')
    assert "planners-disagree" not in run("check", "policies").stdout
    monkeypatch.setenv("OPA", opa)
    assert "planners-disagree" not in run("check", "policies", "--compare", "0").stdout
    found = json.loads(run("check", "policies", "--json").stdout)["findings"]
    (finding,) = [each for each in found if each["rule_id"] == "planners-disagree"]
    assert "for the input {}" in finding["message"]
    assert finding["file"] == "policies/orders.rego"
