"""`guardrails bundle`: what it shows of a bundle, and whether it says that it would be taken."""

from __future__ import annotations

import json

import pytest
from tests.opa.archives import DECISION, SECRET, manifest, packed, policy_files, signed
from typer.testing import CliRunner

from guardrails.cli import app

GOOD = policy_files("r1")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str, **files: bytes):
        for name, content in files.items():
            (tmp_path / f"{name}.tar.gz").write_bytes(content)
        return CliRunner().invoke(app, ["bundle", *words])

    return run


def test_inspect_shows_what_is_in_a_bundle(run) -> None:
    files = signed({**GOOD, "README.md": b"#"}, scope="write")
    result = run("inspect", "b.tar.gz", b=packed(files))
    assert result.exit_code == 0
    for said in (
        "r1",
        "`guardrails`, `guardrails_data`",
        "says key `default`, HS256, scope `write`, 4 files; not verified",
        "guardrails/main.rego",
        "README.md",
    ):
        assert said in result.stdout
    found = json.loads(run("inspect", "b.tar.gz", "--format", "json").stdout)
    assert found["manifest"]["roots"] == ["guardrails", "guardrails_data"]
    assert found["packages"] == ["guardrails"]
    assert found["signature"]["scope"] == "write"
    assert not found["plan"]
    assert {"path": "README.md", "bytes": 1} in found["files"]


def test_inspect_shows_a_delta_and_a_plan(run) -> None:
    delta = {
        ".manifest": manifest("r2", ["guardrails_data"]),
        "patch.json": b'{"data": [{"op": "remove", "path": "guardrails_data/x"}]}',
    }
    result = run("inspect", "d.tar.gz", d=packed(delta))
    assert "(delta)" in result.stdout
    assert "remove /guardrails_data/x" in result.stdout
    plan = json.dumps({"plans": {"plans": [{"name": "a/b"}]}}).encode()
    result = run("inspect", "p.tar.gz", p=packed({**GOOD, "plan.json": plan}))
    assert "a/b" in result.stdout


def test_what_a_bundle_says_does_not_steer_the_terminal(run) -> None:
    files = {**GOOD, "guardrails_data/data.json": rb'{"trusted": [], "x": 1}'}
    files[".manifest"] = manifest(
        "r1", ["guardrails", "guardrails_data"], metadata={"a": "\x1b[2J"}
    )
    result = run("inspect", "b.tar.gz", "--format", "json", b=packed(files))
    assert "\x1b" not in result.stdout
    hidden = signed(GOOD, scope="\x1b[31m[bold]x")
    result = run("inspect", "b.tar.gz", b=packed(hidden))
    assert "\x1b" not in result.stdout
    assert "[bold]x" in result.stdout


def test_verify_takes_what_an_engine_would_take(run, tmp_path) -> None:
    result = run("verify", "b.tar.gz", "--no-check", b=packed(GOOD))
    assert result.exit_code == 0
    assert "`guardrails/decision` decides" in result.stdout
    (tmp_path / "key").write_text(SECRET)
    key = ("--verification-key", "key", "--algorithm", "HS256", "--no-check", "--format", "json")
    result = run("verify", "s.tar.gz", *key, s=packed(signed(GOOD, scope="write")))
    assert result.exit_code == 1
    assert "scope" in json.loads(result.stdout)["steps"][-1]["said"][0]
    result = run("verify", "s.tar.gz", *key, "--scope", "write")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"]) == (0, True)
    assert found["revision"].startswith("s.tar.gz=r1 sha256:")
    assert SECRET not in result.stdout


@pytest.mark.parametrize(
    ("files", "words", "said"),
    [
        (signed(GOOD), (), "no key is configured"),
        (GOOD, ("--verification-key", SECRET, "--algorithm", "HS256"), "is not signed"),
        (
            signed(GOOD),
            ("--verification-key", SECRET, "--algorithm", "HS256", "--verification-key-id", "x"),
            "not right for the key `x`",
        ),
        ({**GOOD, "x/data.json": b"1"}, (), "outside of the bundle's roots"),
        ({**GOOD, "guardrails/main.rego": b"package guardrails\n"}, (), "names no rule"),
        ({**GOOD, "guardrails/main.rego": b"package guardrails\n\nx := {"}, (), "main.rego:3"),
    ],
)
def test_verify_says_what_is_refused_and_exits_with_1(files, words, said, run) -> None:
    if "x" in words:
        files = signed(GOOD, secret="z" * 20)
    result = run("verify", "b.tar.gz", "--no-check", *words, b=packed(files))
    assert result.exit_code == 1
    assert said in result.stdout
    assert "fail" in result.stdout


def test_verify_runs_the_gate_for_policies(run) -> None:
    rule = (
        "# METADATA\n# scope: package\n# title: t\n# description: d\n# custom:\n"
        "#   severity: low\n#   runbook: r\npackage guardrails.rules.x\n\nimport rego.v1\n\n"
        'deny contains "a" if input.args.amount > 5\n'
    )
    files = {
        **GOOD,
        "guardrails/main.rego": (DECISION % "r1").encode(),
        "guardrails/rules/x.rego": rule.encode(),
    }
    result = run("verify", "b.tar.gz", b=packed(files))
    assert result.exit_code == 1
    assert "`policy check` finds" in result.stdout
    assert "rules/x.rego:12" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--algorithm", "HS25"), "did you mean `HS256`"),
        (("--scope", "x"), "give the key"),
        (("--verification-key", "no key"), "no public key"),
    ],
)
def test_a_wrong_option_exits_with_2(words, said, run) -> None:
    result = run("verify", "b.tar.gz", *words, b=packed(GOOD))
    assert result.exit_code == 2
    assert said in result.stderr
    assert run("verify", "missing.tar.gz").exit_code == 2


def test_data_and_deltas_are_verified_as_what_they_are(run) -> None:
    only = {".manifest": manifest("r", ["guardrails_data"]), "guardrails_data/data.json": b"{}"}
    result = run("verify", "b.tar.gz", b=packed(only))
    assert (result.exit_code, "data alone" in result.stdout) == (0, True)
    delta = {"patch.json": b'{"data": [{"op": "remove", "path": "a"}]}'}
    result = run("verify", "b.tar.gz", b=packed(delta))
    assert (result.exit_code, "changes alone" in result.stdout) == (0, True)
    result = run("inspect", "b.tar.gz", b=b"no bundle")
    assert (result.exit_code, "no gzipped tar" in result.stderr) == (1, True)
