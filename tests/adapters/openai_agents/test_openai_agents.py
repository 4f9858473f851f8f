"""Inside the OpenAI Agents SDK: its own runner, its own scripted model, its own state."""

import asyncio
import contextlib
import inspect
import json

import pytest
from agents import (
    FunctionTool,
    RunContextWrapper,
    Runner,
    RunState,
    WebSearchTool,
    function_tool,
)
from agents.exceptions import ModelBehaviorError
from agents.testing import ModelStep
from agents.tool_context import ToolContext
from tests.adapters import refunds
from tests.adapters.openai_agents.agent import QUIET, Usage, agent, calls, read_by_model
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.openai_agents import GovernedAgent, GovernedRunner, governed

pytestmark = pytest.mark.timeout(600)  # each process loads a host and a policy

ELSEWHERE = "tests.adapters.openai_agents.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def run(governor, agent, *, id=None, **options):
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor, **options)
    return asyncio.run(runner.run(agent, "go", id=id, run_config=QUIET))


def requests(config):
    governor = gr.load_governor(config)
    with contextlib.closing(governor):
        return {each.id: each for each in governor.approvals.list()}


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("tool", REFUNDS)
def test_an_allowed_call_runs_once_and_the_model_gets_its_result(governor, tool):
    result = run(governor, agent(calls((tool, {"order_id": "A-17", "amount": 20}))))
    assert read_by_model(result) == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]
    assert result.final_output == "done"


@shows(Scenario.DENY)
def test_a_denied_call_does_not_run_and_the_model_reads_why(governor):
    result = run(governor, agent(calls(("delete_order", {"order_id": "A-17"}))))
    (read,) = read_by_model(result)
    assert read.startswith("`delete_order` was not executed (denied)")
    assert "Do not retry" in read
    assert refunds.done() == []


@shows(Scenario.DENY)
@pytest.mark.parametrize(
    "text",
    [
        *("[5000]", "5000", '"A-17"', "null", "true", "no json", "[" * 100_000, '{"amount": NaN}'),
        *('{"amount": 1, "amount": 5000}', '{"amount": 1e9999999999999999999}'),
    ],
)
def test_a_tool_that_takes_any_text_is_not_called_with_what_nothing_can_be_decided_about(
    governor, text
):
    ran = []

    async def takes_any(_context, text):
        ran.append(text)
        return "done"

    schema = {"type": "object", "properties": {"amount": {"type": "integer"}}}
    tool = governed(FunctionTool("pay", "Pay.", schema, takes_any), resource="payments")
    context = ToolContext.from_agent_context(
        RunContextWrapper(None), "c1", tool_name="pay", tool_arguments=text
    )
    with governor.run(refunds.AGENT):
        said = asyncio.run(gr.bind(asyncio.wait_for)(tool.on_invoke_tool(context, text), 60))
    assert ran == []
    assert said.startswith("`pay` was not executed: the arguments are no JSON object")


@shows(Scenario.DENY)
def test_a_foreign_tools_arguments_are_decided_as_they_are_and_not_as_the_host_would_read_them(
    governor,
):
    script = calls(("ungoverned_refund", {"order_id": "A-17", "amount": "20"}))
    (read,) = read_by_model(run(governor, agent(script)))
    assert "args.amount" in read
    assert refunds.done() == []


@shows(Scenario.DENY)
def test_no_handler_of_the_host_hides_a_refusal_from_the_model(governor):
    tool = function_tool(refunds.delete_order, failure_error_function=lambda *_: "try again!")
    result = run(governor, agent(calls(("delete_order", {"order_id": "A"})), tools=[tool]))
    assert read_by_model(result)[0].startswith("`delete_order` was not executed (denied)")


