"""To approve a server's tools is an act of a person; the record holds it with what was seen."""

from __future__ import annotations

import json

from tests.adapters.mcp.conftest import guardrails
from tests.adapters.mcp.test_harm import written
from tests.adapters.project import write_project


def acts(directory):
    lines = (directory / "record.jsonl").read_text("utf-8").splitlines()
    return [each["detail"] for each in map(json.loads, lines) if each["kind"] == "mcp.approved"]


def configured(directory, record):
    write_project(directory)
    with (directory / "guardrails.yaml").open("a", encoding="utf-8") as file:
        file.write(f"record: {record}\n")


def approve(directory, *words):
    return guardrails(directory, "mcp", "approve", "notes", "--yes", *words)


def test_who_approved_which_definitions_and_why_is_recorded(tmp_path):
    configured(tmp_path, "record.jsonl")
    path = written(tmp_path, notes={})
    approve(tmp_path, "--by", "sec@acme.example", "--reason", "first look")
    approve(tmp_path)
    document = json.loads(path.read_text("utf-8"))
    document["mcpServers"]["notes"]["env"] = {"NOTES": "others"}
    path.write_text(json.dumps(document), "utf-8")
    approve(tmp_path)

    first, same, elsewhere = acts(tmp_path)
    pinned = json.loads((tmp_path / "mcp.lock.json").read_text("utf-8"))["servers"]["notes"]
    assert first["server"] == "notes"
    assert first["reason"] == "first look"
    assert first["by"].startswith("sec@acme.example (as ")
    assert first["tools"] == sorted(pinned["tools"])
    assert "replaces" not in first
    assert same["definitions"] == same["replaces"] == first["definitions"]
    assert "(as " not in same["by"]
    assert elsewhere["definitions"] == first["definitions"]
    assert elsewhere["launch"] != first["launch"] == same["launch"]


def test_what_cannot_be_recorded_is_not_approved(tmp_path):
    configured(tmp_path, "gone/record.jsonl")
    (tmp_path / "gone").write_text("no directory", "utf-8")
    written(tmp_path, notes={})
    done = guardrails(tmp_path, "mcp", "approve", "notes", "--yes", code=None)
    assert done.returncode != 0
    assert "record" in done.stderr
    assert not (tmp_path / "mcp.lock.json").exists()


def test_where_nothing_names_a_record_it_is_approved_and_that_is_said(tmp_path):
    written(tmp_path, notes={})
    assert "not recorded" in approve(tmp_path).stderr
    assert (tmp_path / "mcp.lock.json").exists()
