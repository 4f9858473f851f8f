"""Over HTTP the principal is the person of the token, and without a good token there is no call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.adapters.mcp.conftest import Host
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


async def status(address, token):
    """What the server answers to somebody with this token, as a number of HTTP."""
    header = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(timeout=60) as http:
        return (await http.post(address, json={}, headers=header)).status_code


async def called(address, token, mode, tool="read_notes", **arguments):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http), mode=mode, cache=None) as client,
    ):
        return await client.call_tool(tool, arguments)


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
            answer = await status(address, f"{token}x" if token else "")
            with pytest.raises(BaseException):  # noqa: B017  # groups of the SDK's errors
                await called(address, f"{token}x" if token else "", mode)
            return answer

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


ISSUER = "https://login.acme.example"
KEY = ec.generate_private_key(ec.SECP256R1())
SERVER = f"""
record: record.jsonl
approvers: approvers.yaml
server:
  name: tools
  key_file: tools.key
  jwt: {{issuer: {ISSUER}, audience: tools, keys: login.pem, algorithms: [ES256], person: email}}
"""


def signed(key=KEY, **changed):
    claims = {
        "iss": ISSUER,
        "aud": "tools",
        "exp": int(time.time()) + 300,
        "email": "dana@acme.example",
        **changed,
    }
    return jwt.encode(claims, key, "ES256")


BAD = {
    "another issuer": signed(iss="https://login.other.example"),
    "for others": signed(aud="guardrails"),
    "too old": signed(exp=int(time.time()) - 300),
    "another key": signed(ec.generate_private_key(ec.SECP256R1())),
    "of nobody": signed(email=None),
    "unsigned": jwt.encode({"email": "dana@acme.example"}, "", "none"),
}


def test_the_command_knows_people_by_the_tokens_of_the_configured_issuer(project):
    with (project / "guardrails.yaml").open("a", encoding="utf-8") as config:
        config.write(SERVER)
    (project / "approvers.yaml").write_text("li@acme.example: {groups: [finance-ops]}\n", "utf-8")
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (project / "login.pem").write_bytes(public)

    async def main():
        async with Host(project, "proxy", "http", "auto").served() as address:
            refused = {why: await status(address, token) for why, token in BAD.items()}
            return refused, await called(address, signed(), "auto", "read_order", order_id="A-17")

    refused, result = asyncio.run(main())
    assert refused == dict.fromkeys(BAD, 401)
    assert not result.is_error
    lines = map(json.loads, (project / "record.jsonl").read_text("utf-8").splitlines())
    opened = [each["detail"] for each in lines if each["kind"] == "run.opened"]
    assert [each["principal"] for each in opened] == ["dana@acme.example"]
