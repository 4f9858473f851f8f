"""Whole calls under other services, at once, one by one, and beside peers: all are really made."""

from __future__ import annotations

import contextlib
import sys

import pytest
from benchmarks import cold, contention, governed, peer_calls, setups, tail
from benchmarks.growth import growth
from benchmarks.imports import LOADED, _unwanted, measure_growth
from benchmarks.peers import by_hand
from benchmarks.peers.elsewhere import Elsewhere
from benchmarks.variant import NotThereError
from benchmarks.variants import warm_load

ECHO = """
import json, sys
print(json.dumps(json.loads(sys.stdin.readline())["said"]), flush=True)
for line in sys.stdin:
    passes = json.loads(line)["passes"]
    if passes > 9:
        sys.exit("it has had enough")
    print(json.dumps([passes * 1000, passes * 10]), flush=True)
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDRAILS_PEERS_PYTHON", sys.executable)
    place = tmp_path / "echo.py"
    place.write_text(ECHO, encoding="utf-8")
    return place


# ------------------------------------------------------------------------------------ setups


@pytest.mark.opa
def test_a_call_is_made_under_each_setup_and_each_gate_has_its_figure(opa):
    report = setups.measure_setups(rounds=1, batch_ns=1)
    assert not report.absent
    assert len(report.measurement.samples) == 13
    assert [each.gate for each in report.outcomes] == list(setups.GATES)
    assert all(each.measured is not None and each.measured.median > 0 for each in report.outcomes)


def test_what_is_drained_has_every_event_on_disk_when_the_clock_stops(tmp_path):
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        timed = setups._drained(stack, workload, tmp_path, None)
        assert timed.elsewhere is not None
        wall, cpu = timed.elsewhere(1)
        text = b"".join(path.read_bytes() for path in (tmp_path / "1").rglob("*.jsonl"))
    assert wall > 0
    assert cpu > 0
    assert text.count(b'"call.started"') == text.count(b'"call.finished"') == timed.count
    assert timed.count == setups._DRAINED_PASSES * len(workload.documents)


def test_with_an_sdk_the_calls_are_really_spans():
    with contextlib.ExitStack() as stack:
        telemetry = setups._with_sdk(stack)
        assert not telemetry._is_idle()


# ------------------------------------------------------------------------------------ at once


def test_whoever_shares_the_calls_all_of_them_are_made():
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        governor = governed.governor(workload)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)
        each = contention._PASSES * len(workload.documents)
        for number, count in enumerate(contention.THREADS, 1):
            assert contention._threads(count, run) > 0
            assert contention._tasks(count, run) > 0
            assert run.spent.calls == number * 2 * each


def test_processes_come_up_and_share_the_budget():
    found = contention._processes((1, 2), rounds=1)
    assert list(found) == [1, 2]
    assert all(each.median > 0 for each in found.values())


# -------------------------------------------------------------------------------- one by one


def test_a_tail_is_as_long_as_its_worst_call(monkeypatch):
    found = tail.measure_tail(calls=60, reloads=1)
    rows = {name.rpartition(", ")[0] for name in found}
    assert {tail.SYNC, tail.ASYNC, tail.RECORDED, tail.RELOADING} <= rows
    for row in rows:
        figures = [found[f"{row}, {part}"][0].median for part in tail.PARTS]
        assert figures[0] > 0
        assert figures == sorted(figures)


def test_a_load_that_fails_meanwhile_is_no_figure():
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        governor = governed.governor(workload)
        stack.callback(governor.close)
        run = governed.opened(stack, governor, workload)

        def work():
            raise RuntimeError("planted")

        with pytest.raises(RuntimeError, match="planted"):
            tail._meanwhile(run, workload, work)


def test_a_cold_start_is_told_with_its_first_decision():
    policy = governed.workloads()[0].policy
    assert all(each > 0 for each in cold._once(warm_load(policy), policy))


# ------------------------------------------------------------------------------------ memory


def test_what_calls_would_leave_is_seen():
    blocks, _ = growth(300)
    assert blocks < 500
    outcome, figures = measure_growth(300)
    assert outcome.measured is not None
    assert outcome.measured.median < 500
    assert len(figures) == 2


def test_nothing_is_loaded_that_only_some_programs_need():
    outcome = _unwanted()
    assert outcome.gate.variant == LOADED
    assert outcome.measured is not None
    assert outcome.measured.median == 0, outcome.remark


# ------------------------------------------------------------------------------------- peers


def test_a_peer_elsewhere_says_what_its_passes_took_there(script):
    with contextlib.ExitStack() as stack:
        peer = Elsewhere(stack, script, {"said": "ready"})
        assert peer.described == "ready"
        assert peer.batch(3) == (3000, 30)
        process = peer._process
    assert process.poll() is not None


def test_a_peer_that_ends_is_not_there_and_its_last_words_say_why(script):
    with contextlib.ExitStack() as stack:
        peer = Elsewhere(stack, script, {"said": "ready"})
        with pytest.raises(NotThereError, match="it has had enough"):
            peer.batch(10)


def test_a_peer_whose_environment_is_not_set_up_fails_its_gates(monkeypatch):
    monkeypatch.setenv("GUARDRAILS_PEERS_PYTHON", "/nowhere/python")
    monkeypatch.setenv("OPA", "/bin/false")
    report = peer_calls.measure_peer_calls(rounds=1, batch_ns=1)
    assert set(report.absent) == {peer_calls.AGT, peer_calls.OPA}
    assert "make bench-peers" in report.absent[peer_calls.AGT]
    assert [each.status.value for each in report.outcomes] == ["FAILED", "FAILED"]


def test_the_decorator_by_hand_refuses_what_the_policy_refuses():
    workload, _ = governed.workloads()
    agent = workload.documents[0]["agent"]
    facts = {each["tool"]["name"]: each["tool"] for each in workload.documents}
    govern = by_hand.ByHand(agent, 10)
    pay = govern(facts["pay"])(governed.pay)
    assert pay(invoice="I", amount=418) == "I: 418"
    assert govern.remaining["calls"] == 9
    with pytest.raises(by_hand.Refused, match="above the limit"):
        pay(invoice="I", amount=418_000)
    assert govern.remaining["calls"] == 9


@pytest.mark.opa
def test_opa_decides_the_calls_that_are_measured(opa):
    workload, _ = governed.workloads()
    with contextlib.ExitStack() as stack:
        timed = peer_calls._opa(stack, workload)
        for ask, document in timed.calls:
            ask(document)
    assert len(timed.calls) == len(workload.documents)
