"""Whatever is done to a governed machine is in its record: who, why, and about which call."""

from __future__ import annotations

import sys
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import guardrails as gr
from guardrails import testing
from guardrails.audit.reading import read, verify
from guardrails.cli.root import app
from guardrails.processes import user_name

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """environment: dev
approvers: approvers.yaml
record: {directory: .guardrails/record, durability: write_ahead%s}
"""
AGENTS = """billing:
  owner: dana.ruiz@acme.example
  version: 3
  budget: {dev: {usd: 2, calls: 20}}
  access: {payments: [write]}
"""


@gr.governed_tool(name="acts.pay", resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > 10, approvers="finance-ops")
def pay(amount: Decimal) -> str:
    return f"paid {amount}"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "guardrails.yaml").write_text(CONFIG % "")
    (tmp_path / "agents.yaml").write_text(AGENTS)
    (tmp_path / "approvers.yaml").write_text("{}\n")
    return tmp_path


def cli(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output + result.stderr
    return result.stdout


def events(project: Path, kind: str = "") -> list[dict[str, Any]]:
    found = read(project / ".guardrails" / "record")
    return [each for each in found if each["kind"].startswith(kind)]


def enrolled(project: Path) -> None:
    key = str(project / "lee.key")
    entry = cli(
        *("approvals", "enroll", "lee@acme.example", "--group", "finance-ops", "--key", key),
        *("--reason", "joins finance"),
    )
    (project / "approvers.yaml").write_text(entry)


def test_a_call_has_one_id_in_all_that_happens_to_it(project):
    enrolled(project)
    governor = gr.load_governor(project / "guardrails.yaml")
    with governor.run("billing"):
        with pytest.raises(gr.ApprovalPending) as pending:
            pay(Decimal(11))
        request = pending.value.request_id
        key = str(project / "lee.key")
        cli("approvals", "approve", request, "--reason", "fine", "--key", key)
        assert pay(Decimal(11)) == "paid 11"
        assert pay(Decimal(5)) == "paid 5"
    governor.close()
    asked, ran = pending.value.decision_id, events(project, "call.started")[0]
    steps = events(project, "approval.")
    assert {each["kind"] for each in steps} == {
        *("approval.requested", "approval.approved", "approval.consumed", "approval.settled")
    }
    assert {each["decision_id"] for each in steps} == {asked}, (
        "the call for which people were asked"
    )
    assert events(project, "call.refused")[0]["decision_id"] == asked
    assert ran["decision_id"] != asked
    assert ran["detail"]["request_id"] == request, "what joins the one that ran to the question"
    for kind in ("call.", "approval."):
        for each in events(project, kind):
            assert uuid.UUID(each["decision_id"]).version == 7
    assert verify(project / ".guardrails" / "record").is_whole


def test_every_act_says_who_and_why(project):
    enrolled(project)
    cli("approvals", "token", "--reason", "for the phone")
    governor = gr.load_governor(project / "guardrails.yaml")
    cli("kill", "tool/acts.pay", "--reason", "an incident", "--yes")
    cli("resume", "tool/acts.pay", "--reason", "it is over")
    cli("budget", "set", "env/dev", "--day", "usd=50", "--reason", "end of year")
    governor.close()
    acts = {
        each["kind"]: each["detail"]
        for each in events(project)
        if each["kind"] in {"kill", "resume", "budget.set"}
    }
    assert {kind: act["reason"] for kind, act in acts.items()} == {
        "kill": "an incident",
        "resume": "it is over",
        "budget.set": "end of year",
    }
    keys = {each["detail"]["what"]: each["detail"] for each in events(project, "key.made")}
    assert keys["approver"]["reason"] == "joins finance"
    assert keys["approver"]["groups"] == ["finance-ops"]
    assert keys["token"]["reason"] == "for the phone"
    assert keys["record"]["reason"]
    loaded = [
        each["detail"]
        for kind in ("register.loaded", "approvers.loaded", "policy.activated")
        for each in events(project, kind)
    ]
    assert len(loaded) >= 3
    for act in (*acts.values(), *keys.values(), *loaded):
        assert user_name() in act["by"]


def test_who_joins_or_leaves_a_group_is_recorded(project):
    enrolled(project)
    gr.load_governor(project / "guardrails.yaml").close()
    entry = (project / "approvers.yaml").read_text()
    (project / "approvers.yaml").write_text(entry.replace("finance-ops", "finance-ops, legal"))
    gr.load_governor(project / "guardrails.yaml").close()
    first, second = events(project, "approvers.loaded")
    assert "changed" not in first["detail"]
    assert second["detail"]["changed"] == ["lee@acme.example"]
    assert second["detail"]["added"] == second["detail"]["removed"] == []
    assert second["detail"]["before"] == first["detail"]["sha256"]


def test_heads_go_to_a_function_that_the_file_names(project, monkeypatch):
    kept = project / "kept.heads"
    (project / "acme_anchor.py").write_text(
        f"def send(line):\n    with open({str(kept)!r}, 'ab') as file:\n        file.write(line)\n"
    )
    monkeypatch.syspath_prepend(project)
    (project / "guardrails.yaml").write_text(CONFIG % ", anchor_callback: 'acme_anchor:send'")
    governor = gr.load_governor(project / "guardrails.yaml")
    with governor.run("billing"):
        pay(Decimal(1))
    governor.close()
    kept.chmod(0o600)
    record = project / ".guardrails" / "record"
    assert verify(record, anchor=kept).is_whole
    last = min(record.glob("*.jsonl"))
    last.write_bytes(last.read_bytes()[:-1])
    assert not verify(record, anchor=kept).is_whole
    monkeypatch.delitem(sys.modules, "acme_anchor")


@pytest.mark.parametrize(
    ("reference", "said"),
    [("no_such_module:send", "cannot be imported"), ("json:nothing", "has no `nothing`")],
)
def test_an_anchor_that_is_not_there_starts_nothing(project, reference, said):
    (project / "guardrails.yaml").write_text(CONFIG % f", anchor_callback: '{reference}'")
    with pytest.raises(gr.ConfigError, match=said):
        gr.load_governor(project / "guardrails.yaml")


def test_what_befalls_an_account_is_one_line_of_fields_in_the_log(caplog):
    """As a refusal is: no name can forge a line, and no notation of Python's stands in it."""
    facts = {"account": "account/a\nb", "window": "day", "start": 0, "charged": {"calls": 1}}
    facts["by"] = "pid 7"
    testing.governor().acted("budget.crash", facts)
    assert caplog.messages == [
        r'budget.crash account="account/a\nb" window="day" start=0 charged={"calls":1} by="pid 7"'
    ]
