"""Each governed call is one span, with what was decided and what came of it, and no values."""

from __future__ import annotations

import asyncio
import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

import guardrails as gr
from guardrails.errors import Reason
from guardrails.model.decision import ApprovalDemand, Decision, Effect, Obligation
from guardrails.telemetry import names

SECRET = "s3cret-value"
DEMAND = ApprovalDemand("large", "over the limit", ("finance-ops",))


class ToolFailedError(Exception):
    pass


@gr.governed_tool(operation="write")
@gr.budget(cost="0.02")
def pay(to: str, note: str = "") -> str:
    gr.charge(tokens=7)
    return f"paid {to} {note}"


@gr.governed_tool(operation="write")
async def pay_async(to: str, note: str = "") -> str:
    await asyncio.sleep(0)
    return f"paid {to} {note}"


@gr.governed_tool(operation="write")
def fail(to: str) -> str:
    raise ToolFailedError(f"no account {to}")


@gr.governed_tool(operation="read")
def outer(to: str) -> str:
    return inner(to)


@gr.governed_tool(operation="read")
def inner(to: str) -> str:
    return to


@gr.governed_tool(operation="read")
def recursive(depth: int) -> int:
    return recursive(depth - 1) if depth else 0


@gr.governed_tool(operation="read")
def items(count: int):
    for number in range(count):
        with trace.get_tracer("x").start_as_current_span("unseen"):
            yield trace.get_current_span().get_span_context().span_id, number


@gr.governed_tool(operation="read")
async def items_async(count: int):
    for number in range(count):
        yield trace.get_current_span().get_span_context().span_id, number


def decided(effect: Effect, **more):
    return lambda _: Decision(effect, (Reason("the.rule", "because"),), revision="rev-1", **more)


def test_an_allowed_call_is_a_span_by_the_conventions(sdk):
    governor = sdk.governor(decided(Effect.ALLOW))
    with governor.run("billing") as run:
        pay("a")
    span = sdk.span("execute_tool pay")
    found = dict(span.attributes)
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert found[names.DECISION_ID] == governor.record.events[1].decision_id
    assert found.pop(names.DECISION_ID) == found.pop(names.TOOL_CALL_ID)
    assert found.pop(names.DECISION_DURATION) > 0
    assert found == {
        names.OPERATION: "execute_tool",
        names.TOOL_NAME: "pay",
        names.TOOL_TYPE: "function",
        names.AGENT_ID: "billing",
        names.AGENT_NAME: "billing",
        names.AGENT_VERSION: "1",
        names.ENVIRONMENT: "test",
        names.RUN_ID: run.id,
        names.RUN_MODE: "enforce",
        names.DECISION_EFFECT: "allow",
        names.POLICY_REVISION: "rev-1",
        names.RULE_ID: ("the.rule",),
        names.OUTCOME: "ok",
        names.COST_USD: 0.02,
        names.COST_TOKENS: 7,
    }


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("effect", "outcome", "error"),
    [
        (Effect.ALLOW, "ok", None),
        (Effect.DENY, "denied", "denied"),
        (Effect.SHADOW, "shadowed", None),
        (Effect.REQUIRE_APPROVAL, "approval_pending", None),
    ],
)
def test_every_effect_ends_in_one_span_and_asking_people_is_no_error(
    sdk, effect, outcome, error, is_async
):
    more: dict[str, Any] = {}
    if effect is Effect.REQUIRE_APPROVAL:
        more["approvals"] = (DEMAND,)
    if effect is Effect.SHADOW:
        more["would"] = Effect.ALLOW
    governor = sdk.governor(decided(effect, **more))
    with governor.run("billing"):
        expected = contextlib.nullcontext() if outcome == "ok" else pytest.raises(gr.Refusal)
        with expected:
            asyncio.run(pay_async(SECRET)) if is_async else pay(SECRET)
    span = sdk.span(f"execute_tool {'pay_async' if is_async else 'pay'}")
    assert span.attributes[names.OUTCOME] == outcome
    assert span.attributes[names.DECISION_EFFECT] == effect.value
    assert span.attributes.get(names.ERROR_TYPE) == error
    assert (span.status.status_code is StatusCode.ERROR) is (error is not None)
    assert SECRET not in span.to_json()


