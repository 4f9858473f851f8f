"""What a replay shows: whatever a record holds, it stays text."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser

import pytest
from tests.replay.records import STRICTER, event, inputs, shipped, written
from typer.testing import CliRunner

from guardrails.cli.root import app
from guardrails.replay import replay
from guardrails.replay.page import page_of
from guardrails.replay.replaying import findings_of
from guardrails.replay.told import markdown_of

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=y>`|\u202e\x1b[31m\ud800"
VOID = {"meta", "rect", "br"}


class Strict(HTMLParser):
    """Reads a page whose every tag is closed, and notes tags and attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


@pytest.fixture(scope="module")
def candidate():
    return shipped(STRICTER)


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    engine = shipped().engine()
    events = [event(engine, document, at) for at, document in enumerate(inputs())]
    for each in events:
        if each["tool"] == "send_mail":
            each["input"] = {**each["input"], "args": {**each["input"]["args"], "note": HOSTILE}}
            each["agent"] = each["decision_id"] = HOSTILE
    return written(tmp_path_factory.mktemp("log") / "record.jsonl", events)


@pytest.fixture(scope="module")
def found(log, candidate):
    return replay(log, candidate, workers=1)


def test_a_page_is_whole_and_holds_nothing_that_runs_or_loads(found, candidate) -> None:
    assert found.tally.flips
    page = Strict()
    page.feed(page_of(found, findings_of(found, candidate)))
    page.close()
    assert page.stack == []
    assert page.tags & {"script", "img", "link", "iframe"} == set()
    assert not {name for name in page.attributes if name.startswith("on")} | (
        page.attributes & {"src", "href"}
    )
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    assert "\u202e" not in page.text
    assert "no_mail" in page.text
    assert "mail is off" in page.text


def test_an_empty_replay_has_a_page(tmp_path, candidate) -> None:
    page = Strict()
    page.feed(page_of(replay(written(tmp_path / "r", []), candidate, workers=1)))
    assert page.stack == []


def test_markdown_cannot_be_left(found) -> None:
    text = markdown_of(found)
    assert f"{found.tally.flips} of {found.tally.decisions} recorded decisions change" in text
    cells = [line for line in text.splitlines() if "alert" in line]
    assert cells
    for line in cells:
        assert line.isascii() or "¦" in line
        assert line.count("`") % 2 == 0
        outside = line.split("`")[::2]
        assert not any("<" in part for part in outside)
        assert line.count("|") in (5, 6)


@pytest.fixture
def project(tmp_path, monkeypatch, log):
    (tmp_path / "guardrails.yaml").write_text("environment: prod\n", encoding="utf-8")
    shutil.copy("benchmarks/policies/library/agents.yaml", tmp_path / "agents.yaml")
    rules = tmp_path / "next" / "rules"
    rules.mkdir(parents=True)
    (rules / "no_mail.rego").write_text(STRICTER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GUARDRAILS_CONFIG", raising=False)
    return tmp_path


def _run(*args):
    return CliRunner().invoke(app, ["replay", *map(str, args)])


def test_the_command_says_it_in_every_form(project, log) -> None:
    done = _run("--policy", "next", "--log", log, "--html", "p.html", "--markdown", "p.md")
    assert done.exit_code == 0, done.output
    assert "decisions change" in done.output
    assert "no_mail" in done.output
    assert "no_mail" in (project / "p.html").read_text(encoding="utf-8")
    assert "### Policy replay" in (project / "p.md").read_text(encoding="utf-8")
    document = json.loads(_run("--policy", "next", "--log", log, "--json").stdout)
    assert document["flips"] > 0
    assert document["decisions"] == len(inputs())


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--max-flips", "0", 1),
        ("--max-flips", "0%", 1),
        ("--max-flips", "1000", 0),
        ("--max-flips", "100%", 0),
        ("--max-unreplayed", "0", 0),
        ("--max-flips", "a few", 2),
        ("--max-flips", "-1", 2),
        ("--max-flips", "0.5", 2),
    ],
)
def test_thresholds_decide_the_exit_code(project, log, option, value, code) -> None:
    assert _run("--policy", "next", "--log", log, option, value).exit_code == code


def test_what_is_not_replayed_makes_no_share_of_flips_smaller(project, log) -> None:
    more = project / "more.jsonl"
    more.write_bytes(log.read_bytes() + b"torn\n" * 1000)
    flips = json.loads(_run("--policy", "next", "--log", log, "--json").stdout)
    share = 100 * flips["flips"] // flips["decisions"]
    assert share > 1
    assert _run("--policy", "next", "--log", more, "--max-flips", f"{share - 1}%").exit_code == 1
    assert _run("--policy", "next", "--log", more, "--max-unreplayed", "50%").exit_code == 1


