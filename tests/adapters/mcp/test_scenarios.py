"""The nine scenarios, for middleware, interceptor and proxy: real servers, a real client."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from tests.adapters.mcp.conftest import Host, text_of
from tests.adapters.project import CALLS, act, effects
from tests.adapters.scenarios import Scenario, shows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def until(happened):
    """Wait for another process, for a minute at most."""
    deadline = time.monotonic() + 60
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)


@shows(Scenario.ALLOW)
def test_a_permitted_call_runs_once_and_the_model_gets_the_result(host):
    async def main():
        async with host.client() as client:
            return await client.call_tool("read_order", {"order_id": "A-1"})

    result = asyncio.run(main())
    assert not result.is_error
    assert "two lamps" in text_of(result)
    assert effects(host.directory) == ["read_order A-1"]


@shows(Scenario.DENY)
def test_a_denied_call_does_not_run_and_the_model_reads_what_to_do(host):
    async def main():
        async with host.client() as client:
            listed = [tool.name for tool in (await client.list_tools()).tools]
            return listed, await client.call_tool("delete_order", {"order_id": "A-1"})

    listed, result = asyncio.run(main())
    assert "delete_order" not in listed
    assert "read_order" in listed
    assert result.is_error
    assert "not permitted. Do not retry" in text_of(result)
    assert result.meta["guardrails"]["code"] == "denied"
    assert effects(host.directory) == []


@shows(Scenario.RESUME)
def test_a_call_waits_for_another_process_and_is_made_once(host):
    async def main():
        async with host.client() as client:
            refund = {"order_id": "A-1", "amount": 500}
            waiting = await client.call_tool("refund", refund)
            before = effects(host.directory)
            await asyncio.to_thread(
                act, host.directory, "approve", waiting.meta["guardrails"]["request_id"]
            )
            return waiting, before, await client.call_tool("refund", refund)

    waiting, before, made = asyncio.run(main())
    assert waiting.is_error
    assert "waits for approval by finance-ops" in text_of(waiting)
    assert before == []
    assert "refunded 500" in text_of(made)
    assert effects(host.directory) == ["refund A-1 500"]


@shows(Scenario.RESUME)
def test_a_client_that_can_ask_its_user_tries_again_by_itself(host):
    def answer(params):
        (request,) = json.loads(act(host.directory, "waiting"))
        assert request in params.message
        assert "finance-ops" in params.message
        act(host.directory, "approve", request)
        return "accept"

    async def main():
        async with host.client(answer) as client:
            return await client.call_tool("refund", {"order_id": "A-1", "amount": 500})

    assert "refunded 500" in text_of(asyncio.run(main()))
    assert len(host.asked) == 1
    assert effects(host.directory) == ["refund A-1 500"]


@shows(Scenario.RESUME)
def test_whoever_sits_at_the_client_cannot_approve(host):
    async def main():
        async with host.client(lambda _: "accept") as client:
            return await client.call_tool("refund", {"order_id": "A-1", "amount": 500})

    result = asyncio.run(main())
    assert result.is_error
    assert "waits for approval by finance-ops" in text_of(result)
    assert len(host.asked) == 1
    assert effects(host.directory) == []


@shows(Scenario.REJECT)
def test_a_rejected_call_never_runs_and_the_model_reads_that(host):
    async def main():
        async with host.client() as client:
            refund = {"order_id": "A-1", "amount": 500}
            waiting = await client.call_tool("refund", refund)
            await asyncio.to_thread(
                act, host.directory, "reject", waiting.meta["guardrails"]["request_id"]
            )
            return await client.call_tool("refund", refund)

    result = asyncio.run(main())
    assert result.is_error
    assert "A person refused it" in text_of(result)
    assert effects(host.directory) == []


@shows(Scenario.EDIT)
def test_the_call_with_edited_arguments_runs_and_the_old_one_does_not(host):
    def edited(request):
        act(host.directory, "edit", request, "50")
        (new,) = json.loads(act(host.directory, "waiting"))
        act(host.directory, "approve", new)

    async def main():
        async with host.client() as client:
            refund = {"order_id": "A-1", "amount": 500}
            waiting = await client.call_tool("refund", refund)
            await asyncio.to_thread(edited, waiting.meta["guardrails"]["request_id"])
            told = await client.call_tool("refund", refund)
            return told, await client.call_tool("refund", {**refund, "amount": 50})

    told, made = asyncio.run(main())
    assert told.is_error
    assert "a person changed its arguments to amount=50" in text_of(told)
    assert "refunded 50" in text_of(made)
    assert effects(host.directory) == ["refund A-1 50"]


@shows(Scenario.BUDGET)
def test_of_many_calls_at_once_as_many_run_as_the_budget_has_room_for(host):
    async def main():
        async with host.client() as client:
            return await asyncio.gather(
                *(client.call_tool("read_order", {"order_id": f"A-{n}"}) for n in range(3 * CALLS))
            )

    results = asyncio.run(main())
    refused = [result for result in results if result.is_error]
    assert len(effects(host.directory)) == len(results) - len(refused) == CALLS
    assert all("budget is used up" in text_of(result) for result in refused)


@shows(Scenario.KILL)
def test_a_kill_ends_calls_in_flight_and_the_run_and_not_the_server(host):
    async def main():
        async with host.client() as client:
            calls = [
                asyncio.create_task(client.call_tool("slow", {"name": str(n)})) for n in range(2)
            ]
            await asyncio.to_thread(until, lambda: len(effects(host.directory)) == len(calls))
            await asyncio.to_thread(act, host.directory, "kill", "agent/billing-agent")
            ended = await asyncio.wait_for(asyncio.gather(*calls), 30)
            refused = await client.call_tool("read_order", {"order_id": "A-1"})
            await asyncio.to_thread(act, host.directory, "resume", "agent/billing-agent")
            return ended, refused, await client.call_tool("read_order", {"order_id": "A-2"})

    ended, refused, after = asyncio.run(main())
    for result in (*ended, refused):
        assert result.is_error
        assert "stopped by its operator" in text_of(result)
    assert not after.is_error
    assert effects(host.directory)[2:] == ["read_order A-2"]


@shows(Scenario.SCHEMA)
def test_the_model_is_shown_what_the_server_says(host):
    async def main():
        plain = Host(host.directory, "plain", "stdio", "auto")
        if host.kind in {"fastmcp", "decorated"}:
            plain = Host(host.directory, "fastmcp_plain", "stdio", "auto")
        async with plain.client() as there, host.client() as here:
            return (await there.list_tools()).tools, (await here.list_tools()).tools

    there, here = asyncio.run(main())
    shown = {tool.name: tool for tool in here}
    assert shown.keys() >= {"read_order", "refund", "slow"}
    for tool in there:
        if tool.name in shown:
            one, other = tool, shown[tool.name]
            assert one.description == other.description
            assert one.input_schema == other.input_schema
            assert one.output_schema == other.output_schema


@shows(
    Scenario.LOST_CONTEXT,
    but="behind the proxy and for tools without decorators no code of ours runs in the tool",
)
def test_a_tool_in_a_thread_has_its_run_and_one_that_lost_it_is_refused(project):
    host = Host(project, "decorated", "stdio", "auto")

    async def main():
        async with host.client() as client:
            return await client.call_tool("lost", {})

    result = asyncio.run(main())
    assert text_of(result) == "no_active_run; order kept: two lamps"
    assert effects(project) == ["read_order kept"]
