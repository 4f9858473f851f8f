"""Inside Google ADK: its own runner, sessions and flow of calls, with a model of its own kind."""

import asyncio
import contextlib
import inspect
import json
import threading

import pytest
from google.adk.agents import LlmAgent
from google.adk.agents.run_config import RunConfig, ToolThreadPoolConfig
from google.adk.plugins.base_plugin import BasePlugin
from google.adk.runners import Runner
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.function_tool import FunctionTool
from google.genai import types
from tests.adapters import refunds
from tests.adapters.google_adk.agent import (
    SESSION,
    USER,
    calls,
    read_of,
    runner,
    said,
    script,
    talk,
)
from tests.adapters.scenarios import Scenario, shows

import guardrails as gr
from guardrails.adapters.google_adk import GovernedRuns, confirmed

pytestmark = pytest.mark.timeout(600)  # each process loads a host and a policy

ELSEWHERE = "tests.adapters.google_adk.agent"
REFUNDS = ("refund", "refund_async", "ungoverned_refund")
IN_THREADS = RunConfig(tool_thread_pool_config=ToolThreadPoolConfig(max_workers=4))
STREAMED = RunConfig.model_validate({"streaming_mode": "sse"})


@pytest.fixture
def config(tmp_path):
    return refunds.project(tmp_path)


@pytest.fixture
def governor(config):
    with contextlib.closing(gr.load_governor(config)) as found:
        yield found


def run(governor, *answers, tokens=0, host=None, **options):
    host = host or runner(script(*answers, tokens=tokens))
    return asyncio.run(talk(host, governor, **options))


def suspended(config, tmp_path, *answers):
    """The work of a process that ended when people had to be asked: its sessions, what waits."""
    sessions = str(tmp_path / "sessions.db")
    model = script(*answers)
    with contextlib.closing(gr.load_governor(config)) as governor:
        host = runner(model, sessions=SqliteSessionService(sessions))
        _, asked = run(governor, host=host)
    assert model.asked == len(answers)  # not asked again while a call waits
    return sessions, asked


def gone_on(config, sessions, asked, *answers):
    """What another process makes of it."""
    return json.loads(
        refunds.elsewhere(ELSEWHERE, config, sessions, json.dumps(asked), json.dumps(answers))
    )


@shows(Scenario.ALLOW)
@pytest.mark.parametrize("tool", REFUNDS)
def test_an_allowed_call_runs_once_and_the_model_gets_its_result(governor, tool):
    read, _ = run(governor, calls((tool, {"order_id": "A-17", "amount": 20})))
    assert read == ["refunded 20 for A-17"]
    assert refunds.done() == ["refund A-17 20"]


@shows(Scenario.DENY)
def test_a_denied_call_does_not_run_and_the_model_reads_why_and_is_not_told_to_retry(governor):
    model = script(calls(("delete_order", {"order_id": "A"})))
    (text,), _ = run(governor, host=runner(model))
    assert text.startswith("`delete_order` was not executed (denied)")
    assert "Do not retry" in text
    assert refunds.done() == []
    assert model.asked == 2


@shows(Scenario.DENY)
def test_arguments_that_a_callback_changes_are_the_ones_decided(governor):
    class Generous(BasePlugin):
        async def before_tool_callback(self, *, tool, tool_args, tool_context):
            tool_args["amount"] = 9000

    def generous(tool, args, tool_context):
        args["order_id"] = "B"

    args = {"order_id": "A", "amount": 1}
    host = runner(
        script(calls(("refund", args))),
        plugins=[Generous("generous")],
        before_tool_callback=generous,
    )
    _, (waits,) = run(governor, host=host)
    request = governor.approvals.get(waits["request_id"])
    assert dict(request.args) == {"order_id": "B", "amount": 9000}
    assert refunds.done() == []


