"""Policies for an OPA server: delivered there they decide as here, and are known as the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from tests.opa.opa_process import running
from typer.testing import CliRunner

import guardrails as gr
from guardrails.cli import app
from guardrails.engines.verified import VerifiedEngine
from guardrails.opa.administration import Administration
from guardrails.rego.opa_binary import find_opa

pytestmark = pytest.mark.opa

MAIN = (Path(__file__).parents[2] / "policies" / "guardrails" / "main.rego").read_text("utf-8")
CONFIG = "environment: dev\nlibrary: false\npolicies: policies\n"
RULE = """package guardrails.rules.notes

import future.keywords.not

allow contains "anybody reads notes" if input.tool.resource == "notes"
"""


@gr.governed_tool(resource="notes", operation="read")
def note(name: str) -> str:
    return name


@pytest.fixture(scope="module")
def opa() -> str:
    found = find_opa()
    assert found, "OPA is missing: run `make opa`"
    return found


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("GUARDRAILS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents.yaml").write_text(
        "bot:\n  owner: dana@acme.example\n  purpose: Reads.\n  budget: {dev: {calls: 10}}\n"
        "  access: {notes: [read]}\n"
    )
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "notes.rego").write_text(RULE)
    # The library takes seconds to load, and its merge alone is as good here.
    (tmp_path / "policies" / "main.rego").write_text(MAIN)
    (tmp_path / "policies" / "notes_test.rego").write_text("package guardrails_test.notes\n")
    (tmp_path / "guardrails.yaml").write_text(
        "environment: dev\nlibrary: false\npolicies: policies\n"
    )
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def verified(project, url: str) -> tuple[str, VerifiedEngine]:
    """What a call came to, decided here and checked there; and the engine, when that is done."""
    (project / "guardrails.yaml").write_text(
        f"{CONFIG}engine: verified\nstate: null\nrecord: null\n"
        f"sidecar: {{url: '{url}', deadline: 10}}\nverified: {{share: 1}}\n"
    )
    governor = gr.load_governor(project / "guardrails.yaml")
    with governor.run("bot"):
        found = note("n")
    engine = governor.engine
    assert isinstance(engine, VerifiedEngine)
    assert engine.drain(30)
    governor.close()
    return found, engine


def test_a_bundle_that_opa_builds_of_an_export_is_the_same_revision(project, opa, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opa")
    run("policy", "export", "out")
    manifest = json.loads((project / "out" / ".manifest").read_text("utf-8"))
    assert manifest["roots"] == ["guardrails", "guardrails_data"]
    assert not list((project / "out").rglob("*_test.rego"))
    data = json.loads((project / "out" / "data.json").read_text("utf-8"))
    assert data["guardrails_data"]["agents"]["bot"]["owner"] == "dana@acme.example"
    subprocess.run(
        [opa, "build", "--bundle", project / "out", "--output", folder / "authz.tar.gz"], check=True
    )
    config = {"bundles": {"authz": {"resource": f"file://{folder / 'authz.tar.gz'}"}}}
    (folder / "opa.yaml").write_text(json.dumps(config))
    with running(opa, folder, {}, ["--config-file", "opa.yaml"]) as server:
        with Administration(server.unix) as there:
            there.wait_until_ready(30)
        found, engine = verified(project, server.unix)
        status = engine.status()
        assert (found, status.agreed, status.not_comparable) == ("n", 1, 0)
        # A project that has changed since is not held against it.
        (project / "policies" / "notes.rego").write_text(RULE + '\ndeny contains "x" if false\n')
        _, engine = verified(project, server.unix)
        assert (engine.status().agreed, engine.status().not_comparable) == (0, 1)


def test_pushed_policies_decide_and_what_is_gone_is_taken_away(project, opa, tmp_path_factory):
    with running(opa, tmp_path_factory.mktemp("opa"), {}) as server:
        said = run("policy", "push", "--server", server.unix)
        assert "modules, revision" in said
        found, engine = verified(project, server.unix)
        assert (found, engine.status().agreed) == ("n", 1)
        with Administration(server.unix) as there:
            before = set(there.policies())
        assert "guardrails/guardrails/rules/notes/notes" in before
        (project / "policies" / "notes.rego").rename(project / "policies" / "other.rego")
        run("policy", "push")  # `sidecar` of the configuration
        with Administration(server.unix) as there:
            after = set(there.policies())
        assert before - after == {"guardrails/guardrails/rules/notes/notes"}
        assert after - before == {"guardrails/guardrails/rules/notes/other"}


def test_what_does_not_load_is_not_delivered(project, opa, tmp_path_factory):
    (project / "policies" / "notes.rego").write_text("package guardrails.rules.notes\n\ndeny := {")
    with running(opa, tmp_path_factory.mktemp("opa"), {}) as server:
        result = CliRunner().invoke(app, ["policy", "push", "--server", server.unix])
        assert result.exit_code == 1
        assert "notes.rego:" in result.output
        with Administration(server.unix) as there:
            assert there.policies() == ()
    assert CliRunner().invoke(app, ["policy", "export", "out"]).exit_code == 1
    assert not (project / "out").exists()


def test_what_is_there_is_not_overwritten(project):
    (project / "out").mkdir()
    (project / "out" / "mine").write_text("x")
    result = CliRunner().invoke(app, ["policy", "export", "out"])
    assert result.exit_code == 2
    assert "is not empty" in result.output


def test_without_a_server_push_says_how_to_name_one(project):
    result = CliRunner().invoke(app, ["policy", "push"])
    assert result.exit_code == 2
    assert "give --server" in result.output
