"""The record on disk: every event comes back, nothing forges a line, a failed write refuses."""

from __future__ import annotations

import os
import stat
import threading
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.audit.jsonl import JsonLinesRecord
from guardrails.audit.memory import MemoryRecord
from guardrails.audit.reading import read
from guardrails.audit.redaction import Redaction
from guardrails.errors import Reason, StateUnavailable
from guardrails.model.call import Event
from guardrails.model.decision import ApprovalDemand
from guardrails.ports import Record

TEXTS = st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | TEXTS
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.builds(
    Event,
    kind=TEXTS,
    time=st.integers(0, 2**63),
    decision_id=st.none() | TEXTS,
    tool=st.none() | TEXTS,
    reasons=st.lists(st.builds(Reason, TEXTS, TEXTS), max_size=2).map(tuple),
    approvals=st.lists(
        st.builds(ApprovalDemand, TEXTS, TEXTS, st.lists(TEXTS, max_size=2).map(tuple)), max_size=2
    ).map(tuple),
    input=st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
    detail=st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "er" / "record.jsonl"


def kinds(path):
    return [event["kind"] for event in read(path)]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(events=st.lists(EVENTS, max_size=4))
def test_every_event_comes_back_whatever_its_texts_are(events, tmp_path):
    path = tmp_path / "record.jsonl"
    path.unlink(missing_ok=True)
    redaction = Redaction()
    record = JsonLinesRecord(path, redaction)
    for event in events:
        record.write(event)
    record.close()
    assert list(read(path)) == [redaction.document(event) for event in events]
    assert path.read_bytes().count(b"\n") == len(events)


def test_both_records_are_records(path):
    assert isinstance(JsonLinesRecord(path), Record)
    assert isinstance(MemoryRecord(), Record)


def test_numbers_stay_exact(path):
    JsonLinesRecord(path).write(Event("x", 2**62 + 1, input={"amount": Decimal("0.10")}))
    (event,) = read(path)
    assert event["time"] == 2**62 + 1
    assert str(event["input"]["amount"]) == "0.10"


def test_the_file_and_its_directories_are_their_owners_alone(path):
    JsonLinesRecord(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


def test_a_second_record_goes_on_where_the_first_ended(path):
    for kind in ("one", "two"):
        record = JsonLinesRecord(path)
        record.write(Event(kind, 1))
        record.close()
    assert kinds(path) == ["one", "two"]


def test_lines_of_many_threads_and_two_writers_stay_whole(path):
    records = [JsonLinesRecord(path), JsonLinesRecord(path)]

    def work(number):
        for step in range(25):
            records[number % 2].write(Event(f"{number}", step, input={"text": "x" * 5000}))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(read(path))
    assert len(found) == 200
    for number in range(8):
        assert [each["time"] for each in found if each["kind"] == f"{number}"] == list(range(25))


def test_a_torn_last_line_is_said_and_closed_off(path):
    record = JsonLinesRecord(path)
    record.write(Event("one", 1))
    record.close()
    with path.open("ab") as file:
        file.write(b'{"kind":"tw')
    assert list(read(path))[1:] == [{"kind": "record.torn", "line": 2, "bytes": 11}]
    JsonLinesRecord(path).write(Event("three", 3))
    assert kinds(path) == ["one", "record.torn", "three"]


@pytest.mark.parametrize(
    "line", [b"5\n", b"[]\n", b'{"kind":1}\n', b"\xff\n", b'{"kind":"a","x":NaN}\n']
)
def test_a_line_that_is_no_event_is_said(path, line):
    JsonLinesRecord(path).write(Event("one", 1))
    with path.open("ab") as file:
        file.write(line)
    assert kinds(path) == ["one", "record.torn"]


def test_a_link_is_not_followed(path, tmp_path):
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "target")
    with pytest.raises(StateUnavailable, match=r"record\.jsonl"):
        JsonLinesRecord(path)
    assert not (tmp_path / "target").exists()


def test_a_pipe_is_no_record(path):
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    with pytest.raises(StateUnavailable):
        JsonLinesRecord(path)


def test_a_file_that_others_may_write_to_is_no_record(path):
    path.parent.mkdir(parents=True)
    path.touch()
    path.chmod(0o622)
    with pytest.raises(StateUnavailable, match="chmod go-w"):
        JsonLinesRecord(path)


def test_a_record_that_is_gone_or_closed_refuses_with_the_calls_ids(path):
    record = JsonLinesRecord(path)
    path.unlink()
    with pytest.raises(StateUnavailable, match="was deleted") as caught:
        record.write(Event("x", 1, decision_id="d-1", run_id="r-1", agent="bot", tool="pay"))
    found = caught.value
    assert (found.decision_id, found.run_id, found.agent, found.tool) == (
        "d-1",
        "r-1",
        "bot",
        "pay",
    )
    record.close()
    record.close()
    with pytest.raises(StateUnavailable, match="closed"):
        record.write(Event("x", 1))


def test_a_line_cut_by_the_disk_refuses_and_the_next_line_stands_alone(path, monkeypatch):
    record = JsonLinesRecord(path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, content: write(fd, content[:7]))
    with pytest.raises(StateUnavailable, match="only a part"):
        record.write(Event("one", 1))
    monkeypatch.undo()
    record.write(Event("two", 2))
    assert kinds(path) == ["record.torn", "two"]


def test_an_unreadable_record_is_out_of_reach(tmp_path):
    with pytest.raises(StateUnavailable, match="absent"):
        list(read(tmp_path / "absent"))


def test_memory_keeps_the_newest_events():
    record = MemoryRecord(limit=2)
    for number in range(4):
        record.write(Event("call.started", number, tool=f"t{number}"))
    assert [event.time for event in record.events] == [2, 3]
    assert record.tools() == ["t2", "t3"]
