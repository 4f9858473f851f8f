"""The part `calls` measures whole governed calls, and the profile tells all of their time."""

from __future__ import annotations

import contextlib

import pytest
from benchmarks import governed, profile
from benchmarks.governed import BENCHMARK, GATES, measure_calls
from benchmarks.imports import RUN, TOOL, kept_bytes

from guardrails.enforcement.perform import PERFORM
from guardrails.runs.context import Frame, enter, leave


@pytest.fixture(scope="module")
def report():
    return measure_calls(rounds=2, batch_ns=20_000)


def test_every_gate_has_its_figure(report):
    *outcomes, planted = report.outcomes
    assert [each.gate for each in outcomes] == list(GATES)
    assert "planted slowdown" in planted.gate.variant
    assert all(each.measured is not None and each.measured.median > 0 for each in report.outcomes)
    assert BENCHMARK.baseline in report.measurement.samples


def test_a_measured_call_is_decided_spent_and_recorded():
    for workload in governed.workloads():
        with contextlib.ExitStack() as stack:
            governor = governed.governor(workload)
            stack.callback(governor.close)
            run = governed.opened(stack, governor, workload)
            calls = governed.tool_calls(workload)
            token = enter(Frame(run))
            for tool, arguments in calls:
                tool(**arguments)
            leave(token)
            assert run.spent.calls == len(calls) > 10
            kinds = [event.kind for event in governor.record.events]
            assert kinds.count("call.started") == kinds.count("call.finished") == len(calls)


def test_the_measured_calls_are_those_that_the_policy_written_by_hand_allows():
    for workload in governed.workloads():
        decide = workload.policy.by_hand
        assert decide is not None
        assert {decide(each)["effect"] for each in workload.documents} == {"allow"}


def test_the_profile_names_every_step_and_leaves_the_phases_as_they_were():
    before = dict(PERFORM)
    found = profile.profile(rounds=3)
    assert before == PERFORM
    assert all(taken >= 0 for taken in found.values())
    assert len(found) == len(profile._WHAT) + 4
    assert "the whole call" in profile.table(found)


def test_a_run_and_a_tool_keep_little():
    kept = kept_bytes()
    assert 0 < kept[RUN] < 20_000
    assert 0 < kept[TOOL] < 20_000
