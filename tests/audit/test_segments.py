"""The record on disk: crashes, forks and full disks lose nothing and write nothing twice."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guardrails as gr
from guardrails import testing
from guardrails.audit import segment_file
from guardrails.audit.exact_json import exact_json
from guardrails.audit.following import Cursor
from guardrails.audit.heads import anchor_file
from guardrails.audit.keys import RecordKey
from guardrails.audit.layout import segments_in
from guardrails.audit.lines import event_of_line, lines_of
from guardrails.audit.reading import batches, follow, raw_lines, read
from guardrails.audit.redaction import Redaction
from guardrails.audit.retention import prune
from guardrails.audit.segments import SegmentRecord
from guardrails.audit.verification import verify
from guardrails.errors import ConfigError, Reason, StateUnavailable
from guardrails.model.call import Event
from guardrails.ports import Record

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
KILLS = 100 if SOAK else 4
WORKER = Path(__file__).with_name("record_worker.py")

TEXTS = st.text(st.characters(), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | TEXTS | st.integers() | st.floats() | st.decimals(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
EVENTS = st.builds(
    Event,
    kind=TEXTS,
    time=st.integers(0, 2**63),
    tool=st.none() | TEXTS,
    reasons=st.lists(st.builds(Reason, TEXTS, TEXTS), max_size=2).map(tuple),
    input=st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
    detail=st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
)


@pytest.fixture
def key(tmp_path):
    return RecordKey.load_or_make(tmp_path / "record.key")


@pytest.fixture
def opened(tmp_path, key):
    """Makes records of one directory, and closes them in the end."""
    records = []

    def make(**settings):
        record = SegmentRecord(tmp_path / "record", **{"key": key, **settings})
        records.append(record)
        return record

    yield make
    for record in records:
        try:
            record.close()
        except StateUnavailable:
            continue


def event(number, **more):
    return Event("call.started", number, decision_id=str(number), **more)


def ids(directory):
    return [each["decision_id"] for each in read(directory) if "decision_id" in each]


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=5))
def test_lines_say_what_the_exact_way_says_in_printable_ascii(events):
    redaction = Redaction()
    lines = lines_of(events, redaction)
    exact = [(exact_json(redaction.document(each)) + "\n").encode() for each in events]
    assert [event_of_line(line) for line in lines.splitlines(keepends=True)] == [
        event_of_line(line) for line in exact
    ]
    assert all(32 <= byte < 127 or byte == 10 for byte in lines)
    assert lines.count(b"\n") == len(events)


def test_events_come_back_in_order_over_segments_and_streams(opened, tmp_path):
    one, two = opened(segment_size=2000), opened()
    for number in range(100):
        (one if number % 3 else two).write(event(number, input={"amount": Decimal("0.10")}))
    one.close()
    two.close()
    assert isinstance(one, Record)
    assert [int(each) for each in ids(tmp_path / "record")] == list(range(100))
    assert len(segments_in(tmp_path / "record")) > 2
    assert sum(map(len, batches(tmp_path / "record"))) == 100
    assert len(list(raw_lines(tmp_path / "record"))) == 100
    assert str(next(read(tmp_path / "record"))["input"]["amount"]) == "0.10"
    assert verify(tmp_path / "record", key=tmp_path / "record.pub").is_whole


def test_files_are_their_owners_alone_and_links_and_foreign_directories_are_refused(
    opened, tmp_path
):
    record = opened()
    record.write(event(1))
    record.close()
    assert stat.S_IMODE((tmp_path / "record").stat().st_mode) == 0o700
    for file in (*(tmp_path / "record").iterdir(), tmp_path / "record.key"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "record")
    with pytest.raises(StateUnavailable, match="no directory"):
        SegmentRecord(tmp_path / "link")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "agent.py").touch()
    with pytest.raises(StateUnavailable, match="other files"):
        SegmentRecord(tmp_path / "other")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(StateUnavailable, match="chmod go-w"):
        SegmentRecord(tmp_path / "open")
    (tmp_path / "record.key").chmod(0o644)
    with pytest.raises(ConfigError, match="others may read"):
        RecordKey.load(tmp_path / "record.key")


@pytest.mark.parametrize("durability", ["batch", "write_ahead"])
@pytest.mark.slow
def test_a_process_that_is_killed_leaves_what_its_durability_promises(tmp_path, durability):
    chosen = random.Random(3)
    window = 0.1
    record = tmp_path / "record"
    for run in range(KILLS):
        notes = tmp_path / f"notes-{run}"
        with subprocess.Popen(
            [sys.executable, WORKER, record, notes, durability, str(window)],
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(chosen.uniform(0.0, 0.6))
            process.kill()
        killed = time.monotonic_ns()
        written = set(ids(record))
        missing = (
            [
                int(line.split()[1])
                for line in notes.read_text().splitlines()
                if line.split()[0] not in written
            ]
            if notes.exists()
            else []
        )
        if durability == "write_ahead":
            assert not missing, "a side effect without its intent"
        else:
            # The window, and the time for which the disk and the machine keep the writer waiting.
            assert all(killed - each < (window + 5) * 1e9 for each in missing)
        report = verify(record, key=tmp_path / "record.pub")
        assert report.is_whole, report.problems
    # The next process says how the others ended; from then on nothing of them can be cut off.
    last = SegmentRecord(record, key=RecordKey.load(tmp_path / "record.key"))
    last.write(event(1))
    last.close()
    assert verify(record, key=tmp_path / "record.pub").is_whole
    assert not list(record.glob("*.head"))
    cut = record / str(segments_in(record)[0])
    os.truncate(cut, cut.stat().st_size - 1)
    assert any(each.file == cut.name for each in verify(record).problems)


def test_threads_and_a_full_queue_lose_nothing(opened, tmp_path):
    record = opened(capacity=8, window=0.01)
    steps = range(300)

    def work(number):
        for step in steps:
            record.write(event(number * 1000 + step))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record.close()
    assert Counter(ids(tmp_path / "record")) == Counter(
        str(number * 1000 + step) for number in range(4) for step in steps
    )


@pytest.mark.parametrize("fails", ["write", "sync"])
def test_a_full_disk_refuses_and_loses_nothing_and_is_recovered_from(
    opened, tmp_path, monkeypatch, fails
):
    record = opened(durability="write_ahead", window=0.01)
    record.write_ahead(event(1)).result(20)
    full = threading.Event()
    full.set()
    names = {"write": "write_at", "sync": "sync_data"}
    real = getattr(segment_file, names[fails])

    def fail(fd, *rest):
        if full.is_set():
            if fails == "write":
                real(fd, rest[0][: len(rest[0]) // 2], rest[1])  # a part of it is taken
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, *rest)

    monkeypatch.setattr(segment_file, names[fails], fail)
    record.write(event(2))
    with pytest.raises(StateUnavailable, match="No space left"):
        record.write_ahead(event(3)).result(20)
    with pytest.raises(StateUnavailable, match="No space left") as caught:
        record.write(event(4, tool="pay"))
    assert caught.value.tool == "pay"
    assert record.waiting() == 1, "2 is not forgotten"
    full.clear()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            record.write(event(5))
            break
        except StateUnavailable:
            time.sleep(0.01)
    record.close()
    assert record.waiting() == 0
    assert ids(tmp_path / "record") == ["1", "2", "5"], "3 was refused, and 4 was not taken"
    assert verify(tmp_path / "record").is_whole


def test_what_cannot_be_written_at_the_end_is_said(opened, monkeypatch):
    record = opened(window=5)
    record.write(event(1))
    monkeypatch.setattr(segment_file, "write_at", lambda *_: (_ for _ in ()).throw(OSError(5, "x")))
    with pytest.raises(StateUnavailable, match="1 events are lost"):
        record.close()
    with pytest.raises(StateUnavailable, match="closed"):
        record.write(event(2))


def test_a_deleted_segment_and_a_changed_list_refuse(opened, tmp_path):
    record = opened(durability="write_ahead")
    record.write_ahead(event(1)).result(20)
    (tmp_path / "record" / str(segments_in(tmp_path / "record")[0])).unlink()
    with pytest.raises(StateUnavailable, match="was deleted"):
        record.write_ahead(event(2)).result(20)
    other = opened(durability="write_ahead")
    manifest = tmp_path / "record" / "streams.jsonl"
    manifest.write_bytes(manifest.read_bytes().replace(b'"n":1', b'"n":7'))
    with pytest.raises(StateUnavailable, match="last line is damaged"):
        other.write_ahead(event(3)).result(20)


def test_a_forked_child_writes_a_stream_of_its_own_and_nothing_twice(opened, tmp_path):
    record = opened(window=0.5)
    for number in range(20):
        record.write(event(number))
    pid = os.fork()
    if pid == 0:
        try:
            for number in range(100, 120):
                record.write(event(number))
            record.close()
        finally:
            os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    record.write(event(20))
    record.close()
    assert Counter(ids(tmp_path / "record")) == Counter(map(str, [*range(21), *range(100, 120)]))
    report = verify(tmp_path / "record")
    assert report.is_whole, report.problems
    assert report.streams == 2


def test_the_end_of_the_interpreter_writes_what_is_left(tmp_path):
    program = (
        "import sys; from guardrails.audit.segments import SegmentRecord\n"
        "from guardrails.model.call import Event\n"
        "record = SegmentRecord(sys.argv[1], window=50)\n"
        "[record.write(Event('x', n)) for n in range(5)]\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "record"], check=True)
    assert [each["time"] for each in read(tmp_path / "record")] == list(range(5))
    assert verify(tmp_path / "record").is_whole


def test_a_cursor_goes_on_over_restarts_rotation_and_new_streams(opened, tmp_path):
    directory = tmp_path / "record"
    seen = []
    kept = str(Cursor())
    for start in range(0, 60, 20):
        record = opened(segment_size=1200, durability="write_ahead")
        for number in range(start, start + 20):
            record.write_ahead(event(number)).result(20)
        for cursor, found in follow(directory, Cursor.parse(kept), go_on=lambda: False):
            seen.append(int(found["decision_id"]))
            kept = str(cursor)
            if len(seen) % 7 == 0:
                break  # a reader that dies, and begins from the cursor that it has kept
    for cursor, found in follow(directory, Cursor.parse(kept), go_on=lambda: False):
        seen.append(int(found["decision_id"]))
        kept = str(cursor)
    assert sorted(set(seen)) == list(range(60))
    assert list(follow(directory, Cursor.parse(kept), go_on=lambda: False)) == []
    with pytest.raises(ConfigError, match="no cursor"):
        Cursor.parse("{}")


def test_a_cursor_goes_on_inside_a_block_whatever_other_streams_write_meanwhile(opened, tmp_path):
    directory = tmp_path / "record"
    record = opened(window=5)
    for number in range(20):
        record.write(event(number))
    record.close()
    seen: list[int] = []
    kept = str(Cursor())
    for start in range(20, 200, 10):
        # The newcomer's events are older: it is given before the block that was begun.
        newcomer = opened(window=5)
        for number in range(start, start + 10):
            newcomer.write(event(number)._replace(time=-number))
        newcomer.close()
        for cursor, found in follow(directory, Cursor.parse(kept), go_on=lambda: False):
            seen.append(int(found["decision_id"]))
            kept = str(cursor)
            if len(seen) % 7 == 0:
                break
    seen += (
        int(found["decision_id"])
        for _, found in follow(directory, Cursor.parse(kept), go_on=lambda: False)
    )
    assert sorted(seen) == list(range(200)), "each of them, and none twice"


def test_what_retention_deletes_is_said_and_verifies_and_nothing_else_may_go(opened, tmp_path, key):
    directory = tmp_path / "record"
    record = opened(segment_size=1200, durability="write_ahead")
    for number in range(40):
        record.write_ahead(event(number)).result(20)
    record.close()
    before = segments_in(directory)
    deleted = prune(directory, key, before_ns=time.time_ns() + 1, by="dana")
    assert deleted == before
    report = verify(directory, key=str(key.public))
    assert report.is_whole, report.problems
    assert (report.deleted, report.deleted_events, report.events) == (len(before), 40, 0)
    again = opened(segment_size=1200, durability="write_ahead", retention=0.0)
    for number in range(40):
        again.write_ahead(event(number)).result(20)
    again.close()
    report = verify(directory, key=str(key.public))
    assert report.is_whole, report.problems
    assert report.deleted_events + report.events == 80
    assert report.deleted > len(before)


def test_a_record_is_whole_at_any_moment_while_processes_write_rotate_and_delete(opened, tmp_path):
    ends = threading.Event()
    records = [
        opened(
            segment_size=4000, window=0.002, retention=0.2, anchor=anchor_file(tmp_path / "heads")
        )
        for _ in range(3)
    ]

    def work(record):
        number = 0
        while not ends.is_set():
            number += 1
            record.write(event(number))
            time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    try:
        until = time.monotonic() + (60 if SOAK else 4)
        while time.monotonic() < until:
            if (tmp_path / "heads").exists():
                report = verify(
                    tmp_path / "record", key=tmp_path / "record.pub", anchor=tmp_path / "heads"
                )
                assert report.is_whole, report.problems
                assert not [each for each in read(tmp_path / "record") if each["kind"] == "x"]
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert verify(tmp_path / "record", key=tmp_path / "record.pub").deleted


def test_an_anchor_that_fails_refuses_until_it_works(opened, tmp_path):
    works = threading.Event()
    keep = anchor_file(tmp_path / "heads")

    def anchor(line):
        if not works.is_set():
            raise RuntimeError("no connection")
        keep(line)

    record = opened(durability="write_ahead", anchor=anchor)
    with pytest.raises(StateUnavailable, match="no connection"):
        record.write_ahead(event(1)).result(20)
    works.set()
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            record.write_ahead(event(2)).result(20)
            break
        except StateUnavailable:
            time.sleep(0.01)
    record.close()
    report = verify(tmp_path / "record", anchor=tmp_path / "heads")
    assert report.is_whole, report.problems
    assert json.loads((tmp_path / "heads").read_text().splitlines()[-1])["total"] == report.events


@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_with_side_effects_waits_for_the_disk_and_a_read_does_not(
    opened, tmp_path, is_async
):
    record = opened(durability="write_ahead", window=30)
    its = testing.governor(record=record)
    found = {}

    def look(name):
        found[name] = [each["tool"] for each in read(tmp_path / "record") if "tool" in each]

    @gr.governed_tool(operation="read")
    def peek() -> None:
        look("peek")

    @gr.governed_tool(operation="write")
    def pay() -> None:
        look("pay")

    @gr.governed_tool(name="peek", operation="read")
    async def peek_async() -> None:
        look("peek")

    @gr.governed_tool(name="pay", operation="write")
    async def pay_async() -> None:
        look("pay")

    async def work():
        async with its.run("agent"):
            await peek_async()
            await pay_async()

    if is_async:
        asyncio.run(work())
    else:
        with its.run("agent"):
            peek()
            pay()
    assert not any("peek" in each for each in found["peek"])
    assert any("pay" in each for each in found["pay"])


def test_what_a_tool_does_with_its_arguments_does_not_change_what_was_recorded(opened, tmp_path):
    record = opened(window=5)

    @gr.governed_tool(operation="write")
    def send(items: list[int], options: dict[str, list[str]]) -> None:
        items.append(99)
        options["to"].append("stranger")

    with testing.governor(record=record).run("agent"):
        send([1], {"to": ["dana"]})
    record.close()
    started = next(each for each in read(tmp_path / "record") if each["kind"] == "call.started")
    assert started["input"]["args"] == {"items": [1], "options": {"to": ["dana"]}}
