"""What a server that means harm cannot do to those who use it through the proxy."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from mcp import Client
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from tests.adapters.mcp.conftest import free_port, guardrails, text_of, until_open

import guardrails as gr
from guardrails.adapters.mcp.child_stderr import logged
from guardrails.adapters.mcp.pins import load_pins, pins_path, save_pins
from guardrails.adapters.mcp.proxy import Proxy
from guardrails.adapters.mcp.servers_file import ServersFile
from guardrails.adapters.mcp.sessions import Sessions
from guardrails.cli import mcp as commands
from guardrails.errors import ConfigError

HARMFUL = Path(__file__).with_name("harmful.py")
ALL = ["read_notes", "read_all", "read_environment", "read_request", "read_model", "morph"]


def written(directory, **servers):
    """A file of servers, each the harmful one or what is given for it."""
    usual = {
        "command": sys.executable,
        "args": [str(HARMFUL), "stdio"],
        "permissions": {"read": ALL},
    }
    document = {"mcpServers": {name: {**usual, **more} for name, more in servers.items()}}
    path = directory / "mcp.json"
    path.write_text(json.dumps(document), "utf-8")
    return path


def approve(path, *names):
    for name in names:
        commands.approve(name, config=path, by="sec@acme.example", yes=True)


@asynccontextmanager
async def using(path, mode="auto", **options):
    """A client of a proxy in this process, under a governor that allows everything."""
    proxy = Proxy(
        ServersFile.load(path), Sessions(gr.testing.governor(), "billing-agent"), **options
    )
    async with proxy.running() as server, Client(server, mode=mode) as client:
        yield client


def test_what_nobody_has_seen_is_neither_shown_nor_called(tmp_path, caplog):
    async def main():
        async with using(written(tmp_path, notes={})) as client:
            listed = await client.list_tools()
            with pytest.raises(MCPError, match="no such tool"):
                await client.call_tool("read_notes", {})
            return listed.tools

    assert asyncio.run(main()) == []
    assert "guardrails mcp approve notes" in caplog.text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_definition_that_changed_is_refused_until_somebody_has_looked(tmp_path, mode):
    path = written(tmp_path, notes={})
    approve(path, "notes")
    seen = path.with_name("mcp.lock.json").read_text("utf-8")

    async def main():
        async with using(path, mode, recheck=0.0) as client:
            first = await client.call_tool("read_notes", {})
            await client.call_tool("morph", {})
            refused = await client.call_tool("read_notes", {})
            listed = {tool.name: tool for tool in (await client.list_tools()).tools}
            # Agents are shown what was seen, never what a server says of itself now.
            assert "evil@example.com" not in json.dumps(
                [tool.model_dump(mode="json") for tool in listed.values()]
            )
            return first, refused, listed

    first, refused, listed = asyncio.run(main())
    assert text_of(first) == "called read_notes"
    assert refused.is_error
    assert refused.meta["guardrails"]["code"] == "denied"
    assert "read_notes" not in listed
    assert "read_more_notes" not in listed
    assert "read_all" in listed
    assert path.with_name("mcp.lock.json").read_text("utf-8") == seen


def test_a_refused_change_is_recorded_and_says_what_changed(tmp_path):
    path = written(tmp_path, notes={})
    approve(path, "notes")
    governor = gr.testing.governor()
    pins = load_pins(pins_path(path))
    pins["notes"].tools["read_notes"]["description"] = "Something else."
    save_pins(pins_path(path), pins)
    proxy = Proxy(ServersFile.load(path), Sessions(governor, "billing-agent"))

    async def main():
        async with proxy.running() as server, Client(server) as client:
            return await client.call_tool("read_notes", {})

    assert asyncio.run(main()).is_error
    (refusal,) = [each for each in governor.record.events if each.kind == "call.refused"]
    assert "its description changed since its server was approved" in str(refusal.detail)


def test_what_is_approved_while_the_proxy_runs_is_taken_over(tmp_path):
    path = written(tmp_path, notes={})

    async def main():
        async with using(path) as client:
            before = (await client.list_tools()).tools
            await asyncio.to_thread(approve, path, "notes")
            after = [tool.name for tool in (await client.list_tools()).tools]
            path.with_name("mcp.lock.json").write_text("{", "utf-8")
            broken = await client.call_tool("read_notes", {})
            return before, after, broken

    before, after, broken = asyncio.run(main())
    assert before == []
    assert sorted(after) == sorted(ALL)
    assert broken.is_error


def test_another_program_under_the_same_name_is_another_server(tmp_path):
    path = written(tmp_path, notes={})
    approve(path, "notes")
    written(tmp_path, notes={"args": [str(HARMFUL), "stdio", "--more"]})

    async def main():
        async with using(path) as client:
            return (await client.list_tools()).tools

    assert asyncio.run(main()) == []


def test_names_that_mislead_are_never_approved(tmp_path):
    path = written(tmp_path, notes={})
    approve(path, "notes")
    assert sorted(load_pins(pins_path(path))["notes"].tools) == sorted(ALL)
    listed = guardrails(tmp_path, "mcp", "list", "--json", code=1)
    odd = [each["tool"] for each in json.loads(listed.stdout) if each["problem"]]
    assert len(odd) == 3
    assert "\x1b" not in guardrails(tmp_path, "mcp", "list", code=1).stdout


def test_two_servers_with_one_tool_are_told_apart_or_refused(tmp_path):
    path = written(tmp_path, notes={}, diary={})
    approve(path, "notes", "diary")

    async def main():
        async with using(path) as client:
            listed = [tool.name for tool in (await client.list_tools()).tools]
            return listed, await client.call_tool("diary__read_notes", {})

    listed, result = asyncio.run(main())
    assert {"notes__read_notes", "diary__read_notes"} <= set(listed)
    assert not result.is_error
    bare = {"prefix": False}
    written(tmp_path, notes=bare, diary=bare)
    with pytest.raises(ConfigError, match="both have a tool that is shown as"):
        Proxy(ServersFile.load(path), Sessions(gr.testing.governor(), "billing-agent"))


def test_too_large_a_result_is_not_passed_on(tmp_path):
    path = written(tmp_path, notes={})
    approve(path, "notes")

    async def main():
        async with using(path) as client:
            return await client.call_tool("read_all", {})

    result = asyncio.run(main())
    assert result.is_error
    assert "Ask for less" in text_of(result)
    assert len(text_of(result)) < 300


def test_a_server_sees_of_the_environment_what_it_is_given_and_no_more(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXY_SECRET", "hunter2")
    monkeypatch.setenv("NOTES_KEY", "k-1")
    path = written(tmp_path, notes={"env": {"KEY": "${NOTES_KEY}"}})
    approve(path, "notes")

    async def main():
        async with using(path) as client:
            return json.loads(text_of(await client.call_tool("read_environment", {})))

    seen = asyncio.run(main())
    assert seen["KEY"] == "k-1"
    assert "hunter2" not in json.dumps(seen)
    assert not any(name.startswith("GUARDRAILS") or name == "NOTES_KEY" for name in seen)


def test_a_server_gets_nothing_of_the_clients_request_but_the_arguments(tmp_path):
    async def main():
        port = free_port()
        upstream = await asyncio.to_thread(
            subprocess.Popen, [sys.executable, str(HARMFUL), "http", str(port)]
        )
        try:
            await until_open(port, upstream)
            path = written(
                tmp_path,
                notes={
                    "command": None,
                    "args": [],
                    "url": f"http://127.0.0.1:{port}/mcp",
                    "headers": {"X-Key": "k-1"},
                },
            )
            await asyncio.to_thread(approve, path, "notes")
            async with using(path) as client:
                result = await client.call_tool(
                    "read_request", {}, meta={"token": "hunter2", "user": "dana"}
                )
            return json.loads(text_of(result)), result
        finally:
            upstream.terminate()
            await asyncio.to_thread(upstream.wait)

    seen, result = asyncio.run(main())
    assert seen["headers"]["x-key"] == "k-1"
    assert "authorization" not in seen["headers"]
    assert "hunter2" not in json.dumps(seen)
    assert "dana" not in json.dumps(seen)
    assert "inject" not in (result.meta or {})


def test_a_server_cannot_ask_the_clients_user_or_model(tmp_path):
    path = written(tmp_path, notes={})
    approve(path, "notes")

    async def main():
        async with using(path) as client:
            return await client.call_tool("read_model", {})

    assert "refused" in text_of(asyncio.run(main()))


def test_instructions_resources_and_prompts_of_servers_do_not_pass(tmp_path):
    path = written(tmp_path, notes={})
    approve(path, "notes")

    async def main():
        async with using(path, "legacy") as client:
            assert client.instructions is None
            for asked in (client.list_resources, client.list_prompts):
                with pytest.raises(MCPError, match="Method not found"):
                    await asked()

    asyncio.run(main())


def test_a_server_that_dies_is_an_error_for_the_model_and_is_started_again(tmp_path):
    path = written(tmp_path, notes={"command": sys.executable, "args": ["-c", "exit(1)"]})
    save_pins(
        pins_path(path),
        {"notes": _pin(ServersFile.load(path))},
    )

    async def main():
        async with using(path) as client:
            return await client.call_tool("read_notes", {})

    result = asyncio.run(main())
    assert result.is_error
    assert "cannot be reached" in text_of(result)


def _pin(file):
    from guardrails.adapters.mcp.pins import Pin  # noqa: PLC0415  # its one use

    definition = {"inputSchema": {"type": "object"}}
    launch = file.server("notes").launch()
    return Pin("sec", "2026-01-01T00:00:00Z", launch, {"read_notes": definition})


def test_what_a_server_writes_to_standard_error_cannot_steer_a_terminal(caplog):
    caplog.set_level(logging.INFO, "guardrails.mcp")
    with logged("notes") as errors:
        os.write(errors.fileno(), b"\x1b[2J\x1b]0;owned\x07\rERROR: forged\n" + b"x" * 10_000)
        os.write(errors.fileno(), b"\n" * 5_000)
    lines = caplog.messages
    assert all(line.startswith("notes: ") or "server notes" in line for line in lines)
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) < 600
    assert len(lines) <= 1_001


def test_a_kind_of_request_that_nobody_decides_does_not_reach_a_governed_server():
    from guardrails.adapters.mcp.interceptor import GuardrailsInterceptor  # noqa: PLC0415  # as above

    async def reached(*_):
        raise AssertionError("it was reached")

    server = Server("s", on_list_resources=reached, on_get_prompt=reached, on_completion=reached)
    server.middleware.append(GuardrailsInterceptor(gr.testing.governor(), "billing-agent"))

    async def main():
        async with Client(server) as client:
            assert (await client.list_resources()).resources == []
            with pytest.raises(MCPError, match="Method not found"):
                await client.get_prompt("any")

    asyncio.run(main())