def test_calls_that_are_refused_before_a_decision_have_spans(sdk):
    governor = sdk.governor()
    with governor.run("billing", budget=gr.Budget(calls=1)) as run:
        pay("a")
        with pytest.raises(gr.InvalidArguments):
            inner(5)  # type: ignore[arg-type]  # that is what is tried
        with pytest.raises(gr.BudgetExceeded):
            pay("a")
        run.kill("stop")
        with pytest.raises(gr.RunKilled):
            pay("a")
        with pytest.raises(gr.RunKilled):
            inner("a")
    kinds = [span.attributes.get(names.ERROR_TYPE) for span in sdk.spans]
    assert kinds == [None, "invalid_arguments", "budget_exceeded", "run_killed", "run_killed"]
    (event,) = sdk.spans[2].events
    assert event.name == names.BUDGET_EXCEEDED
    assert dict(event.attributes) == {
        "guardrails.budget.account": f"run/{run.id}",
        "guardrails.budget.dimension": "calls",
        "guardrails.budget.limit": "1",
        "guardrails.budget.left": "0",
        "guardrails.budget.needed": "1",
    }


def test_an_error_of_the_tool_is_told_by_its_type_and_place_alone(sdk):
    with sdk.governor().run("billing"), pytest.raises(ToolFailedError):
        fail(SECRET)
    span = sdk.span("execute_tool fail")
    assert span.attributes[names.ERROR_TYPE].endswith(".ToolFailedError")
    assert span.status.status_code is StatusCode.ERROR
    (event,) = span.events
    assert event.name == "exception"
    assert "in fail" in event.attributes["exception.stacktrace"]
    assert SECRET not in span.to_json()


def test_an_approval_is_told_from_the_request_to_its_use(sdk):
    governor = sdk.governor(decided(Effect.REQUIRE_APPROVAL, approvals=(DEMAND,)))
    with governor.run("billing"):
        with pytest.raises(gr.ApprovalPending) as pending:
            pay("a")
        governor.approvals.approve(
            pending.value.request_id, by="dana@example.com", groups={"finance-ops"}
        )
        pay("a")
    asked, ran = (span.events for span in sdk.spans)
    request = {"guardrails.approval.request_id": pending.value.request_id}
    assert [(each.name, dict(each.attributes)) for each in asked] == [
        (
            names.APPROVAL_REQUESTED,
            {**request, "guardrails.approval.approvers": ("finance-ops",)},
        )
    ]
    assert [(each.name, dict(each.attributes)) for each in ran] == [(names.APPROVAL_USED, request)]
    assert "dana" not in "".join(span.to_json() for span in sdk.spans)


def test_nested_calls_are_children_also_of_themselves(sdk):
    with sdk.governor().run("billing"):
        outer("a")
        recursive(2)
    child, parent, *deeper = sdk.spans
    assert child.name == "execute_tool inner"
    assert child.parent.span_id == parent.context.span_id
    assert parent.parent is None
    innermost, middle, outermost = deeper
    assert innermost.parent.span_id == middle.context.span_id
    assert middle.parent.span_id == outermost.context.span_id


def test_a_generators_span_lasts_until_its_end_and_does_not_leak_to_its_consumer(sdk):
    tracer = sdk.tracers.get_tracer("consumer")
    with sdk.governor().run("billing"), tracer.start_as_current_span("consumer") as consumer:
        seen = []
        for number, _ in items(3):
            assert trace.get_current_span() is consumer
            assert [span.name for span in sdk.spans] == []
            seen.append(number)
        assert trace.get_current_span() is consumer
        dropped = items(3)
        next(dropped)
        assert trace.get_current_span() is consumer
        dropped.close()
    first, second, _ = sdk.spans
    assert set(seen) == {first.context.span_id}
    assert first.attributes[names.OUTCOME] == "ok"
    assert second.attributes[names.OUTCOME] == "closed"
    assert second.status.status_code is StatusCode.UNSET


