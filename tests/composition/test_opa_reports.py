"""What OPA's configuration file wants to be sent is sent, by real processes to a real service."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.composition import decision_worker
from tests.opa import archives
from tests.opa.bundle_server import BundleServer
from tests.opa.log_service import LogService
from typer.testing import CliRunner

import guardrails as gr
from guardrails.audit.reading import read
from guardrails.cli.root import app
from guardrails.clock import SystemClock
from guardrails.config import Config
from guardrails.config.layers import policy_files
from guardrails.decider import make_decider
from guardrails.opa_reports import OpaReports
from guardrails.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = Path(__file__).parents[2] / "policies" / "guardrails"
RULE = """package guardrails.rules.sums

allow contains "small sums are paid" if {
	is_number(input.args.amount)
	input.args.amount < 100
}
"""
MASK = """package system.log

mask contains "/input/args/note" if input.path == "guardrails/decision"

mask contains {"op": "upsert", "path": "/input/args/amount", "value": "much"} if {
	input.input.args.amount > 100
}
"""
AGENTS = "billing:\n  owner: dana@acme.example\n  purpose: Pays.\n  budget: {dev: {calls: 1000}}\n"
CONFIG = """environment: dev
library: false
policies: policies
opa_config: opa.yaml
record: {directory: .guardrails/record, window: 10ms, durability: write_ahead}
"""
LOGS = """services:
  logs: {url: 'URL'}
labels: {region: eu}
decision_logs:
  reporting: {min_delay_seconds: 1, max_delay_seconds: 1}
"""


@pytest.fixture
def service() -> Iterator[LogService]:
    with LogService() as made:
        yield made


@pytest.fixture
def project(tmp_path, service, monkeypatch) -> Path:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "main.rego").write_text((LIBRARY / "main.rego").read_text("utf-8"))
    (policies / "sums.rego").write_text(RULE)
    (policies / "mask.rego").write_text(MASK)
    (tmp_path / "agents.yaml").write_text(AGENTS)
    (tmp_path / "opa.yaml").write_text(LOGS.replace("URL", service.url))
    (tmp_path / "guardrails.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    return tmp_path


def work(project: Path, calls: int = 6, end: str = "close", **environment: str) -> None:
    """A process that makes calls, and ends."""
    command = [sys.executable, "-m", "tests.composition.decision_worker"]
    done = subprocess.run(
        [*command, str(project / "guardrails.yaml"), str(calls), end],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if end == "close" else -9), done.stderr


def decided(project: Path) -> list[str]:
    """The ids of all decisions in the record."""
    return [
        event["decision_id"]
        for event in read(project / ".guardrails" / "record")
        if event["kind"] in {"call.started", "call.refused"}
    ]


def taken(service: LogService) -> list[str]:
    return [entry["decision_id"] for entry in service.entries]


def cli(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["audit", *words])
    assert result.exit_code == code, result.output + result.stderr
    return result.output + result.stderr


def test_what_a_process_decides_arrives_masked_and_as_opa_writes_it(project, service):
    work(project)
    assert taken(service) == decided(project)
    assert len(service.entries) == 6
    paid, refused = service.entries[0], service.entries[2]
    assert paid["labels"]["region"] == "eu"
    assert set(paid["labels"]) == {"region", "id", "version"}
    assert paid["path"] == "guardrails/decision"
    assert paid["result"]["effect"] == "allow"
    assert paid["input"]["args"] == {"amount": 5}
    assert paid["erased"] == ["/input/args/note"]
    assert refused["result"]["effect"] == "deny"
    assert refused["input"]["args"] == {"amount": "much"}
    assert refused["masked"] == ["/input/args/amount"]
    assert "secret of" not in json.dumps(service.entries)
    (segment,) = (project / ".guardrails" / "record").glob("*-000001.jsonl")
    assert "secret of" in segment.read_text("utf-8"), "the record itself is not masked by this"


def test_with_bundles_an_entry_names_theirs_and_the_mask_is_the_bundles(project, service):
    masks = {
        ".manifest": archives.manifest("m1", ["system/log"]),
        "system/log/mask.rego": archives.MASK.encode(),
    }
    with BundleServer() as bundles:
        bundles.serve("/bundles/authz", archives.packed(archives.policy_files("r1", ["billing"])))
        bundles.serve("/bundles/masks", archives.packed(masks))
        (project / "opa.yaml").write_text(
            f"services: {{logs: {{url: '{service.url}'}}, s: {{url: '{bundles.url}'}}}}\n"
            "bundles: {authz: {service: s}, masks: {service: s}}\n"
            "decision_logs: {service: logs}\nstatus: {service: logs}\n"
        )
        text = (project / "guardrails.yaml").read_text()
        (project / "guardrails.yaml").write_text(
            text.replace("library: false\npolicies: policies\n", "")
        )
        work(project)
    assert taken(service) == decided(project)
    for entry in service.entries:
        assert entry["bundles"] == {"authz": {"revision": "r1"}, "masks": {"revision": "m1"}}
        assert "args" not in entry["input"]
        assert entry["erased"] == ["/input/args"]


def test_a_thread_sends_while_its_process_goes_on(project, service):
    governor = gr.load_governor(project / "guardrails.yaml")
    with governor.run("billing"):
        decision_worker.pay(Decimal(5), "first")
        service.wait_for(1)
        decision_worker.pay(Decimal(6), "second")
        service.wait_for(2)
    governor.close()
    assert list(dict.fromkeys(taken(service))) == decided(project)


def test_a_service_that_is_away_for_hours_and_processes_that_die_lose_nothing(project, service):
    """Real processes, a real record and a real service; hours pass on a clock of the test's."""
    clock = FakeClock()
    (project / "opa.yaml").write_text(
        LOGS.replace("URL", service.url)
        .replace("min_delay_seconds: 1", "min_delay_seconds: 300")
        .replace("max_delay_seconds: 1", "max_delay_seconds: 600")
    )
    config = Config.load(project / "guardrails.yaml")
    tries = 0
    for life in range(4):
        decider = make_decider(
            config,
            policy_files(config),
            lambda: {"agents": {}},
            report=lambda _: None,
            clock=SystemClock(),
        )
        reports = OpaReports(config, decider.opa, decider.in_process, None, clock)
        (sending,) = reports.sendings
        until = clock.monotonic() + 3 * 3600
        # With no answer, an error, and an answer that comes after the chunk was taken.
        service.answers = [] if life == 3 else [(503, 500, 429)[life]] * 1_000
        service.loses_answers = life == 2
        work(project, 7, "kill" if life % 2 else "close")  # it tries to send itself, too
        before = len(service.answers)
        while clock.monotonic() < until:
            clock.advance(sending.turn())
        tries += before - len(service.answers)
        if life < 2:
            assert taken(service) == []
        reports.end()
        sending.leave()  # as the end of a process does
        decider.close()
    assert tries > 30
    assert set(taken(service)) == set(decided(project))
    assert len(set(decided(project))) == 28
    firsts = list(dict.fromkeys(taken(service)))
    assert firsts == decided(project), "in the record's order"


