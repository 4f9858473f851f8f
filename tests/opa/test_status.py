"""Status updates are what a real OPA posts, and say what is so at that moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.opa.log_service import LogService
from tests.opa.opa_process import running

from guardrails.opa.bundles.status import BundleStatus
from guardrails.opa.services import Service, ServiceClient
from guardrails.opa.status import NOT_READY, StatusReporter, status_document
from guardrails.testing import FakeClock

LABELS = {"id": "i-1", "version": "0.1.0", "region": "eu"}


def reporter(service: LogService, bundles: dict[str, Any]) -> StatusReporter:
    client = ServiceClient(Service("status", service.url), FakeClock())
    return StatusReporter(
        lambda body: client.post("/status", body, {"Content-Type": "application/json"}),
        labels=LABELS,
        bundles=lambda: bundles,
        plugins=lambda: {"decision_logs": "OK"},
    )


def test_an_update_that_is_not_taken_is_made_anew():
    bundles: dict[str, Any] = {}
    with LogService() as service:
        reports = reporter(service, bundles)
        assert reports.has_news
        service.answers = [503]
        assert not reports.report()
        assert reports.has_news
        bundles["main"] = BundleStatus("main")
        assert reports.report()
        assert not reports.has_news
        assert reports.report()
    first, second = service.statuses
    assert first == second == status_document(LABELS, bundles, {"decision_logs": "OK"})
    assert first["plugins"]["bundle"] == {"state": NOT_READY}
    assert first["labels"] == LABELS


@pytest.mark.opa
def test_opa_posts_the_same_fields(opa, tmp_path):
    def complete(update: dict[str, Any]) -> bool:
        return "main" in update.get("bundles", {}) and "bundle" in update.get("plugins", {})

    with LogService() as service:
        config = {
            "services": {"s": {"url": service.url}},
            "labels": {"region": "eu"},
            "status": {"service": "s"},
            "decision_logs": {"service": "s"},
            "bundles": {"main": {"service": "s"}},
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        with (
            running(opa, tmp_path, {}, ["--config-file", "config.json"]),
            service.came,
        ):
            assert service.came.wait_for(lambda: any(map(complete, service.statuses)), 60)
    theirs = next(filter(complete, service.statuses))
    ours = status_document(LABELS, {"main": BundleStatus("main")}, {"decision_logs": "OK"})
    assert set(ours) <= set(theirs)
    assert set(ours["labels"]) == set(theirs["labels"])
    assert set(ours["plugins"]) <= set(theirs["plugins"])
    assert theirs["plugins"]["bundle"].keys() >= {"state"}
    assert ours["plugins"]["bundle"]["state"] == theirs["plugins"]["bundle"]["state"]
    assert theirs["bundles"]["main"]["name"] == ours["bundles"]["main"]["name"]
