"""Every decision reaches the log service at least once, whatever it answers and whenever we die."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.opa.log_service import LogService
from tests.opa.opa_process import running
from tests.opa.test_log_masking import _ask

from guardrails.errors import StateUnavailable
from guardrails.opa.bundles.schedule import Polling
from guardrails.opa.logs.entry import entry_of, revisions_of, timestamp
from guardrails.opa.logs.packing import Packed, Packer
from guardrails.opa.logs.place import Place
from guardrails.opa.logs.shipping import Shipper
from guardrails.opa.services import Service, ServiceClient, ServiceError
from guardrails.testing import FakeClock

LABELS = {"id": "i-1", "version": "0.1.0", "region": "eu"}
HEADERS = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
NOON = 1_767_268_800_123_456_700


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "kind": "call.started",
        "time": NOON + number,
        "decision_id": f"d-{number}",
        "effect": "allow",
        "reasons": [{"rule": "r", "reason": "because"}],
        "approvals": [],
        "obligations": [],
        "revision": "rev-1",
        "decision_ns": 25_000,
        "input": {"args": {"to": f"account {number}", "note": "n" * 50}},
        **more,
    }


class Record:
    """Events in their order; a cursor is how many were read."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events

    def __call__(self, cursor: str | None):
        for index in range(int(cursor or 0), len(self.events)):
            yield str(index + 1), self.events[index]


def shipper(record, service, place, **more):
    client = ServiceClient(Service("logs", service.url), FakeClock())
    return Shipper(
        record,
        lambda chunk: client.post("/logs", chunk.body, HEADERS),
        place,
        labels=LABELS,
        **{"size": 600, **more},
    )


def ids(service) -> list[str]:
    return [entry["decision_id"] for entry in service.entries]


def test_what_is_there_arrives_once_in_order_and_what_comes_later_too(tmp_path):
    record = Record([event(n) for n in range(200)])
    with LogService() as service, Place(tmp_path / "cursor") as place:
        ships = shipper(record, service, place)
        assert ships.ship().is_complete
        assert ids(service) == [f"d-{n}" for n in range(200)]
        assert max(service.sizes) <= 600
        assert len(service.chunks) < 100
        record.events.append(event(200))
        record.events.append({"kind": "call.finished", "time": NOON, "decision_id": "d-200"})
        ships.ship()
        ships.ship()
    assert ids(service) == [f"d-{n}" for n in range(201)]
    assert (tmp_path / "cursor").read_text() == "202"


def test_a_service_that_is_away_for_hours_and_a_restart_lose_nothing(tmp_path):
    record = Record([])
    clock = FakeClock()
    polling = Polling(10, 300)
    draw = random.Random(5)
    made = 0
    with LogService() as service:
        for life in range(4):
            with Place(tmp_path / "cursor") as place:
                ships = shipper(record, service, place)
                until = clock.monotonic() + 2 * 3600
                while clock.monotonic() < until:
                    for _ in range(3):
                        record.events.append(event(made))
                        made += 1
                    service.answers = [] if life == 3 else [503] * 100
                    ships.ship()
                    clock.advance(ships.delay(polling, draw.random))
            if life < 3:
                assert service.entries == []
                assert ships.errors > 10
    assert set(ids(service)) == {f"d-{n}" for n in range(made)}
    assert made > 300


@given(
    answers=st.lists(st.sampled_from([200, 200, 200, 500, 503, 429, 413, 404]), max_size=30),
    count=st.integers(0, 60),
    deaths=st.sets(st.integers(0, 20)),
)
def test_whatever_is_answered_and_wherever_we_die_nothing_is_lost(
    tmp_path_factory, answers, count, deaths
):
    folder = tmp_path_factory.mktemp("ship")
    record = Record([event(n) for n in range(count)])
    taken: list[str] = []
    script = list(answers)
    posts = 0

    class Died(BaseException):
        pass

    def post(chunk: Packed) -> None:
        nonlocal posts
        posts += 1
        status = script.pop(0) if script else 200
        if status == 200:
            taken.extend(each["decision_id"] for each in json.loads(gzip.decompress(chunk.body)))
        if posts in deaths:
            raise Died  # taken or not, nobody here heard of it
        if status != 200:
            raise ServiceError("no", service="logs", http_code=status)

    for _ in range(200):
        with Place(folder / "cursor") as place:
            ships = Shipper(record, post, place, labels=LABELS, size=600)
            try:
                if ships.ship().is_complete:
                    break
            except Died:
                continue
    assert set(taken) == {f"d-{n}" for n in range(count)}
    firsts = list(dict.fromkeys(taken))
    assert firsts == [f"d-{n}" for n in range(count)]