def test_a_replay_of_nothing_is_no_success(project) -> None:
    written(project / "empty.jsonl", [{"kind": "run.opened"}])
    done = _run("--policy", "next", "--log", "empty.jsonl", "--max-flips", "0")
    assert done.exit_code == 1
    assert "no decision of the record could be replayed" in done.output


def test_what_is_wrong_is_said(project, log) -> None:
    assert _run("--policy", "nowhere", "--log", log).exit_code == 2
    assert _run("--policy", "next", "--log", "nowhere").exit_code == 2
    (project / "next" / "rules" / "no_mail.rego").write_text("package x\nbroken :=", "utf-8")
    done = _run("--policy", "next", "--log", log)
    assert done.exit_code == 1
    assert "no_mail.rego" in done.output


def test_where_something_is_hidden_is_named_in_every_form(project, log) -> None:
    lines = [json.loads(line) for line in log.read_text("ascii").splitlines()]
    pointers = ["/input/args/to", "/input/args/lines/0/x", "/input/args/lines/1/x"]
    for line, pointer in zip(lines, pointers, strict=False):
        line["masked"] = [pointer]
    hidden = written(project / "hidden.jsonl", lines)
    done = _run("--policy", "next", "--log", hidden, "--html", "h.html", "--markdown", "h.md")
    assert "  2: /input/args/lines/*/x\n  1: /input/args/to\n" in done.output
    assert "  - 2: `/input/args/lines/*/x`\n" in (project / "h.md").read_text("utf-8")
    page = Strict()
    page.feed((project / "h.html").read_text("utf-8"))
    assert "/input/args/lines/*/x in 2" in page.text
    assert page.stack == []


def test_a_threshold_is_passed_by_one_more(project, log) -> None:
    told = json.loads(_run("--policy", "next", "--log", log, "--json").stdout)
    assert told["loosened"] < told["flips"]
    for name in ("flips", "loosened"):
        number = told[name]
        assert number
        assert _run("--policy", "next", "--log", log, f"--max-{name}", number).exit_code == 0
        done = _run("--policy", "next", "--log", log, f"--max-{name}", number - 1)
        assert done.exit_code == 1
        assert f"{number} {name}, more than {number - 1} permits" in done.output


def test_markdown_tells_effects_rules_tools_and_examples(project, log) -> None:
    assert _run("--policy", "next", "--log", log, "--markdown", "s.md").exit_code == 0
    text = (project / "s.md").read_text("utf-8")
    told = json.loads(_run("--policy", "next", "--log", log, "--json").stdout)
    assert text.startswith(
        f"### Policy replay: {told['flips']:,} of {told['decisions']:,} recorded decisions change\n"
    )
    for row in told["effects"]:
        line = f"| `{row['was']}` | `{row['becomes']}` | {row['decisions']:,} |"
        assert (line in text) is (row["was"] != row["becomes"])
    (rule,) = [row for row in told["rules"] if row["rule"] == "no_mail"]
    assert f"| `no_mail` | {rule['newly']:,} | {rule['no_longer']:,} |" in text
    for row in [row for row in told["tools"] if row["flips"]][:10]:
        numbers = f"{row['decisions']:,} | {row['flips']:,} | {row['loosened']:,}"
        assert f"| `{row['tool']}` | {numbers} |" in text
    for table in text.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal of its own")
@pytest.mark.parametrize(
    ("words", "doing"),
    [
        (("replay", "--policy", "next", "--workers", "1"), b"replaying"),
        (("report",), b"reading"),
    ],
)
def test_the_bar_of_progress_is_no_part_of_the_output(project, log, words, doing) -> None:
    """Standard error is a terminal, and shows a bar; standard output is one line of JSON."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", "from guardrails.cli import main; main()"),
            *(*words, "--log", str(log), "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    shown = threading.Thread(target=_drain, args=(ours, told := bytearray()))
    shown.start()
    out, _ = process.communicate(timeout=120)
    shown.join()
    os.close(ours)
    assert process.returncode == 0
    assert doing in told
    (line,) = out.decode("ascii").splitlines()
    assert json.loads(line)


def _drain(terminal: int, told: bytearray) -> None:
    with contextlib.suppress(OSError):  # the other end is closed
        while part := os.read(terminal, 4096):
            told += part