@shows(Scenario.RESUME)
@pytest.mark.parametrize("tool", ["refund", "refund_async"])
def test_a_call_that_waits_is_made_once_by_another_process_when_people_have_agreed(
    config, tmp_path, tool
):
    governor = gr.load_governor(config)
    script = calls(
        (tool, {"order_id": "A-17", "amount": 2000}), (tool, {"order_id": "A-18", "amount": 20})
    )
    result = run(governor, agent(script), id="case-17")
    state = tmp_path / "state.json"
    state.write_text(result.to_state().to_string(), "utf-8")
    governor.close()
    assert [item.call_id for item in result.interruptions] == ["call_0"]
    assert refunds.done() == ["refund A-18 20"]  # what waits for nobody has run

    early = json.loads(refunds.elsewhere(ELSEWHERE, config, state, "case-17"))
    assert early["open"] == 1  # nobody has answered: it waits on, and asks nobody anew
    (request,) = refunds.pending(config)
    refunds.answer(config, request)
    late = json.loads(refunds.elsewhere(ELSEWHERE, config, state, "case-17"))
    assert sorted(late["read"]) == ["refunded 20 for A-18", "refunded 2000 for A-17"]
    assert late["open"] == 0
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]
    # The same state, gone on from once more: the approval is used, so people are asked again.
    again = json.loads(refunds.elsewhere(ELSEWHERE, config, state, "case-17"))
    assert again["open"] == 1
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]


@shows(Scenario.RESUME)
def test_the_hosts_own_approval_approves_nothing(config, tmp_path):
    governor = gr.load_governor(config)
    billing = agent(calls(("refund", {"order_id": "A-17", "amount": 2000})))
    state = run(governor, billing, id="case-17").to_state()
    state.approve(state.get_interruptions()[0], always_approve=True)
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor)
    result = asyncio.run(runner.run(billing, state, id="case-17", run_config=QUIET))
    governor.close()
    assert "waits for approval by finance-ops" in read_by_model(result)[0]
    assert refunds.done() == []


@shows(Scenario.RESUME)
def test_arguments_that_were_changed_in_the_state_need_an_approval_of_their_own(config, tmp_path):
    governor = gr.load_governor(config)
    billing = agent(calls(("refund", {"order_id": "A-17", "amount": 2000})))
    text = run(governor, billing, id="case-17").to_state().to_string()
    governor.close()
    (request,) = refunds.pending(config)
    refunds.answer(config, request)
    state = tmp_path / "state.json"
    state.write_text(text.replace("2000", "9000"), "utf-8")
    with contextlib.suppress(AssertionError):  # the host, too, may refuse such a state
        refunds.elsewhere(ELSEWHERE, config, state, "case-17")
    assert refunds.done() == []


@shows(Scenario.REJECT)
def test_a_call_that_somebody_refused_never_runs_and_the_model_reads_that(config, tmp_path):
    governor = gr.load_governor(config)
    script = calls(("refund", {"order_id": "A-17", "amount": 2000}))
    state = tmp_path / "state.json"
    state.write_text(run(governor, agent(script), id="case-17").to_state().to_string(), "utf-8")
    governor.close()
    (request,) = refunds.pending(config)
    refunds.answer(config, request, approved=False)
    late = json.loads(refunds.elsewhere(ELSEWHERE, config, state, "case-17"))
    assert late["open"] == 0
    assert "A person refused it" in late["read"][0]
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the model makes the call with the new arguments, as it is told to")
def test_a_call_with_changed_arguments_runs_and_the_old_one_does_not(config, tmp_path):
    governor = gr.load_governor(config)
    script = calls(("refund", {"order_id": "A-17", "amount": 2000}))
    state = tmp_path / "state.json"
    state.write_text(run(governor, agent(script), id="case-17").to_state().to_string(), "utf-8")
    governor.close()
    (request,) = refunds.pending(config)
    refunds.edit(config, request, {"order_id": "A-17", "amount": 1500})
    then = calls(("refund", {"order_id": "A-17", "amount": 1500}))
    then[0].call_id = "call_9"
    again = [[each.model_dump(exclude_none=True) for each in then]]
    late = json.loads(refunds.elsewhere(ELSEWHERE, config, state, "case-17", json.dumps(again)))
    assert "a person changed its arguments to amount=1500" in late["read"][0]
    assert late["read"][1] == "refunded 1500 for A-17"
    assert refunds.done() == ["refund A-17 1500"]


