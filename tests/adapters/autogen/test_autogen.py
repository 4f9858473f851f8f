"""Inside AutoGen: its own runtime, tool agent and caller loop, and its own replayed model."""

import asyncio
import contextlib
import inspect
import json

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import ToolCallSummaryMessage
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool
from tests.adapters import refunds
from tests.adapters.autogen.agent import calls, handler, model, read_by_model, tools, work
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.autogen import governed

pytestmark = pytest.mark.timeout(600)  # each process loads a host and a policy

ELSEWHERE = "tests.adapters.autogen.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")
NO_SUSPENSION = "the host has none: the model reads that the call waits, and makes it again"


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def read(governor, *answers, run_id=None, **options):
    going = work(handler(governor, **options), model(*answers), run_id=run_id)
    return read_by_model(asyncio.run(going))


def waiting(config, *answers):
    """What the model read in a process that ended when people had to be asked."""
    with contextlib.closing(gr.load_governor(config)) as governor:
        return read(governor, *answers, run_id="case-17")


def gone_on(config, *script):
    """What the model reads in another process, in the same run."""
    return json.loads(refunds.elsewhere(ELSEWHERE, config, "case-17", json.dumps(script)))


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("tool", REFUNDS)
def test_an_allowed_call_runs_once_and_the_model_gets_its_result(governor, tool):
    args = {"order_id": "A-17", "amount": 20}
    assert read(governor, calls((tool, args))) == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.DENY)
def test_a_denied_call_does_not_run_and_the_model_reads_why(governor):
    (said,) = read(governor, calls(("delete_order", {"order_id": "A"})))
    assert said.startswith("`delete_order` was not executed (denied)")
    assert "Do not retry" in said
    assert refunds.done() == []


@shows(Scenario.RESUME, but=NO_SUSPENSION)
@pytest.mark.parametrize("tool", REFUNDS[:2])
def test_a_call_that_waits_is_made_once_by_another_process_when_people_have_agreed(config, tool):
    call = [tool, {"order_id": "A-17", "amount": 2000}]
    small = ("refund", {"order_id": "A-18", "amount": 20})
    done, waits = waiting(config, calls(small, (tool, call[1])))
    assert done == "refunded 20 for A-18"
    assert "waits for approval by finance-ops" in waits
    (request,) = refunds.pending(config)
    assert "waits for approval" in gone_on(config, [call])[0]
    assert refunds.pending(config) == [request]
    refunds.answer(config, request)
    assert gone_on(config, [call]) == ["refunded 2000 for A-17"]
    assert "waits for approval" in gone_on(config, [call])[0]  # the approval is used
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]


