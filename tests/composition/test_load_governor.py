"""A governor from files: configuration, register, policies layered over the library."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, cast

import pytest

import guardrails as gr
from guardrails.assembly import load_governor
from guardrails.audit.reading import read

if TYPE_CHECKING:
    from pathlib import Path

    from guardrails.engines.in_process import InProcessEngine

CONFIG = """
environment: dev
agents: agents.yaml
policies: policies
modes: [enforce, shadow]
"""

AGENTS = """
billing:
  owner: dana.ruiz@acme.example
  version: 3
  budget: {dev: {usd: 2, calls: 20}}
  access: {payments: [write], ledger: [read]}
  delegates: [clerk]
clerk:
  owner: finn.bauer@acme.example
  budget: {dev: {usd: 1}}
  access: {ledger: [read]}
idle:
  owner: finn.bauer@acme.example
  budget: {prod: {usd: 1}}
"""

RULE = """# METADATA
# scope: package
# title: Small payments only
# description: Refuses what is above a hundred.
# custom:
#   severity: high
#   runbook: docs/runbooks/rules.md#small
package guardrails.rules.small

import future.keywords.not

deny contains "a payment is a number up to 100" if {
	input.tool.name == "pay"
	not small
}

small if {
	is_number(input.args.amount)
	100 - input.args.amount >= 0
}
"""


@gr.governed_tool(name="pay", resource="payments", operation="write")
def pay(amount: Decimal) -> str:
    return f"paid {amount}"


@gr.governed_tool(name="look", resource="ledger", operation="read")
def look() -> str:
    return "looked"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "guardrails.yaml").write_text(CONFIG)
    (tmp_path / "agents.yaml").write_text(AGENTS)
    rules = tmp_path / "policies" / "rules"
    rules.mkdir(parents=True)
    (rules / "small.rego").write_text(RULE)
    return tmp_path


def test_calls_are_decided_by_the_library_and_the_project_s_own_rules(project: Path) -> None:
    governor = load_governor(project / "guardrails.yaml")
    with governor.run("billing") as run:
        assert run.agent.version == "3"
        assert run.budget == gr.Budget(usd=2, calls=20), "the register's budget"
        assert pay(Decimal(100)) == "paid 100"
        with pytest.raises(gr.CallDenied) as denied:
            pay(Decimal("100.01"))
        assert denied.value.rule_ids == ("small",)
        assert "small.rego:" in str(denied.value), "the rule's file and row"
    with governor.run("clerk"):
        assert look() == "looked"
        with pytest.raises(gr.CallDenied) as denied:
            pay(Decimal(1))
        assert "access.rego:" in str(denied.value)
    governor.close()
    kinds = [event["kind"] for event in read(project / ".guardrails" / "record")]
    assert kinds.count("call.refused") == 2
    assert kinds.count("call.finished") == 2


def test_telemetry_is_asked_how_much_waits_to_be_written(project: Path) -> None:
    governor = load_governor(project / "guardrails.yaml")
    depths = {point["guardrails.queue.name"]: depth for depth, point in governor.telemetry.depths()}
    assert depths.keys() == {"record"}
    governor.close()
    assert [depth for depth, _ in governor.telemetry.depths()] == [0]


def test_it_is_found_from_a_working_directory_below_and_by_variable(
    project: Path, monkeypatch
) -> None:
    below = project / "src" / "deep"
    below.mkdir(parents=True)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.chdir(below)
    assert load_governor().environment == "dev"
    monkeypatch.chdir("/")
    monkeypatch.setenv("GUARDRAILS_CONFIG", str(project / "guardrails.yaml"))
    assert load_governor().environment == "dev"


def test_a_run_never_gets_more_than_the_register_grants(project: Path) -> None:
    governor = load_governor(project / "guardrails.yaml")
    with governor.run("billing", budget=gr.Budget(usd=1000, tokens=5)) as run:
        assert run.budget == gr.Budget(usd=2, calls=20, tokens=5)
        with gr.run("clerk") as child:
            assert child.remaining.usd == 1, "its own agent's grant, within the parent's limits"
    with pytest.raises(gr.CallDenied, match="no budget"):
        governor.run("idle")
    with pytest.raises(gr.ConfigError, match="billing"):
        governor.run("biling")


def test_a_preset_denies_what_it_says(project: Path) -> None:
    (project / "guardrails.yaml").write_text(CONFIG + "presets: [read_only]\n")
    governor = load_governor(project / "guardrails.yaml")
    with governor.run("billing"):
        assert look() == "looked"
        with pytest.raises(gr.CallDenied) as denied:
            pay(Decimal(1))
        assert "read_only" in denied.value.rule_ids


def test_policy_asks_about_what_a_configured_breaker_notices(project: Path) -> None:
    (project / "guardrails.yaml").write_text(
        CONFIG + "presets: [signals]\nbreakers: {repeat: {warn: 3}, cycle: null}\n"
    )
    governor = load_governor(project / "guardrails.yaml")
    with governor.run("billing"):
        for _ in range(2):
            assert pay(Decimal(1)) == "paid 1"
        with pytest.raises(gr.ApprovalPending) as asked:
            pay(Decimal(1))
        assert asked.value.rule_ids == ("signals",)
        assert pay(Decimal(2)) == "paid 2"
        for _ in range(4):
            assert look() == "looked"


def test_a_bad_policy_never_replaces_a_good_one(project: Path) -> None:
    governor = load_governor(project / "guardrails.yaml")
    engine = cast("InProcessEngine", governor.engine)
    rule = project / "policies" / "rules" / "small.rego"
    stricter = RULE.replace("100 -", "10 -")
    first = engine.revision
    with governor.run("billing"):
        rule.write_text(stricter)
        assert engine.reload()
        assert engine.revision != first
        with pytest.raises(gr.CallDenied):
            pay(Decimal(11))
        misspelt = RULE.replace("deny contains", "denny contains")
        for bad in ("package", misspelt, RULE.replace("input.args", "inpt.args")):
            rule.write_text(bad)
            with pytest.raises(gr.PolicyLoadError):
                engine.reload()
            with pytest.raises(gr.CallDenied):
                pay(Decimal(11))
            assert pay(Decimal(9)) == "paid 9"
        rule.write_text(stricter)
        assert not engine.reload(), "the same policies are the same revision"


def test_data_that_poses_as_the_register_is_refused(project: Path) -> None:
    (project / "policies" / "data.yaml").write_text("guardrails_data: {agents: {billing: {}}}\n")
    with pytest.raises(gr.PolicyLoadError, match="register"):
        load_governor(project / "guardrails.yaml")


def test_a_project_s_data_takes_the_place_of_the_library_s_key_by_key(project: Path) -> None:
    (project / "policies" / "data.yaml").write_text(
        "guardrails_data:\n  thresholds: {pay: {amount: {above: 50, approvers: [finance-ops]}}}\n"
    )
    governor = load_governor(project / "guardrails.yaml")
    with governor.run("billing"):
        assert pay(Decimal(50)) == "paid 50"
        with pytest.raises(gr.ApprovalPending) as pending:
            pay(Decimal(51))
        assert pending.value.approvers == ("finance-ops",)


@pytest.mark.parametrize("target", ["run", "everybody", "all/x", "agent/", "planet/earth"])
def test_a_kill_of_nothing_is_an_error_that_lists_the_targets(project: Path, target: str) -> None:
    governor = load_governor(project / "guardrails.yaml")
    with pytest.raises(ValueError, match="agent/ID"):
        governor.kill(target, reason="x")


def test_a_killed_run_never_resumes(project: Path) -> None:
    governor = load_governor(project / "guardrails.yaml")
    with governor.run("billing") as run:
        run.kill("stop")
        with pytest.raises(gr.GuardrailsError, match="stays killed"):
            governor.resume(f"run/{run.id}", reason="please")
        with pytest.raises(gr.RunKilled):
            pay(Decimal(1))


def test_a_resume_that_cannot_be_recorded_is_not_made(project: Path) -> None:
    governor = load_governor(project / "guardrails.yaml")
    governor.kill("agent/billing", reason="stop")
    governor.record.close()
    with pytest.raises(gr.StateUnavailable, match="closed"):
        governor.resume("agent/billing", reason="please")
    assert [str(kill.scope) for kill in governor.kill_switch.active()] == ["agent/billing"]


def test_a_resume_that_fails_after_it_was_recorded_is_recorded_as_failed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    governor = load_governor(project / "guardrails.yaml")
    governor.kill("agent/billing", reason="stop")
    kinds: list[str] = []
    monkeypatch.setattr(governor.record, "write", lambda event: kinds.append(event.kind))

    def fail(*_: object, **__: object) -> None:
        raise gr.StateUnavailable("the disk is gone")

    monkeypatch.setattr(governor.kill_switch, "resume", fail)
    with pytest.raises(gr.StateUnavailable, match="the disk is gone"):
        governor.resume("agent/billing", reason="please")
    assert kinds == ["resume", "resume.failed"]


def test_another_governor_cannot_take_over_inside_a_run(project: Path) -> None:
    one = load_governor(project / "guardrails.yaml")
    other = load_governor(project / "guardrails.yaml")
    with one.run("billing"), pytest.raises(gr.ConfigError, match="another governor"):
        gr.run("billing", governor=other)
