"""`guardrails doctor`: every thing that can be amiss is named with its mend and its exit code."""

from __future__ import annotations

import json
from importlib import metadata

import pytest
from typer.testing import CliRunner

from guardrails.cli import app, checkup
from guardrails.model.kill import Scope
from guardrails.runs.kill_shared import SharedKillSwitch


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GUARDRAILS_CONFIG", "OPA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PATH", str(tmp_path / "no-programs"))
    assert CliRunner().invoke(app, ["init"]).exit_code == 0
    # The library takes a second to plan, and one rule is as good here.
    (tmp_path / "policies" / "main.rego").write_text(
        'package guardrails\n\ndecision := {"effect": "deny"}\n'
    )
    set_key(tmp_path, "library: false")
    return tmp_path


def set_key(project, line):
    file = project / "guardrails.yaml"
    key = line.partition(":")[0]
    kept = [each for each in file.read_text().splitlines() if each.partition(":")[0] != key]
    file.write_text("\n".join([*kept, line, ""]))


def doctor(*words):
    return CliRunner().invoke(app, ["doctor", *words])


def checks():
    result = doctor("--json")
    document = json.loads(result.stdout)
    assert document["ok"] is (result.exit_code == 0)
    found: dict[str, dict[str, object]] = {}
    for each in document["checks"]:
        found.setdefault(each["name"], each)
    return found, result.exit_code


def opa(project, text):
    binary = project / "opa"
    binary.write_text(f'#!/bin/sh\n[ "$1" = version ] || exit 1\n{text}\n')
    binary.chmod(0o755)
    set_key(project, "opa: opa")


def test_a_fresh_project_is_well(project):
    found, code = checks()
    assert code == 0
    assert {name for name, each in found.items() if each["status"] == "fail"} == set()
    assert found["configuration"]["found"] == "guardrails.yaml"
    assert found["environment"]["found"] == "dev"
    assert found["register"]["found"] == "agents.yaml: 1 agent, 1 with a budget here"
    assert found["policies"]["found"].startswith("policies: 2 modules, revision ")
    assert "planned by regopy, loaded in " in found["policies"]["found"]
    assert found["modes"]["found"] == "enforce, shadow"
    assert "made by the first run" in found["record"]["found"]


def test_a_group_that_is_asked_and_in_which_nobody_is_warns(project):
    found, code = checks()
    assert code == 0
    assert found["approvers"]["status"] == "warn"
    assert "none: nobody can answer" in found["approvers"]["found"]
    assert "agents.yaml asks finance-ops" in found["approvers"]["found"]
    assert "approvals enroll" in found["approvers"]["mend"]

    enroll = ["approvals", "enroll", "lee@acme.example", "--key", "lee.key"]
    entry = CliRunner().invoke(app, [*enroll, "--group", "finance-opps"]).stdout
    (project / "approvers.yaml").write_text(entry)
    set_key(project, "approvers: approvers.yaml")
    said = doctor()
    assert said.exit_code == 0
    assert "nobody is in `finance-ops`, which agents.yaml asks" in " ".join(said.stdout.split())

    (project / "approvers.yaml").write_text(entry.replace("finance-opps", "finance-ops"))
    found, _ = checks()
    assert found["approvers"]["status"] == "ok"

    (project / "agents.yaml").write_text("billing: {owner: a.b@acme.example, budget: {dev: {}}}\n")
    set_key(project, "approvers: null")
    found, _ = checks()
    assert found["approvers"]["status"] == "ok"
    assert "none: nobody can answer" in found["approvers"]["found"]


def test_looking_changes_nothing(project):
    before = sorted(project.rglob("*"))
    doctor()
    assert sorted(project.rglob("*")) == before


@pytest.mark.slow
def test_the_library_is_a_layer_like_any_other(project):
    (project / "policies" / "main.rego").unlink()
    set_key(project, "library: true")
    set_key(project, "presets: [read_only]")
    found, code = checks()
    assert code == 0
    assert found["policies"]["found"].startswith("library + preset read_only + policies: ")