def test_a_service_that_takes_less_gets_less(tmp_path):
    record = Record([event(n) for n in range(100)])
    with LogService() as service, Place(tmp_path / "cursor") as place:
        service.largest = 400
        assert shipper(record, service, place, size=4_000).ship().is_complete
    assert ids(service) == [f"d-{n}" for n in range(100)]


def test_what_is_too_large_alone_is_sent_without_its_input_and_says_so(tmp_path):
    big = random.Random(1).randbytes(4_000).hex()
    record = Record([event(0), event(1, input={"args": {"blob": big}}), event(2)])
    with LogService() as service, Place(tmp_path / "cursor") as place:
        shipper(record, service, place).ship()
    assert ids(service) == ["d-0", "d-1", "d-2"]
    assert "input" not in service.entries[1]
    assert service.entries[1]["erased"] == ["/input", "/result"]


def test_masking_that_fails_shows_nothing_and_loses_nothing(tmp_path):
    def mask(entry):
        if entry["decision_id"] == "d-0":
            raise RuntimeError("no")
        return {"d-1": ["/labels"], "d-2": ["/input/args/to"], "d-3": None}[entry["decision_id"]]

    record = Record([event(n) for n in range(4)])
    with LogService() as service, Place(tmp_path / "cursor") as place:
        shipper(record, service, place, mask=mask).ship()
    failed, wrong, masked, plain = service.entries
    for entry in (failed, wrong):
        assert "input" not in entry
        assert entry["erased"] == ["/input", "/result"]
    assert "to" not in masked["input"]["args"]
    assert masked["erased"] == ["/input/args/to"]
    assert plain["input"] == event(3)["input"]


_TAKES = "import sys; from guardrails.opa.logs.place import Place; Place(sys.argv[1]).__enter__()"


def test_one_process_of_a_machine_sends(tmp_path):
    path = tmp_path / "cursor"
    command = [sys.executable, "-c", _TAKES, str(path)]
    with Place(path):
        with pytest.raises(StateUnavailable), Place(path):
            pass
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "PlaceTaken" in done.stderr
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_not_the_place_of_its_parent(tmp_path):
    path = tmp_path / "cursor"
    read, write = os.pipe()
    begun, begins = os.pipe()
    with Place(path) as place:
        child = os.fork()
        if child == 0:
            os.close(write)
            os.write(begins, b".")
            os.read(read, 1)
            os._exit(0)
        os.close(read)
        os.read(begun, 1)
        assert place.is_held
    # The child lives on, and what it has inherited keeps nobody out.
    with Place(path):
        pass
    os.close(write)
    assert os.waitpid(child, 0)[1] == 0


def test_one_entry_that_cannot_be_written_does_not_hold_up_the_others(tmp_path):
    record = Record([event(0), event(1, input={"args": {"to": "\ud800"}}), event(2)])
    with LogService() as service, Place(tmp_path / "cursor") as place:
        assert shipper(record, service, place).ship().is_complete
    assert ids(service) == ["d-0", "d-1", "d-2"]
    assert service.entries[1]["erased"] == ["/input", "/result"]


@given(st.lists(st.text(max_size=400), max_size=60), st.integers(100, 3_000))
def test_packing_keeps_every_entry_in_its_order_within_the_size(texts, size):
    packer = Packer(size)
    chunks = [c for n, text in enumerate(texts) for c in packer.add({"n": n, "input": text}, n)]
    chunks += packer.rest()
    found = [entry["n"] for chunk in chunks for entry in json.loads(gzip.decompress(chunk.body))]
    assert found == list(range(len(texts)))
    assert all(len(chunk.body) <= size for chunk in chunks)
    assert [chunk.upto for chunk in chunks] == sorted(chunk.upto for chunk in chunks)


