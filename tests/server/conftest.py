"""A project with a server of its own process, the people who use it, and an agent that asks."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.tokens import digest_of, new_token
from guardrails.audit.reading import read
from guardrails.config import Config
from guardrails.desk import Desk
from guardrails.model.canonical import call_key
from guardrails.model.decision import ApprovalDemand

if TYPE_CHECKING:
    from pathlib import Path

ISSUER = "https://login.acme.example"


@dataclass
class Project:
    """What a test holds of it."""

    folder: Path
    tokens: dict[str, str]
    issuer: rsa.RSAPrivateKey
    key: ApproverKey
    url: str = ""

    def call(self, method: str, path: str, token: str | None = None, **given: Any):
        headers = dict(given.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return requests.request(method, self.url + path, headers=headers, timeout=20, **given)

    def answer(self, request, token, *, word="approve", digest=None, **said):
        body = {"digest": request.digest if digest is None else digest, "reason": "seen", **said}
        return self.call("POST", f"/v1/approvals/{request.id}/{word}", token, json=body)

    def config(self) -> Config:
        return Config.load(self.folder / "guardrails.yaml")

    def ask(self, principal=None, *, group="finance-ops", amount=5, quorum=1):
        """A new request, as an agent makes it."""
        args = {"order": "A-1\x1b[31m", "amount": amount}
        with Desk(self.config()) as desk:
            return desk.service.request(
                call_key("refund", args, "billing", principal, "run-1"),
                demands=[ApprovalDemand("payments.large", "over 1000", (group,), quorum, 3600)],
                tool="refund",
                agent="billing",
                run_id="run-1",
                principal=principal,
                args=args,
                revision="r1",
            )

    def use(self, request):
        """The request once it is used, as an agent's process uses it."""
        with Desk(self.config()) as desk:
            return desk.service.consume(request.id, request.call_key, request.demands)

    def jwt(self, person="kim@acme.example", key=None, alg="RS256", **claims) -> str:
        now = dt.datetime.now(dt.UTC)
        whole = {
            "iss": ISSUER,
            "aud": "guardrails",
            "exp": now + dt.timedelta(minutes=5),
            "email": person,
            "groups": ["finance-ops"],
            **claims,
        }
        whole = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(whole, self.issuer if key is None else key, alg)

    def record(self, kind: str) -> list[dict[str, Any]]:
        record = self.folder / ".guardrails" / "record"
        return [event for event in read(record) if event["kind"] == kind] if record.exists() else []


def made(folder: Path) -> Project:
    key = ApproverKey.make(folder / "server.key")
    ann = ApproverKey.make(folder / "ann.key")
    issuer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    tokens = {"lee": new_token(), "max": new_token(), "ann": new_token()}
    (folder / "issuer.pem").write_bytes(
        issuer.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    (folder / "approvers.yaml").write_text(
        textwrap.dedent(f"""
        lee@acme.example: {{groups: [finance-ops], tokens: ["{digest_of(tokens["lee"])}"]}}
        max@acme.example: {{groups: [legal], tokens: ["{digest_of(tokens["max"])}"]}}
        ann@acme.example:
          groups: [finance-ops, board]
          tokens: ["{digest_of(tokens["ann"])}"]
          key: {ann.public}
        servers:
          api: {{groups: [finance-ops, legal], key: "{key.public}"}}
        """)
    )
    (folder / "guardrails.yaml").write_text(
        textwrap.dedent(f"""
        environment: dev
        approvers: approvers.yaml
        server:
          name: api
          key_file: server.key
          port: 0
          link: "https://approvals.acme.example/{{id}}"
          jwt: {{issuer: "{ISSUER}", audience: guardrails, keys: issuer.pem, groups: groups}}
        """)
    )
    (folder / "agents.yaml").write_text(
        "billing: {owner: dana@acme.example, budget: {dev: {usd: 5}}, "
        "access: {payments: [write]}}\n"
    )
    return Project(folder, tokens, issuer, ann)


def started(project: Project, *options: str, first: str = "") -> subprocess.Popen[str]:
    """The server in a process of its own; `first` is code that runs there before it."""
    code = f"{first}\nfrom guardrails.cli import main\nmain()"
    command = [sys.executable, "-c", code, "serve"]
    process = subprocess.Popen(
        [*command, "--config", str(project.folder / "guardrails.yaml"), *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while time.monotonic() < until:
        line = process.stderr.readline()
        if found := re.search(r"http\S+", line):
            project.url = found[0]
            return process
        if not line:
            break
    pytest.fail(f"the server did not start: {process.wait(5)}")


@pytest.fixture(scope="module")
def project(tmp_path_factory, request):
    """The server runs for the whole of a file's tests; each has a request of its own."""
    there = made(tmp_path_factory.mktemp("served"))
    process = started(there, first=getattr(request.module, "FIRST", ""))
    yield there
    process.terminate()
    assert process.wait(20) == 0, "it stops in good order"
    process.stderr.close()
