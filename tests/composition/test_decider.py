"""The engine that a configuration asks for, with a real OPA server where one is asked for."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.opa.bundle_server import BundleServer
from tests.opa.opa_process import running

import guardrails as gr
from guardrails.engines.bundled_agents import BundledAgents
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.sidecar import SidecarEngine
from guardrails.engines.source import Policies
from guardrails.engines.verified import VerifiedEngine
from guardrails.errors import PolicyLoadError
from guardrails.model.decision import Effect
from guardrails.model.notice import Notice, NoticeKind, Severity
from guardrails.rego.opa_binary import find_opa

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.opa

RULE = """package guardrails.rules.sums

import future.keywords.not

allow contains "small sums are paid" if small

small if {
	is_number(input.args.amount)
	input.args.amount >= 0
	%s - input.args.amount >= 0
}
"""
MAIN = (Path(__file__).parents[2] / "policies" / "guardrails" / "main.rego").read_text("utf-8")
AGENTS = "billing:\n  owner: dana@acme.example\n  purpose: Pays.\n  budget: {dev: {calls: 1000}}\n"


@gr.governed_tool(resource="payments", operation="write")
def pay(amount: Decimal) -> str:
    return f"paid {amount}"


@pytest.fixture
def opa() -> str:
    found = find_opa()
    assert found, "OPA is missing: run `make opa`"
    return found


@pytest.fixture
def project(tmp_path):
    (tmp_path / "agents.yaml").write_text(AGENTS)
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "main.rego").write_text(MAIN)
    (policies / "sums.rego").write_text(RULE % 100)
    return tmp_path


@pytest.fixture
def server(opa, tmp_path_factory):
    """An OPA with the same policies, of which only the limit is another."""
    folder = tmp_path_factory.mktemp("opa")
    with running(opa, folder, {"main.rego": MAIN, "sums.rego": RULE % 50}) as found:
        yield found


def governor(project: Path, text: str) -> gr.Governor:
    (project / "guardrails.yaml").write_text(
        "environment: dev\nlibrary: false\npolicies: policies\nstate: null\n"
        "record: record.jsonl\n" + text
    )
    return gr.load_governor(project / "guardrails.yaml")


def outcome(governor: gr.Governor, amount: str) -> str:
    with governor.run("billing"):
        try:
            return pay(Decimal(amount))
        except gr.CallDenied:
            return "denied"
        except gr.PolicyUnavailable:
            return "unavailable"


def events(project: Path, kind: str) -> list[dict[str, Any]]:
    lines = (project / "record.jsonl").read_text("utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def test_by_itself_this_process_decides(project):
    found = governor(project, "")
    assert type(found.engine) is InProcessEngine
    assert outcome(found, "80") == "paid 80"
    found.close()


def test_a_sidecar_decides_and_nothing_is_loaded_here(project, server):
    (project / "policies" / "sums.rego").write_text("this is no Rego")
    found = governor(project, f"engine: sidecar\nsidecar: {{url: '{server.unix}'}}\n")
    assert type(found.engine) is SidecarEngine
    assert outcome(found, "80") == "denied"
    assert outcome(found, "40.50") == "paid 40.50"
    found.close()


def test_without_an_answer_a_call_is_refused_unless_the_file_says_otherwise(project, server):
    text = f"engine: sidecar\nsidecar: {{url: '{server.unix}', deadline: 2, on_unavailable: %s}}\n"
    refusing, falling_back = (governor(project, text % word) for word in ("refuse", "in_process"))
    assert outcome(refusing, "80") == outcome(falling_back, "80") == "denied"
    server.kill()
    assert outcome(refusing, "80") == "unavailable"
    assert outcome(falling_back, "80") == "paid 80", "by the policies of this process"
    refusing.close()
    falling_back.close()


def verified(url: str, more: str = "") -> str:
    """A configuration in which every allowed call is checked."""
    sidecar = f"sidecar: {{url: '{url}', deadline: 10}}\n"
    return f"engine: verified\n{sidecar}verified: {{share: 1}}\n{more}"


class Told:
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def notify(self, notice: Notice) -> None:
        self.notices.append(notice)

    def subscribe(self, listener: object) -> None:
        """Nothing stays undelivered."""

    def close(self) -> None:
        """Nothing is kept back."""


def test_a_divergence_is_recorded_and_opa_decides_till_policies_change(project, server, caplog):
    found = governor(project, verified(server.unix))
    engine, told = found.engine, Told()
    found._teller._alerts = told  # in the place of a sink that goes over the network
    assert isinstance(engine, VerifiedEngine)
    assert outcome(found, "20.00") == "paid 20.00"
    assert engine.drain(30)
    assert (engine.status().agreed, engine.status().moved) == (1, None)
    with caplog.at_level(logging.ERROR, "guardrails"):
        assert outcome(found, "80") == "paid 80"
        assert engine.drain(30)
    assert engine.status().diverged == 1
    assert outcome(found, "80") == "denied", "OPA decides"
    assert "divergence" in caplog.text
    (notice,) = [each for each in told.notices if each.kind is NoticeKind.DIVERGENCE]
    assert notice.severity is Severity.CRITICAL
    assert notice.agent == "billing"
    assert (notice.facts["here"], notice.facts["opa"]) == ("allow", "deny")

    # The next revision of the policies is this process's to decide by, and agrees.
    (project / "policies" / "sums.rego").write_text(RULE % 50)
    assert isinstance(engine.inner, InProcessEngine)
    assert engine.inner.reload()
    assert outcome(found, "80") == "denied"
    assert outcome(found, "30") == "paid 30"
    assert engine.drain(30)
    assert (engine.status().moved, engine.status().diverged) == (None, 1)
    found.close()

    (event,) = events(project, "divergence")
    assert event["tool"] == "pay"
    assert event["input"]["args"] == {"amount": 80}
    assert (event["detail"]["ours"]["effect"], event["detail"]["theirs"]["effect"]) == (
        "allow",
        "deny",
    )
    assert [each["detail"]["what"] for each in events(project, "alert")] == ["divergence"]
    started = {each["decision_id"] for each in events(project, "call.started")}
    assert event["decision_id"] in started, "the call it is about stands in the record"


def test_a_number_that_opa_misreads_is_counted_and_moves_nothing(project, opa, tmp_path_factory):
    rule = RULE.replace("%s - input.args.amount >= 0", "input.args.amount <= 1000.5")
    (project / "policies" / "sums.rego").write_text(rule)
    with running(
        opa, tmp_path_factory.mktemp("opa"), {"main.rego": MAIN, "sums.rego": rule}
    ) as server:
        text = verified(server.unix).replace("share: 1", "share: 1, refusals: true")
        found = governor(project, text)
        engine = found.engine
        assert isinstance(engine, VerifiedEngine)
        document = {"args": {"amount": Decimal("4180.00")}}
        assert engine.decide(document, "d").effect is Effect.DENY
        assert engine.drain(30)
        status = engine.status()
        assert (status.opa_numbers, status.diverged, status.moved) == (1, 0, None)
        found.close()


def test_a_sidecar_out_of_reach_checks_nothing_and_moves_nothing(project, tmp_path):
    found = governor(project, verified(f"unix://{tmp_path}/absent"))
    assert isinstance(found.engine, VerifiedEngine)
    for _ in range(3):
        assert outcome(found, "80") == "paid 80"
    assert found.engine.drain(30)
    assert found.engine.status().unreachable == 3
    found.close()


def test_closing_a_governor_ends_what_worked_for_it(project, server):
    before = set(threading.enumerate())
    found = governor(project, verified(server.unix, "reload: 0.1\n"))
    assert outcome(found, "20") == "paid 20"
    assert {each.name for each in set(threading.enumerate()) - before} == {
        "guardrails-verified",
        "guardrails-reload",
    }
    found.close()
    for each in set(threading.enumerate()) - before:
        each.join(10)  # a timer that was stopped may be about to end
    assert not set(threading.enumerate()) - before


def test_policies_come_from_a_bundle_that_opa_built(project, opa, server):
    built = project / "bundle.tar.gz"
    subprocess.run(
        [opa, "build", "--bundle", project / "policies", "--revision", "r7", "--output", built],
        check=True,
    )
    (project / "guardrails.yaml").write_text(
        "environment: dev\nbundle: bundle.tar.gz\nrecord: null\nstate: null\n"
    )
    found = gr.load_governor(project / "guardrails.yaml")
    assert outcome(found, "80") == "paid 80"
    assert found.engine.revision.startswith("file:bundle.tar.gz=r7 sha256:")
    found.close()


def test_the_bundle_that_opa_loads_too_is_checked_whatever_it_is_called_there(
    project, opa, tmp_path_factory
):
    (project / "bundle.tar.gz").write_bytes(bundle_of(opa, project, 100, "r7"))
    folder = tmp_path_factory.mktemp("opa")
    (folder / "authz").write_bytes((project / "bundle.tar.gz").read_bytes())
    (project / "guardrails.yaml").write_text(
        "environment: dev\nbundle: bundle.tar.gz\nrecord: null\nstate: null\n"
    )
    with running(opa, folder, {}, ["--bundle", "authz"]) as server:
        with (project / "guardrails.yaml").open("a") as file:
            file.write(verified(server.unix))
        found = gr.load_governor(project / "guardrails.yaml")
        assert isinstance(found.engine, VerifiedEngine)
        assert outcome(found, "80") == "paid 80"
        assert found.engine.drain(30)
        status = found.engine.status()
        assert (status.agreed, status.not_comparable) == (1, 0)
        found.close()


def bundle_of(opa: str, project: Path, limit: int, revision: str) -> bytes:
    """A bundle of the project's policies that `opa build` makes."""
    (project / "policies" / "sums.rego").write_text(RULE % limit)
    built = project / f"{revision}.tar.gz"
    subprocess.run(
        [opa, "build", "--bundle", project / "policies", "--revision", revision, "--output", built],
        check=True,
    )
    return built.read_bytes()


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)