@shows(Scenario.BUDGET)
@pytest.mark.parametrize("tool", REFUNDS)
def test_of_many_calls_at_once_as_many_run_as_there_is_budget_for(governor, tool):
    script = calls(*((tool, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)))
    result = run(governor, agent(script), budget=gr.Budget(calls=3))
    read = read_by_model(result)
    assert len(read) == 8
    assert sum(text.startswith("refunded") for text in read) == 3
    assert sum("budget" in text for text in read) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.BUDGET)
def test_what_the_model_used_is_charged_to_the_run(governor):
    step = ModelStep(
        calls(("refund", {"order_id": "A-17", "amount": 1})), usage=Usage(1, 900, total_tokens=900)
    )
    result = run(governor, agent(step), budget=gr.Budget(tokens=800, calls=5))
    assert "budget" in read_by_model(result)[0]
    assert refunds.done() == []


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("tool", ["slow_refund", "blocking_refund"])
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_kill_ends_the_agents_run_and_not_the_program(governor, tool, is_streamed):
    killer = refunds.kill_once_started(governor)
    billing = agent(calls((tool, {"order_id": "A-17"}), (tool, {"order_id": "A-18"})))
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor)

    async def serve():
        with pytest.raises(gr.RunStopped):  # noqa: PT012  # either way of the host
            if is_streamed:
                async with runner.run_streamed(billing, "go", run_config=QUIET) as result:
                    async for _ in result.stream_events():
                        pass
            else:
                await runner.run(billing, "go", run_config=QUIET)
        return "the program goes on"

    assert asyncio.run(serve()) == "the program goes on"
    killer.join()
    assert not any("ended" in line for line in refunds.done())
    assert len(billing.model.calls) == 1  # the model was not asked again


@shows(Scenario.LOST_CONTEXT)
def test_outside_of_every_run_nothing_is_called_and_in_the_hosts_threads_there_is_one(governor):
    billing = agent(calls(("refund", {"order_id": "A-17", "amount": 20})))
    result = asyncio.run(Runner.run(billing, "go", run_config=QUIET))
    assert "no_active_run" in read_by_model(result)[0]
    assert refunds.done() == []
    # `refund` is a plain function, which the host calls in a thread.
    run(governor, agent(calls(("refund", {"order_id": "A-17", "amount": 20}))))
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_the_tools_as_they_were(governor):
    billing = agent([])
    run(governor, billing)
    shown = {tool.name: tool for tool in billing.model.calls[0].tools}
    assert set(shown) == {tool.name for tool in billing.tools}
    for function in (inspect.unwrap(refunds.refund), refunds.ungoverned_refund):
        plain = function_tool(function)
        there = shown[plain.name]
        assert (there.name, there.description, there.params_json_schema) == (
            plain.name,
            plain.description,
            plain.params_json_schema,
        )


def test_a_call_streamed_is_governed_as_any_other(governor):
    billing = agent(
        calls(("refund", {"order_id": "A", "amount": 1}), ("delete_order", {"order_id": "A"}))
    )
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor)

    async def stream():
        async with runner.run_streamed(billing, "go", run_config=QUIET) as result:
            async for _ in result.stream_events():
                pass
            return read_by_model(result)

    done, denied = asyncio.run(stream())
    assert done == "refunded 1 for A"
    assert "denied" in denied
    assert refunds.done() == ["refund A 1"]


def test_each_call_is_made_once_under_the_hosts_id():
    governor = gr.testing.governor()
    run(governor, agent(calls(*((tool, {"order_id": "A", "amount": 2}) for tool in REFUNDS))))
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert sorted((each.tool, each.input["call"]["id"]) for each in started) == sorted(
        (tool, f"call_{n}") for n, tool in enumerate(REFUNDS)
    )
    assert len({each.decision_id for each in started}) == len(REFUNDS)


