"""The server does not start where nobody could be known, nor in clear on a network."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from tests.server.conftest import ISSUER

from guardrails.cli.server_checkup import answer_findings
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


# ------------------------------------------------------------------------------- doctor


def found(project):
    """What `guardrails doctor` says of it, by name."""
    said: dict[str, list[tuple[str, str]]] = {}
    for each in answer_findings(project.config()):
        said.setdefault(each.name, []).append((each.status.value, each.found))
    return said


@pytest.fixture
def changed(project):
    """Changes a file of the project for one test."""
    before: dict[Any, str] = {}

    def change(name, old, new):
        file = project.folder / name
        before.setdefault(file, file.read_text())
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    yield change
    for file, text in before.items():
        file.write_text(text)


def test_doctor_says_what_the_server_stands_on(project):
    said = found(project)
    assert said["approvers"] == [
        ("ok", f"{project.folder / 'approvers.yaml'}: 3 people, for board, finance-ops, legal")
    ]
    ((status, text),) = said["server"]
    assert status == "ok"
    assert "signs as `api` for finance-ops, legal" in text
    assert f"knows 3 with tokens and tokens of {ISSUER}" in text
    assert "grt_" not in text


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("guardrails.yaml", "name: api", "name: other", "`servers` does not have the key"),
        ("guardrails.yaml", "server.key", "ann.key", "`servers` does not have the key"),
        ("guardrails.yaml", "server.key", "none.key", "no approver key in"),
        ("guardrails.yaml", "port: 0", "host: 0.0.0.0", "in clear"),
        ("guardrails.yaml", "keys: issuer.pem", "keys: none.pem", "none.pem"),
        ("guardrails.yaml", "keys: issuer.pem", "keys: server.key", "neither a JSON Web Key Set"),
        (
            "guardrails.yaml",
            "port: 0",
            "certificate: issuer.pem\n  certificate_key: server.key",
            "the certificate cannot be used",
        ),
    ],
)
def test_doctor_finds_what_the_server_would_not_start_with(project, changed, file, old, new, said):  # noqa: PLR0913, PLR0917  # a change each
    changed(file, old, new)
    ((status, text),) = found(project)["server"]
    assert status == "fail"
    assert said in text


def test_doctor_finds_a_wrong_file_of_approvers(project, changed):
    changed("approvers.yaml", "groups: [legal]", "group: [legal]")
    ((status, text), *_) = found(project)["approvers"]
    assert status == "fail"
    assert "approvers.yaml:" in text


@pytest.mark.parametrize(("days", "status"), [(90, "ok"), (3, "warn"), (-3, "fail")])
def test_doctor_says_when_the_certificate_ends(project, changed, days, status):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=9))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (project.folder / "tls.pem").write_bytes(certificate.public_bytes(pem))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (project.folder / "tls.key").write_bytes(key.private_bytes(pem, form, plain))
    both = "certificate: tls.pem\n  certificate_key: tls.key"
    changed("guardrails.yaml", "port: 0", f"host: 0.0.0.0\n  {both}")
    said = found(project)["server"]
    assert said[0][0] == status
    assert said[-1][0] == "ok"
    assert "https://0.0.0.0" in said[-1][1]
