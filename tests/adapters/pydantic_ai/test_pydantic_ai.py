"""Inside Pydantic AI: its own agents, its own function model, its own message history."""

import asyncio
import contextlib
import inspect
import json
from decimal import Decimal

import pytest
from pydantic_ai import Agent, Tool
from pydantic_ai.capabilities import Hooks
from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved
from pydantic_ai.toolsets import FunctionToolset
from tests.adapters import refunds
from tests.adapters.pydantic_ai.agent import (
    REQUESTS,
    WORDS,
    Script,
    agent,
    calls,
    read_by_model,
)
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.pydantic_ai import METADATA, GovernedToolset

pytestmark = pytest.mark.timeout(600)  # each process loads a host and a policy

ELSEWHERE = "tests.adapters.pydantic_ai.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def run(governor, *answers, **options):
    billing = agent(Script(*answers), governor, **options)
    return asyncio.run(billing.run("go", conversation_id="case-17"))


def read(result):
    return read_by_model(result.all_messages())


def deferred(config, tmp_path, *answers):
    """The work of a process that ended when people had to be asked; what it kept, and showed."""
    with contextlib.closing(gr.load_governor(config)) as governor:
        result = run(governor, *answers)
    assert isinstance(result.output, DeferredToolRequests)
    kept = tmp_path / "history.json"
    kept.write_bytes(result.all_messages_json())
    kept.with_suffix(".requests").write_bytes(REQUESTS.dump_json(result.output))
    return kept, [each[METADATA] for each in result.output.metadata.values()]


def gone_on(config, kept, *script):
    """What another process makes of it."""
    return json.loads(refunds.elsewhere(ELSEWHERE, config, kept, json.dumps(script)))


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("tool", REFUNDS)
def test_an_allowed_call_runs_once_and_the_model_gets_its_result(governor, tool):
    result = run(governor, calls((tool, {"order_id": "A-17", "amount": 20})))
    assert read(result) == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]
    assert result.output == "done"


@shows(Scenario.DENY)
def test_a_denied_call_does_not_run_and_the_model_reads_why_and_is_not_told_to_retry(governor):
    script = Script(calls(("delete_order", {"order_id": "A"})))
    result = asyncio.run(agent(script, governor).run("go"))
    (said,) = read(result)
    assert said.startswith("`delete_order` was not executed (denied)")
    assert "Do not retry" in said
    assert refunds.done() == []
    assert script.asked == 2


@shows(Scenario.DENY)
def test_no_hook_of_the_host_hides_a_refusal_from_the_model(governor):
    hooks = Hooks(tool_execute_error=lambda *_, **__: "all is well")
    result = run(governor, calls(("delete_order", {"order_id": "A"})), capabilities=[hooks])
    assert read(result)[0].startswith("`delete_order` was not executed (denied)")


@shows(Scenario.RESUME)
@pytest.mark.parametrize("tool", REFUNDS[:2])
def test_a_call_that_waits_is_made_once_by_another_process_when_people_have_agreed(
    config, tmp_path, tool
):
    script = calls(
        ("refund", {"order_id": "A-18", "amount": 20}), (tool, {"order_id": "A-17", "amount": 2000})
    )
    kept, (shown,) = deferred(config, tmp_path, script)
    (request,) = refunds.pending(config)
    assert (shown["request_id"], shown["approvers"]) == (request, ["finance-ops"])
    assert refunds.done() == ["refund A-18 20"]  # what waits for nobody has run

    early = gone_on(config, kept)
    assert len(early["open"]) == 1  # the results approve it, and nobody has answered
    assert refunds.pending(config) == [request]
    refunds.answer(config, request)
    late = gone_on(config, kept)
    assert late == {"read": ["refunded 20 for A-18", "refunded 2000 for A-17"], "open": {}}
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]
    # The same history, gone on from once more: the approval is used, so people are asked again.
    assert len(gone_on(config, kept)["open"]) == 1
    assert len(refunds.done()) == 2