def test_what_is_said_to_people_fits_their_terminal(project):
    set_key(project, "modes: [enforce, observe]")
    result = doctor()
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert any(line.startswith("warn  modes") for line in lines)
    assert any("mend" in line and "take `observe` out of `modes`" in line for line in lines)
    assert lines[-1].endswith("to look at")
    assert max(map(len, lines)) <= 80


def test_without_a_configuration_it_says_what_makes_one(project):
    (project / "guardrails.yaml").unlink()
    found, code = checks()
    assert code == 1
    assert found["configuration"]["status"] == "fail"
    assert "guardrails init" in found["configuration"]["mend"]


def test_a_wrong_configuration_is_named_with_its_place(project):
    set_key(project, "enviroment: prod")
    found, code = checks()
    assert code == 1
    assert "guardrails.yaml:" in found["configuration"]["found"]
    assert "enviroment" in found["configuration"]["found"]


def test_a_configuration_named_by_the_environment_is_told(project, monkeypatch):
    monkeypatch.setenv("GUARDRAILS_CONFIG", "guardrails.yaml")
    found, _ = checks()
    assert "named by GUARDRAILS_CONFIG" in found["configuration"]["found"]
    monkeypatch.setenv("GUARDRAILS_CONFIG", "absent.yaml")
    found, code = checks()
    assert code == 1
    assert found["configuration"]["mend"] == "correct or unset GUARDRAILS_CONFIG"


def test_a_wrong_register_is_named_with_its_place(project):
    (project / "agents.yaml").write_text("bot: {ownr: x}\n")
    found, code = checks()
    assert code == 1
    assert found["register"]["found"].startswith("agents.yaml:1:")
    assert "policies" not in found


def test_an_environment_in_which_no_agent_can_run_fails(project):
    set_key(project, "environment: staging")
    found, code = checks()
    assert code == 1
    assert "none with a budget in `staging`" in found["register"]["found"]
    assert "budget: {staging:" in found["register"]["mend"]


def test_an_overdue_review_is_a_warning(project):
    with (project / "agents.yaml").open("a") as file:
        file.write("  review_by: 2020-01-01\n")
    found, code = checks()
    assert code == 0
    assert found["review"]["status"] == "warn"
    assert "the review was due on 2020-01-01" in found["review"]["found"]


def test_a_policy_that_does_not_load_fails_with_its_place(project):
    (project / "policies" / "main.rego").write_text("package guardrails\n\ndecision := {\n")
    found, code = checks()
    assert code == 1
    assert found["policies"]["status"] == "fail"
    assert "policies/main.rego:3" in found["policies"]["found"]
    assert "policy check" in found["policies"]["mend"]


@pytest.mark.parametrize(
    ("planner", "text", "status", "code"),
    [
        ("regopy", "echo 'Version: 1.20.1'", "ok", 0),
        ("regopy", "echo 'Version: 1.16.0'", "warn", 0),
        ("opa", "echo 'Version: 0.70.0'", "fail", 1),
        ("regopy", "echo no opa", "warn", 0),
    ],
)
def test_the_opa_binary_is_asked_for_its_version(project, planner, text, status, code):
    opa(project, text)
    set_key(project, f"planner: {planner}")
    found, exit_code = checks()
    assert found["opa"]["status"] == status
    assert exit_code == code
    if status != "ok":
        assert found["opa"]["mend"]


def test_a_needed_opa_that_is_not_there_is_out_of_reach(project):
    set_key(project, "planner: opa")
    found, _ = checks()
    assert found["opa"]["status"] == "fail"
    assert found["opa"]["out_of_reach"]


@pytest.mark.parametrize("name", ["file/record.jsonl", "open.jsonl", "policies", "file/record"])
def test_a_record_that_cannot_be_written_is_out_of_reach(project, name):
    (project / "file").write_text("")
    (project / "open.jsonl").write_text("")
    (project / "open.jsonl").chmod(0o666)
    set_key(project, f"record: {name}")
    found, code = checks()
    assert code == 3, found["record"]
    assert found["record"]["status"] == "fail"