DECISION = """
package guardrails
decision := {
    "effect": "allow", "approvals": [], "obligations": [],
    "reasons": [{"rule": "r", "reason": "because"}],
}
"""


@pytest.mark.opa
def test_an_entry_is_field_by_field_what_opa_posts(opa, tmp_path):
    with LogService() as service:
        config = {
            "services": {"logs": {"url": service.url}},
            "labels": {"region": "eu"},
            "decision_logs": {
                "service": "logs",
                "reporting": {"min_delay_seconds": 1, "max_delay_seconds": 1},
            },
        }
        (tmp_path / "config.json").write_text(json.dumps(config))
        asked = event(1)["input"]
        with running(opa, tmp_path, {"p.rego": DECISION}, ["--config-file", "config.json"]) as it:
            _ask(it.port, asked)
            service.wait_for(1)
    (theirs,) = service.entries
    ours = entry_of(event(1), labels={**theirs["labels"]}, path=theirs["path"])
    assert ours is not None
    for field in ("labels", "path", "input", "result"):
        assert ours[field] == theirs[field]
    assert set(theirs["labels"]) == {"id", "version", "region"}
    assert theirs["path"] == "guardrails/decision"
    written = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z")
    assert written.fullmatch(theirs["timestamp"])
    assert written.fullmatch(ours["timestamp"])
    assert isinstance(theirs["decision_id"], str)
    assert set(ours["metrics"]) <= set(theirs["metrics"])
    # OPA's are of one request to one server; a decision here has none.
    own = {
        "requested_by",
        "req_id",
        "type",
        "http_request_context",
        "bundles",
        "trace_id",
        "span_id",
    }
    assert set(theirs) - set(ours) <= own
    assert set(ours) - set(theirs) == {"revision"}


def test_a_time_is_written_as_opa_writes_it():
    assert timestamp(NOON) == "2026-01-01T12:00:00.1234567Z"
    assert timestamp(1_767_268_800_000_000_000) == "2026-01-01T12:00:00Z"


def test_events_without_a_decision_are_no_entries():
    assert entry_of({"kind": "run.opened", "time": 1}, labels={}) is None
    refused = {"kind": "call.refused", "time": 1, "decision_id": "d", "effect": None}
    assert entry_of({**refused, "detail": {"code": "budget_exceeded"}}, labels={}) is None
    failed = entry_of({**refused, "detail": {"code": "policy_error", "message": "m"}}, labels={})
    assert failed["error"] == {"code": "policy_error", "message": "m"}
    assert "result" not in failed


def test_an_entry_has_what_policy_said_and_pointers_into_itself():
    ruling = {"effect": "allow", "reasons": [], "approvals": []}
    stricter = {
        "effect": "require_approval",
        "policy": ruling,
        "obligations": [{"type": "label", "path": ""}],
        "masked": ["/input/args/to", "/reasons/0/reason", "/policy/reasons/0/reason", "/detail/x"],
    }
    entry = entry_of(event(1, **stricter), labels={})
    assert entry["result"] == {**ruling, "obligations": stricter["obligations"]}
    assert entry["masked"] == ["/input/args/to", "/result/reasons/0/reason"]
    plain = entry_of(event(1, masked=["/reasons/0/reason", "/detail/x"]), labels={})
    assert plain["masked"] == ["/result/reasons/0/reason"]
    assert "masked" not in entry_of(event(1, masked=["/detail/x"]), labels={})


@pytest.mark.parametrize(
    ("revision", "found"),
    [
        ("authz=7 sha256:ab", {"authz": "7"}),
        ("authz=7, x=1,main=v 2 sha256:ab", {"authz": "7, x=1", "main": "v 2"}),
        ("main= sha256:ab", {"main": ""}),
        ("sha256:ab", {}),
        ("file:b=7 sha256:ab", {}),
        ("authz@7", {}),
    ],
)
def test_revisions_of_bundles_are_those_of_the_decision(revision, found):
    assert revisions_of(revision, ["main", "authz"]) == found
    entry = entry_of(event(1, revision=revision), labels={}, bundles=["main", "authz"])
    assert entry.get("bundles", {}) == {name: {"revision": each} for name, each in found.items()}
    assert entry.get("revision") == (None if found else revision)
