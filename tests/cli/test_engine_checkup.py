"""What decides, as `guardrails doctor` tells it: with a real OPA, with none, with an old one."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time

import pytest
from tests.opa.archives import packed
from tests.opa.opa_process import running
from typer.testing import CliRunner

from guardrails.cli import app
from guardrails.cli.engine_facts import engine_facts
from guardrails.config import Config
from guardrails.rego.opa_binary import find_opa

MAIN = """package guardrails

decision := {"effect": "deny", "reasons": [], "approvals": [], "obligations": []}
"""


@pytest.fixture(scope="module")
def opa() -> str:
    found = find_opa()
    assert found, "OPA is missing: run `make opa`"
    return found


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("GUARDRAILS_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents.yaml").write_text(
        "bot:\n  owner: dana@acme.example\n  purpose: Pays.\n  budget: {dev: {calls: 10}}\n"
    )
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "main.rego").write_text(MAIN)
    return tmp_path


def doctor(project, text="") -> tuple[dict[str, dict[str, str]], int]:
    (project / "guardrails.yaml").write_text(
        "environment: dev\nlibrary: false\npolicies: policies\n" + text
    )
    result = CliRunner().invoke(app, ["doctor", "--json"])
    document = json.loads(result.stdout)
    found: dict[str, dict[str, str]] = {}
    for each in document["checks"]:
        found.setdefault(each["name"], each)
    return found, result.exit_code


def test_without_a_server_nothing_is_asked(project):
    found, code = doctor(project)
    assert code == 0
    assert found["engine"]["found"] == "in_process; policies are read once"
    assert "1 modules, revision " in found["policies"]["found"]
    assert re.search(r", changed \d+ (s|min) ago$", found["policies"]["found"])
    assert "sidecar" not in found


def test_what_is_interpreted_is_told_with_the_reason(project):
    loops = "\n\t".join(f"some x{place} in input.args.items" for place in range(14))
    (project / "policies" / "slow.rego").write_text(
        f"package guardrails.slow\n\nimport rego.v1\n\nseen if {{\n\t{loops}\n}}\n"
    )
    (project / "policies" / "main.rego").write_text(
        MAIN.replace("decision :=", "import rego.v1\n\ndefault decision :=")
        + 'decision := {"effect": "allow", "reasons": [], "approvals": [], "obligations": []} if'
        " data.guardrails.slow.seen\n"
    )
    found, code = doctor(project)
    assert code == 0
    assert found["compiled"]["status"] == "warn"
    assert "loops" in found["compiled"]["found"]


@pytest.mark.opa
def test_where_decisions_are_sent_is_told_and_whether_they_are(project):
    (project / "opa.yaml").write_text(
        "services: {logs: {url: 'http://127.0.0.1:9'}}\ndecision_logs: {}\n"
    )
    text = "opa_config: opa.yaml\n"
    assert doctor(project, text)[0]["decision_logs"]["found"] == "to `logs`, none yet"
    record = project / ".guardrails" / "record"
    record.mkdir(parents=True)
    segment = record / "20261128T013021Z-9f3a6c21d0b4-000001.jsonl"
    segment.write_text("")
    assert doctor(project, text)[0]["decision_logs"]["status"] == "ok", "it is still in time"
    os.utime(segment, (time.time() - 1000,) * 2)
    found = doctor(project, text)[0]["decision_logs"]
    assert found["status"] == "warn"
    assert "was not sent" in found["found"]
    (project / ".guardrails" / "record.sent").write_text("")
    assert "the last" in doctor(project, text)[0]["decision_logs"]["found"]
    checks, code = doctor(project, text + "record: record.jsonl\n")
    assert checks["decision_logs"]["status"] == "fail"
    assert code == 1


def test_a_server_that_decides(project, opa, tmp_path_factory):
    with running(opa, tmp_path_factory.mktemp("opa"), {"main.rego": MAIN}) as server:
        text = f"engine: sidecar\nsidecar: {{url: '{server.unix}'}}\n"
        found, code = doctor(project, text)
        assert code == 0
        assert found["sidecar"]["found"].startswith(f"{server.unix}: OPA 1.")
        assert found["engine"]["found"] == "sidecar; no policies are read here"
        assert "policies" not in found, "none are loaded here"
        assert found["without OPA"]["found"] == "every call is refused, until it answers again"

        text = f"engine: sidecar\nsidecar: {{url: '{server.unix}', on_unavailable: in_process}}\n"
        found, code = doctor(project, text)
        assert code == 0
        assert found["without OPA"]["found"].startswith("calls are decided in this process, by ")

        text = f"engine: verified\nsidecar: {{url: '{server.unix}'}}\n"
        found, code = doctor(project, text)
        assert code == 0
        assert "a process that has found a divergence refuses" in found["without OPA"]["found"]

        facts = engine_facts(Config.load(project / "guardrails.yaml"), load=False)
        document = json.loads(json.dumps(facts.document()))
        assert document["sidecar"]["reachable"] is True
        assert document["revision"] is None, "nothing is loaded where one only looks"

        found, code = doctor(project, f"sidecar: {{url: '{server.unix}'}}\n")
        assert code == 0
        assert found["sidecar"]["found"].endswith("the engine `in_process` does not ask it")
        assert found["without OPA"]["found"].startswith("nothing")


@pytest.mark.opa
def test_a_server_without_policies_fails(project, opa, tmp_path_factory):
    with running(opa, tmp_path_factory.mktemp("opa"), {}) as server:
        found, code = doctor(project, f"engine: sidecar\nsidecar: {{url: '{server.unix}'}}\n")
        assert code == 1
        assert "`guardrails/decision` is undefined" in found["sidecar"]["found"]
        assert "policy push" in found["sidecar"]["mend"]


def test_a_server_out_of_reach_fails_as_that(project):
    found, code = doctor(project, f"engine: sidecar\nsidecar: {{url: 'unix://{project}/none'}}\n")
    assert code == 3
    assert found["sidecar"]["status"] == "fail"
    assert "cannot connect" in found["sidecar"]["found"]
    found, code = doctor(project, f"sidecar: {{url: 'unix://{project}/none'}}\n")
    assert code == 0
    assert found["sidecar"]["status"] == "warn", "nobody asks it"


class Old(http.server.BaseHTTPRequestHandler):
    """An OPA of a version that is too old."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:  # the base's name
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"result": {"effect": "deny"}, "provenance": {"version": "1.16.3"}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        """Say nothing."""


