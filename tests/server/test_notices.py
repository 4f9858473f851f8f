"""People are told of requests and answers by signed webhooks; what comes back answers nothing."""

from __future__ import annotations

import base64
import json

import pytest
from tests.webhooks.receiver import receiver

from guardrails.desk import Desk
from guardrails.errors import SignatureError
from guardrails.model.approval import Answer
from guardrails.webhooks import Secret, verify

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def test_requests_and_answers_are_told_and_the_webhook_s_answer_is_none(project, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    said = b'{"approve": true, "approved": true}'
    with receiver((200, {"Content-Type": "application/json"}, said)) as there:
        file = project.folder / "guardrails.yaml"
        before = file.read_text()
        file.write_text(
            f'{before}alerts: {{hook: {{webhook: "{there.url}", secret_env: HOOK_SECRET}}}}\n'
        )
        try:
            request = project.ask(amount=71)
            with Desk(project.config()) as desk:
                assert desk.service.get(request.id).state == "pending"
                now = desk.clock.now_ns()
                yes = Answer("ann@acme.example", frozenset(), True, "", now, "http")
                desk.answer(
                    request.id,
                    by="ann@acme.example",
                    channel="http",
                    approve=True,
                    signature=project.key.sign(request.digest, yes),
                    time=now,
                )
        finally:
            file.write_text(before)
    bodies = [json.loads(body) for _, _, body in there.came]
    assert [each["type"] for each in bodies] == [
        "guardrails.approval.waiting",
        "guardrails.approval.answered",
    ]
    facts = bodies[0]["data"]["facts"]
    assert facts["request_id"] == request.id
    assert facts["digest"] == request.digest
    assert facts["link"] == f"https://approvals.acme.example/{request.id}"
    assert facts["approvers"] == "finance-ops"
    assert "over 1000" in facts["reasons"]
    assert "A-1" not in json.dumps(bodies), "arguments are for approvers alone"
    _, headers, body = there.came[0]
    secret = Secret.parse(SECRET)
    sent = verify(headers, body, secret).timestamp
    with pytest.raises(SignatureError, match="too old"):
        verify(headers, body, secret, now=sent + 301)
    with pytest.raises(SignatureError, match="no signature"):
        verify(headers, body.replace(b"over 1000", b"over 9000"), secret)