def test_a_record_that_is_there_is_left_as_it_is(project):
    (project / "record.jsonl").write_text("{}\n")
    (project / "record.jsonl").chmod(0o600)
    set_key(project, "record: record.jsonl")
    found, code = checks()
    assert code == 0
    assert "3 bytes, can be written" in found["record"]["found"]
    assert (project / "record.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize(("environment", "status"), [("dev", "ok"), ("prod", "warn")])
def test_a_record_in_memory_is_enough_only_outside_of_production(project, environment, status):
    set_key(project, "record: null")
    set_key(project, f"environment: {environment}")
    found, _ = checks()
    assert found["record"]["status"] == status


def test_another_distribution_of_the_same_name_fails(project, monkeypatch):
    site = project / "site"
    about = site / "guardrails_ai-0.6.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: guardrails-ai\nVersion: 0.6.0\n")
    (about / "top_level.txt").write_text("guardrails\n")
    monkeypatch.syspath_prepend(str(site))
    assert "guardrails-ai" in metadata.packages_distributions()["guardrails"]
    found, code = checks()
    assert code == 1
    assert "guardrails-ai provides `guardrails` too" in found["name clash"]["found"]
    assert "environment of its own" in found["name clash"]["mend"]


def test_a_script_of_the_same_name_fails_too(project, monkeypatch):
    site = project / "site"
    about = site / "openai_guardrails-0.2.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: openai-guardrails\nVersion: 0.2.0\n"
    )
    (about / "entry_points.txt").write_text("[console_scripts]\nguardrails = other:main\n")
    monkeypatch.syspath_prepend(str(site))
    found, _ = checks()
    assert found["name clash"]["found"].startswith("openai-guardrails provides")


def test_an_old_python_fails(project, monkeypatch):
    monkeypatch.setattr(checkup, "_OLDEST_PYTHON", (99, 0))
    found, code = checks()
    assert code == 1
    assert found["python"]["mend"]


@pytest.mark.parametrize(("environment", "status"), [("dev", "ok"), ("prod", "warn")])
def test_state_in_memory_is_enough_only_outside_of_production(project, environment, status):
    set_key(project, "state: null")
    set_key(project, f"environment: {environment}")
    assert checks()[0]["state"]["status"] == status


def test_what_is_killed_is_told_and_a_kill_switch_that_cannot_be_used_fails(project):
    assert checks()[0]["kill switch"]["found"] == "is made with the first governor"
    state = project / ".guardrails"
    assert not state.exists(), "looking makes nothing"
    switch = SharedKillSwitch(state)
    switch.kill(Scope.parse("agent/billing"), reason="test", by="op")
    switch.close()
    assert "killed: `agent/billing`" in checks()[0]["kill switch"]["found"]
    (state / "kill.page").write_bytes(b"garbage")
    assert checks()[0]["kill switch"]["status"] == "fail"


def test_a_candidate_is_told_and_one_that_does_not_load_warns(project):
    assert "candidate" not in checks()[0]
    (project / "next").mkdir()
    rule = project / "next" / "main.rego"
    rule.write_text('package guardrails\n\ndecision := {"effect": "allow"}\n')
    set_key(project, "candidate: {policy: next, share: 0.25}")
    found, code = checks()
    assert (found["candidate"]["status"], code) == ("ok", 0)
    assert "next, tried on 25% of decisions" in found["candidate"]["found"]
    rule.write_text("package guardrails\n\ndecision :=\n")
    found, code = checks()
    assert (found["candidate"]["status"], code) == ("warn", 0)
    assert "main.rego:3" in found["candidate"]["found"]
    shown = CliRunner().invoke(app, ["status"])
    assert "tries    next, tried on 25% of decisions, never enforced" in shown.output
    told = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)["candidate"]
    assert told == {"policy": str(project / "next"), "share": 0.25}