def test_one_process_sends_and_the_next_one_takes_its_place(project, service):
    first = gr.load_governor(project / "guardrails.yaml")
    with first.run("billing"):
        decision_worker.pay(Decimal(5), "x")
        service.wait_for(1)
    work(project)  # its decisions are sent by the first one
    service.wait_for(7)
    said = cli("ship", code=3)
    assert "another process of this machine sends" in said
    first.close()
    work(project)
    assert sorted(taken(service)) == sorted(decided(project))
    assert len(service.entries) == 13


def test_the_command_sends_what_is_there_and_says_what_was_not_taken(project, service):
    service.answers = [503] * 100
    work(project)
    assert "answered 503" in cli("ship", code=3)
    service.answers = []
    assert "sent 6 decisions in 1 chunk to `logs`" in cli("ship")
    os.utime(project / ".guardrails" / "record.sent", (1, 1))
    assert "sent 0 decisions" in cli("ship")
    assert (project / ".guardrails" / "record.sent").stat().st_mtime > 1, "it says when"
    assert taken(service) == decided(project)


def test_decisions_are_logged_where_the_file_says_console(project, service, caplog):
    (project / "opa.yaml").write_text("decision_logs: {console: true}\n")
    governor = gr.load_governor(project / "guardrails.yaml")
    with caplog.at_level(logging.INFO, "guardrails.decision_logs"), governor.run("billing"):
        decision_worker.pay(Decimal(5), "x")
        until = time.monotonic() + 30
        while not _logged(caplog) and time.monotonic() < until:
            time.sleep(0.05)
    governor.close()
    (entry,) = map(json.loads, _logged(caplog))
    assert entry["input"]["args"] == {"amount": 5}
    assert service.entries == []


def _logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == "guardrails.decision_logs"]


def test_status_is_told_when_something_is_new(project, service):
    text = LOGS.replace("URL", service.url) + "status: {}\n"
    (project / "opa.yaml").write_text(text)
    governor = gr.load_governor(project / "guardrails.yaml")
    with service.came:
        assert service.came.wait_for(lambda: service.statuses, 30)
    governor.close()
    assert service.statuses[0]["plugins"] == {
        "decision_logs": {"state": "OK"},
        "status": {"state": "OK"},
    }


@pytest.mark.parametrize("record", ["null", "record.jsonl"])
def test_without_a_record_that_has_a_cursor_nothing_starts(project, record):
    (project / "guardrails.yaml").write_text(
        CONFIG.rpartition("record:")[0] + f"record: {record}\n"
    )
    with pytest.raises(gr.ConfigError, match="let `record` name a directory of segments"):
        gr.load_governor(project / "guardrails.yaml")


def test_a_mask_that_cannot_be_used_shows_nothing(project, service):
    wrong = "mask contains path if path := concat(``, [input.input.args.amount])\n"
    (project / "policies" / "mask.rego").write_text(f"package system.log\n\n{wrong}")
    work(project)
    assert len(service.entries) == 6
    assert all("input" not in entry for entry in service.entries)
    assert all(entry["erased"] == ["/input", "/result"] for entry in service.entries)
