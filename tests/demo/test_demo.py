"""The demo: what it claims happens, whatever key is pressed, and an OPA server agrees."""

from __future__ import annotations

import copy
import io
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

import guardrails
from guardrails.cli import app
from guardrails.demo.claims import Claim
from guardrails.demo.comparison import Comparison, compare
from guardrails.demo.keys import Keys
from guardrails.demo.lab import Lab
from guardrails.demo.scenes import SCENES, Scene
from guardrails.demo.show import limit_place, play
from guardrails.demo.stage import WIDTH, Stage, duration
from guardrails.demo.summary import Summary
from guardrails.rego.opa_binary import find_opa
from guardrails.resources import examples_directory

pytestmark = pytest.mark.slow  # most tests play scenes, which takes seconds

SOURCE = str(Path(guardrails.__file__).parents[1])


@pytest.fixture(scope="module")
def opa():
    found = find_opa()
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no OPA binary; `make opa` gets one")
        pytest.skip("no OPA binary; `make opa` gets one")
    return found


def demo(*words, **environment):
    code = "from guardrails.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "demo", *words],
        env={**os.environ, "PYTHONPATH": SOURCE, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def told():
    ran = demo("--json", "--fast")
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    assert ran.stderr == ""
    return [json.loads(line) for line in ran.stdout.splitlines()]


def test_every_claim_of_the_summary_holds(told):
    summary = told[-1]
    assert summary["kind"] == "summary"
    assert summary["holds"] is True
    assert len(summary["claims"]) >= 13
    assert [claim["claim"] for claim in summary["claims"] if not claim["holds"]] == []


def test_there_is_one_object_a_decision_and_they_add_up(told):
    *decisions, summary = told
    assert {one["kind"] for one in decisions} == {"decision"}
    assert len({one["decision_id"] for one in decisions}) == len(decisions)
    assert {one["scene"] for one in decisions} == {1, 2, 3, 4, 5}
    shadowed = [one for one in decisions if one["outcome"] == "shadowed"]
    assert len(shadowed) == summary["shadowed"] == 200
    assert len(decisions) == summary["decisions"] + summary["shadowed"]
    assert sum(one["ran"] for one in decisions) == summary["allowed"]
    assert summary["calls"] == summary["allowed"] + summary["asked"] + summary["refused"]
    # The calls that a budget refuses are refused before anybody decides: one a thread.
    assert summary["calls"] - summary["decisions"] == 8
    assert 0 < summary["p50_ns"] <= summary["p99_ns"]


def test_each_scene_does_what_it_is_about(told):
    def calls(scene, tool):
        return [one for one in told[:-1] if (one["scene"], one["tool"]) == (scene, tool)]

    payments = calls(1, "pay_difference")
    assert {one["effect"] for one in payments} == {"allow", "require_approval", "deny"}
    assert {one["args"]["amount"] for one in payments if one["approved_by"]} == {4180}
    assert [one["ran"] for one in payments if one["args"]["amount"] == 41800] == [False]
    (stranger,) = [one for one in calls(2, "send_email") if "evil" in one["args"]["to"]]
    assert [one["ran"] for one in calls(2, "send_email")] == [True, False]
    assert (stranger["effect"], stranger["reasons"][0]["rule"]) == ("deny", "contacts")
    assert [one["ran"] for one in calls(3, "look_up_rate")] == [True] * 50
    assert [one["outcome"] for one in calls(4, "read_sources")] == ["killed"] * 3
    assert not any(one["ran"] for one in calls(5, "route_ticket"))


@pytest.mark.opa
def test_an_opa_server_gives_every_decision_too(opa, told):
    summary = told[-1]
    assert summary["opa"] == {"equal": summary["decisions"], "shadowed_equal": 200}


def test_without_a_terminal_it_is_plain_text_that_fits():
    ran = demo("--fast", "--scene", "2")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert "\x1b" not in ran.stdout
    assert "\r" not in ran.stdout
    assert max(map(len, ran.stdout.splitlines())) <= WIDTH
    assert re.search(
        r"^    send_email     to=pay@evil\.example  DENY +[\d.]+ [mµ]s  a recipient",
        ran.stdout,
        re.MULTILINE,
    )


def test_a_terminal_without_the_characters_gets_marks():
    ran = demo("--fast", "--scene", "2", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert "DENY" in ran.stdout


def test_a_place_to_change_is_named_truly():
    place = limit_place(examples_directory())
    assert place is not None
    file, row, limit = place
    assert file.read_text("utf-8").splitlines()[row - 1] == f"limit := {limit}"
    ran = demo("--fast", "--scene", "2")
    assert f"payments.rego:{row} ({limit} -> 100), run again" in ran.stdout


def test_an_unknown_scene_is_a_usage_error():
    assert CliRunner().invoke(app, ["demo", "--scene", "6"]).exit_code == 2


@contextmanager
def pressed(key):
    """A terminal on which somebody presses `key` again and again: one press will be in time."""
    pty = pytest.importorskip("pty")
    person, program = pty.openpty()
    done = threading.Event()

    def press():
        while not done.wait(0.05):
            os.write(person, key.encode())

    presser = threading.Thread(target=press)
    try:
        with Keys(program) as keys:
            presser.start()
            yield keys
    finally:
        done.set()
        presser.join()
        os.close(person)
        os.close(program)


@pytest.fixture(scope="module")
def lab():
    return Lab.open()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a", "approved by kim.tan@acme.example"),
        ("r", "a person said no"),
        ("t", "4,180 -> 41,800   REFUSED  approval is for sha256:"),
    ],
)
def test_each_answer_is_taken_at_its_word(lab, key, expected):
    printed = io.StringIO()
    console = Console(
        file=printed,
        width=WIDTH,
        markup=False,
        highlight=False,
        force_terminal=True,
        color_system=None,
    )
    mark = lab.mark()
    with pressed(key) as keys:
        claims = SCENES[0].play(1, Stage(console, keys=keys, pace=0), lab)
    assert expected in printed.getvalue()
    assert claims
    assert all(claim.holds for claim in claims)
    large = [call for call in lab.calls(mark) if (call.args or {}).get("amount", 0) >= 4180]
    assert sum(call.ran for call in large) == (0 if key == "r" else 1)


