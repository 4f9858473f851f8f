"""The client of a bundle service, against a real one: what it asks, takes, and when again."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.opa.archives import manifest, packed, policy_files, signed
from tests.opa.bundle_server import BUNDLES
from tests.opa.running import (
    FIRST,
    HOUR,
    KEY,
    SECOND,
    Decider,
    Running,
    data,
    policies,
    settings_of,
    two,
)

from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.opa.bundles.download import BundleSettings
from guardrails.opa.bundles.persistence import BundleStore
from guardrails.opa.bundles.schedule import Polling, delay_after_errors, delay_after_success
from guardrails.opa.bundles.service import BundleService

if TYPE_CHECKING:
    from guardrails.opa.bundle_set import BundleSet


def test_what_is_asked_and_what_an_unchanged_bundle_is(server) -> None:
    server.serve("/bundles/b", FIRST, etag='"one"')
    with Running(server) as its:
        its.start()
        assert its.decider.taken == ["b=r1"]
        first = server.headers()
        assert first["prefer"] == "modes=snapshot"
        assert "if-none-match" not in first
        assert its.status.active_revision == "r1"
        assert its.poll() == 3600
        assert server.headers()["if-none-match"] == '"one"'
        assert server.headers()["prefer"] == "modes=snapshot,delta"
        assert its.decider.taken == ["b=r1"]
        server.serve("/bundles/b", SECOND)
        its.poll()
        assert its.decider.taken == ["b=r1", "b=r2"]
        status = its.status.document()
        assert status["active_revision"] == "r2"
        assert status["last_successful_activation"] == status["last_request"]
        assert "code" not in status


def test_after_a_failed_activation_the_tag_is_that_of_the_last_good_one(server) -> None:
    server.serve("/bundles/b", FIRST, etag='"one"')
    with Running(server) as its:
        its.start()
        its.decider.bad = {"r2"}
        server.serve("/bundles/b", SECOND, etag='"two"')
        before = its.status
        for errors in (1, 2, 3):
            delay = its.poll()
            assert delay == pytest.approx(0.1 * 1.6 ** (errors - 1))
            assert server.headers()["if-none-match"] == '"one"'
        status = its.status
        assert status.active_revision == "r1"
        assert (status.code, status.errors) == ("bundle_error", ("b:x.rego:3: does not plan",))
        assert status.last_successful_activation == before.last_successful_activation
        assert status.last_successful_download == status.last_request
        its.decider.bad = set()
        assert its.poll() == 3600
        assert its.status.active_revision == "r2"
        assert its.status.code == ""
        its.poll()
        assert server.headers()["if-none-match"] == '"two"'


def test_a_service_without_tags_costs_no_activation_where_nothing_changed(server) -> None:
    server.serve("/bundles/b", FIRST, etag="")
    with Running(server) as its:
        its.start()
        its.poll()
        assert its.decider.taken == ["b=r1"]
        assert "if-none-match" not in server.headers()


def test_long_polling_goes_on_while_the_service_offers_it(server) -> None:
    polling = Polling(60, 120, long_poll=30)
    server.serve("/bundles/b", FIRST, kind=BUNDLES)
    with Running(server, settings_of(server, polling=polling)) as its:
        its.service._activate = its.decider
        assert its.poll() == pytest.approx(1.0)  # at once, but never in a hot loop
        assert server.headers()["prefer"] == "modes=snapshot;wait=30"
        its.poll()
        assert server.headers()["prefer"] == "modes=snapshot,delta;wait=30"
        server.serve("/bundles/b", SECOND, kind="application/gzip")
        assert its.poll() == 90
        its.poll()
        assert server.headers()["prefer"] == "modes=snapshot,delta"
        server.serve("/bundles/b", FIRST, kind=BUNDLES)
        assert its.poll() == 90 or its.status.active_revision == "r1"
        its.poll()
        assert "wait" in server.headers()["prefer"]


def test_news_end_a_long_poll_and_so_does_stopping(server) -> None:
    polling = Polling(3600, 3600, long_poll=600)
    server.serve("/bundles/b", FIRST, kind=BUNDLES, waits=True)
    decider, activated = Decider(), threading.Event()
    until = time.monotonic() + 60

    def activate(bundles: BundleSet) -> None:
        decider(bundles)
        if bundles.revision == "b=r2":
            activated.set()

    def waits_for_requests(number: int) -> None:
        while len(server.requests) < number and time.monotonic() < until:
            time.sleep(0.01)

    service = BundleService([settings_of(server, polling=polling)])
    service.start(activate)
    try:
        waits_for_requests(2)
        server.serve("/bundles/b", SECOND, kind=BUNDLES, waits=True)
        assert activated.wait(60)
        waits_for_requests(3)
    finally:
        service.stop()
    assert decider.taken == ["b=r1", "b=r2"]
    assert not [each for each in threading.enumerate() if each.name == "bundle b"]
    assert time.monotonic() < until


@given(st.floats(0.01, 1e4), st.floats(1, 100), st.floats(0, 1, exclude_max=True))
def test_waits_are_spread_between_their_bounds(least, factor, random) -> None:
    polling = Polling(least, least * factor)
    assert least <= delay_after_success(polling, lambda: random) <= polling.max_delay
    waits = [delay_after_errors(n, polling, lambda: random) for n in range(1, 80)]
    assert all(0 < wait <= polling.max_delay for wait in waits)
    assert waits == sorted(waits)
    assert waits[0] <= 0.12
    assert waits[-1] >= polling.max_delay * 0.8


def test_the_bounds_of_polling_are_checked() -> None:
    for least, most, wait in ((0, 1, None), (2, 1, None), (1, 2, 0)):
        with pytest.raises(ConfigError):
            Polling(least, most, wait)


def delta(revision: str, *entries: dict[str, Any]) -> bytes:
    files = {
        ".manifest": manifest(revision, ["guardrails", "guardrails_data"]),
        "patch.json": json.dumps({"data": entries}).encode(),
    }
    return packed(files)


def test_deltas_change_the_data_of_what_is_active(server) -> None:
    change = {"op": "upsert", "path": "guardrails_data/trusted/-", "value": "z"}
    server.serve("/bundles/b", FIRST)
    with Running(server) as its:
        its.start()
        server.serve("/bundles/b", delta("r1.1", change), etag='"d"')
        its.poll()
        active = its.service.active
        assert active is not None
        assert active.data["guardrails_data"]["trusted"] == ["a", "z"]
        assert (its.status.active_revision, its.status.type) == ("r1.1", "delta")
        its.poll()
        assert server.headers()["if-none-match"] == '"d"'
        assert its.service.active is active
        server.serve("/bundles/b", delta("r1.2", {**change, "path": "guardrails_data/x/y/0/1"}))
        its.decider.bad = {"r1.2"}
        its.poll()
        assert its.service.active is active
        server.serve("/bundles/b", delta("r9", {"op": "remove", "path": "guardrails_data/nope"}))
        its.poll()
        assert "cannot be done" in its.status.message
        assert its.service.active is active
        server.serve("/bundles/b", FIRST)
        its.poll()
        assert its.service.active.data["guardrails_data"]["trusted"] == ["a"]


def test_deltas_are_taken_where_something_is_there_unsigned_and_not_kept(server, tmp_path) -> None:
    change = delta("r2", {"op": "upsert", "path": "guardrails_data/x", "value": 1})
    server.serve("/bundles/b", change)
    with Running(server) as its, pytest.raises(PolicyLoadError, match="a whole bundle was asked"):
        its.start()
    store = BundleStore(tmp_path)
    signed_first = packed(signed(policy_files("r1")))
    for settings, first, options in (
        (settings_of(server, verification=KEY), signed_first, {}),
        (settings_of(server, persist=True), FIRST, {"store": store}),
    ):
        server.serve("/bundles/b", first)
        with Running(server, settings, **options) as its:
            its.start()
            its.poll()
            assert server.headers()["prefer"] == "modes=snapshot"
            server.serve("/bundles/b", change)
            its.poll()
            assert its.status.active_revision == "r1"
            assert its.status.code == "bundle_error"


def test_signatures_are_verified_of_what_a_service_gives(server) -> None:
    server.serve("/bundles/b", packed(signed(policy_files("r1"))))
    with Running(server, settings_of(server, verification=KEY)) as its:
        its.start()
        for files in (policy_files("r2"), signed(policy_files("r2"), secret="x" * 20)):
            server.serve("/bundles/b", packed(files))
            its.poll()
            assert its.status.active_revision == "r1"
            assert "sign" in its.status.message
    server.serve("/bundles/b", packed(signed(policy_files("r1"))))
    with Running(server) as its, pytest.raises(PolicyLoadError, match="no key is configured"):
        its.start()


def test_bundles_decide_together_or_not_at_all(server) -> None:
    server.serve("/bundles/p", policies("p1"))
    with Running(server, *two(server)) as its:
        with pytest.raises(PolicyLoadError, match=r"p: waits for the others; d: .*answered 404"):
            its.start()
        assert its.decider.taken == []
    server.serve("/bundles/d", data("d1"))
    with Running(server, *two(server)) as its:
        its.start()
        assert its.decider.taken == ["d=d1,p=p1"]
        server.serve("/bundles/d", data("d2", ["guardrails_data", "guardrails"]))
        its.poll("d")
        assert "overlap" in its.service.status()["d"].message
        assert its.service.status()["d"].active_revision == "d1"
        server.serve("/bundles/d", data("d3"))
        its.poll("d")
        assert its.decider.taken == ["d=d1,p=p1", "d=d3,p=p1"]
        assert its.service.status()["p"].active_revision == "p1"


def test_a_start_goes_on_trying_for_as_long_as_it_is_told(server) -> None:
    def once(handler: Any) -> None:
        server.serve("/bundles/b", FIRST)
        handler.reply(503, b"", {})

    server.fail("/bundles/b", once)
    decider = Decider()
    service = BundleService([settings_of(server)])
    service.start(decider, patience=20)
    service.stop()
    assert decider.taken == ["b=r1"]
    assert len(server.requests) == 2


def test_what_has_stopped_activates_nothing(server) -> None:
    server.serve("/bundles/b", FIRST)
    with Running(server) as its:
        its.start()
        its.service.stop()
        server.serve("/bundles/b", SECOND)
        its.service.poll("b")
        assert its.decider.taken == ["b=r1"]
        assert not [each for each in threading.enumerate() if each.name == "bundle b"]


def test_a_file_is_a_resource_too(server, tmp_path) -> None:
    path = tmp_path / "my bundle.tar.gz"
    path.write_bytes(FIRST)
    settings = BundleSettings("b", resource=f"file://{str(path).replace(' ', '%20')}", polling=HOUR)
    with Running(server, settings) as its:
        its.start()
        its.poll()
        path.write_bytes(SECOND)
        its.poll()
        path.write_bytes(b"")
        its.poll()
        assert its.decider.taken == ["b=r1", "b=r2"]
        assert its.status.code == "bundle_error"


def test_whatever_a_decider_raises_the_thread_goes_on(server, monkeypatch) -> None:
    server.serve("/bundles/b", FIRST)
    with Running(server) as its:
        its.start()

        def broken(_: object) -> None:
            raise RuntimeError("a defect")

        its.service._activate = broken
        server.serve("/bundles/b", SECOND)
        assert its.poll() == pytest.approx(0.1)
        assert "a defect" in its.status.message
        assert its.service.active.revision == "b=r1"


def test_names_are_needed_and_are_different(server) -> None:
    for settings in ([], [settings_of(server), settings_of(server)]):
        with pytest.raises(ConfigError):
            BundleService(settings)
    with pytest.raises(ConfigError, match="no place to keep it"):
        BundleService([settings_of(server, persist=True)])
    with pytest.raises(ConfigError, match="names no service"):
        BundleSettings("b")


def test_a_directory_is_read_as_a_bundle_and_asked_for_again(tmp_path) -> None:
    long = "/".join(["x" * 60] * 5)

    def write(revision: str) -> None:
        files = {**policy_files(revision), f"guardrails/rules/{long}/data.json": b"{}"}
        for path, content in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)

    write("r1")
    decider = Decider()
    service = BundleService([BundleSettings("b", resource=f"file://{tmp_path}", polling=HOUR)])
    service.start(decider)
    service.poll("b")
    assert decider.taken == ["b=r1"], "what did not change is not activated again"
    write("r2")
    service.poll("b")
    assert decider.taken == ["b=r1", "b=r2"]
    (tmp_path / "guardrails" / "link.rego").symlink_to("main.rego")
    service.poll("b")
    assert "is a link" in service.status()["b"].message
    service.stop()
