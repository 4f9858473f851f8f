"""Real servers of each kind, and a real client that is connected to them as a host would be."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import ElicitResult
from tests.adapters.project import AGENT, write_project

SHOP = Path(__file__).with_name("shop.py")
GUARDRAILS = Path(sys.executable).with_name("guardrails")
SERVERS = {
    "mcpServers": {
        "shop": {
            "command": sys.executable,
            "args": [str(SHOP), "plain", "stdio"],
            "permissions": {
                "read": ["orders"],
                "write": ["payments"],
                "execute": ["work"],
                "delete": [],
            },
            "tools": {
                "read_order": {"resource": "orders", "operation": "read"},
                "delete_order": {"resource": "orders", "operation": "delete"},
                "refund": {"resource": "payments", "operation": "write"},
                "slow": {"resource": "work", "operation": "execute"},
            },
        }
    }
}


def guardrails(directory: Path, *words: str, code: int | None = 0) -> subprocess.CompletedProcess:
    """Run the command line in `directory`; it must exit with `code`, unless that is None."""
    done = subprocess.run(
        [str(GUARDRAILS), *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert code is None or done.returncode == code, (done.stdout, done.stderr)
    return done


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


class Host:
    """What stands for an agent's host: it connects to one kind of server in one way."""

    def __init__(self, directory: Path, kind: str, transport: str, mode: str) -> None:
        self.directory = directory
        self.kind = kind
        self.transport = transport
        self.mode = mode
        self.asked: list[Any] = []
        self.log = directory / "server.log"

    def command(self) -> list[str]:
        if self.kind == "proxy":
            return [str(GUARDRAILS), "mcp", "proxy", "--agent", AGENT]
        return [sys.executable, str(SHOP), self.kind]

    @asynccontextmanager
    async def client(self, answer: Any = None):
        """A client; `answer` is called with each question to its user, and says `accept` or not."""

        async def asked(_context, params):
            self.asked.append(params)
            return ElicitResult(action=await asyncio.to_thread(answer, params))

        options: Any = {"mode": self.mode, "elicitation_callback": asked if answer else None}
        if self.transport == "stdio":
            command = [*self.command(), *([] if self.kind == "proxy" else ["stdio"])]
            parameters = StdioServerParameters(
                command=command[0],
                args=command[1:],
                cwd=self.directory,
                # Compiled policies: of these tests, and not of the user who runs them.
                env={"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]},
            )
            with self.log.open("a", encoding="utf-8") as log:
                async with Client(stdio_client(parameters, errlog=log), **options) as client:
                    yield client
            return
        async with self.served() as address, Client(address, **options) as client:
            yield client

    @asynccontextmanager
    async def served(self):
        """The address of the server over HTTP."""
        port = free_port()
        how = ["--http", f"127.0.0.1:{port}"] if self.kind == "proxy" else ["http", str(port)]
        with self.log.open("a", encoding="utf-8") as log:
            server = await asyncio.to_thread(
                subprocess.Popen, [*self.command(), *how], cwd=self.directory, stderr=log
            )
        try:
            await until_open(port, server)
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


async def until_open(port: int, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            await asyncio.sleep(0.1)
    raise AssertionError("the server does not listen")


@pytest.fixture
def project(tmp_path):
    """The shop's project, its servers approved."""
    write_project(tmp_path)
    (tmp_path / "mcp.json").write_text(json.dumps(SERVERS), "utf-8")
    lock = os.environ.setdefault("GUARDRAILS_TEST_LOCK", "")
    if not lock:
        guardrails(tmp_path, "mcp", "approve", "shop", "--yes", "--by", "sec@acme.example")
        os.environ["GUARDRAILS_TEST_LOCK"] = (tmp_path / "mcp.lock.json").read_text("utf-8")
    (tmp_path / "mcp.lock.json").write_text(os.environ["GUARDRAILS_TEST_LOCK"], "utf-8")
    return tmp_path


WAYS = [
    ("fastmcp", "stdio", "auto"),
    ("decorated", "stdio", "legacy"),
    ("sdk", "http", "auto"),
    ("proxy", "stdio", "auto"),
    ("proxy", "http", "legacy"),
]


@pytest.fixture(params=WAYS, ids="-".join)
def host(request, project):
    """A host that is connected in one of the ways that there are."""
    return Host(project, *request.param)


def text_of(result: Any) -> str:
    return "\n".join(getattr(each, "text", "") for each in result.content)
