"""A bundle decides as the directory of its files does, and says which one it is."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.opa.archives import DECISION, manifest, packed, policy_files
from tests.opa.running import call, settings_of

from guardrails.engines.bundled import start_bundled_engine
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.layers import PolicyFiles
from guardrails.engines.source import BundleFile, Bundles
from guardrails.errors import PolicyLoadError
from guardrails.model.decision import Effect
from guardrails.opa.bundle_set import BundleSet
from guardrails.opa.bundles.service import BundleService
from guardrails.rego.bundle import Bundle
from guardrails.rego.compile_cache import CompileCache

RULE = "package guardrails\n\nimport rego.v1\n\n"


def bundle_set(files: dict[str, bytes], name: str = "b") -> BundleSet:
    return BundleSet.of({name: Bundle.of(files, name)})


def engine_of(files: dict[str, bytes], data: Any = dict) -> InProcessEngine:
    return InProcessEngine(Bundles(bundle_set(files)), data, cache=None)


def test_decisions_are_those_of_the_directory_and_name_their_revision(tmp_path) -> None:
    files = policy_files("r1")
    for path, content in files.items():
        (tmp_path / "d" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / path).write_bytes(content)
    (tmp_path / "b.tar.gz").write_bytes(packed(files))
    plain = InProcessEngine(PolicyFiles((tmp_path / "d",)), dict, cache=None)
    packed_one = InProcessEngine(BundleFile(tmp_path / "b.tar.gz"), dict, cache=None)
    assert packed_one.revision == f"file:b.tar.gz=r1 {plain.revision}"
    for agent in ("a", "b"):
        one, two = plain.decide(call(agent), "d"), packed_one.decide(call(agent), "d")
        assert (one.effect, one.reasons) == (two.effect, two.reasons)
        assert two.revision == packed_one.revision
    (tmp_path / "b.tar.gz").write_bytes(packed(policy_files("r2")))
    assert packed_one.reload()
    assert not packed_one.reload()
    assert packed_one.revision.startswith("file:b.tar.gz=r2 sha256:")
    (tmp_path / "b.tar.gz").write_bytes(b"")
    with pytest.raises(PolicyLoadError, match="no gzipped tar"):
        packed_one.reload()
    assert packed_one.decide(call("b"), "d").reasons[0].reason == "r2"


def test_agents_are_the_registers_or_the_bundles_and_never_both() -> None:
    source = DECISION.replace(
        "data.guardrails_data.trusted", "object.keys(data.guardrails_data.agents)"
    )
    files = {**policy_files("r1"), "guardrails/main.rego": (source % "r1").encode()}
    own = {**files, "guardrails_data/data.json": b'{"agents": {"own": {}}}'}

    def given() -> dict[str, Any]:
        return {"agents": {"given": {}}}

    for engine, agent in ((engine_of(files, given), "given"), (engine_of(own), "own")):
        assert engine.decide(call(agent), "d").effect is Effect.ALLOW
        assert engine.decide(call("other"), "d").effect is Effect.DENY
    with pytest.raises(
        PolicyLoadError, match=r"`guardrails_data\.agents` is given by the register"
    ):
        engine_of(own, given)
    broken = {**files, ".manifest": manifest("r"), "guardrails_data/data.json": b"[]"}
    with pytest.raises(PolicyLoadError, match="no object"):
        engine_of(broken, given)


def test_a_changed_register_is_read_with_the_same_bundle() -> None:
    trusted = {"trusted": ["x"]}
    files = policy_files("r1")
    del files["guardrails_data/data.json"]
    engine = engine_of(files, lambda: trusted)
    before = engine.revision
    assert engine.decide(call("y"), "d").effect is Effect.DENY
    trusted = {"trusted": ["y"]}
    assert engine.reload()
    assert engine.decide(call("y"), "d").effect is Effect.ALLOW
    assert engine.revision != before
    assert engine.revision.startswith("b=r1 ")


def test_numbers_that_cannot_be_kept_exactly_are_refused() -> None:
    for number in (b"1" + b"0" * 2_000, b"1e-5000"):
        files = {**policy_files("r"), "guardrails_data/data.json": b'{"trusted": [%s]}' % number}
        with pytest.raises(PolicyLoadError):
            engine_of(files)


def test_a_bundle_whose_decision_fails_about_a_plain_call_is_taken() -> None:
    source = RULE + (
        'decision := {"effect": "deny", "reasons": [], "approvals": [], "obligations": []} if {\n'
        "\ttime.parse_rfc3339_ns(input.agent.id)\n}\n"
    )
    engine = engine_of({**policy_files("r"), "guardrails/main.rego": source.encode()})
    assert engine.decide(call("2026-01-01T00:00:00Z"), "d").effect is Effect.DENY


def test_a_second_start_takes_the_compiled_bundle_from_the_cache(tmp_path, monkeypatch) -> None:
    cache = CompileCache(tmp_path)
    sources = Bundles(bundle_set(policy_files("r1")))
    first = InProcessEngine(sources, dict, cache=cache)

    def never(*_: Any) -> Any:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr("guardrails.rego.loading.compile_apart", never)
    assert InProcessEngine(sources, dict, cache=cache).revision == first.revision


def test_a_service_that_cannot_start_asks_for_no_more(server) -> None:
    service = BundleService([settings_of(server)])
    with pytest.raises(PolicyLoadError, match="answered 404"):
        start_bundled_engine(service, dict, cache=None, patience=0)
    assert not [each for each in threading.enumerate() if each.name.startswith("bundle ")]
