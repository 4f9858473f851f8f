"""``python -m benchmarks``: what it writes, and how it exits."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace

import pytest
from benchmarks import __main__ as command
from benchmarks import catalogue, loading, results, variants
from benchmarks.gates import Gate, Outcome, Status
from benchmarks.loading import longest_gap, measure_loads
from benchmarks.policies import scaling
from benchmarks.variant import NotThereError


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """Runs the command; gives its exit, its text and what it wrote."""

    def run(*options):
        place = tmp_path / "results.json"
        monkeypatch.setattr(sys, "argv", ["benchmarks", *options, "--output", str(place)])
        code = command.main()
        return code, capsys.readouterr().out, json.loads(place.read_text(encoding="utf-8"))

    return run


def outcome(status):
    return Outcome("self-check", Gate("a", "b", 1.0), status)


@pytest.mark.parametrize(
    ("status", "options", "code"),
    [
        (Status.PASSED, ("--gates",), 0),
        (Status.FAILED, ("--gates",), 1),
        (Status.PENDING, ("--gates",), 0),
        (Status.FAILED, (), 0),
    ],
)
def test_with_gates_the_exit_says_whether_one_failed(call, monkeypatch, status, options, code):
    monkeypatch.setattr(catalogue, "self_check", lambda **_: outcome(status))
    found, text, written = call("--only", "self-check", *options)
    assert found == code
    assert status.value in text
    assert written["gates"][0]["status"] == status.value


def test_results_say_where_they_come_from(call):
    _, text, written = call("--only", "self-check", "--quick")
    assert written["machine"].keys() == {"cpu", "cores", "system"}
    assert written["python"].lower().startswith(sys.implementation.name)
    assert written["date"].endswith("+00:00")
    assert written["versions"]["regopy"]
    assert written["gates"][0]["measured"]["median"] > 0
    assert "planted slowdown" in text


def test_a_part_of_the_suite_does_not_replace_the_results_of_the_whole(monkeypatch):
    monkeypatch.setattr(catalogue, "self_check", lambda **_: outcome(Status.PASSED))
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "self-check"])
    monkeypatch.setattr(results, "write", lambda *_: pytest.fail("it was written"))
    assert command.main() == 0


def test_a_part_that_fails_is_told_of_and_the_others_are_measured(call, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("planted")

    parts = catalogue.parts()
    chosen = [replace(each, measure=fail) if each.name == "cold" else each for each in parts]
    monkeypatch.setattr(command, "parts", lambda: chosen)
    monkeypatch.setattr(catalogue, "self_check", lambda **_: outcome(Status.PASSED))
    code, text, written = call("--only", "cold", "--only", "self-check")
    assert code == 1
    assert "RuntimeError: planted" in text
    assert "these parts have failed: cold" in text
    assert [each["benchmark"] for each in written["gates"]] == ["self-check"]


def test_results_that_lack_a_part_replace_none(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("planted")

    some = [replace(each, measure=fail) for each in catalogue.parts()]
    monkeypatch.setattr(command, "parts", lambda: some)
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    monkeypatch.setattr(results, "write", lambda *_: pytest.fail("it was written"))
    assert command.main() == 1


def test_an_unknown_benchmark_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "nonsense"])
    with pytest.raises(SystemExit) as exit_:
        command.main()
    assert exit_.value.code == 2
    assert "nonsense" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------- loads


def test_a_stall_is_seen_as_long_as_it_is():
    taken = 0

    def hold():
        nonlocal taken
        start = time.perf_counter_ns()
        sum(range(5_000_000))  # one call in C: it keeps the interpreter's lock to its end
        taken = time.perf_counter_ns() - start

    assert longest_gap(hold) > taken / 2


def test_the_watching_thread_ends_also_when_the_work_fails():
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="planted"):
        longest_gap(lambda: (_ for _ in ()).throw(RuntimeError("planted")))
    assert threading.active_count() == before


def test_loads_have_their_figures_and_gates(monkeypatch):
    policy = scaling.packages(2, rules=4, tools=2)
    monkeypatch.setattr(variants, "warm_load", lambda _: lambda: None)
    monkeypatch.setattr(variants, "generated_source", lambda _: "x = 1\n" * 2000)
    loads = measure_loads("load", policy, repeats=1, rounds=3)
    assert {each.gate.variant: each.gate.target for each in loads.outcomes} == {
        "load": 8,
        "stall by a reload": 15,
        "warm start": 2,
    }
    assert loads.figures["warm start"][0].median < 1
    for name, (figure, _) in loads.figures.items():
        assert figure.median > 0 or name == "stall by a reload"


def test_a_load_that_takes_too_long_is_measured_once_more(monkeypatch):
    loaded: list[object] = []
    monkeypatch.setattr(loading, "_LOAD", Gate("load", "s", 1e-9))
    monkeypatch.setattr(loading, "longest_gap", lambda work: work() or 1)
    monkeypatch.setattr(variants, "load", loaded.append)
    policy = scaling.packages(1, rules=2, tools=2)
    outcome, *_ = measure_loads("load", policy, repeats=3, rounds=1).outcomes
    assert (outcome.status, outcome.remark) == (Status.FAILED, "measured again")
    assert len(loaded) == 2 * (3 + 6)


def test_a_warm_start_that_is_not_there_fails_unless_declared(monkeypatch):
    def gone(_):
        raise NotThereError("its reason")

    policy = scaling.packages(1, rules=2, tools=2)
    monkeypatch.setattr(variants, "warm_load", gone)
    monkeypatch.setattr(variants, "PENDING", {})
    assert measure_loads("load", policy, repeats=1, rounds=1).outcomes[-1].status is Status.FAILED
    monkeypatch.setattr(variants, "PENDING", {"warm start": "later"})
    assert measure_loads("load", policy, repeats=1, rounds=1).outcomes[-1].status is Status.PENDING
