"""A governor tells people of kills and of budgets, and records what did not reach them."""

from __future__ import annotations

import json
import logging
import threading

import pytest
from tests.webhooks.receiver import receiver

import guardrails as gr
from guardrails import testing
from guardrails.alerts.dispatcher import Dispatcher, Route
from guardrails.alerts.sinks import CallbackSink
from guardrails.assembly import load_governor
from guardrails.audit.reading import read
from guardrails.model.breakers import Breaker, Breakers
from guardrails.runs.alerts import Alert
from guardrails.webhooks import Secret, verify

WAIT = 30
SECRET = "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


@gr.governed_tool(resource="ledger", operation="read")
def look_up(account: str) -> str:
    return account


def governed(function, **services):
    alerts = Dispatcher([Route("pager", CallbackSink(function))])
    return testing.governor(alerts=alerts, **services)


def test_a_kill_tells_its_agents_people():
    got: list[gr.Notice] = []
    governor = governed(got.append)
    governor.kill("agent/billing@3", reason="it loops", by="dana")
    governor.kill("tool/look_up", reason="wrong output")
    with governor.run("refunds") as run:
        run.kill("stop")
    governor.close()
    assert [(it.kind, it.severity, it.agent, it.title) for it in got] == [
        ("kill", gr.Severity.CRITICAL, "billing", "agent/billing@3 was killed by dana: it loops"),
        ("kill", gr.Severity.CRITICAL, None, "tool/look_up was killed by operator: wrong output"),
        ("kill", gr.Severity.CRITICAL, "refunds", f"run/{run.id} was killed by the program: stop"),
    ]
    assert got[0].whom == {"owner": "owner@example.com"}
    assert got[0].facts == {"scope": "agent/billing@3", "reason": "it loops", "by": "dana"}
    assert got[2].run_id == run.id
    assert len({it.id for it in got}) == 3


def test_a_breaker_tells_once_at_each_level():
    got: list[gr.Notice] = []
    governor = governed(got.append, breakers=Breakers(repeat=Breaker(warn=2, stop=4, of=9)))
    with governor.run("billing") as run:
        for _ in range(3):
            look_up("a")
        for _ in range(2):
            with pytest.raises(gr.BreakerTripped):
                look_up("a")
    governor.close()
    assert [(it.kind, it.severity, it.agent, it.run_id, it.facts["action"]) for it in got] == [
        ("breaker", gr.Severity.INFO, "billing", run.id, "warn"),
        ("breaker", gr.Severity.WARNING, "billing", run.id, "stop"),
    ]


def test_a_budget_tells_at_each_threshold_once_and_names_the_agent():
    got: list[gr.Notice] = []
    governor = governed(got.append)
    with governor.run("billing", budget=gr.Budget(calls=10)):
        for _ in range(10):
            look_up("a")
    governor.close()
    assert [(it.kind, it.severity.word, it.agent, it.facts["percent"]) for it in got] == [
        ("budget.threshold", "info", "billing", 50),
        ("budget.threshold", "warning", "billing", 80),
    ]
    assert "has used 50 % of its limit" in got[0].title
    kinds = [event.kind for event in governor.record.events]
    assert kinds.count("alert") == 2


def test_an_account_of_an_agent_tells_that_agents_people():
    class OfAgent(Alert):
        @property
        def account(self):
            return "agent/billing"

    got: list[gr.Notice] = []
    governor = governed(got.append)
    governor.alerted(OfAgent("", None, "calls", 80, 8, 10))
    governor.close()
    ((notice),) = got
    assert (notice.agent, notice.run_id) == ("billing", None)
    assert notice.whom == {"owner": "owner@example.com"}
    assert notice.title == "agent/billing has used 80 % of its limit: 8 of 10 calls"


@gr.governed_tool(resource="payments", operation="write")
@gr.requires_approval(when=lambda amount: amount > 10, approvers="finance-ops", expires_in="4h")
def pay(amount: int) -> int:
    return amount


