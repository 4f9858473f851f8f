"""Inside CrewAI: its own crews, executors and hooks, with a model of its own kind."""

import contextlib
import inspect
import json
import threading

import pytest
from crewai.hooks.dispatch import HookAborted, InterceptionPoint, register, unregister
from crewai.tools import tool
from tests.adapters import refunds
from tests.adapters.crewai.agent import RUN, calls, crew, script, work
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.crewai import GovernedRuns, governed

pytestmark = [
    pytest.mark.timeout(600),  # each process loads a host and a policy
    pytest.mark.filterwarnings("ignore"),  # the host's own, of its imports too
]

ELSEWHERE = "tests.adapters.crewai.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")
NOT_SUSPENDED = (
    "the host suspends no call: the model reads that it waits, and makes it again in a later "
    "kickoff in a run of the same id"
)


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def gone_on(config, *answers):
    """What another process makes of it."""
    return json.loads(refunds.elsewhere(ELSEWHERE, config, json.dumps(answers)).splitlines()[-1])


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("name", REFUNDS)
def test_an_allowed_call_runs_once_and_the_model_gets_its_result(governor, name):
    answer = calls((name, {"order_id": "A-17", "amount": 20}))
    assert work(script(answer), governor) == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.ALLOW)
def test_the_same_call_is_decided_and_made_again_and_not_answered_from_the_cache(governor):
    args = {"order_id": "A", "amount": 2}
    texts = work(script(*(calls(("refund", args), first=n) for n in range(2))), governor)
    assert texts == ["refunded 2 for A"] * 2
    assert len(refunds.done()) == 2


@shows(Scenario.DENY)
def test_a_denied_call_does_not_run_and_the_model_reads_why_and_is_not_told_to_retry(governor):
    model = script(calls(("delete_order", {"order_id": "A"})))
    (text,) = work(model, governor)
    assert text.startswith("`delete_order` was not executed (denied)")
    assert "Do not retry" in text
    assert refunds.done() == []
    assert model.asked == 2


@shows(Scenario.DENY)
def test_a_tool_that_is_not_governed_is_not_called_unless_it_is_named(governor):
    given = [tool(refunds.ungoverned_refund)]
    answer = calls(("ungoverned_refund", {"order_id": "A", "amount": 2}))
    (text,) = work(script(answer), governor, given=given)
    assert "It is not governed" in text
    assert refunds.done() == []
    named = frozenset({"ungoverned_refund"})
    assert work(script(answer), governor, given=given, ungoverned=named) == ["refunded 2 for A"]


@shows(Scenario.DENY)
def test_the_host_lets_a_call_run_whose_hook_raises_anything_but_its_own_abort(governor):
    def fails(_context):
        raise RuntimeError

    answer = calls(("refund", {"order_id": "A", "amount": 2}))
    register(InterceptionPoint.PRE_TOOL_CALL, fails)
    try:
        assert work(script(answer), governor) == ["refunded 2 for A"]
    finally:
        unregister(InterceptionPoint.PRE_TOOL_CALL, fails)


@shows(Scenario.RESUME, but=NOT_SUSPENDED)
@pytest.mark.parametrize("name", REFUNDS[:2])
def test_a_call_that_waits_is_made_once_by_another_process_when_people_have_agreed(config, name):
    big, small = {"order_id": "A-17", "amount": 2000}, {"order_id": "A-18", "amount": 20}
    with contextlib.closing(gr.load_governor(config)) as governor:
        done, waits = work(script(calls(("refund", small), (name, big))), governor)
    assert done == "refunded 20 for A-18"
    assert "finance-ops" in waits
    (request,) = refunds.pending(config)
    refunds.answer(config, request)
    assert gone_on(config, [[name, big]]) == ["refunded 2000 for A-17"]
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]
    assert "finance-ops" in gone_on(config, [[name, big]])[0]  # the approval is used
    assert len(refunds.done()) == 2


