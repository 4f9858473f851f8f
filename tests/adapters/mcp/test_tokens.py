"""Over HTTP the principal is the person of the token, and without a good token there is no call."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.adapters.mcp.test_harm import approve, written

import guardrails as gr
from guardrails.adapters.mcp.proxy import Proxy
from guardrails.adapters.mcp.servers_file import ServersFile
from guardrails.adapters.mcp.serving import serve_http
from guardrails.adapters.mcp.sessions import Sessions
from guardrails.errors import ConfigError

HOLDERS = {"t-dana": "dana@acme.example", "t-li": "li@acme.example"}


@contextlib.asynccontextmanager
async def served(path, governor):
    """The address of a proxy that knows the holders of two tokens."""
    proxy = Proxy(ServersFile.load(path), Sessions(governor, "billing-agent"))
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve_http(
            proxy,
            "127.0.0.1",
            0,
            person=HOLDERS.__getitem__,
            issuer="https://login.acme.example",
            ready=address.set_result,
        )
    )
    try:
        yield await asyncio.wait_for(address, 30)
    finally:
        serving.cancel()
        await asyncio.wait({serving}, timeout=20)


async def called(address, token, mode):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode, cache=None) as client,
    ):
        return await client.call_tool("read_notes", {})


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_each_holder_of_a_token_has_a_run_of_their_own(tmp_path, mode):
    path = written(tmp_path, notes={})
    approve(path, "notes")
    governor = gr.testing.governor()

    async def main():
        async with served(path, governor) as address:
            return [await called(address, token, mode) for token in HOLDERS]

    assert not any(result.is_error for result in asyncio.run(main()))
    opened = [each.detail for each in governor.record.events if each.kind == "run.opened"]
    assert [each["principal"] for each in opened] == list(HOLDERS.values())


@pytest.mark.parametrize(("mode", "token"), [("auto", ""), ("legacy", "t-dana")])
def test_without_a_good_token_there_is_no_run(tmp_path, mode, token):
    path = written(tmp_path, notes={})
    governor = gr.testing.governor()

    async def main():
        async with served(path, governor) as address:
            async with httpx2.AsyncClient(timeout=60) as http:
                header = {"Authorization": f"Bearer {token}x"} if token else {}
                answer = await http.post(address, json={}, headers=header)
            with pytest.raises(BaseException):  # noqa: B017  # groups of the SDK's errors
                await called(address, f"{token}x" if token else "", mode)
            return answer.status_code

    assert asyncio.run(main()) == 401
    assert governor.record.events == []


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.com", "::"])  # noqa: S104  # refused
def test_another_address_than_a_loopback_one_is_refused(tmp_path, host):
    proxy = Proxy(
        ServersFile.load(written(tmp_path, notes={})),
        Sessions(gr.testing.governor(), "billing-agent"),
    )
    with pytest.raises(ConfigError, match="no loopback address"):
        asyncio.run(serve_http(proxy, host, 0))