def test_an_approval_that_waits_tells_whom_it_waits_for_and_no_arguments():
    got: list[gr.Notice] = []
    governor = governed(got.append)
    with governor.run("billing") as run:
        with pytest.raises(gr.ApprovalPending) as caught:
            pay(4_180)
        with pytest.raises(gr.ApprovalPending):
            pay(4_180)  # the same request, of which people know
    governor.close()
    ((notice),) = got
    assert (notice.kind, notice.agent, notice.run_id) == ("approval.waiting", "billing", run.id)
    assert notice.title == "billing waits for approval of `pay` by finance-ops"
    assert notice.facts["request_id"] == caught.value.request_id
    assert "4180" not in notice.json()


def test_what_did_not_reach_people_is_in_the_record():
    def fail(_):
        raise OSError

    governor = governed(fail)
    governor.kill("all", reason="stop")
    governor.close()
    (event,) = [event for event in governor.record.events if event.kind == "alert.undelivered"]
    assert event.detail["sink"] == "pager"
    assert event.detail["reason"] == "it raised OSError"
    assert event.detail["notice_kind"] == "kill"


def test_whoever_tells_people_cannot_stop_a_kill(caplog):
    class Broken:
        def subscribe(self, _):
            pass

        def notify(self, _):
            raise RuntimeError

        def close(self):
            pass

    governor = testing.governor(alerts=Broken())
    governor.kill("all", reason="stop")
    with pytest.raises(gr.RunStopped), governor.run("billing"):
        look_up("a")
    assert "people could not be told" in caplog.text


def test_a_call_does_not_wait_for_people():
    entered, go = threading.Event(), threading.Event()

    def page(_):
        entered.set()
        go.wait(WAIT)

    governor = governed(page)
    with governor.run("billing", budget=gr.Budget(calls=2)) as run:
        look_up("a")
        assert entered.wait(WAIT)
        assert look_up("b") == "b"
        assert run.spent.calls == 2
    go.set()
    governor.close()


def test_a_kill_whose_agent_is_not_in_the_register_tells_all_the_same(tmp_path, monkeypatch):
    with receiver(204) as held:
        governor = load_governor(project(tmp_path, monkeypatch, held.url))
        governor.kill("agent/gone", reason="left over")
        governor.close()
    ((_, headers, body),) = held.came
    assert verify(headers, body, Secret.parse(SECRET)).id == headers["webhook-id"]
    data = json.loads(body)["data"]
    assert (data["agent"], data["notify"]) == ("gone", {})


def test_a_configured_webhook_gets_a_signed_notice_and_names_whom_to_tell(tmp_path, monkeypatch):
    with receiver(204) as held:
        governor = load_governor(project(tmp_path, monkeypatch, held.url))
        governor.kill("agent/billing", reason="it loops", by="dana")
        governor.close()
    ((_, headers, body),) = held.came
    assert verify(headers, body, Secret.parse(SECRET)).id == headers["webhook-id"]
    assert json.loads(body)["data"]["notify"] == {
        "owner": "dana@acme.example",
        "deputy": "finn@acme.example",
        "on_call": "#billing-alerts",
        "runbook": "docs/runbooks.md",
    }


def test_an_unreachable_webhook_leaves_its_notice_in_the_record(tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.ERROR)
    with receiver(204) as held:
        url = held.url
    file = project(tmp_path, monkeypatch, url, "attempts: 1")
    governor = load_governor(file)
    governor.kill("all", reason="stop")
    governor.close()
    events = [it for it in read(tmp_path / "record.jsonl") if it["kind"] == "alert.undelivered"]
    assert [it["detail"]["sink"] for it in events] == ["hook"]
    assert "hidden" not in caplog.text + json.dumps(events)


def project(folder, monkeypatch, url, more=""):
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    (folder / "agents.yaml").write_text(
        "billing:\n"
        "  owner: dana@acme.example\n"
        "  deputy: finn@acme.example\n"
        "  on_call: {notify: '#billing-alerts', runbook: docs/runbooks.md}\n"
        "  budget: {dev: {usd: 1}}\n"
    )
    (folder / "guardrails.yaml").write_text(
        "environment: dev\nrecord: record.jsonl\nalerts:\n  hook:\n"
        f"    webhook: {url}\n    secret_env: HOOK_SECRET\n" + (f"    {more}\n" if more else "")
    )
    return folder / "guardrails.yaml"
