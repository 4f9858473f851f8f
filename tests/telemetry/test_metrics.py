"""Metrics count what was decided, spent and refused; gauges ask when they are collected."""

from __future__ import annotations

import gc
import re
from pathlib import Path

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.errors import Reason
from guardrails.model.decision import ApprovalDemand, Decision, Effect
from guardrails.telemetry import names

DEMAND = ApprovalDemand("large", "over the limit", ("finance-ops",))
PAGE = Path(__file__).parents[2] / "docs" / "telemetry.md"


@gr.governed_tool(operation="write", name="m.pay")
@gr.budget(cost="0.25")
def pay(to: str) -> str:
    return to


def decide(document):
    to = document["args"]["to"]
    effect = {"thief": Effect.DENY, "boss": Effect.REQUIRE_APPROVAL}.get(to, Effect.ALLOW)
    demands = (DEMAND,) if effect is Effect.REQUIRE_APPROVAL else ()
    return Decision(effect, (Reason("r", "because"),), demands)


def work(governor):
    with governor.run("billing") as run:
        pay("a")
        pay("b")
        for to in ("thief", "boss"):
            with pytest.raises(gr.Refusal):
                pay(to)
        run.charge(tokens=40)


def counted(sdk, metric, by):
    return {point.attributes[by]: point.value for point in sdk.points(metric.name)}


def test_what_is_counted_is_what_happened(sdk):
    governor = sdk.governor(decide)
    work(governor)
    assert counted(sdk, names.DECISIONS, names.DECISION_EFFECT) == {
        "allow": 2,
        "deny": 1,
        "require_approval": 1,
    }
    assert counted(sdk, names.REFUSALS, names.ERROR_TYPE) == {"denied": 1, "approval_pending": 1}
    assert [point.value for point in sdk.points(names.SPEND_USD.name)] == [0.5]
    assert [point.value for point in sdk.points(names.SPEND_TOKENS.name)] == [40]
    assert [point.value for point in sdk.points(names.PENDING.name)] == [1]
    durations = {p.attributes[names.OUTCOME]: p.count for p in sdk.points(names.TOOL_DURATION.name)}
    assert durations == {"ok": 2, "denied": 1, "approval_pending": 1}
    assert sum(p.count for p in sdk.points(names.DECISION_TIME.name)) == 4


def test_governors_under_one_provider_are_all_asked_and_none_is_kept(sdk):
    first, second = sdk.governor(decide), sdk.governor(decide)
    for governor in (first, second):
        with governor.run("billing"), pytest.raises(gr.ApprovalPending):
            pay("boss")
    first.telemetry.watch_queue("verified", lambda: 3)
    assert sum(point.value for point in sdk.points(names.QUEUE_DEPTH.name)) == 3
    assert len(sdk.points(names.PENDING.name)) == 1  # the same attributes: one stream
    del first, governor
    gc.collect()
    assert sdk.points(names.QUEUE_DEPTH.name) == []


def test_all_metrics_have_the_attributes_that_are_listed(sdk):
    governor = sdk.governor(decide)
    governor.telemetry.watch_queue("verified", lambda: 0)
    work(governor)
    governor.telemetry.diverged()
    assert sdk.metric_names == {metric.name for metric in names.METRICS}
    for metric in names.METRICS:
        for point in sdk.points(metric.name):
            assert set(point.attributes) <= set(metric.attributes), metric.name


def test_spans_and_metrics_can_be_turned_off_each(sdk):
    governor = sdk.governor(settings={"spans": "none"})
    with governor.run("a"):
        pay("a")
    assert sdk.spans == []
    assert sdk.points(names.DECISIONS.name)
    governor = sdk.governor(settings={"spans": "none", "metrics": False})
    with governor.run("a") as run:
        assert run.telemetry is None
    with testing.run() as run:
        assert run.telemetry is None


def test_the_page_lists_exactly_what_there_is():
    text = PAGE.read_text("utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| ([a-z]+) \| ([^|]+) \|", text, re.MULTILINE)
    kinds = {name: (kind, unit.strip().strip("`")) for name, kind, unit in rows}
    assert kinds == {each.name: (each.kind, each.unit) for each in names.METRICS}
    for name in (*names.SPAN_ATTRIBUTES, *names.EVENTS):
        assert f"`{name}`" in text, name
    listed = text.partition("## Metrics")[2].splitlines()
    for metric in names.METRICS:
        row = next(line for line in listed if line.startswith(f"| `{metric.name}` |"))
        for name in metric.attributes:
            assert f"`{name}`" in row, (metric.name, name)
