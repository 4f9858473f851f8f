"""``guardrails audit``: the exit code says whether the record is whole, a finding where not."""

from __future__ import annotations

import json
import time

import pytest
from typer.testing import CliRunner

from guardrails.audit.keys import RecordKey
from guardrails.audit.layout import segments_in
from guardrails.audit.segments import SegmentRecord
from guardrails.cli.root import app
from guardrails.model.call import Event

pytestmark = pytest.mark.usefixtures("made_up_events")


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "guardrails.yaml").write_text("environment: dev\n")
    (tmp_path / "agents.yaml").write_text(
        "billing:\n  owner: dana.ruiz@acme.example\n  budget: {dev: {usd: 5}}\n"
    )
    state = tmp_path / ".guardrails"
    its = SegmentRecord(state / "record", key=RecordKey.load_or_make(state / "record.key"))
    for number in range(5):
        its.write(Event("call.started", number + 1, tool=f"t{number}"))
    its.close()
    return state / "record"


def run(*words, code=0):
    result = CliRunner().invoke(app, ["audit", *map(str, words)])
    assert result.exit_code == code, result.output + result.stderr
    return result.output


def test_a_whole_record_is_said_to_be_whole(record):
    said = run("verify")
    assert "whole: 5 events in 1 segment of 1 stream" in said
    assert said.startswith("note: ")  # that nobody named a key is no problem
    found = json.loads(run("verify", "--key", record.parent / "record.pub", "--json"))
    assert (found["whole"], found["pinned"], found["findings"]) == (True, True, [])
    assert run("verify", record, "--key", (record.parent / "record.pub").read_text().strip())


def test_a_changed_record_exits_with_1_and_names_the_place(record):
    file = record / str(segments_in(record)[0])
    file.write_bytes(file.read_bytes().replace(b'"t3"', b'"t4"'))
    assert f"{file.name}:2 (byte " in run("verify", code=1)


def test_a_plain_file_cannot_be_verified_or_pruned(record, tmp_path):
    (tmp_path / "plain.jsonl").write_text('{"kind":"x"}\n')
    run("verify", tmp_path / "plain.jsonl", code=2)
    run("prune", tmp_path / "plain.jsonl", "--before", "1d", code=2)
    assert '"x"' in run("tail", tmp_path / "plain.jsonl", "--no-follow")


def test_the_last_events_are_printed(record):
    lines = run("tail", "-n", 2, "--no-follow").splitlines()
    assert [json.loads(line)["tool"] for line in lines] == ["t3", "t4"]


def test_what_is_pruned_is_counted(record):
    assert "nothing ended before" in run("prune", "--before", "1d")
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 90_000))
    assert "deleted 20" in run("prune", "--before", tomorrow)
    assert "deleted: 1 segment with 5 events" in run("verify")
    run("prune", "--before", "soon", code=2)