@shows(Scenario.REJECT, but="the model reads it when it makes the call again")
def test_a_call_that_somebody_refused_never_runs_and_the_model_reads_that(config):
    call = ["refund", {"order_id": "A", "amount": 2000}]
    waiting(config, calls(("refund", {"order_id": "A", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.answer(config, request, approved=False)
    assert "A person refused it" in gone_on(config, [call])[0]
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the model makes the call with the new arguments, as it is told to")
def test_a_call_with_changed_arguments_runs_and_the_old_one_does_not(config):
    call = ["refund", {"order_id": "A", "amount": 2000}]
    waiting(config, calls(("refund", {"order_id": "A", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.edit(config, request, {"order_id": "A", "amount": 1500})
    told, made = gone_on(config, [call], [["refund", {"order_id": "A", "amount": 1500}]])
    assert "a person changed its arguments to amount=1500" in told
    assert made == "refunded 1500 for A"
    assert refunds.done() == ["refund A 1500"]


@shows(Scenario.BUDGET, but="the model's tokens: the program charges them, by gr.charge")
@pytest.mark.parametrize("tool", REFUNDS)
def test_of_many_calls_at_once_as_many_run_as_there_is_budget_for(governor, tool):
    script = calls(*((tool, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)))
    texts = read(governor, script, budget=gr.Budget(calls=3))
    assert sum(text.startswith("refunded") for text in texts) == 3
    assert sum("budget" in text for text in texts) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("tool", ["slow_refund", "blocking_refund"])
def test_a_kill_ends_the_agents_run_and_not_the_program(governor, tool):
    killer = refunds.kill_once_started(governor)
    said = model(calls((tool, {"order_id": "A-17"}), (tool, {"order_id": "A-18"})))

    async def serve():
        with pytest.raises(gr.RunStopped):
            await asyncio.wait_for(work(handler(governor), said), 60)
        return "the program goes on"

    assert asyncio.run(serve()) == "the program goes on"
    killer.join()
    assert not any("ended" in line for line in refunds.done())
    assert len(said.create_calls) == 1  # the model was not asked again


@shows(Scenario.KILL)
def test_a_kill_ends_the_run_of_an_assistant_agent(governor):
    killer = refunds.kill_once_started(governor)
    said = model(calls(("slow_refund", {"order_id": "A"})))

    async def serve():
        assistant = AssistantAgent("billing", said, tools=[*tools()])
        with pytest.raises(gr.RunStopped), handler(governor).of():
            await asyncio.wait_for(assistant.run(task="go"), 60)

    asyncio.run(serve())
    killer.join()
    assert not any("ended" in line for line in refunds.done())


@shows(Scenario.LOST_CONTEXT)
def test_outside_of_every_run_nothing_is_called_and_in_the_hosts_threads_there_is_one(governor):
    (bound, *_), args = tools(), {"order_id": "A", "amount": 2}
    said = asyncio.run(bound.run_json(args, CancellationToken()))
    assert "no_active_run" in said
    assert refunds.done() == []
    # The runtime began outside of the run, and calls a plain function in a thread.
    assert read(governor, calls(("refund", args))) == ["refunded 2 for A"]


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_the_tools_as_they_were():
    bare = FunctionTool(inspect.unwrap(refunds.refund), "Refund.", name="refund")
    assert governed(FunctionTool(refunds.refund, "Refund.")).schema == bare.schema
    foreign = FunctionTool(refunds.ungoverned_refund, "Refund.")
    assert governed(foreign).schema == foreign.schema


def test_an_assistant_agent_is_governed_too(governor):
    args = {"order_id": "A", "amount": 1}
    said = model(calls(("refund", args), ("delete_order", {"order_id": "A"})))

    async def chat():
        assistant = AssistantAgent("billing", said, tools=[*tools()])
        with handler(governor).of():
            return (await assistant.run(task="go")).messages[-1]

    last = asyncio.run(chat())
    assert isinstance(last, ToolCallSummaryMessage)
    assert "refunded 1 for A" in last.content
    assert "`delete_order` was not executed (denied)" in last.content
    assert refunds.done() == ["refund A 1"]


def test_each_call_is_made_once_under_the_hosts_id(config):
    governor = gr.testing.governor()
    args = {"order_id": "A", "amount": 2}
    read(governor, calls(*((tool, args) for tool in REFUNDS)))
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert sorted((each.tool, each.input["call"]["id"]) for each in started) == sorted(
        (tool, f"call_{n}") for n, tool in enumerate(REFUNDS)
    )


@pytest.mark.parametrize("tool", REFUNDS)
def test_arguments_that_do_not_fit_run_nothing(governor, tool):
    (said,) = read(governor, calls((tool, {"order_id": "A", "amount": "many"})))
    assert "refunded" not in said
    assert refunds.done() == []


def test_a_runtime_is_at_work_in_one_run(governor):
    guardrails = handler(governor)
    with guardrails.of("a"), pytest.raises(gr.ConfigError, match="one run at a time"):
        guardrails.of("b").__enter__()


def test_a_tool_with_words_of_its_own_takes_no_others():
    with pytest.raises(gr.ConfigError, match="has its words"):
        governed(FunctionTool(refunds.refund, "Refund."), resource="payments")


def test_the_example_runs():
    said = refunds.script("refunds_autogen.py")
    assert said.splitlines()[-2:] == ["worker: refunded $2,000 for A-18", "worker: Both done."]
