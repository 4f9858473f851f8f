"""Whoever changes a record on disk without its key is found, and so is the place."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest

from guardrails.audit.heads import anchor_file
from guardrails.audit.keys import RecordKey
from guardrails.audit.layout import segments_in
from guardrails.audit.segments import SegmentRecord
from guardrails.audit.verification import verify
from guardrails.model.call import Event

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"


def write(root, key, *, events=12, anchor=None):
    """A record of two streams, the first of several segments."""
    for number in range(2):
        record = SegmentRecord(
            root / "record",
            key=key,
            segment_size=1500,
            durability="write_ahead",
            anchor=None if anchor is None else anchor_file(anchor),
        )
        for step in range(events if number == 0 else 2):
            event = Event(
                "call.started", step + 1, decision_id=f"{number}-{step}", input={"amount": step}
            )
            record.write_ahead(event).result(20)
        record.close()
    return root / "record"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A signed record, its public key and its anchor."""
    root = tmp_path_factory.mktemp("whole")
    key = RecordKey.load_or_make(root / "record.key")
    anchor = root / "anchor.heads"
    return write(root, key, anchor=anchor), str(key.public), anchor


@pytest.fixture
def copy(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path / "record")
    return tmp_path / "record"


def problems(directory, whole, *, anchor=False):
    report = verify(directory, key=whole[1], anchor=whole[2] if anchor else None)
    return report.problems


def files(directory):
    return sorted(directory.iterdir())


def found_in(directory, whole, path, line=None):
    """The problems; one of them is at the place of the damage."""
    found = problems(directory, whole)
    assert found, f"nothing was found of a change of {path.name}"
    places = [(each.file, each.line) for each in found]
    if line is not None:
        assert any(file == path.name and abs(at - line) <= 2 for file, at in places), (
            f"{path.name}:{line} is not among {places}"
        )
    return found


def test_what_nobody_touched_is_whole(whole):
    report = verify(whole[0], key=whole[1], anchor=whole[2])
    assert report.findings == ()
    assert (report.streams, report.events) == (2, 14)
    assert report.segments > 4
    assert report.is_pinned
    assert len(report.keys) == 1


def test_any_byte_that_is_changed_is_found_at_its_place(copy, whole):
    chosen = random.Random(7)
    for path in files(copy):
        content = path.read_bytes()
        places = range(len(content)) if SOAK else chosen.sample(range(len(content)), 20)
        for place in places:
            changed = bytearray(content)
            changed[place] ^= 1 << chosen.randrange(7)
            path.write_bytes(changed)
            found_in(copy, whole, path, content[:place].count(b"\n") + 1)
        path.write_bytes(content)
    assert problems(copy, whole) == ()


def test_every_field_of_every_line_that_is_changed_is_found(copy, whole):
    chosen = random.Random(11)
    for path in files(copy):
        lines = path.read_bytes().splitlines(keepends=True)
        for number, line in enumerate(lines):
            fields = list(re.finditer(rb'"(\w+)":("[^"]*"|[\d]+|null)', line))
            for field in fields if SOAK else chosen.sample(fields, 2):
                new = line[: field.start(2)] + b'"forged"' + line[field.end(2) :]
                path.write_bytes(b"".join([*lines[:number], new, *lines[number + 1 :]]))
                found_in(copy, whole, path, number + 1)
        path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("act", ["drop", "swap", "duplicate", "insert"])
def test_lines_that_are_moved_are_found(copy, whole, act):
    for path in files(copy):
        lines = path.read_bytes().splitlines(keepends=True)
        for number in range(len(lines)):
            new = list(lines)
            if act == "drop":
                del new[number]
            elif act == "duplicate":
                new.insert(number, lines[number])
            elif act == "insert":
                new.insert(number, b'{"kind":"call.started","time":1}\n')
            elif number + 1 == len(lines):
                continue
            else:
                new[number : number + 2] = [lines[number + 1], lines[number]]
            path.write_bytes(b"".join(new))
            found_in(copy, whole, path, None if path.name == "streams.jsonl" else number + 1)
        path.write_bytes(b"".join(lines))


def test_a_cut_at_any_line_is_found(copy, whole):
    for path in files(copy):
        content = path.read_bytes()
        ends = [0, *(each.end() for each in re.finditer(b"\n", content))]
        for end in ends[:-1]:
            path.write_bytes(content[:end])
            found = found_in(copy, whole, path)
            if path.name != "streams.jsonl":
                assert any(each.file == path.name for each in found)
        if SOAK:
            for end in range(len(content)):
                path.write_bytes(content[:end])
                found_in(copy, whole, path)
        path.write_bytes(content)