def test_an_async_generators_span_lasts_until_its_end_too(sdk):
    async def consume():
        tracer = sdk.tracers.get_tracer("consumer")
        with tracer.start_as_current_span("consumer") as consumer:
            seen = []
            async for number, _ in items_async(3):
                assert trace.get_current_span() is consumer
                seen.append(number)
            return seen

    with sdk.governor().run("billing"):
        seen = asyncio.run(consume())
    span = sdk.span("execute_tool items_async")
    assert set(seen) == {span.context.span_id}


def test_a_killed_coroutine_ends_its_span(sdk):
    started = asyncio.Event()

    @gr.governed_tool(operation="read", name="sleeps")
    async def sleeps() -> None:
        started.set()
        await asyncio.sleep(60)

    async def main():
        with sdk.governor().run("billing") as run:
            task = asyncio.create_task(sleeps())
            await started.wait()
            run.kill("operator stop")
            with pytest.raises(gr.RunKilled):
                await task

    asyncio.run(main())
    span = sdk.span("execute_tool sleeps")
    assert span.attributes[names.ERROR_TYPE] == "run_killed"
    assert span.attributes[names.OUTCOME] == "killed"


def test_arguments_and_results_are_told_only_where_asked_for_and_as_redacted(sdk):
    hides = (Obligation("redact", "/args/note"),)
    governors = {
        "open": sdk.governor(settings={"arguments": True, "results": True}),
        "hiding": sdk.governor(
            decided(Effect.ALLOW, obligations=hides), settings={"arguments": True, "results": True}
        ),
        "silent": sdk.governor(),
    }
    for agent, governor in governors.items():
        with governor.run(agent):
            pay("a", SECRET)
    shown, hidden, silent = sdk.spans
    assert json.loads(shown.attributes[names.TOOL_ARGUMENTS]) == {"to": "a", "note": SECRET}
    assert json.loads(shown.attributes[names.TOOL_RESULT]) == f"paid a {SECRET}"
    assert json.loads(hidden.attributes[names.TOOL_ARGUMENTS])["note"] == "[redacted]"
    assert hidden.attributes[names.TOOL_RESULT] == "[redacted]"
    assert names.TOOL_ARGUMENTS not in silent.attributes
    assert SECRET not in hidden.to_json() + silent.to_json()


def test_the_record_names_the_span(sdk):
    governor = sdk.governor()
    with governor.run("billing"):
        pay("a")
    span = sdk.span("execute_tool pay")
    calls = [event.detail for event in governor.record.events if event.kind.startswith("call")]
    assert len(calls) == 2
    for detail in calls:
        assert int(detail["trace_id"], 16) == span.context.trace_id
        assert int(detail["span_id"], 16) == span.context.span_id


def test_a_run_is_a_span_where_asked_for_unless_the_host_has_one(sdk):
    tracer = sdk.tracers.get_tracer("host")
    governor = sdk.governor(settings={"spans": "runs"})
    with governor.run("billing"):
        pay("a")
    call, own = sdk.spans
    assert own.name == "invoke_agent billing"
    assert own.attributes[names.OPERATION] == "invoke_agent"
    assert call.parent.span_id == own.context.span_id
    host = {names.OPERATION: "invoke_agent", names.AGENT_NAME: "billing"}
    with tracer.start_as_current_span("theirs", attributes=host), governor.run("billing"):
        pay("a")
    assert len([span for span in sdk.spans if span.name == "invoke_agent billing"]) == 1
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_every_attribute_and_event_is_among_those_that_are_listed(sdk):
    governor = sdk.governor(
        decided(Effect.ALLOW), settings={"arguments": True, "results": True, "spans": "runs"}
    )
    with governor.run("billing"):
        pay("a", note="b")
        with pytest.raises(ToolFailedError):
            fail("a")
    for span in sdk.spans:
        assert set(span.attributes) <= set(names.SPAN_ATTRIBUTES)
        for event in span.events:
            assert set(event.attributes) <= set(names.EVENTS[event.name])


def test_a_budget_is_no_float_dust(sdk):
    with sdk.governor().run("billing") as run:
        for _ in range(10):
            pay("a")
        assert run.spent.usd == Decimal("0.2")
    (point,) = sdk.points(names.SPEND_USD.name)
    assert point.value == pytest.approx(0.2)
