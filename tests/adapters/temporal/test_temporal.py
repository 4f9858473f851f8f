"""Inside Temporal's activity worker, which needs no server; ``test_server.py`` has one."""

import asyncio
import contextlib
import inspect
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal

import pytest
from temporalio import activity
from temporalio.worker import SharedStateManager
from tests.adapters import refunds
from tests.adapters.scenarios import Scenario, shows
from tests.adapters.temporal.agent import ACTIVITIES, TOOLS, made

import guardrails as gr
from guardrails.adapters.temporal import BUSY, PENDING

pytestmark = pytest.mark.timeout(600)  # each process loads a host and a policy

ELSEWHERE = "tests.adapters.temporal.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def run(governor, *calls, **options):
    return asyncio.run(made(governor, *calls, **options))


def elsewhere(config, *calls, workflow="case-17"):
    """What the calls come to in a worker of another process: the failures' types, the texts."""
    return json.loads(refunds.elsewhere(ELSEWHERE, config, workflow, json.dumps(calls)))


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("tool", REFUNDS)
def test_an_allowed_activity_runs_once_and_the_workflow_gets_its_result(governor, tool):
    (ended,) = run(governor, (tool, ["A-17", 20]))
    assert ended.value == "refunded 20 for A-17"
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.DENY)
def test_a_denied_activity_does_not_run_is_not_tried_again_and_says_why(governor):
    (ended,) = run(governor, ("delete_order", ["A"]))
    assert (ended.type, ended.attempts) == ("guardrails.denied", 1)
    assert ended.read.startswith("`delete_order` was not executed (denied)")
    assert ended.details["decision_id"]
    assert not ended.failure.HasField("cause")  # which may tell more than a model may read
    assert refunds.done() == []


@shows(Scenario.RESUME)
@pytest.mark.parametrize("tool", REFUNDS[:2])
def test_an_activity_that_waits_is_made_once_by_another_process_when_people_have_agreed(
    config, tool
):
    with contextlib.closing(gr.load_governor(config)) as governor:
        small, large = run(governor, ("refund", ["A-18", 20]), (tool, ["A-17", 2000]))
    assert small.value == "refunded 20 for A-18"
    (request,) = refunds.pending(config)
    assert (large.type, large.attempts) == (PENDING, 1)
    assert large.details["request_id"] == request
    assert large.details["run_id"] == "case-17"
    assert large.details["approvers"] == ["finance-ops"]

    assert elsewhere(config, [tool, ["A-17", 2000]])[0][0] == PENDING  # signalled too early
    assert refunds.pending(config) == [request]
    refunds.answer(config, request)
    other = elsewhere(config, [tool, ["A-17", 2000]], workflow="case-18")
    assert other[0][0] == PENDING  # of another workflow, it is another call
    made_now, again = elsewhere(config, [tool, ["A-17", 2000]], [tool, ["A-17", 2000]])
    assert made_now == ["", "refunded 2000 for A-17"]
    assert again[0] == PENDING  # the approval is used, so people are asked again
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]


@shows(Scenario.REJECT)
def test_an_activity_that_somebody_refused_never_runs_and_says_so(config, governor):
    run(governor, ("refund", ["A", 2000]))
    (request,) = refunds.pending(config)
    refunds.answer(config, request, approved=False)
    ((kind, said),) = elsewhere(config, ["refund", ["A", 2000]])
    assert kind == "guardrails.approval_rejected"
    assert "A person refused it" in said
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the workflow calls with the new arguments, which the failure tells")
def test_an_activity_with_changed_arguments_runs_and_the_old_one_does_not(config, governor):
    run(governor, ("refund", ["A", 2000]))
    (request,) = refunds.pending(config)
    refunds.edit(config, request, {"order_id": "A", "amount": 1500})
    (kind, said), (_, new) = elsewhere(config, ["refund", ["A", 2000]], ["refund", ["A", 1500]])
    assert kind == "guardrails.approval_edited"
    assert "a person changed its arguments to amount=1500" in said
    assert new == "refunded 1500 for A"
    assert refunds.done() == ["refund A 1500"]


@shows(
    Scenario.BUDGET,
    but="a run's budget holds in one worker process, and until `linger` seconds after the last "
    "activity; over workers and workflows, an agent's windows hold",
)
@pytest.mark.parametrize("tool", REFUNDS)
@pytest.mark.parametrize("one_by_one", [False, True])
def test_of_many_activities_as_many_run_as_there_is_budget_for(governor, tool, one_by_one):
    calls = [(tool, [f"A-{n}", 1]) for n in range(8)]
    ended = run(governor, *calls, budget=gr.Budget(calls=3), one_by_one=one_by_one)
    assert sum(each.read.startswith("refunded") for each in ended) == 3
    refused = [each for each in ended if each.failure is not None]
    assert {(each.type, each.attempts) for each in refused} == {("guardrails.budget_exceeded", 1)}
    assert len(refunds.done()) == 3