@pytest.fixture
def crashed(tmp_path):
    """A record as the crash of its process leaves it, its head written, and its public key."""
    key = RecordKey.load_or_make(tmp_path / "record.key")
    record = SegmentRecord(tmp_path / "live", key=key, durability="write_ahead")
    for step in range(6):
        event = Event("call.started", step + 1, decision_id=str(step), input={"amount": step})
        record.write_ahead(event).result(20)
    until = time.monotonic() + 30
    while _head_of(tmp_path / "live") < 7 and time.monotonic() < until:
        time.sleep(0.01)
    shutil.copytree(tmp_path / "live", tmp_path / "record")
    record.close()
    return tmp_path / "record", str(key.public)


def _head_of(directory: Path) -> int:
    """The number of the closing line that the only head names."""
    return max((json.loads(each.read_text())["n"] for each in directory.glob("*.head")), default=0)


def test_what_is_cut_off_or_changed_after_a_crash_is_found_by_the_head(crashed):
    directory, key = crashed
    assert verify(directory, key=key).is_whole
    (segment,) = directory.glob("*-000001.jsonl")
    (head,) = directory.glob("*.head")
    content = segment.read_bytes()
    for end in [0, *(each.end() for each in re.finditer(b"\n", content))][:-1]:
        segment.write_bytes(content[:end])
        found = verify(directory, key=key).problems
        assert any(each.file in {segment.name, head.name} for each in found), end
    segment.write_bytes(content)
    line = head.read_bytes()
    chosen = random.Random(3)
    for place in range(len(line)) if SOAK else chosen.sample(range(len(line)), 30):
        changed = bytearray(line)
        changed[place] ^= 1 << chosen.randrange(7)
        head.write_bytes(changed)
        assert any(each.file == head.name for each in verify(directory, key=key).problems), place
    head.unlink()
    assert verify(directory, key=key).problems, "a stream that has not ended has a head"


def test_a_file_that_is_taken_away_or_put_in_is_found(copy, whole):
    for path in files(copy):
        content = path.read_bytes()
        path.unlink()
        found_in(copy, whole, path)
        path.write_bytes(content)
    segment = copy / str(segments_in(copy)[0])
    forged = copy / segment.name.replace(segment.name[17:29], "0" * 12)
    shutil.copy(segment, forged)
    found_in(copy, whole, forged)


def test_segments_that_are_exchanged_are_found(copy, whole):
    names = [copy / str(each) for each in segments_in(copy)]
    for one, other in itertools.pairwise(names):
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
        found_in(copy, whole, one, 1)
        one.write_bytes(first)
        other.write_bytes(second)


def test_a_splice_of_two_logs_is_found(copy, whole, tmp_path):
    key = RecordKey.load(whole[0].parent / "record.key")
    other = write(tmp_path / "other", key)
    mine, theirs = (directory / str(segments_in(directory)[0]) for directory in (copy, other))
    ours, foreign = (each.read_bytes().splitlines(keepends=True) for each in (mine, theirs))
    for cut in range(1, min(len(ours), len(foreign))):
        mine.write_bytes(b"".join(ours[:cut] + foreign[cut:]))
        found_in(copy, whole, mine)
    mine.write_bytes(theirs.read_bytes())
    found_in(copy, whole, mine, 1)


def test_a_stream_that_is_taken_away_with_its_lines_is_found_by_the_anchor(copy, whole):
    manifest = copy / "streams.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    last = json.loads(lines[-1])["stream"]
    manifest.write_bytes(b"".join(line for line in lines if last.encode() not in line))
    for name in segments_in(copy):
        if name.stream == last:
            (copy / str(name)).unlink()
    assert problems(copy, whole) == (), "a whole earlier state looks whole: that is why"
    found = problems(copy, whole, anchor=True)
    assert any(last in each.what for each in found)


def test_the_anchor_itself_is_verified(copy, whole, tmp_path):
    forged = tmp_path / "forged.heads"
    line = whole[2].read_bytes().splitlines(keepends=True)[0]
    forged.write_bytes(line.replace(b'"total":0', b'"total":9'))
    report = verify(copy, key=whole[1], anchor=forged)
    assert [(each.file, each.line) for each in report.problems] == [("forged.heads", 1)]


def test_another_key_is_not_taken(copy, tmp_path):
    stranger = RecordKey.load_or_make(tmp_path / "stranger.key")
    found = verify(copy, key=str(stranger.public)).problems
    assert found
    assert all("none of those given" in each.what for each in found)


def test_a_record_written_anew_without_the_key_is_found(tmp_path, whole):
    forged = write(tmp_path / "forged", None)
    assert verify(forged).is_whole
    assert any("nothing is signed" in each.what for each in verify(forged).findings)
    assert all("is not signed" in each.what for each in verify(forged, key=whole[1]).problems)
    assert not verify(forged, key=whole[1]).is_whole


def test_every_line_of_every_file_is_json_that_any_tool_reads(whole):
    for path in (*files(whole[0]), Path(whole[2])):
        for line in path.read_text("ascii").splitlines():
            assert json.loads(line)["kind"]
