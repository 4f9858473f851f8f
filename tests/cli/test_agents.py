"""`guardrails agents`: what it prints, where it points, and how it exits."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from guardrails.cli import app
from guardrails.register import Register

REGISTER = """\
billing-agent:
  owner: dana.ruiz@acme.example
  budget: {dev: {usd: 5}}
  access: {payments: [read, write], invoices: [read]}
  approval: {refund: {above: 0.10, argument: amount}}
research:
  owner: li.wei@acme.example
  budget: {dev: {usd: 5}}
  access: {invoices: [read]}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "agents.yaml").write_text(REGISTER)
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["agents", *words])


def test_a_good_register_is_ok(project):
    result = run("check")
    assert result.exit_code == 0
    assert result.stdout == "agents.yaml: 2 agents, nothing to settle\n"


def test_check_names_file_line_and_mend(project):
    (project / "agents.yaml").write_text("bot:\n  ownr: dana@acme.example\n")
    result = run("check")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "agents.yaml:2:3: bot.ownr: unknown key (did you mean `owner`?)"
    )


def test_check_finds_what_a_review_should_settle(project):
    text = REGISTER.replace("dev: {usd: 5}", "prod: {usd: 5}", 1) + "  review_by: 2020-01-01\n"
    (project / "agents.yaml").write_text(text)
    result = run("check", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["agents"] == 2
    assert {"line": 1, "path": "billing-agent"}.items() <= found["problems"][0].items()
    assert found["problems"][-1]["path"] == "research.review_by"
    assert "2020-01-01" in found["problems"][-1]["message"]


def test_matrix_shows_every_grant(project):
    result = run("matrix")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["agent", "invoices", "payments"],
        ["billing-agent", "read", "read,", "write"],
        ["research", "read", "-"],
    ]
    assert json.loads(run("matrix", "--json").stdout) == {
        "billing-agent": {"invoices": ["read"], "payments": ["read", "write"]},
        "research": {"invoices": ["read"]},
    }


def test_a_wide_matrix_is_a_list_that_leaves_nothing_out(project):
    names = [f"a-rather-long-name-of-a-resource-{number}" for number in range(12)]
    access = ", ".join(f"{name}: [read]" for name in names)
    (project / "agents.yaml").write_text(f"bot: {{owner: d@a.example, access: {{{access}}}}}\n")
    result = run("matrix")
    assert all(name in result.stdout for name in names)


def test_who_can_lists_agents_with_their_owners(project):
    result = run("who-can", "read", "invoices")
    assert result.exit_code == 0
    assert "billing-agent  dana.ruiz@acme.example" in result.stdout
    assert "research" in result.stdout
    found = json.loads(run("who-can", "write", "payments", "--json").stdout)
    assert found == {"operation": "write", "resource": "payments", "agents": ["billing-agent"]}


def test_who_can_says_that_a_resource_is_unknown(project):
    result = run("who-can", "write", "payment")
    assert result.exit_code == 0
    assert result.stdout == "no agent may write payment\n"
    assert "nothing is granted on `payment`; there are `invoices`, `payments`" in result.stderr


def test_what_is_exported_is_imported_as_it_was(project):
    assert run("export", "--output", "table.csv").exit_code == 0
    assert run("import", "table.csv", "--output", "again.yaml").exit_code == 0
    assert Register.load("again.yaml") == Register.load("agents.yaml")
    assert run("export", "--format", "yaml").stdout == (project / "again.yaml").read_text()


def test_data_is_what_policies_read_with_exact_numbers(project):
    result = run("export", "--format", "data")
    assert '"above":0.10' in result.stdout
    data = json.loads(result.stdout)
    assert list(data) == ["guardrails_data"]
    assert sorted(data["guardrails_data"]["agents"]) == ["billing-agent", "research"]


def test_a_file_is_replaced_only_with_force(project):
    refused = run("export", "--output", "agents.yaml")
    assert refused.exit_code == 2
    assert "replace it with --force" in refused.stderr
    assert (project / "agents.yaml").read_text() == REGISTER
    assert run("export", "--format", "yaml", "--output", "agents.yaml", "--force").exit_code == 0
    assert Register.load("agents.yaml").entries


def test_a_wrong_table_is_a_usage_error_with_line_and_cell(project):
    (project / "table.csv").write_text("id,owner\nbot,ops@acme.example\n")
    result = run("import", "table.csv")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: table.csv:2:2: bot.owner: a person's own address")
    assert result.stdout == ""


def test_the_register_of_the_configuration_comes_first(project, monkeypatch):
    (project / "registers").mkdir()
    (project / "registers" / "other.yaml").write_text("bot: {owner: dana@acme.example}\n")
    (project / "guardrails.yaml").write_text("environment: dev\nagents: registers/other.yaml\n")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    assert json.loads(run("matrix", "--json").stdout) == {"bot": {}}


@pytest.mark.parametrize("words", [("check", "absent.yaml"), ("matrix", "-f", "absent.yaml")])
def test_a_file_that_is_not_there_is_a_usage_error(project, words):
    result = run(*words)
    assert result.exit_code == 2
    assert "absent.yaml: cannot be read: No such file" in result.stderr


def test_without_any_register_the_error_says_what_makes_one(project):
    (project / "agents.yaml").unlink()
    result = run("matrix")
    assert result.exit_code == 2
    assert "guardrails init" in result.stderr


def test_no_text_of_a_file_steers_the_terminal(project):
    (project / "agents.yaml").write_text('bot: {owner: "\\e]0;x\\a[bold]y"}\n')
    result = run("check")
    assert "\x1b" not in result.output
    assert "\x07" not in result.output
    assert "[bold]y" in result.output
