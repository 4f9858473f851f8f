"""What OPA builds is taken; it decides as the directory that it was built of, and as OPA does."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import pytest
from tests.opa.archives import MASK, SECRET, manifest, packed, policy_files
from tests.opa.running import KEY, Running, call, settings_of
from tests.rego.fuzz.opa_peer import serving

from guardrails.engines.bundled import start_bundled_engine
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.layers import PolicyFiles
from guardrails.engines.probe import PROBE
from guardrails.engines.source import BundleFile, Bundles
from guardrails.model.decision import Effect
from guardrails.opa.bundles.service import BundleService
from guardrails.resources import policies_directory


def built(opa: str, folder, *options: str) -> bytes:
    command = [opa, "build", "-b", ".", "-o", "../made.tar.gz", "--revision", "lib", *options]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    return (folder.parent / "made.tar.gz").read_bytes()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The shipped library as a bundle's directory, with an agent."""
    folder = tmp_path_factory.mktemp("library") / "d"
    shipped = policies_directory()
    for path in (shipped / "guardrails").rglob("*.rego"):
        if not path.name.endswith("_test.rego"):
            to = folder / path.relative_to(shipped)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
    (folder / "data.yaml").write_bytes((shipped / "data.yaml").read_bytes())
    (folder / ".manifest").write_bytes(manifest("lib", ["guardrails", "guardrails_data"]))
    return folder


AGENTS = {
    "agents": {
        "billing": {
            "version": "1",
            "owner": "o@acme.example",
            "environments": ["prod"],
            "access": [{"resource": "r", "operations": ["read"]}],
            "contacts": [],
            "review_by": "2999-01-01",
        }
    }
}


@pytest.fixture(scope="module")
def plain(library):
    """The engine with the directory that the bundles are built of, and that."""
    return InProcessEngine(PolicyFiles((library,)), lambda: AGENTS, cache=None), library


@pytest.mark.opa
@pytest.mark.parametrize(("target", "is_signed"), [("rego", True), ("plan", True), ("plan", False)])
def test_what_opa_builds_of_the_library_decides_as_the_library(
    target, is_signed, opa, plain, tmp_path
) -> None:
    engine, library = plain
    options = ["-t", target, *(["-e", "guardrails/decision"] if target == "plan" else [])]
    if is_signed:
        options += ["--signing-alg", "HS256", "--signing-key", SECRET]
    (tmp_path / "b.tar.gz").write_bytes(built(opa, library, *options))
    source = BundleFile(tmp_path / "b.tar.gz", KEY if is_signed else None)
    bundled = InProcessEngine(source, lambda: AGENTS, cache=None)
    assert (bundled.revision.split()[1] == engine.revision) == (target == "rego")
    effects = set()
    for agent in ("billing", "nobody"):
        for operation in ("read", "write"):
            document = {
                **call(agent),
                "tool": {**PROBE["tool"], "name": "t", "resource": "r", "operation": operation},
                "run": {**PROBE["run"], "remaining": {"usd": 5, "calls": 5}},
                "time": 1_781_524_800_000_000_000,
            }
            document["agent"] |= {"owner": "o@acme.example", "environment": "prod"}
            one, two = (each.decide(document, "d") for each in (bundled, engine))
            assert (one.effect, set(one.reasons)) == (two.effect, set(two.reasons))
            effects.add(one.effect)
    assert effects == {Effect.ALLOW, Effect.DENY}


@pytest.mark.opa
def test_policies_data_and_mask_in_three_bundles_decide_as_opa_does(opa, server, tmp_path) -> None:
    files = policy_files("r1")
    parts = {
        "p": {".manifest": manifest("p1", ["guardrails"]), "m.rego": files["guardrails/main.rego"]},
        "d": {
            ".manifest": manifest("d1", ["guardrails_data"]),
            "guardrails_data/data.json": files["guardrails_data/data.json"],
        },
        "m": {".manifest": manifest("", ["system/log"]), "mask.rego": MASK.encode()},
    }
    for name, each in parts.items():
        server.serve(f"/bundles/{name}", packed(each))
    settings = [settings_of(server, name=name) for name in parts]
    service = BundleService(settings)
    engine = start_bundled_engine(service, dict, cache=None)
    service.stop()
    assert engine.revision.startswith("d=d1,p=p1 sha256:")
    modules = engine.loaded.modules
    with serving(opa, modules, engine.loaded.data, tmp_path) as peer:
        for agent in ("a", "b", "", "é"):
            kind, theirs = peer.ask("guardrails/decision", call(agent), strict=True)
            assert kind == "value"
            assert engine.decide(call(agent), "d").effect == theirs["effect"]


@pytest.mark.opa
def test_opa_takes_the_same_bundle_of_the_same_service_and_decides_alike(
    opa, server, tmp_path
) -> None:
    change = (
        b'{"data": [{"op": "upsert", "path": "guardrails_data/trusted/0", "value": "z"},'
        b' {"op": "replace", "path": "guardrails_data/trusted/1", "value": "b"},'
        b' {"op": "upsert", "path": "guardrails_data/x/y", "value": [1]}]}'
    )
    files = policy_files("r1")
    changed = {".manifest": files[".manifest"].replace(b"r1", b"r2"), "patch.json": change}
    server.serve("/bundles/b", packed(files))
    config = (
        f"services: {{s: {{url: '{server.url}'}}}}\n"
        "bundles: {b: {service: s, polling: {min_delay_seconds: 1, max_delay_seconds: 1}}}\n"
    )
    (tmp_path / "opa.yaml").write_text(config)
    with Running(server) as its:
        its.start()
        active = its.service.active
        assert active is not None
        engine = InProcessEngine(Bundles(active), dict, cache=None)
        its.service._activate = lambda bundles: engine.activate(Bundles(bundles))
        with serving(opa, {}, {}, tmp_path, "--config-file", "opa.yaml") as peer:
            for revision, trusted in (("r1", ["a"]), ("r2", ["z", "b"])):
                its.poll()
                theirs = _until(
                    lambda: peer.ask("guardrails_data/trusted", {}, strict=True), trusted
                )
                assert theirs == engine.loaded.data["guardrails_data"]["trusted"] == trusted
                assert its.status.active_revision == revision
                for agent in ("a", "b", "z"):
                    _, decided = peer.ask("guardrails/decision", call(agent), strict=True)
                    assert engine.decide(call(agent), "d").effect == decided["effect"]
                server.serve("/bundles/b", packed(changed))
            _, x = peer.ask("guardrails_data/x", {}, strict=True)
            assert x == engine.loaded.data["guardrails_data"]["x"] == {"y": [1]}


def _until(ask: Any, wanted: Any) -> Any:
    """What OPA answers once it has what it polls for every second."""
    pause = threading.Event()
    found = None
    for _ in range(600):
        _, found = ask()
        if found == wanted:
            break
        pause.wait(0.05)
    return found