@shows(Scenario.DENY)
def test_no_callback_of_the_host_makes_a_refused_call_or_sees_it_as_an_error(governor):
    class Recovers(BasePlugin):
        async def on_tool_error_callback(self, **_):
            return {"result": "all is well"}

    host = runner(script(calls(("delete_order", {"order_id": "A"}))), plugins=[Recovers("r")])
    (text,), _ = run(governor, host=host)
    assert text.startswith("`delete_order` was not executed (denied)")


@shows(
    Scenario.RESUME,
    but="a confirmation that comes before people have answered is used up: the model reads that "
    "the call waits, and makes it again when it is told to go on",
)
@pytest.mark.parametrize("tool", REFUNDS[:2])
def test_a_call_that_waits_is_made_once_by_another_process_when_people_have_agreed(
    config, tmp_path, tool
):
    both = calls(
        ("refund", {"order_id": "A-18", "amount": 20}),
        (tool, {"order_id": "A-17", "amount": 2000}),
    )
    sessions, (asked,) = suspended(config, tmp_path, both)
    (request,) = refunds.pending(config)
    assert (asked["request_id"], asked["approvers"]) == (request, ["finance-ops"])
    assert refunds.done() == ["refund A-18 20"]  # what waits for nobody has run

    refunds.answer(config, request)
    late = gone_on(config, sessions, [asked])
    assert late == {"read": ["refunded 2000 for A-17"], "open": [], "asked": 1}
    assert refunds.done() == ["refund A-18 20", "refund A-17 2000"]
    assert gone_on(config, sessions, [asked])["read"] == []  # confirmed once more
    assert len(refunds.done()) == 2


@shows(Scenario.RESUME)
def test_a_confirmation_alone_permits_nothing(config, tmp_path):
    args = {"order_id": "A", "amount": 2000}
    sessions, asked = suspended(config, tmp_path, calls(("refund", args)))
    (request,) = refunds.pending(config)
    early = gone_on(config, sessions, asked)
    assert "finance-ops" in early["read"][0]
    assert refunds.done() == []
    assert refunds.pending(config) == [request]


@shows(Scenario.REJECT)
def test_a_call_that_somebody_refused_never_runs_and_the_model_reads_that(config, tmp_path):
    sessions, asked = suspended(
        config, tmp_path, calls(("refund", {"order_id": "A", "amount": 2000}))
    )
    refunds.answer(config, refunds.pending(config)[0], approved=False)
    late = gone_on(config, sessions, asked)
    assert "A person refused it" in late["read"][0]
    assert late["asked"] == 1
    assert refunds.done() == []


@shows(Scenario.REJECT)
def test_a_confirmation_that_says_no_ends_a_call_that_people_have_approved(governor, config):
    host = runner(script(calls(("refund", {"order_id": "A", "amount": 2000}))))
    _, asked = run(governor, host=host)
    refunds.answer(config, asked[0]["request_id"])
    message = confirmed(asked)
    message.parts[0].function_response.response = {"confirmed": False}
    (text,), _ = run(governor, host=host, message=message)
    assert text == "`refund` was not executed: it was not confirmed."
    assert refunds.done() == []


@shows(Scenario.EDIT, but="the model makes the call with the new arguments, as it is told to")
def test_a_call_with_changed_arguments_runs_and_the_old_one_does_not(config, tmp_path):
    sessions, asked = suspended(
        config, tmp_path, calls(("refund", {"order_id": "A", "amount": 2000}))
    )
    refunds.edit(config, asked[0]["request_id"], {"order_id": "A", "amount": 1500})
    late = gone_on(config, sessions, asked, [["refund", {"order_id": "A", "amount": 1500}]])
    assert "a person changed its arguments to amount=1500" in late["read"][0]
    assert late["read"][1] == "refunded 1500 for A"
    assert refunds.done() == ["refund A 1500"]


