"""Inside LangChain's agents and LangGraph's graphs: real checkpoints, a scripted model."""

import asyncio
import contextlib
import inspect
import json

import pytest
from langchain.agents.middleware import ToolRetryMiddleware
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from tests.adapters import refunds
from tests.adapters.langchain.agent import (
    KINDS,
    THREAD,
    agent,
    calls,
    model,
    read_by_model,
    run,
    saver,
    tools,
)
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.langchain import GovernedRuns, GovernedToolNode

pytestmark = pytest.mark.timeout(600)  # each process loads a host and a policy

ELSEWHERE = "tests.adapters.langchain.agent"

kinds = pytest.mark.parametrize("kind", KINDS)
both_ways = pytest.mark.parametrize("is_async", [False, True])


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def interrupted(config, kind, *script):
    """The work of a process that ended when people had to be asked; the values of interrupts."""
    with contextlib.closing(gr.load_governor(config)) as governor:
        result = run(governor, agent(kind, *script, saver=saver(config)))
    return [each.value for each in result["__interrupt__"]]


def gone_on(config, kind, *script):
    """What another process makes of it."""
    return json.loads(refunds.elsewhere(ELSEWHERE, config, kind, json.dumps(script)))


@shows(Scenario.ALLOW)
@kinds
@both_ways
@pytest.mark.parametrize("tool", ["refund", "ungoverned_refund"])
def test_an_allowed_call_runs_once_and_the_model_gets_its_result(governor, kind, tool, is_async):
    script = calls((tool, {"order_id": "A-17", "amount": 20}))
    result = run(governor, agent(kind, script), is_async=is_async)
    assert read_by_model(result) == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]
    assert result["messages"][-1].content == "done"


@shows(Scenario.ALLOW)
@kinds
def test_a_coroutine_function_is_governed_on_the_loop(governor, kind):
    script = calls(("refund_async", {"order_id": "A-17", "amount": 20}))
    result = run(governor, agent(kind, script), is_async=True)
    assert read_by_model(result) == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.DENY)
@kinds
@both_ways
def test_a_denied_call_does_not_run_and_the_model_reads_why(governor, kind, is_async):
    result = run(
        governor, agent(kind, calls(("delete_order", {"order_id": "A"}))), is_async=is_async
    )
    (read,) = read_by_model(result)
    assert read.startswith("`delete_order` was not executed (denied)")
    assert result["messages"][-2].status == "error"
    assert refunds.done() == []


@shows(Scenario.DENY)
@kinds
@both_ways
def test_arguments_are_decided_as_they_are_and_a_tool_that_nobody_knows_is_denied(
    governor, kind, is_async
):
    script = calls(("ungoverned_refund", {"order_id": "A", "amount": "20"}), ("other", {"x": 1}))
    read = read_by_model(run(governor, agent(kind, script), is_async=is_async))
    assert "args.amount" in read[0]
    assert "denied" in read[1]
    assert refunds.done() == []


@shows(Scenario.DENY)
@both_ways
def test_no_handler_of_the_host_hides_a_refusal_and_nothing_is_tried_again(governor, is_async):
    denied = calls(("delete_order", {"order_id": "A"}))
    retry = ToolRetryMiddleware(max_retries=3, initial_delay=0)
    for graph in (
        agent("agent", denied, middleware=[retry]),
        agent("graph", denied, handle_tool_errors=True),
    ):
        read = read_by_model(run(governor, graph, is_async=is_async))
        assert [text.startswith("`delete_order` was not executed") for text in read] == [True]


@shows(Scenario.RESUME)
@kinds
def test_a_call_that_waits_is_made_once_by_another_process_when_people_have_agreed(config, kind):
    script = calls(
        ("refund", {"order_id": "A-18", "amount": 20}),
        ("refund", {"order_id": "A-17", "amount": 2000}),
    )
    (shown,) = interrupted(config, kind, script)
    shown = shown[0] if isinstance(shown, list) else shown
    (request,) = refunds.pending(config)
    assert (shown["request_id"], shown["approvers"]) == (request, ["finance-ops"])
    assert shown["tool"] == "refund"
    # In an agent each call is a task of its own, kept when it is done; a node is one task.
    assert refunds.done() == (["refund A-18 20"] if kind == "agent" else [])

    early = gone_on(config, kind)
    assert len(early["open"]) == 1  # `resume` said that it is approved, and nobody has answered
    assert refunds.pending(config) == [request]
    refunds.answer(config, request)
    late = gone_on(config, kind)
    assert late["read"] == ["refunded 20 for A-18", "refunded 2000 for A-17"]
    assert late["open"] == []
    assert sorted(refunds.done()) == ["refund A-17 2000", "refund A-18 20"]
    gone_on(config, kind)  # there is nothing left to go on with
    assert len(refunds.done()) == 2


