"""``guardrails audit show|export``: a call from intent to outcome, and what proves it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import zipfile
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import guardrails as gr
from guardrails.assembly import load_governor
from guardrails.audit.reading import read
from guardrails.audit.table import COLUMNS, write_table
from guardrails.cli.root import app
from guardrails.past_policies import rule_text

RULE = """package guardrails.rules.large

import rego.v1

# A comment { with braces.
deny contains sprintf("a payment of %v is too large {", [input.args.amount]) if {
	input.tool.name == "pay_out"
	input.args.amount > 100
}
"""
HOSTILE = "\x1b[31mred \u202e[bold]x[/bold]"


@gr.governed_tool(name="pay_out", resource="payments", operation="write")
def pay_out(amount: Decimal, note: str = "") -> str:
    return f"paid {amount} {note}"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project, and the ids of a call that ran, one that was denied, and their run."""
    root = tmp_path_factory.mktemp("project")
    (root / "guardrails.yaml").write_text("environment: dev\npolicies: policies\n")
    (root / "agents.yaml").write_text(
        "billing:\n  owner: dana.ruiz@acme.example\n  budget: {dev: {usd: 5}}\n"
        "  access: {payments: [write]}\n"
    )
    (root / "policies").mkdir()
    (root / "policies" / "large.rego").write_text(RULE)
    governor = load_governor(root / "guardrails.yaml")
    with governor.run("billing", principal="eve@acme.example") as run:
        pay_out(Decimal(20), note=HOSTILE)
        with pytest.raises(gr.CallDenied) as denied:
            pay_out(Decimal(500))
    governor.close()
    record = root / ".guardrails" / "record"
    started = next(each for each in read(record) if each["kind"] == "call.started")
    # What is read is what was: the rule is another one by now.
    (root / "policies" / "large.rego").write_text("package guardrails.rules.large\n")
    return root, started["decision_id"], denied.value.decision_id, run.id


@pytest.fixture
def run_cli(project, monkeypatch):
    monkeypatch.chdir(project[0])
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, ["audit", *words])


def test_a_denied_call_is_shown_with_its_rule_as_it_was(project, run_cli):
    said = run_cli("show", project[2])
    assert said.exit_code == 0, said.output
    assert "deny, by policy" in said.output
    assert "billing@1" in said.output
    assert "eve@acme.example" in said.output
    assert "pay_out(amount=500" in said.output
    assert "policies/large.rego:6" in said.output
    assert "input.args.amount > 100" in said.output
    assert "\ncame of it refused: `pay_out` is denied for agent `billing`: " in said.output


def test_a_call_that_ran_is_shown_with_what_came_of_it(project, run_cli):
    said = run_cli("show", project[1])
    assert said.exit_code == 0, said.output
    assert "allow, by policy" in said.output
    assert "ok" in said.output
    assert "\x1b" not in said.output
    assert "\u202e" not in said.output


def test_a_short_id_is_enough_where_it_tells_apart(project, run_cli):
    _, ran, denied, _ = project
    common = next(i for i in range(4, 40) if ran[:i] != denied[:i])
    assert run_cli("show", denied[: max(common, 4)]).exit_code in {0, 2}
    assert run_cli("show", denied[:-1]).exit_code == 0
    assert run_cli("show", denied[:4]).exit_code == 2
    assert run_cli("show", "ffffffff").exit_code == 2
    assert run_cli("show", "f").exit_code == 2


def test_a_run_is_shown_line_by_line(project, run_cli):
    said = run_cli("show", project[3])
    assert said.exit_code == 0, said.output
    assert said.output.count("call.") == 3


def test_json_has_the_events_and_the_rules(project, run_cli):
    said = json.loads(run_cli("show", project[2], "--json").output)
    assert [each["kind"] for each in said["events"]] == ["run.opened", "call.refused"]
    (rule,) = said["rules"]
    assert rule["where"].endswith("policies/large.rego:6")
    assert "input.args.amount > 100" in rule["text"]


def test_events_are_exported_as_they_are_asked_for(run_cli, tmp_path):
    lines = run_cli("export", "--kind", "call.", "--tool", "pay_out").output.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == [
        "call.started",
        "call.finished",
        "call.refused",
    ]
    assert run_cli("export", "--until", "2020-01-01").output == ""
    assert run_cli("export", "--since", "1d", "--kind", "run.opened").output.count("\n") == 1
    file = tmp_path / "out.csv"
    assert run_cli("export", "--format", "csv", "-o", str(file)).exit_code == 0
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert "policy.activated" in {row["kind"] for row in rows}
    assert run_cli("export", "--format", "csv", "-o", str(file)).exit_code == 3, "never over a file"
    assert run_cli("export", "--format", "xml").exit_code == 2


@given(st.text(max_size=20), st.sampled_from(["=", "+", "-", "@", "\t=", " =", "\n="]))
def test_no_cell_begins_a_formula(text, start):
    file = io.StringIO()
    event = {"kind": start + text, "reasons": [{"rule": "r", "reason": start + text}]}
    write_table([event], file)
    (row,) = csv.DictReader(io.StringIO(file.getvalue(), newline=""))
    for cell in row.values():
        assert not cell.lstrip().startswith(("=", "+", "-", "@"))


@pytest.fixture
def evidence(project, run_cli, tmp_path):
    target = tmp_path / "evidence.zip"
    said = run_cli("export", "--evidence", project[2], "-o", str(target))
    assert said.exit_code == 0, said.output
    return target


def checked(zip_file, folder, *words):
    with zipfile.ZipFile(zip_file) as file:
        file.extractall(folder)
    return check(folder, *words)


def check(folder, *words):
    command = [sys.executable, "-I", str(folder / "verify.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_evidence_verifies_after_it_was_unpacked(project, evidence, tmp_path):
    done = checked(evidence, tmp_path / "out")
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
    key = (project[0] / ".guardrails" / "record.pub").read_text().strip()
    assert check(tmp_path / "out", "--key", key).returncode == 0
    kept = [each.read_text() for each in (tmp_path / "out" / "policies" / "sha256").iterdir()]
    assert any("input.args.amount > 100" in each for each in kept)


def test_the_same_record_gives_the_same_evidence(project, run_cli, evidence, tmp_path):
    again = tmp_path / "again.zip"
    assert run_cli("export", "--evidence", f"{project[2]}.zip", "-o", str(again)).exit_code == 0
    assert again.read_bytes() == evidence.read_bytes()


def test_every_change_of_evidence_is_found(evidence, tmp_path):
    folder = tmp_path / "out"
    checked(evidence, folder)
    for file in [*folder.rglob("*.jsonl"), *(folder / "policies" / "sha256").iterdir()]:
        before = file.read_bytes()
        middle = len(before) // 2
        file.write_bytes(before[:middle] + bytes([before[middle] ^ 1]) + before[middle + 1 :])
        assert check(folder).returncode == 1, file
        file.write_bytes(before)
    assert check(folder).returncode == 0
    other = "ed25519:" + "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert check(folder, "--key", other).returncode == 1


def test_a_rules_text_ends_where_the_rule_ends():
    lines = RULE.splitlines()
    assert list(rule_text(RULE, 6)) == lines[5:9]
    assert rule_text(RULE, 0) == rule_text(RULE, 99) == ()
