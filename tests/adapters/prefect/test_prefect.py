"""Inside Prefect: its own engine, and its own server, which runs here."""

import contextlib
import inspect
import json
import os

import prefect
import pytest
from prefect.flow_runs import resume_flow_run
from prefect.testing.utilities import prefect_test_harness
from tests.adapters import refunds
from tests.adapters.prefect.agent import TOOLS, calling, deployed, ran, tasks
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.prefect import governed

pytestmark = [
    pytest.mark.timeout(600),  # each process loads a host and a policy
    pytest.mark.filterwarnings("default"),  # the host's own
]

ELSEWHERE = "tests.adapters.prefect.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")


@pytest.fixture(scope="module", autouse=True)
def server():
    with prefect_test_harness(server_startup_timeout=240):
        os.environ["PREFECT_API_URL"] = prefect.settings.PREFECT_API_URL.value()
        yield
        del os.environ["PREFECT_API_URL"]


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def run(governor, *calls, **options):
    """The state in which a new flow run ends that makes the calls, and what it gives."""
    return ran(calling(governor, calls, **options), deployed())


def suspended(config, *calls):
    """The flow run of a process that ended when people had to be asked."""
    id = deployed()
    with contextlib.closing(gr.load_governor(config)) as governor:
        state, _ = ran(calling(governor, calls), id)
    assert state == "Suspended"
    return id


def resumed(config, id, *calls):
    """What another process makes of it."""
    resume_flow_run(id)
    return json.loads(refunds.elsewhere(ELSEWHERE, config, id, json.dumps(calls)))


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("tool", REFUNDS)
def test_an_allowed_task_runs_once_and_the_flow_gets_its_result(governor, tool):
    state, read = run(governor, (tool, {"order_id": "A-17", "amount": 20}))
    assert (state, read) == ("Completed", ["refunded 20 for A-17"])
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.DENY)
def test_a_denied_task_does_not_run_and_says_why(governor):
    _, (said,) = run(governor, ("delete_order", {"order_id": "A"}), retries=3)
    assert said.startswith("`delete_order` was not executed (denied)")
    assert refunds.done() == []


@shows(
    Scenario.RESUME,
    but="the flow begins anew, and Prefect gives what it has kept of tasks that were done; only "
    "flow runs of a deployment are suspended",
)
@pytest.mark.parametrize("tool", REFUNDS[:2])
def test_a_task_that_waits_is_made_once_by_another_process_when_people_have_agreed(config, tool):
    calls = [
        (tool, {"order_id": "A-18", "amount": 20}),
        (tool, {"order_id": "A-17", "amount": 2000}),
    ]
    id = suspended(config, *calls)
    (request,) = refunds.pending(config)
    assert refunds.done() == ["refund A-18 20"]

    assert resumed(config, id, *calls)[0] == "Suspended"  # nobody has answered
    assert refunds.pending(config) == [request]
    refunds.answer(config, request)
    state, read = resumed(config, id, *calls)
    assert (state, read) == ("Completed", ["refunded 20 for A-18", "refunded 2000 for A-17"])
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]


@shows(Scenario.REJECT)
def test_a_task_that_somebody_refused_never_runs_and_says_so(config):
    call = ("refund", {"order_id": "A", "amount": 2000})
    id = suspended(config, call)
    (request,) = refunds.pending(config)
    refunds.answer(config, request, approved=False)
    state, read = resumed(config, id, call)
    assert state == "Completed"
    assert "A person refused it" in read[0]
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the flow calls with the new arguments, which the refusal tells")
def test_a_task_with_changed_arguments_runs_and_the_old_one_does_not(config):
    old, new = (
        ("refund", {"order_id": "A", "amount": 2000}),
        (
            "refund",
            {"order_id": "A", "amount": 1500},
        ),
    )
    id = suspended(config, old)
    (request,) = refunds.pending(config)
    refunds.edit(config, request, new[1])
    _, read = resumed(config, id, old, new)
    assert "a person changed its arguments to amount=1500" in read[0]
    assert read[1] == "refunded 1500 for A"
    assert refunds.done() == ["refund A 1500"]