def test_policies_come_from_the_services_of_opa_s_own_file(project, opa):
    with BundleServer() as service:
        service.serve("/bundles/authz", bundle_of(opa, project, 100, "r1"))
        (project / "opa.yaml").write_text(
            f"services: {{s: {{url: '{service.url}'}}}}\n"
            "bundles:\n  authz:\n    service: s\n"
            "    polling: {min_delay_seconds: 1, max_delay_seconds: 1}\n"
        )
        (project / "guardrails.yaml").write_text(
            "environment: dev\nopa_config: opa.yaml\nrecord: null\nstate: null\n"
        )
        found = gr.load_governor(project / "guardrails.yaml")
        assert outcome(found, "80") == "paid 80"
        assert found.engine.revision.startswith("authz=r1 sha256:")
        # What cannot be used changes nothing; the next one that can decides.
        service.serve("/bundles/authz", b"no bundle")
        asked = len(service.requests)
        # The third from now is sent when the first is answered and dealt with.
        wait_until(lambda: len(service.requests) >= asked + 3)
        assert outcome(found, "80") == "paid 80"
        service.serve("/bundles/authz", bundle_of(opa, project, 50, "r2"))
        wait_until(lambda: found.engine.revision.startswith("authz=r2 "))
        assert outcome(found, "80") == "denied"
        found.close()
        assert not [each for each in threading.enumerate() if each.name.startswith("bundle ")]


