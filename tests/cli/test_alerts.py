"""``guardrails alerts``: what is configured, and whether it reaches people."""

from __future__ import annotations

import base64
import json
import socket
import sys

import pytest
from tests.webhooks.receiver import receiver
from typer.testing import CliRunner

from guardrails.cli import app
from guardrails.webhooks import Secret, verify

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    (tmp_path / "agents.yaml").write_text("bot: {owner: dana@acme.example}\n")

    def write(*sinks):
        text = "".join(f"  {sink}\n" for sink in sinks)
        section = f"alerts:\n{text}" if sinks else ""
        (tmp_path / "guardrails.yaml").write_text(f"environment: dev\n{section}")

    return write


def hook(name, url, *more):
    words = ", ".join((f"webhook: '{url}'", "secret_env: HOOK_SECRET", *more))
    return f"{name}: {{{words}}}"


def run(*words):
    return CliRunner().invoke(app, ["alerts", *words])


def test_list_shows_where_notices_go_without_tokens(project):
    project(hook("security", "https://h.example/token", "severity: critical"), "lines: {log: ops}")
    result = run("list")
    assert result.exit_code == 0
    assert "token" not in result.stdout
    rows = json.loads(run("list", "--json").stdout)["sinks"]
    assert rows == [
        {"sink": "security", "way": "webhook", "to": "https://h.example", "severity": "critical"},
        {"sink": "lines", "way": "log", "to": "ops", "severity": "info"},
    ]
    for row in rows:
        assert all(word in result.stdout for word in row.values())


def test_list_of_nothing_says_what_happens_then(project):
    project()
    assert "logged and recorded alone" in run("list").stdout


def test_a_test_goes_through_every_sink_and_says_what_came_back(project):
    with receiver(202) as held:
        project(hook("security", held.url), "lines: {log: ops}")
        result = run("test")
    assert result.exit_code == 0
    assert "ok    security  http://127.0.0.1" in result.stdout
    assert "answered 202" in result.stdout
    assert "ok    lines  ops  written" in result.stdout
    ((_, headers, body),) = held.came
    assert verify(headers, body, Secret.parse(SECRET)).id == headers["webhook-id"]
    assert json.loads(body)["type"] == "guardrails.test"


def test_a_callback_in_the_working_directory_is_found(project, tmp_path, monkeypatch):
    (tmp_path / "acme_pager.py").write_text("def page(notice):\n    print(notice.title)\n")
    monkeypatch.setattr("sys.path", sys.path[:])
    project("pager: {callback: 'acme_pager:page'}")
    result = run("test")
    assert result.exit_code == 0
    assert "this is a test of guardrails alerts" in result.stdout
    assert "ok    pager  acme_pager:page  returned" in result.stdout


def test_one_sink_alone(project):
    with receiver(202) as held:
        project(hook("security", held.url), "lines: {log: ops}")
        result = run("test", "--sink", "lines", "--json")
    assert [it["sink"] for it in json.loads(result.stdout)["sinks"]] == ["lines"]
    assert held.came == []


def test_a_sink_that_fails_is_a_finding_and_is_tried_once(project):
    with receiver((401, {}, b"bad signature\x1b[2J\nmore")) as held:
        project(hook("security", held.url), "lines: {log: ops}")
        result = run("test")
    assert result.exit_code == 1
    assert "it answered 401" in result.stdout
    assert "it said: bad signature\\x1b[2J" in result.stdout
    assert "more" not in result.stdout
    assert len(held.came) == 1


def test_nobody_there_is_out_of_reach(project):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        project(hook("security", f"http://127.0.0.1:{unused.getsockname()[1]}/"))
        result = run("test")
    assert result.exit_code == 3
    assert "refused" in result.stdout


def test_out_of_reach_and_a_failure_together_are_a_finding(project):
    with socket.socket() as unused, receiver(500) as held:
        unused.bind(("127.0.0.1", 0))
        project(hook("one", f"http://127.0.0.1:{unused.getsockname()[1]}/"), hook("two", held.url))
        assert run("test").exit_code == 1


def test_a_missing_secret_and_a_failing_callback_are_findings(project, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET")
    project(hook("security", "https://h.example/"), "pager: {callback: 'os:remove'}")
    result = run("test", "--json")
    assert result.exit_code == 1
    came_back = {it["sink"]: it["came_back"] for it in json.loads(result.stdout)["sinks"]}
    assert "`HOOK_SECRET` is not set" in came_back["security"]
    assert came_back["pager"].startswith("TypeError: ")


@pytest.mark.parametrize(
    ("words", "said"), [(["--sink", "secrity"], "did you mean `security`"), ([], "")]
)
def test_what_cannot_be_tried_is_a_usage_error(project, words, said):
    if words:
        project("security: {log: ops}")
    else:
        project()
    result = run("test", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_doctor_says_whether_the_sinks_can_be_built(project, monkeypatch):
    def doctor():
        checks = json.loads(CliRunner().invoke(app, ["doctor", "--json"]).stdout)["checks"]
        return [(it["status"], it["found"]) for it in checks if it["name"] == "alerts"]

    project(hook("security", "https://h.example/"), "lines: {log: ops}")
    assert doctor() == [("ok", "security, lines; try them by `guardrails alerts test`")]
    monkeypatch.delenv("HOOK_SECRET")
    ((status, found),) = doctor()
    assert status == "fail"
    assert "alerts.security: the environment variable `HOOK_SECRET` is not set" in found
