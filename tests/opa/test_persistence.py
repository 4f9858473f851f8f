"""The last good bundle is kept, and starts where the service is away; it is verified anew."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from tests.opa.archives import packed, policy_files, signed
from tests.opa.running import (
    FIRST,
    KEY,
    SECOND,
    Running,
    data,
    policies,
    settings_of,
    status,
    two,
)

from guardrails.errors import PolicyLoadError
from guardrails.opa.bundles.persistence import BundleStore
from guardrails.opa.keys import Verification, VerificationKey
from guardrails.rego.archive import ArchiveLimits


def test_what_was_kept_starts_without_the_service(server, tmp_path) -> None:
    store = BundleStore(tmp_path / "opa")
    settings = settings_of(server, persist=True, verification=KEY)
    server.serve("/bundles/b", packed(signed(policy_files("r1"))))
    with Running(server, settings, store=store) as its:
        its.start()
    kept = store.path("b")
    assert kept == tmp_path / "opa" / "bundles" / "b" / "bundle.tar.gz"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    assert list(kept.parent.iterdir()) == [kept]
    server.fail("/bundles/b", status(503))
    with Running(server, settings, store=store) as its:
        its.start()
        assert its.decider.taken == ["b=r1"]
        assert (its.status.origin, its.status.http_code) == ("disk", 503)
        server.serve("/bundles/b", packed(signed(policy_files("r2"))))
        its.poll()
        assert (its.status.origin, its.status.active_revision) == ("service", "r2")
    # It is verified as if it had just come.
    other = replace(settings, verification=Verification({"k": VerificationKey("y" * 16, "HS256")}))
    server.fail("/bundles/b", status(503))
    with (
        Running(server, other, store=store) as its,
        pytest.raises(PolicyLoadError, match="answered 503"),
    ):
        its.start()
    assert its.decider.taken == []


@pytest.mark.parametrize("content", [b"", b"x", SECOND[:-5], packed(policy_files("bad"))])
def test_a_broken_kept_bundle_does_not_stop_a_start(content, server, tmp_path) -> None:
    store = BundleStore(tmp_path)
    store.write("b", content)
    server.serve("/bundles/b", FIRST)
    with Running(server, settings_of(server, persist=True), store=store) as its:
        its.decider.bad = {"bad"}
        its.start()
        assert its.decider.taken == ["b=r1"]
        assert its.status.code == ""
    assert store.read("b", ArchiveLimits()) == FIRST


def test_what_cannot_be_kept_is_active_all_the_same(server, tmp_path) -> None:
    (tmp_path / "bundles").write_text("no directory")
    server.serve("/bundles/b", FIRST)
    settings = settings_of(server, persist=True)
    with Running(server, settings, store=BundleStore(tmp_path)) as its:
        its.start()
        assert its.status.active_revision == "r1"
        assert "cannot be kept" in its.status.message


@pytest.mark.parametrize("name", ["", "..", "a/../b", "a//b", "/a"])
def test_a_name_that_leads_elsewhere_is_not_kept(name, tmp_path) -> None:
    with pytest.raises(PolicyLoadError):
        BundleStore(tmp_path).path(name)


def test_a_bad_bundle_of_two_on_disk_does_not_stop_a_start(server, tmp_path) -> None:
    store = BundleStore(tmp_path)
    store.write("p", policies("bad"))
    store.write("d", data("d0"))
    server.serve("/bundles/p", policies("p1"))
    server.serve("/bundles/d", data("d1"))
    with Running(server, *two(server, persist=True), store=store) as its:
        its.decider.bad = {"bad"}
        its.start()
        assert its.decider.taken[-1] == "d=d1,p=p1"
    assert store.read("p", ArchiveLimits()) == policies("p1")
    assert store.read("d", ArchiveLimits()) == data("d1")


def test_bundles_that_come_one_by_one_are_all_kept(server, tmp_path) -> None:
    store = BundleStore(tmp_path)
    server.serve("/bundles/p", policies("p1"))
    server.serve("/bundles/d", data("d1"))
    with Running(server, *two(server, persist=True), store=store) as its:
        its.start()
    assert store.read("p", ArchiveLimits()) == policies("p1")
    assert store.read("d", ArchiveLimits()) == data("d1")
