"""``guardrails approvals``: a person's signed word, from another process, lets one call run."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest
from typer.testing import CliRunner

from guardrails.audit.reading import read
from guardrails.cli import app
from guardrails.processes import user_name

AGENT = """
import sys
import guardrails as gr

@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(approvers="finance-ops", expires_in="4h")
def refund(order: str, amount: int) -> str:
    return f"refunded {amount}"

with gr.run(agent="billing", id="run-1", budget=gr.Budget(usd="1")):
    try:
        print(refund("A-1\\x1b[31m", int(sys.argv[1])))
    except gr.Refusal as refusal:
        print(type(refusal).__name__)
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "guardrails.yaml").write_text(
        "environment: dev\napprovers: approvers.yaml\n", encoding="utf-8"
    )
    (tmp_path / "agents.yaml").write_text(
        textwrap.dedent("""
        billing:
          owner: dana@acme.example
          budget: {dev: {usd: 5}}
          access: {payments: [write]}
        """),
        encoding="utf-8",
    )
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    told = CliRunner().invoke(
        app, ["approvals", "enroll", "lee@acme.example", "--group", "finance-ops"]
    )
    enrolled = told.stdout
    (tmp_path / "approvers.yaml").write_text(enrolled, encoding="utf-8")
    return tmp_path


def cli(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["approvals", *args])
    assert result.exit_code == code, result.output
    return result.output


def agent(amount: int = 5) -> str:
    ran = subprocess.run(
        [sys.executable, "agent.py", str(amount)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_a_person_s_word_lets_exactly_that_call_run_once(project):
    assert agent() == "ApprovalPending"
    (waiting,) = json.loads(cli("list", "--json"))
    assert waiting["args"]["amount"] == 5
    shown = cli("show", waiting["id"][:7])
    assert "\\u001b" in shown
    assert "\x1b" not in shown
    assert "approved by lee@acme.example" in cli("approve", waiting["id"], "--reason", "agreed")
    assert agent(50) == "ApprovalPending", "other arguments are another call"
    assert agent() == "refunded 5"
    assert agent() == "ApprovalPending", "it counts once"
    record = list(read(".guardrails/record"))
    said = next(each for each in record if each["kind"] == "approval.approved")
    assert said["detail"]["by"] == "lee@acme.example"
    assert said["detail"]["channel"] == "cli"
    assert said["detail"]["reason"] == "agreed"


def test_a_no_stands(project):
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    cli("reject", waiting["id"], "--reason", "who asked for this?")
    assert agent() == "ApprovalRejected"
    assert "nothing waits" in cli("list")
    cli("approve", waiting["id"], code=1)


def test_who_is_not_in_the_file_cannot_answer(project):
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    text = (project / "approvers.yaml").read_text()
    (project / "approvers.yaml").write_text(text.replace("finance-ops", "legal"))
    assert "none of the groups" in cli("approve", waiting["id"], code=1)
    (project / "approvers.yaml").write_text(text.replace(f"os_user: {user_name()}", "os_user: eve"))
    assert "works as" in cli("approve", waiting["id"], code=2)
    (project / "config/guardrails/approver.key").unlink()
    assert "enroll" in cli("approve", waiting["id"], code=2)
    cli("enroll", "eve@acme.example", "--group", "finance-ops")
    assert "does not have your key" in cli("approve", waiting["id"], code=2)
    assert agent() == "ApprovalPending"


def test_without_an_approvers_file_nobody_answers_from_outside(project):
    (project / "guardrails.yaml").write_text("environment: dev\n")
    agent()
    (waiting,) = json.loads(cli("list", "--json"))
    assert "names no `approvers:` file" in cli("approve", waiting["id"], code=2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lee@acme.example: {groups: [fin], tokens: [x]}", "tokens"),
        ("lee@acme.example: {groups: [fin], key: x}", "a public key as `ed25519:"),
        ("lee@acme.example: {groups: [fin], key: 'ed25519:AAAA'}", "a public key as `ed25519:"),
        ("lee@acme.example: {groups: [], key: x}", "groups"),
        ("finance@acme.example: {groups: [fin], key: x}", "looks like a group's"),
    ],
)
def test_a_wrong_file_of_approvers_says_where(project, text, said):
    (project / "approvers.yaml").write_text(text)
    told = cli("list", code=2)
    assert said in told
    assert "approvers.yaml:1:" in told


def test_an_edit_is_signed_shown_and_lets_the_changed_call_run(project):
    agent(5000)
    (waiting,) = json.loads(cli("list", "--json"))
    assert "no argument" in cli("edit", waiting["id"], "--set", "x=1", code=2)
    assert "no JSON" in cli("edit", waiting["id"], "--set", "amount=much", code=2)
    assert "no terminal" in cli("edit", waiting["id"], code=2)
    told = cli("edit", waiting["id"], "--set", "amount=20", "--reason", "half")
    assert "amount: 5000 → 20" in told
    assert "approved by lee@acme.example" in told
    assert agent(5000) == "ApprovalEdited"
    assert agent(20) == "refunded 20"
    assert "gave way to" in cli("show", waiting["id"])
    agent(30)
    (next_one,) = json.loads(cli("list", "--json"))
    assert "amount: 20 → 30" in cli("show", next_one["id"])