def test_without_lingering_a_run_ends_with_the_last_activity_at_work(governor):
    calls = [("refund", [f"A-{n}", 1]) for n in range(3)]
    ended = run(governor, *calls, budget=gr.Budget(calls=1), one_by_one=True, linger=0)
    assert [each.failure for each in ended] == [None] * 3


def test_a_run_that_is_open_elsewhere_is_left_to_a_later_attempt_and_nothing_runs(config, governor):
    with governor.run(refunds.AGENT, id="case-17"):
        ((kind, _),) = elsewhere(config, ["refund", ["A", 1]])
    assert kind == BUSY
    assert refunds.done() == []
    assert elsewhere(config, ["refund", ["A", 1]]) == [["", "refunded 1 for A"]]


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("tool", ["slow_refund", "blocking_refund"])
def test_a_kill_fails_the_workflows_activities_and_not_the_worker(governor, tool):
    killer = refunds.kill_once_started(governor)
    ended = run(governor, (tool, ["A-17"]), (tool, ["A-18"]))
    killer.join()
    assert {(each.type, each.attempts) for each in ended} == {("guardrails.run_stopped", 1)}
    assert not any("ended" in line for line in refunds.done())
    governor.resume(f"agent/{refunds.AGENT}", reason="mended")
    assert run(governor, ("refund", ["A", 1]))[0].value == "refunded 1 for A"


@shows(
    Scenario.LOST_CONTEXT,
    but="an executor of processes loses the run: plain functions with @governed_tool are refused",
)
def test_in_the_hosts_threads_there_is_a_run_and_in_its_processes_none(governor):
    run(governor, ("refund", ["A", 2]))
    assert refunds.done() == ["refund A 2"]
    spawn = multiprocessing.get_context("spawn")
    with spawn.Manager() as manager, ProcessPoolExecutor(1, mp_context=spawn) as pool:
        shared = SharedStateManager.create_from_multiprocessing(manager)
        (ended,) = run(governor, ("refund", ["A", 3]), executor=pool, shared=shared, attempts=1)
    assert ended.failure is not None
    assert "run" in ended.read
    assert refunds.done() == ["refund A 2"]


@shows(Scenario.SCHEMA)
def test_activities_are_named_and_typed_as_they_were():
    def seen(each):
        found = activity._Definition.must_from_callable(each)
        return found.name, found.is_async, found.arg_types, found.ret_type, each.__doc__

    plain = []
    for each in TOOLS:
        bare = inspect.unwrap(each)
        copy = type(bare)(bare.__code__, bare.__globals__, bare.__name__, bare.__defaults__)
        copy.__annotations__, copy.__doc__ = bare.__annotations__, bare.__doc__
        plain.append(activity.defn(copy))
    assert [seen(each) for each in ACTIVITIES] == [seen(each) for each in plain]


def test_an_approved_activity_whose_worker_dies_after_the_act_is_not_made_again(config):
    """Temporal tries again what it has not heard of; the approval was used, so people are asked."""
    with contextlib.closing(gr.load_governor(config)) as governor:
        run(governor, ("refund", ["A-17", 2000]))
        (request,) = refunds.pending(config)
        refunds.answer(config, request)
        first, second = run(
            governor, ("refund", ["A-17", 2000]), ("refund", ["A-17", 2000]), one_by_one=True
        )
    assert first.value == "refunded 2000 for A-17"
    assert second.type == PENDING
    assert refunds.done() == ["refund A-17 2000"]


def test_what_a_tool_itself_raises_is_tried_again_and_each_attempt_is_decided(config):
    governor = gr.testing.governor()
    seen = []

    @activity.defn
    @gr.governed_tool(resource="payments", operation="write")
    def flaky(order_id: str) -> str:
        seen.append(order_id)
        if len(seen) < 3:
            raise OSError("the bank is away")
        return "paid"

    (ended,) = run(governor, ("flaky", ["A"]), activities=[flaky])
    assert (ended.value, ended.attempts) == ("paid", 3)
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert [each.input["call"]["id"] for each in started] == ["0"] * 3


def test_values_of_python_reach_a_foreign_activity_as_they_were_and_policy_as_exact_json():
    governor = gr.testing.governor()
    seen = []

    @activity.defn
    def pay(amount: float, note: str | None = None) -> str:
        seen.append((amount, note))
        return "paid"

    run(governor, ("pay", [0.1]), activities=[pay])
    assert seen == [(0.1, None)]
    (started,) = [each for each in governor.record.events if each.kind == "call.started"]
    assert started.input["args"] == {"amount": Decimal("0.1")}