@shows(Scenario.RESUME)
def test_arguments_that_come_with_the_hosts_approval_need_one_of_their_own(governor, config):
    first = run(governor, calls(("refund", {"order_id": "A-17", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.answer(config, request)
    override = ToolApproved(override_args={"order_id": "A-17", "amount": 9000})
    second = asyncio.run(
        agent(Script(), governor).run(
            message_history=first.all_messages(),
            deferred_tool_results=DeferredToolResults(approvals={"call_0": override}),
        )
    )
    assert isinstance(second.output, DeferredToolRequests)
    assert len(refunds.pending(config)) == 1
    assert refunds.done() == []


@shows(Scenario.REJECT)
def test_a_call_that_somebody_refused_never_runs_and_the_model_reads_that(config, tmp_path):
    kept, _ = deferred(config, tmp_path, calls(("refund", {"order_id": "A", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.answer(config, request, approved=False)
    late = gone_on(config, kept)
    assert "A person refused it" in late["read"][0]
    assert late["open"] == {}
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the model makes the call with the new arguments, as it is told to")
def test_a_call_with_changed_arguments_runs_and_the_old_one_does_not(config, tmp_path):
    kept, _ = deferred(config, tmp_path, calls(("refund", {"order_id": "A", "amount": 2000})))
    (request,) = refunds.pending(config)
    refunds.edit(config, request, {"order_id": "A", "amount": 1500})
    late = gone_on(config, kept, [["refund", {"order_id": "A", "amount": 1500}]])
    assert "a person changed its arguments to amount=1500" in late["read"][0]
    assert late["read"][1] == "refunded 1500 for A"
    assert refunds.done() == ["refund A 1500"]


@shows(Scenario.BUDGET)
@pytest.mark.parametrize("tool", REFUNDS)
def test_of_many_calls_at_once_as_many_run_as_there_is_budget_for(governor, tool):
    script = calls(*((tool, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)))
    texts = read(run(governor, script, budget=gr.Budget(calls=3)))
    assert sum(text.startswith("refunded") for text in texts) == 3
    assert sum("budget" in text for text in texts) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.BUDGET)
def test_what_the_model_used_is_charged_to_the_run(governor):
    script = Script(calls(("refund", {"order_id": "A", "amount": 1})), tokens=900)
    result = asyncio.run(agent(script, governor, budget=gr.Budget(tokens=800, calls=5)).run("go"))
    assert "budget" in read(result)[0]
    assert refunds.done() == []


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("tool", ["slow_refund", "blocking_refund"])
@pytest.mark.parametrize("way", ["run", "stream", "iter"])
def test_a_kill_ends_the_agents_run_and_not_the_program(governor, tool, way):
    killer = refunds.kill_once_started(governor)
    script = Script(calls((tool, {"order_id": "A-17"}), (tool, {"order_id": "A-18"})))
    billing = agent(script, governor)

    async def work():
        if way == "run":
            await billing.run("go")
        elif way == "stream":
            async with billing.run_stream("go") as result:
                async for _ in result.stream_text():
                    pass
        else:
            async with billing.iter("go") as nodes:
                async for _ in nodes:
                    pass

    async def serve():
        with pytest.raises(gr.RunStopped):
            await work()
        return "the program goes on"

    assert asyncio.run(serve()) == "the program goes on"
    killer.join()
    assert not any("ended" in line for line in refunds.done())
    assert script.asked == 1  # the model was not asked again


@shows(Scenario.LOST_CONTEXT)
def test_outside_of_every_run_nothing_is_called_and_in_the_hosts_threads_there_is_one(governor):
    toolset = GovernedToolset(FunctionToolset([refunds.refund, refunds.ungoverned_refund]), WORDS)
    args = {"order_id": "A", "amount": 2}
    script = Script(calls(("refund", args), ("ungoverned_refund", args)))
    result = asyncio.run(Agent(script.model, toolsets=[toolset]).run("go"))
    assert ["no_active_run" in text for text in read(result)] == [True, True]
    assert refunds.done() == []
    # `refund` is a plain function, which the host calls in a thread.
    run(governor, calls(("refund", args)))
    assert refunds.done() == ["refund A 2"]


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_the_tools_as_they_were(governor):
    script, plain = Script(), Script()
    asyncio.run(agent(script, governor).run("go"))
    bare: list = [
        refunds.refund,
        refunds.refund_async,
        refunds.delete_order,
        refunds.slow_refund,
        refunds.blocking_refund,
        refunds.ungoverned_refund,
    ]
    asyncio.run(Agent(plain.model, tools=[inspect.unwrap(each) for each in bare]).run("go"))
    assert [
        (each.name, each.description, each.parameters_json_schema) for each in script.shown
    ] == [(each.name, each.description, each.parameters_json_schema) for each in plain.shown]


def test_a_call_streamed_is_governed_as_any_other(governor):
    args = {"order_id": "A", "amount": 1}
    script = Script(calls(("refund", args), ("delete_order", {"order_id": "A"})))
    billing = agent(script, governor)

    async def stream():
        async with billing.run_stream("go") as result:
            assert [text async for text in result.stream_text()][-1] == "done"
            return read(result)

    made, denied = asyncio.run(stream())
    assert made == "refunded 1 for A"
    assert "denied" in denied
    assert refunds.done() == ["refund A 1"]


def test_each_call_is_made_once_under_the_hosts_id(config):
    governor = gr.testing.governor()
    args = {"order_id": "A", "amount": 2}
    run(governor, calls(*((tool, args) for tool in REFUNDS)))
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert sorted((each.tool, each.input["call"]["id"]) for each in started) == sorted(
        (tool, f"call_{n}") for n, tool in enumerate(REFUNDS)
    )


def test_values_of_python_reach_a_foreign_tool_as_they_were_and_policy_as_exact_json():
    governor = gr.testing.governor()
    seen = []

    def pay(amount: Decimal) -> str:
        seen.append(amount)
        return "paid"

    run(governor, calls(("pay", {"amount": "0.10"})), tools=[pay])
    assert seen == [Decimal("0.10")]
    (started,) = [each for each in governor.record.events if each.kind == "call.started"]
    assert started.input["args"] == {"amount": Decimal("0.1")}


def test_a_program_that_has_opened_a_run_keeps_it(config):
    governor = gr.testing.governor()

    async def main():
        with governor.run("other") as own:
            script = Script(calls(("refund", {"order_id": "A", "amount": 2})))
            await agent(script, governor).run("go")
            return own.spent.calls

    assert asyncio.run(main()) == 1


def test_a_history_is_read_as_it_was_written(config, tmp_path):
    kept, _ = deferred(config, tmp_path, calls(("refund", {"order_id": "A", "amount": 2000})))
    messages = ModelMessagesTypeAdapter.validate_json(kept.read_bytes())
    assert messages[-1].conversation_id == "case-17"


def test_a_tool_made_otherwise_is_governed_too(governor):
    tool = Tool(refunds.delete_order, name="remove")
    result = run(governor, calls(("remove", {"order_id": "A"})), tools=[tool])
    assert "`delete_order` was not executed (denied)" in read(result)[0]


def test_the_example_runs():
    said = refunds.script("refunds_pydantic_ai.py")
    assert said.splitlines()[-2:] == ["worker: refunded $2,000 for A-18", "worker: Both done."]


def test_a_tool_that_asks_a_person_is_deferred(governor):
    script = calls(("asking_refund", {"order_id": "A"}))
    result = run(governor, script, tools=[refunds.asking_refund])
    (waits,) = result.output.metadata.values()
    assert "stopped and asked finance-ops" in waits[METADATA]["message"]
    assert refunds.done() == []