def test_bundles_and_directories_do_not_mix(project):
    (project / "opa.yaml").write_text(
        "services: {s: {url: 'http://127.0.0.1:1'}}\nbundles: {authz: {service: s}}\n"
    )
    with pytest.raises(gr.ConfigError, match="leave `policies` and `presets` out"):
        governor(project, "opa_config: opa.yaml\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: {}\ndiscovery: {resource: /d}\n", "opa.yaml:2:1: discovery: is not supported"),
        ("bundle: {name: b, service: s}\n", "opa.yaml:1:1: bundle: is not supported"),
        ("discovery: {}\nbundels: {b: {}}\n", "opa.yaml:2:1: bundels: is not known"),
        ("labels: {}\nbundles: {b: null}\n", "opa.yaml:2:1: bundles: there are none"),
        ("{}", "opa.yaml:1:1: bundles: there are none, and"),
    ],
)
@pytest.mark.parametrize(
    "engine",
    ["engine: in_process", "engine: verified\nsidecar: {url: 'http://127.0.0.1:1'}"],
)
def test_without_usable_bundles_the_shipped_library_does_not_decide_in_their_place(
    text, said, engine, project
):
    (project / "opa.yaml").write_text(text)
    (project / "guardrails.yaml").write_text(
        f"environment: dev\nopa_config: opa.yaml\nrecord: null\nstate: null\n{engine}\n"
    )
    with pytest.raises(gr.ConfigError) as caught:
        gr.load_governor(project / "guardrails.yaml")
    assert said in str(caught.value)


def test_policies_of_the_file_decide_where_opa_s_file_names_no_bundles(project):
    (project / "opa.yaml").write_text("services: {}\n")
    found = governor(project, "opa_config: opa.yaml\n")
    assert outcome(found, "80") == "paid 80"
    found.close()


def test_opa_s_file_is_read_where_only_opa_decides_by_it(project):
    text = "engine: sidecar\nsidecar: {url: 'http://127.0.0.1:1'}\nopa_config: opa.yaml\n"
    (project / "opa.yaml").write_text("discovery: {resource: /d}\n")
    governor(project, text).close()
    (project / "opa.yaml").write_text("bundels: {}\n")
    with pytest.raises(gr.ConfigError, match="did you mean `bundles`"):
        governor(project, text)


class Source:
    """Policies with these data."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data

    def read(self, given) -> Policies:
        assert not given
        return Policies({}, self.data)


def test_a_bundle_that_brings_the_agents_decides_by_them(caplog):
    agents = {"a": {"owner": "x@acme.example"}}
    source = BundledAgents(Source({"guardrails_data": {"agents": agents, "thresholds": {}}}))
    same = source.read({"agents": agents, "accounts": {}})
    assert same.data == {"guardrails_data": {"agents": agents, "thresholds": {}, "accounts": {}}}
    assert not caplog.records
    other = source.read({"agents": {"b": {}}})
    assert other.data["guardrails_data"]["agents"] == agents
    assert "are not those of the register" in caplog.text
    with pytest.raises(PolicyLoadError, match=r"guardrails_data.thresholds"):
        source.read({"thresholds": {}})
    alone = BundledAgents(Source({"guardrails_data": {}})).read({"agents": agents})
    assert alone.data == {"guardrails_data": {"agents": agents}}