def test_asking_ahead_leaves_no_trace_of_calls_that_nobody_is_asked_about():
    governor = gr.testing.governor()
    run(
        governor,
        agent(calls(("refund", {"order_id": "A", "amount": 2}))),
        budget=gr.Budget(calls=1),
    )
    kinds = [each.kind for each in governor.record.events if each.kind.startswith("call.")]
    assert kinds == ["call.started", "call.finished"]


def test_a_state_is_gone_on_from_in_its_own_run_alone(governor):
    billing = agent(calls(("refund", {"order_id": "A-17", "amount": 2000})))
    state = run(governor, billing, id="case-17").to_state()
    assert isinstance(state, RunState)
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor)
    with pytest.raises(gr.ConfigError, match="id of its run"):
        asyncio.run(runner.run(billing, state, run_config=QUIET))


def test_words_for_a_tool_that_has_its_own_are_refused():
    with pytest.raises(gr.ConfigError, match="@governed_tool"):
        governed(function_tool(refunds.refund), operation="read")


def test_governed_twice_is_governed_once():
    once = governed(function_tool(refunds.ungoverned_refund))
    assert governed(once) is once


def test_a_tool_that_the_host_runs_by_itself_is_refused_unless_it_is_named(governor):
    with pytest.raises(gr.ConfigError, match="web_search"):
        run(governor, agent([], tools=[WebSearchTool()]))
    named = GovernedAgent(
        name="Billing",
        model=agent([]).model,
        tools=[WebSearchTool()],
        ungoverned=frozenset({"web_search"}),
    )
    assert run(governor, named).final_output == ""


def test_the_example_runs():
    said = refunds.script("refunds_openai_agents.py")
    assert said.splitlines()[-2:] == ["worker: refunded $2,000 for A-18", "worker: Both done."]


def test_a_tool_that_asks_a_person_ends_and_the_model_reads_that_it_is_pending(governor):
    tool = function_tool(refunds.asking_refund)
    result = run(governor, agent(calls(("asking_refund", {"order_id": "A"})), tools=[tool]))
    assert "stopped and asked finance-ops" in read_by_model(result)[0]
    assert refunds.done() == []


def test_a_tool_that_nobody_has_ends_the_run_in_the_hosts_error(governor):
    with pytest.raises(ModelBehaviorError, match="nothing"):
        run(governor, agent(calls(("nothing", {}))))


def test_an_agent_that_is_handed_to_is_governed_in_the_same_run(governor):
    args = {"order_id": "A", "amount": 1}
    second = agent(calls(("delete_order", {"order_id": "A"}), ("refund", args)))
    second.name = "Second"
    first = agent(calls(("transfer_to_second", {}), first=10))
    first.handoffs = [second]
    texts = read_by_model(run(governor, first))
    assert "denied" in texts[-2]
    assert texts[-1] == "refunded 1 for A"
    assert refunds.done() == ["refund A 1"]


def test_an_agent_as_a_tool_is_a_call_of_its_own_and_its_tools_are_governed(governor):
    second = agent(calls(("delete_order", {"order_id": "A"})))
    as_tool = governed(
        second.as_tool("second", "Asks the second agent."), resource="payments", operation="write"
    )
    first = agent(calls(("second", {"input": "go"})), tools=[as_tool])
    assert read_by_model(run(governor, first)) == ["done"]
    assert refunds.done() == []


def test_what_the_program_wants_approved_in_the_host_waits_for_that_besides(governor):
    tool = function_tool(refunds.refund, needs_approval=True)
    billing = agent(calls(("refund", {"order_id": "A", "amount": 1})), tools=[tool])
    first = run(governor, billing, id="case-17")
    assert len(first.interruptions) == 1
    state = first.to_state()
    runner = GovernedRunner(agent=refunds.AGENT, governor=governor)
    again = asyncio.run(runner.run(billing, state, id="case-17", run_config=QUIET))
    assert len(again.interruptions) == 1
    state.approve(state.get_interruptions()[0])
    last = asyncio.run(runner.run(billing, state, id="case-17", run_config=QUIET))
    assert read_by_model(last) == ["refunded 1 for A"]