def test_a_claim_that_fails_is_told_and_is_the_exit_code(monkeypatch):
    def lie(number, stage, lab):
        return [Claim("two and two are five", holds=False)]

    monkeypatch.setattr("guardrails.demo.show.SCENES", (Scene(1, lie),))
    result = CliRunner().invoke(app, ["demo", "--fast"])
    assert result.exit_code == 1
    assert "NOT TRUE: two and two are five" in result.stdout


@pytest.mark.opa
def test_a_server_with_another_policy_is_found_out(opa, lab):
    SCENES[1].play(2, Stage(Console(quiet=True), pace=0), lab)
    assert all(compare(lab).equal)
    data = copy.deepcopy(dict(lab.policies.data))
    data["guardrails_data"]["agents"]["invoice-agent"]["contacts"].append("@evil.example")
    other = replace(lab, policies=replace(lab.policies, data=data))
    different = [
        asked.document["args"]
        for asked, equal in zip(lab.engine.asked, compare(other).equal, strict=True)
        if not equal
    ]
    assert {args["to"] for args in different} == {"pay@evil.example"}


def test_without_an_opa_the_comparison_is_skipped(lab, monkeypatch):
    monkeypatch.setattr("guardrails.demo.comparison.find_opa", lambda _explicit: None)
    comparison = compare(lab)
    assert comparison.skipped
    summary = Summary.of(lab.calls(), lab.engine.asked, comparison, [])
    assert summary.holds
    assert any("skipped, no opa" in line for line in summary.lines())


def test_an_opa_that_cannot_be_asked_is_a_failure(lab, monkeypatch):
    monkeypatch.setenv("OPA", "/nonexistent/opa")
    comparison = compare(lab)
    assert comparison.failed
    assert not Summary.of(lab.calls(), lab.engine.asked, comparison, []).holds


def test_no_thread_outlives_the_show():
    before = set(threading.enumerate())
    play(Stage(Console(quiet=True), pace=0), only=4)
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize(
    ("nanoseconds", "shown"),
    [
        (0, "0 ns"),
        (870, "870 ns"),
        (6_100, "6.1 µs"),
        (6_100_000, "6.1 ms"),
        (61e6, "61 ms"),
        (2e9, "2.0 s"),
    ],
)
def test_a_time_has_its_unit(nanoseconds, shown):
    assert duration(nanoseconds) == shown


def test_a_summary_of_nothing_holds():
    summary = Summary.of([], [], Comparison(skipped="no opa"), [])
    assert summary.holds
    assert summary.calls == summary.percentile(99) == 0