@shows(Scenario.RESUME)
@kinds
@both_ways
def test_in_one_process_too_each_call_of_a_message_is_made_once(governor, config, kind, is_async):
    script = calls(*(("refund", {"order_id": f"A-{n}", "amount": 1000 + n % 2}) for n in range(4)))
    graph = agent(kind, script, saver=InMemorySaver())
    result = run(governor, graph, is_async=is_async)
    assert "__interrupt__" in result
    for request in refunds.pending(config):
        refunds.answer(config, request)
    resume: Command = Command(resume={each.id: "yes" for each in result["__interrupt__"]})
    result = run(governor, graph, resume, is_async=is_async)
    assert "__interrupt__" not in result
    assert len(read_by_model(result)) == 4
    assert sorted(refunds.done()) == sorted(f"refund A-{n} {1000 + n % 2}" for n in range(4))


@shows(Scenario.REJECT)
@kinds
def test_a_call_that_somebody_refused_never_runs_and_the_model_reads_that(config, kind):
    interrupted(config, kind, calls(("refund", {"order_id": "A-17", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.answer(config, request, approved=False)
    late = gone_on(config, kind)
    assert "A person refused it" in late["read"][0]
    assert late["open"] == []
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the model makes the call with the new arguments, as it is told to")
@kinds
def test_a_call_with_changed_arguments_runs_and_the_old_one_does_not(config, kind):
    interrupted(config, kind, calls(("refund", {"order_id": "A-17", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.edit(config, request, {"order_id": "A-17", "amount": 1500})
    late = gone_on(config, kind, [["refund", {"order_id": "A-17", "amount": 1500}]])
    assert "a person changed its arguments to amount=1500" in late["read"][0]
    assert late["read"][1] == "refunded 1500 for A-17"
    assert refunds.done() == ["refund A-17 1500"]


@shows(Scenario.BUDGET)
@kinds
@both_ways
@pytest.mark.parametrize("tool", ["refund", "ungoverned_refund"])
def test_of_many_calls_at_once_as_many_run_as_there_is_budget_for(governor, kind, tool, is_async):
    script = calls(*((tool, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)))
    result = run(governor, agent(kind, script), is_async=is_async, budget=gr.Budget(calls=3))
    read = read_by_model(result)
    assert sum(text.startswith("refunded") for text in read) == 3
    assert sum("budget" in text for text in read) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.BUDGET, but="in graphs of one's own the model's tokens are charged by gr.charge")
def test_what_the_model_used_is_charged_to_the_run(governor):
    script = calls(("refund", {"order_id": "A-17", "amount": 1}))
    script.usage_metadata = {"input_tokens": 500, "output_tokens": 400, "total_tokens": 900}
    result = run(governor, agent("agent", script), budget=gr.Budget(tokens=800, calls=5))
    assert "budget" in read_by_model(result)[0]
    assert refunds.done() == []


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@kinds
@both_ways
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_kill_ends_the_agents_run_and_not_the_program(governor, kind, is_async, is_streamed):
    killer = refunds.kill_once_started(governor)
    script = calls(("slow_refund", {"order_id": "A-17"}), ("slow_refund", {"order_id": "A-18"}))
    chat = model(script)
    graph = (
        agent(kind, model=chat, handle_tool_errors=True)
        if kind == "graph"
        else (
            agent(
                kind, model=chat, middleware=[ToolRetryMiddleware(max_retries=3, initial_delay=0)]
            )
        )
    )
    input = {"messages": [("user", "go")]}

    async def work():
        if not is_async:
            return list(graph.stream(input)) if is_streamed else graph.invoke(input)
        if is_streamed:
            return [chunk async for chunk in graph.astream(input)]
        return await graph.ainvoke(input)

    async def serve():
        runs = GovernedRuns(agent=refunds.AGENT, governor=governor)
        with pytest.raises(gr.RunStopped), runs.of():
            await work()
        return "the program goes on"

    assert asyncio.run(serve()) == "the program goes on"
    killer.join()
    assert not any("ended" in line for line in refunds.done())
    assert next(chat.messages) == AIMessage("done")  # the model was not asked again


@shows(Scenario.LOST_CONTEXT)
@kinds
@both_ways
def test_outside_of_every_run_nothing_is_called_and_in_the_hosts_threads_there_is_one(
    governor, kind, is_async
):
    script = calls(("refund", {"order_id": "A", "amount": 2}), ("other", {}))
    input = {"messages": [("user", "go")]}
    graph = agent(kind, script)
    result = asyncio.run(graph.ainvoke(input)) if is_async else graph.invoke(input)
    assert ["no_active_run" in text for text in read_by_model(result)] == [True, True]
    assert refunds.done() == []
    # The host calls `refund`, a plain function, in threads of its own.
    run(governor, agent(kind, script), is_async=is_async)
    assert refunds.done() == ["refund A 2"]


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_the_tools_as_they_were(governor):
    chat = model()
    run(governor, agent("agent", model=chat))
    shown = {each.name: each for each in chat.shown}
    assert set(shown) == {each.name for each in tools()}
    for function in (inspect.unwrap(refunds.refund), refunds.ungoverned_refund):
        plain, there = tool(function), shown[function.__name__]
        assert there.description == plain.description
        assert (
            there.tool_call_schema.model_json_schema() == plain.tool_call_schema.model_json_schema()
        )


@kinds
@both_ways
def test_each_call_is_made_once_under_the_hosts_id(kind, is_async, config):
    governor = gr.testing.governor()
    args = {"order_id": "A", "amount": 2}
    run(
        governor,
        agent(kind, calls(("refund", args), ("ungoverned_refund", args))),
        is_async=is_async,
    )
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert sorted((each.tool, each.input["call"]["id"]) for each in started) == [
        ("refund", "call_0"),
        ("ungoverned_refund", "call_1"),
    ]


def test_a_node_that_decides_has_no_other_wrapper():
    with pytest.raises(gr.ConfigError, match="wrappers"):
        GovernedToolNode(tools(), wrap_tool_call=lambda request, handler: handler(request))


def test_a_run_is_the_threads():
    governor = gr.testing.governor()
    with GovernedRuns(agent="a", governor=governor).of(THREAD) as first:
        assert first.id == "case-17"
        with GovernedRuns(agent="b", governor=governor).of() as inner:
            assert inner is first


def test_the_example_runs():
    said = refunds.script("refunds_langchain.py")
    assert said.splitlines()[-2:] == ["worker: refunded $2,000 for A-18", "worker: Both done."]


@both_ways
def test_a_tool_that_asks_a_person_suspends_an_agent_and_ends_in_a_node(governor, is_async):
    script, own = calls(("asking_refund", {"order_id": "A"})), [tool(refunds.asking_refund)]
    in_agent = agent("agent", script, tools=own, saver=InMemorySaver())
    (waits,) = run(governor, in_agent, is_async=is_async)["__interrupt__"]
    assert "stopped and asked finance-ops" in waits.value["message"]
    in_node = agent("graph", script, tools=own, saver=InMemorySaver())
    (read,) = read_by_model(run(governor, in_node, is_async=is_async))
    assert "stopped and asked finance-ops" in read
    assert refunds.done() == []


@kinds
def test_a_call_with_changed_arguments_in_the_checkpoint_needs_an_approval_of_its_own(
    governor, config, kind
):
    graph = agent(kind, calls(("refund", {"order_id": "A", "amount": 2000})), saver=InMemorySaver())
    run(governor, graph)
    (request,) = refunds.pending(config)
    refunds.answer(config, request)
    graph.update_state(
        THREAD,
        {"messages": [calls(("refund", {"order_id": "A", "amount": 9000}))]},
        as_node="model",
    )
    with GovernedRuns(agent=refunds.AGENT, governor=governor).of(THREAD):
        result = graph.invoke(None, THREAD)
    assert "__interrupt__" in result
    assert len(refunds.pending(config)) == 1
    assert refunds.done() == []
