"""`candidate:` of a configuration: recorded where it differs, never enforced."""

import shutil

import pytest

import guardrails as gr
from guardrails.audit.reading import read
from guardrails.config import Config

RULE = """package guardrails.rules.off

deny contains "reading is off" if input.tool.operation == "read"
"""


@gr.governed_tool(resource="invoices", operation="read")
def look_up(invoice: str) -> str:
    return invoice


@pytest.fixture
def project(tmp_path, monkeypatch):
    shutil.copy("benchmarks/policies/library/agents.yaml", tmp_path / "agents.yaml")
    (tmp_path / "next").mkdir()
    (tmp_path / "next" / "off.rego").write_text(RULE, encoding="utf-8")
    file = tmp_path / "guardrails.yaml"
    file.write_text(
        "environment: prod\nrecord: record.jsonl\ncandidate: {policy: next}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    return file


def _called(file) -> list:
    governor = gr.load_governor(file)
    try:
        with governor.run("billing-agent", budget=gr.Budget(usd="1", calls=5)):
            assert look_up("INV-1") == "INV-1"
    finally:
        governor.close()
    return list(read(file.parent / "record.jsonl"))


def test_a_candidate_that_would_deny_is_recorded_and_denies_nothing(project) -> None:
    events = {event["kind"]: event for event in _called(project)}
    found = events["candidate.decided"]
    assert found["decision_id"] == events["call.started"]["decision_id"]
    assert found["detail"]["theirs"]["effect"] == "deny"
    assert found["detail"]["ours"]["effect"] == "allow"
    assert events["candidate.ended"]["detail"]["differed"] == 1


def test_a_candidate_that_does_not_load_denies_nothing(project, caplog) -> None:
    (project.parent / "next" / "off.rego").write_text("package x\nbroken :=", encoding="utf-8")
    kinds = {event["kind"] for event in _called(project)}
    assert "call.finished" in kinds
    assert "candidate.ended" not in kinds
    assert "is not tried" in caplog.text


def test_a_candidate_that_is_not_there_is_an_error(project) -> None:
    shutil.rmtree(project.parent / "next")
    with pytest.raises(gr.ConfigError, match="does not exist"):
        Config.load(project)