@shows(Scenario.BUDGET)
@pytest.mark.parametrize("run_config", [RunConfig(), IN_THREADS], ids=["loop", "threads"])
@pytest.mark.parametrize("tool", REFUNDS)
def test_of_many_calls_at_once_as_many_run_as_there_is_budget_for(governor, tool, run_config):
    each = calls(*((tool, {"order_id": f"A-{n}", "amount": 1}) for n in range(8)))
    texts, _ = run(governor, each, budget=gr.Budget(calls=3), run_config=run_config)
    assert sum(text.startswith("refunded") for text in texts) == 3
    assert sum("budget" in text for text in texts) == 5
    assert len(refunds.done()) == 3


@shows(Scenario.BUDGET)
@pytest.mark.parametrize("run_config", [RunConfig(), STREAMED], ids=["whole", "streamed"])
def test_what_the_model_used_is_charged_to_the_run_once(governor, run_config):
    def spent(limit):
        (text,), _ = run(
            governor,
            calls(("refund", {"order_id": "A", "amount": 1})),
            tokens=900,
            budget=gr.Budget(tokens=limit, calls=5),
            run_config=run_config,
        )
        return text

    assert "budget" in spent(800)
    assert refunds.done() == []
    assert spent(1000) == "refunded 1 for A"


@shows(Scenario.KILL, but="a plain function in flight ends first; its result is discarded")
@pytest.mark.parametrize("run_config", [RunConfig(), IN_THREADS, STREAMED])
@pytest.mark.parametrize("tool", ["slow_refund", "blocking_refund"])
def test_a_kill_ends_the_agents_run_and_not_the_program(governor, tool, run_config):
    class Recovers(BasePlugin):
        async def on_tool_error_callback(self, **_):
            return {"result": "all is well"}

    killer = refunds.kill_once_started(governor)
    model = script(calls((tool, {"order_id": "A-17"}), (tool, {"order_id": "A-18"})))

    async def serve():
        with pytest.raises(gr.RunStopped):
            await talk(runner(model, plugins=[Recovers("r")]), governor, run_config=run_config)
        return "the program goes on"

    assert asyncio.run(serve()) == "the program goes on"
    killer.join()
    assert not any("ended" in line for line in refunds.done())
    assert model.asked == 1  # the model was not asked again


@shows(Scenario.LOST_CONTEXT)
def test_outside_of_every_run_nothing_is_called(config):
    args = {"order_id": "A", "amount": 2}
    host = runner(script(calls(("refund", args), ("ungoverned_refund", args))))

    async def alone():
        read = []
        async for event in host.run_async(user_id=USER, session_id="s", new_message=said("go")):
            read += read_of(event)
        return read

    assert ["no_active_run" in text for text in asyncio.run(alone())] == [True, True]
    assert refunds.done() == []


@shows(Scenario.LOST_CONTEXT)
def test_in_the_hosts_threads_there_is_the_run(governor):
    main, threads = threading.get_ident(), []

    @gr.governed_tool(resource="payments", operation="write")
    def where() -> str:
        """Where it runs."""
        threads.append(threading.get_ident())
        return "here"

    host = runner(script(calls(("where", {}))), tools=[where])
    assert run(governor, host=host, run_config=IN_THREADS)[0] == ["here"]
    # Runner.run works in a thread of its own.
    host = runner(script(calls(("where", {}))), tools=[where])
    with GovernedRuns(agent=refunds.AGENT, governor=governor).of(SESSION):
        events = host.run(user_id=USER, session_id=SESSION, new_message=said("go"))
        assert [text for event in events for text in read_of(event)] == ["here"]
    assert len(threads) == 2
    assert main not in threads


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_the_tools_as_they_were(governor):
    shown = script(), script()
    run(governor, host=runner(shown[0]))
    bare = [
        inspect.unwrap(each)
        for each in (
            refunds.refund,
            refunds.refund_async,
            refunds.delete_order,
            refunds.slow_refund,
            refunds.blocking_refund,
            refunds.ungoverned_refund,
        )
    ]
    plain = Runner(
        agent=LlmAgent(name="billing", model=shown[1], tools=bare),
        app_name="refunds",
        session_service=InMemorySessionService(),
        auto_create_session=True,
    )
    run(governor, host=plain)
    assert shown[0].shown == shown[1].shown
    assert len(shown[0].shown) == 6