def test_an_opa_that_is_too_old_fails(project):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Old) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        found, code = doctor(project, f"engine: sidecar\nsidecar: {{url: '{url}', deadline: 5}}\n")
        server.shutdown()
        thread.join()
    assert code == 1
    assert "OPA 1.16.3 is too old; 1.17 or later is needed" in found["sidecar"]["found"]


def test_what_variables_say_is_told(project, monkeypatch):
    monkeypatch.setenv("GUARDRAILS_SIDECAR__DEADLINE", "0.5")
    monkeypatch.setenv("GUARDRAILS_STAET", "x")
    found, code = doctor(project, f"sidecar: {{url: 'unix://{project}/none', deadline: 0.1}}\n")
    assert code == 0
    assert found["variables"]["status"] == "warn"
    assert "by GUARDRAILS_SIDECAR__DEADLINE, not `0.1`" in found["variables"]["found"]


def test_divergences_of_the_record_are_told(project):
    (project / "record.jsonl").write_text(
        '{"kind": "call.started", "time": 1}\n{"kind": "divergence", "time": 1796256000000000000}\n'
    )
    (project / "record.jsonl").chmod(0o600)
    found, _ = doctor(project, "record: record.jsonl\n")
    assert found["divergences"]["status"] == "warn"
    assert found["divergences"]["found"].startswith("1 in the record, 1 by the revision")
    assert ", the last " in found["divergences"]["found"]