@shows(Scenario.REJECT, but=NOT_SUSPENDED)
def test_a_call_that_somebody_refused_never_runs_and_the_model_reads_that(governor, config):
    args = {"order_id": "A", "amount": 2000}
    work(script(calls(("refund", args))), governor)
    refunds.answer(config, refunds.pending(config)[0], approved=False)
    assert "A person refused it" in work(script(calls(("refund", args))), governor)[0]
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the model makes the call with the new arguments, as it is told to")
def test_a_call_with_changed_arguments_runs_and_the_old_one_does_not(governor, config):
    old, new = {"order_id": "A", "amount": 2000}, {"order_id": "A", "amount": 1500}
    work(script(calls(("refund", old))), governor)
    refunds.edit(config, refunds.pending(config)[0], new)
    model = script(calls(("refund", old)), calls(("refund", new), first=1))
    told, made = work(model, governor)
    assert "a person changed its arguments to amount=1500" in told
    assert made == "refunded 1500 for A"
    assert refunds.done() == ["refund A 1500"]


@shows(Scenario.BUDGET, but="the host does not say per call what the model used: call gr.charge")
@pytest.mark.parametrize("name", REFUNDS)
def test_of_many_calls_at_once_as_many_run_as_there_is_budget_for(governor, name):
    each = calls(*((name, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)))
    texts = work(script(each), governor, budget=gr.Budget(calls=3))
    assert sum(text.startswith("refunded") for text in texts) == 3
    assert sum("budget" in text for text in texts) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("is_async", [False, True], ids=["task", "async-task"])
@pytest.mark.parametrize("name", ["slow_refund", "blocking_refund"])
def test_a_kill_ends_the_crews_work_and_not_the_program(governor, name, is_async):
    killer = refunds.kill_once_started(governor)
    model = script(calls((name, {"order_id": "A-17"}), (name, {"order_id": "A-18"})))
    with pytest.raises(gr.RunStopped):
        work(model, governor, is_async=is_async)
    killer.join()
    assert not any("ended" in line for line in refunds.done())
    assert model.asked == 1  # the model was not asked again


@shows(Scenario.LOST_CONTEXT)
def test_outside_of_every_run_nothing_is_called_and_in_the_hosts_threads_there_is_one(governor):
    args = {"order_id": "A", "amount": 2}
    model = script(calls(("refund", args), ("ungoverned_refund", args)))
    crew(model).kickoff()
    assert ["no_active_run" in text for text in model.read()] == [True, True]
    assert refunds.done() == []

    threads = set()

    @gr.governed_tool(resource="payments", operation="write")
    def where(n: int) -> str:
        """Where it runs."""
        threads.add(threading.get_ident())
        return f"here {n}"

    answer = calls(("where", {"n": 1}), ("where", {"n": 2}))
    assert work(script(answer), governor, given=[governed(tool(where))]) == ["here 1", "here 2"]
    assert threading.get_ident() not in threads


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_the_tools_as_they_were(governor):
    shown = script(), script()
    work(shown[0], governor)
    bare = [
        tool(inspect.unwrap(each))
        for each in (
            refunds.refund,
            refunds.refund_async,
            refunds.delete_order,
            refunds.slow_refund,
            refunds.blocking_refund,
            refunds.ungoverned_refund,
        )
    ]
    work(shown[1], governor, given=bare)
    assert shown[0].shown == shown[1].shown
    assert len(shown[0].shown) == 6


def test_words_for_a_tool_that_has_its_own_are_refused():
    with pytest.raises(gr.ConfigError, match="has its words in @governed_tool"):
        governed(tool(refunds.refund), resource="payments")


def test_each_call_is_made_once(config):
    governor = gr.testing.governor()
    args = {"order_id": "A", "amount": 2}
    work(script(calls(*((name, args) for name in REFUNDS))), governor)
    started = [each.tool for each in governor.record.events if each.kind == "call.started"]
    assert sorted(map(str, started)) == sorted(REFUNDS)


def test_a_program_that_has_opened_a_run_keeps_it(config):
    governor = gr.testing.governor()
    with governor.run("other") as own:
        work(script(calls(("refund", {"order_id": "A", "amount": 2}))), governor)
        assert own.spent.calls == 1


def test_an_abort_of_the_programs_own_leaves_the_run_as_it_is(governor):
    with (
        pytest.raises(HookAborted),
        GovernedRuns(agent=refunds.AGENT, governor=governor).of(RUN),
    ):
        raise HookAborted("mine")


def test_the_example_runs():
    said = refunds.script("refunds_crewai.py").splitlines()
    assert any("finance-ops" in line for line in said if line.startswith("agent:"))
    assert said[-1] == "worker: refunded $2,000 for A-18"