@shows(Scenario.BUDGET)
@pytest.mark.parametrize("tool", REFUNDS)
def test_of_many_tasks_at_once_as_many_run_as_there_is_budget_for(governor, tool):
    calls = [(tool, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)]
    _, read = run(governor, *calls, at_once=True, budget=gr.Budget(calls=3))
    assert sum(text.startswith("refunded") for text in read) == 3
    assert sum("budget" in text for text in read) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("tool", ["slow_refund", "blocking_refund"])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_kill_ends_the_flow_run_and_not_the_program(governor, tool, at_once):
    killer = refunds.kill_once_started(governor)
    calls = [(tool, {"order_id": "A-17"}), (tool, {"order_id": "A-18"})]
    state, error = run(governor, *calls, at_once=at_once, retries=2)
    killer.join()
    assert isinstance(error, gr.RunStopped), error
    assert state == "Failed"
    assert not any("ended" in line for line in refunds.done())


@shows(Scenario.LOST_CONTEXT)
def test_outside_of_every_run_nothing_is_called_and_in_the_hosts_threads_there_is_one(governor):
    for name in ("refund", "ungoverned_refund"):
        with pytest.raises(gr.NoActiveRun):
            tasks()[name](order_id="A", amount=2)
    assert refunds.done() == []
    run(governor, ("refund", {"order_id": "A", "amount": 2}), at_once=True)
    assert refunds.done() == ["refund A 2"]


@shows(Scenario.SCHEMA)
def test_tasks_are_named_and_typed_as_they_were():
    made = tasks()
    for each in TOOLS:
        plain = prefect.task(inspect.unwrap(each))
        ours = made[plain.name]
        assert inspect.signature(ours.fn) == inspect.signature(plain.fn)
        assert (ours.description, ours.isasync) == (plain.description, plain.isasync)


@shows(Scenario.DENY)
@pytest.mark.parametrize("own", [None, lambda *_: True])
def test_a_refusal_is_not_retried_whatever_the_task_says(governor, own):
    attempts = []

    def delete(order_id: str) -> str:
        attempts.append(order_id)
        return refunds.delete_order(order_id)

    task = prefect.task(retries=3, retry_condition_fn=own)(delete)
    with governor.run(refunds.AGENT), pytest.raises(gr.CallDenied):
        governed(task, resource="payments", operation="write")(order_id="A")
    assert attempts == ["A"]


def test_what_a_tool_itself_raises_is_retried_and_each_attempt_is_decided():
    governor = gr.testing.governor()
    seen = []

    @governed
    @prefect.task(retries=2)
    @gr.governed_tool(resource="payments", operation="write")
    def flaky(order_id: str) -> str:
        seen.append(order_id)
        if len(seen) < 3:
            raise OSError("the bank is away")
        return "paid"

    with governor.run("billing-agent"):
        assert flaky("A") == "paid"
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert len(started) == 3


def test_a_flow_run_that_prefect_cannot_suspend_fails_as_pending(config, governor):
    work = calling(governor, [("refund", {"order_id": "A", "amount": 2000})])
    with pytest.raises(gr.ApprovalPending) as waits:
        work()
    assert "deployment" in waits.value.__notes__[0]
    assert len(refunds.pending(config)) == 1
    assert refunds.done() == []


def test_a_tool_that_asks_a_person_suspends_the_flow_run(governor):
    assert run(governor, ("asking_refund", {"order_id": "A"}))[0] == "Suspended"
    assert refunds.done() == []


def test_the_example_runs():
    said = refunds.script("refunds_prefect.py")
    assert said.splitlines()[-2:] == [
        "worker: refunded $20 for A-17",
        "worker: refunded $2,000 for A-18",
    ]