def test_each_call_is_made_once_under_the_hosts_id(config):
    governor = gr.testing.governor()
    args = {"order_id": "A", "amount": 2}
    run(governor, calls(*((tool, args) for tool in REFUNDS)))
    started = [each for each in governor.record.events if each.kind == "call.started"]
    assert sorted((each.tool, each.input["call"]["id"]) for each in started) == sorted(
        (tool, f"call_{n}") for n, tool in enumerate(REFUNDS)
    )


def test_a_tool_that_is_governed_twice_is_decided_once(config):
    governor = gr.testing.governor()
    tool = FunctionTool(refunds.ungoverned_refund)
    args = {"order_id": "A", "amount": 2}
    for _ in range(2):
        host = runner(script(calls(("ungoverned_refund", args))), tools=[tool])
        assert run(governor, host=host)[0] == ["refunded 2 for A"]
    assert sum(each.kind == "call.started" for each in governor.record.events) == 2


def test_arguments_of_a_foreign_tool_that_do_not_fit_are_refused(governor):
    (text,), _ = run(governor, calls(("ungoverned_refund", {"order_id": "A", "amount": "2"})))
    assert "amount" in text
    assert refunds.done() == []


def test_the_hosts_own_confirmation_is_asked_besides(governor):
    tool = FunctionTool(refunds.refund, require_confirmation=True)
    args = {"order_id": "A", "amount": 2}
    (text,), asked = run(governor, host=runner(script(calls(("refund", args))), tools=[tool]))
    assert "requires confirmation" in text
    assert asked == []  # it is the program's, not ours
    assert refunds.done() == []


def test_a_tool_that_nobody_has_is_answered_by_the_host(governor):
    (text,), _ = run(governor, calls(("nothing", {})))
    assert "no tool with that name" in text


@pytest.mark.filterwarnings("ignore:The `plugins` argument is deprecated")  # AgentTool gives it
def test_an_agent_as_a_tool_is_governed_and_so_are_its_tools_in_the_same_run(governor):
    def host():
        args = {"order_id": "A", "amount": 2}
        helper = LlmAgent(
            name="helper",
            description="Helps.",
            model=script(calls(("refund", args), ("delete_order", {"order_id": "A"}))),
            tools=[refunds.refund, refunds.delete_order],
        )
        return runner(script(calls(("helper", {"request": "x"}))), tools=[AgentTool(helper)])

    assert "denied" in run(governor, host=host())[0][0]  # nobody has granted it
    assert refunds.done() == []
    everything = gr.testing.governor()
    assert run(everything, host=host())[0] == ["done"]
    started = [each for each in everything.record.events if each.kind == "call.started"]
    assert {each.tool for each in started} == {"helper", "refund", "delete_order"}
    assert {each.run_id for each in started} == {SESSION}


def test_a_program_that_has_opened_a_run_keeps_it(config):
    governor = gr.testing.governor()
    with governor.run("other") as own:
        run(governor, calls(("refund", {"order_id": "A", "amount": 2})))
        assert own.spent.calls == 1


def test_a_tool_that_asks_a_person_is_suspended(governor):
    host = runner(
        script(calls(("asking_refund", {"order_id": "A"}))), tools=[refunds.asking_refund]
    )
    _, (waits,) = run(governor, host=host)
    assert "stopped and asked finance-ops" in waits["message"]
    assert refunds.done() == []


def test_a_message_that_confirms_nothing_is_empty():
    assert confirmed([]) == types.Content(role="user", parts=[])


def test_the_example_runs():
    said = refunds.script("refunds_google_adk.py")
    assert said.splitlines()[-2:] == ["worker: refunded $2,000 for A-18", "worker: Both done."]
