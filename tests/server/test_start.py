"""The server does not start where nobody could be known, nor in clear on a network."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from guardrails.config import Config
from guardrails.desk import Desk
from guardrails.errors import ConfigError
from guardrails.server.failures import AT_MOST, WINDOW, Failures
from guardrails.server.listening import serve
from guardrails.testing import FakeClock


def start(project, **changed):
    config = project.config()
    with Desk(config, tell=False) as desk:
        serve(desk, replace(config.server, **changed), ready=lambda _: pytest.fail("it listens"))


def test_in_clear_only_where_the_network_is_this_machine(project):
    for host in ("0.0.0.0", "192.0.2.1", "::"):  # noqa: S104  # refused
        with pytest.raises(ConfigError, match="in clear"):
            start(project, host=host)


def test_only_with_a_key_that_approvers_yaml_has(project):
    for changed in ({"name": "other"}, {"key_file": project.folder / "ann.key"}):
        with pytest.raises(ConfigError, match="enroll-server"):
            start(project, **changed)


def test_only_where_somebody_could_be_known(project):
    file = project.folder / "approvers.yaml"
    before = file.read_text()
    file.write_text(re.sub(r"tokens: \[.*?\]", "os_user: x", before))
    try:
        with pytest.raises(ConfigError, match="nobody could be known"):
            start(project, jwt=None)
    finally:
        file.write_text(before)


def test_who_is_taken_out_of_the_file_is_unknown_at_once(project):
    file = project.folder / "approvers.yaml"
    before = file.read_text()
    request = project.ask(amount=81)
    assert project.answer(request, project.tokens["lee"]).status_code == 200
    file.write_text(before.replace("lee@acme.example", "sam@acme.example", 1))
    try:
        answer = project.call("GET", "/v1/me", project.tokens["lee"])
        assert answer.json()["name"] == "sam@acme.example"
        with pytest.raises(Exception, match="lacks the approval"):
            project.use(request)
    finally:
        file.write_text(before)


def test_a_section_that_cannot_work_says_where(project, tmp_path):
    (tmp_path / "agents.yaml").write_text((project.folder / "agents.yaml").read_text())
    (tmp_path / "guardrails.yaml").write_text(
        "environment: dev\nserver: {name: api, key_file: k, certificate: c, link: x,\n"
        "  jwt: {issuer: i, audience: a, keys: k, algorithms: [HS256]}}\n"
    )
    with pytest.raises(ConfigError, match="HS256"):
        Config.load(tmp_path / "guardrails.yaml")


def test_bodies_forms_and_pages_are_refused(project):
    request, token = project.ask(amount=82), project.tokens["lee"]
    path = f"/v1/approvals/{request.id}/approve"
    big = b'{"reason": "' + b"x" * 20_000 + b'"}'
    json_type = {"Content-Type": "application/json"}
    assert project.call("POST", path, token, data=big, headers=json_type).status_code == 413
    chunks = iter([big])
    assert project.call("POST", path, token, data=chunks, headers=json_type).status_code == 413
    assert project.call("POST", path, token, data={"digest": "x"}).status_code == 415
    page = {"Origin": "https://evil.example"}
    assert project.call("GET", "/v1/me", token, headers=page).status_code == 403


def test_failures_are_put_off_and_what_was_not_recorded_is_told():
    clock = FakeClock()
    failures = Failures(clock)
    assert all(failures.add("a").recorded for _ in range(AT_MOST))
    more = [failures.add("a") for _ in range(3)]
    assert not any(each.recorded for each in more)
    assert all(0 < each.retry_after <= WINDOW for each in more)
    assert failures.add("b").recorded
    clock.advance(WINDOW)
    assert failures.add("a").unrecorded == 3