def test_divergences_are_counted_by_the_revision_that_they_are_about(project):
    doctor(project)
    revision = engine_facts(Config.load(project / "guardrails.yaml"), load=True).revision
    assert revision is not None
    (project / "record.jsonl").touch(0o600)
    old = '{"kind": "divergence", "time": 1, "revision": "sha256:0"}\n'
    (project / "record.jsonl").write_text(old * 2)
    found, _ = doctor(project, "record: record.jsonl\n")
    assert found["divergences"]["status"] == "ok", "what decides now never differed"
    assert "2 in the record, 0 by the revision that decides" in found["divergences"]["found"]
    (project / "record.jsonl").write_text(old + old.replace("sha256:0", revision))
    found, _ = doctor(project, "record: record.jsonl\n")
    assert found["divergences"]["status"] == "warn"
    assert "2 in the record, 1 by the revision that decides" in found["divergences"]["found"]


def test_a_record_that_cannot_be_read_is_no_record_without_divergences(project):
    (project / "record.jsonl").mkdir()
    found, _ = doctor(project, "record: record.jsonl\n")
    assert found["divergences"]["status"] == "warn"
    assert found["divergences"]["found"].startswith("not known: the record `")
    said = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"}).output
    assert "diverged not known: the record `" in said


def test_a_fallback_that_does_not_load_is_not_told_to_decide(project, tmp_path):
    (project / "policies" / "main.rego").write_text("this is no Rego")
    text = f"sidecar: {{url: 'unix://{tmp_path}/none', on_unavailable: in_process}}\n"
    found, _ = doctor(project, f"engine: sidecar\n{text}")
    assert found["policies"]["status"] == "fail"
    assert found["without OPA"]["status"] == "fail"
    assert found["without OPA"]["found"].startswith("no process starts")


def test_a_bundle_that_is_to_be_kept_is_looked_at_and_not_kept(project):
    bundle = project / "b.tar.gz"
    bundle.write_bytes(packed({"main.rego": MAIN.encode()}))
    (project / "opa.yaml").write_text(
        f"bundles: {{b: {{resource: 'file://{bundle}', persist: true}}}}\n"
        f"persistence_directory: {project}/kept\n"
    )
    (project / "guardrails.yaml").write_text("environment: dev\nopa_config: opa.yaml\n")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = {each["name"]: each for each in json.loads(result.stdout)["checks"]}
    assert found["bundle b"]["status"] == "ok"
    assert found["engine"]["found"] == "in_process; bundles are asked for as their `polling` says"
    assert found["policies"]["status"] == "ok"
    assert not (project / "kept").exists()


def test_bundles_out_of_reach_are_told_with_their_age(project):
    (project / "opa.yaml").write_text(
        "services: {s: {url: 'http://127.0.0.1:1'}}\nbundles: {authz: {service: s}}\n"
        "decision_logs: {console: true}\n"
    )
    (project / "guardrails.yaml").write_text("environment: dev\nopa_config: opa.yaml\n")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    found = {each["name"]: each for each in json.loads(result.stdout)["checks"]}
    assert found["bundle authz"]["status"] == "fail"
    assert "none is kept on disk" in found["bundle authz"]["found"]
    assert found["policies"]["status"] == "fail"
    assert result.exit_code in {1, 3}


@pytest.mark.opa
def test_status_says_what_decides_and_what_if_opa_went_away(project, opa, tmp_path_factory):
    with running(opa, tmp_path_factory.mktemp("opa"), {"main.rego": MAIN}) as server:
        text = f"engine: verified\nsidecar: {{url: '{server.unix}'}}\nrecord: record.jsonl\n"
        doctor(project, text)
        (project / "record.jsonl").write_text('{"kind": "divergence", "time": 1}\n')
        said = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"}).output
        assert "engine   verified\n" in said
        assert re.search(r"^policies policies, changed \d+ (s|min) ago$", said, re.MULTILINE)
        assert f"OPA      {server.unix}: OPA 1." in said
        assert "without it calls are decided in this process, and none is checked" in said
        assert "diverged 1 in the record, the last " in said
        document = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
        assert document["engine"]["sidecar"]["reachable"] is True
        server.kill()
        said = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"}).output
        assert f"OPA      {server.unix}: cannot connect" in said


PROCESS = """import sys
import guardrails as gr
governor = gr.load_governor("guardrails.yaml")
print("ready", flush=True)
sys.stdin.read()
governor.close()
"""


def test_status_shows_the_bundles_of_processes_that_live(project):
    bundle = project / "b.tar.gz"
    files = {
        "main.rego": MAIN.encode(),
        ".manifest": b'{"revision": "r7", "roots": ["guardrails"]}',
    }
    bundle.write_bytes(packed(files))
    polling = "polling: {min_delay_seconds: 1, max_delay_seconds: 1}"
    (project / "opa.yaml").write_text(
        f"bundles: {{b: {{resource: 'file://{bundle}', {polling}}}}}\n"
    )
    (project / "guardrails.yaml").write_text(
        "environment: dev\nopa_config: opa.yaml\nstate: state\nrecord: null\n"
    )

    def said() -> str:
        return CliRunner().invoke(app, ["status"], env={"COLUMNS": "300"}).output

    def said_in_time(text: str) -> bool:
        until = time.monotonic() + 30
        while text not in said():
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True

    assert "bundles  no process is running" in said()
    its = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(2)
    ]
    try:
        for each in its:
            assert each.stdout is not None
            assert each.stdout.readline() == b"ready\n"
        for each in its:
            assert said_in_time(f"bundle   b in process {each.pid}: revision r7, active since 20")
        for path in (project / "state" / "bundles").iterdir():
            assert path.stat().st_mode & 0o777 == 0o600
        bundle.write_bytes(b"no bundle")
        assert said_in_time("revision r7, active since ")
        assert said_in_time("it is no gzipped tar")
        its[0].kill()
        its[0].wait(30)
        assert f"in process {its[0].pid}:" not in said(), "it is gone"
        assert f"in process {its[1].pid}:" in said()
        its[1].communicate(timeout=30)
        assert "bundles  no process is running" in said()
        assert not list((project / "state" / "bundles").iterdir())
    finally:
        for each in its:
            each.kill()
            each.communicate(timeout=30)
    (project / "guardrails.yaml").write_text(
        "environment: dev\nopa_config: opa.yaml\nstate: null\nrecord: null\n"
    )
    assert "bundles  how they are in processes cannot be seen with `state: null`" in said()


def test_status_without_shared_state_says_what_decides(project):
    doctor(project, "state: null\n")
    result = CliRunner().invoke(app, ["status"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "cannot be seen, environment dev" in result.output
    assert "engine   in_process\npolicies policies, changed" in result.output
    document = json.loads(CliRunner().invoke(app, ["status", "--json"]).output)
    assert document["killed"] is None, "not known, which is not that nothing is"
    assert document["engine"]["engine"] == "in_process"


@pytest.mark.opa
def test_two_revisions_are_told_and_what_that_means(project, opa, tmp_path_factory):
    folder = tmp_path_factory.mktemp("opa")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "main.rego").write_text(MAIN)
    (folder / "bundle" / ".manifest").write_text('{"revision": "7", "roots": ["guardrails"]}')
    with running(opa, folder, {}, ["--bundle", "bundle"]) as server:
        found, code = doctor(project, f"engine: verified\nsidecar: {{url: '{server.unix}'}}\n")
        assert code == 0
        assert found["comparable"]["found"].endswith("nothing is checked")
        assert found["comparable"]["mend"] == "load the same bundle in both"
        text = f"engine: sidecar\nsidecar: {{url: '{server.unix}', on_unavailable: in_process}}\n"
        found, _ = doctor(project, text)
        assert "decided otherwise while OPA is out of reach" in found["comparable"]["found"]
        text = f"engine: verified\nsidecar: {{url: '{server.unix}'}}\nverified: {{share: 0}}\n"
        assert doctor(project, text)[0]["verified"]["status"] == "warn"
