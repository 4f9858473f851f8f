"""The protocol's reference servers behind the proxy: what is permitted works, all else does not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters
from tests.adapters.mcp.conftest import GUARDRAILS, text_of

from guardrails.cli import mcp as commands

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NODE = Path(__file__).with_name("node")
TREE = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def filesystem():
    """The command of the reference filesystem server; without npm the test is skipped."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no npm, which installs the filesystem server")
        pytest.skip("no npm, which installs the filesystem server")
    home = TREE / ".tools" / "adapters" / "node"
    program = home / "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js"
    if not program.exists():
        home.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(NODE / file, home)
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=home,
            check=True,
            timeout=250,
            capture_output=True,
        )
    return ["node", str(program)]


@pytest.fixture
def project(tmp_path):
    (tmp_path / "guardrails.yaml").write_text("environment: dev\nbreakers: null\n", "utf-8")
    (tmp_path / "agents.yaml").write_text(
        "clerk:\n  owner: dana@acme.example\n  budget: {dev: {calls: 100}}\n"
        "  access: {files: [read], git: [read], time: [read]}\n",
        "utf-8",
    )
    return tmp_path


def behind(project, **servers):
    path = project / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}), "utf-8")
    for name in servers:
        commands.approve(name, config=path, by="sec@acme.example", yes=True)


def using(project, work):
    async def main():
        parameters = StdioServerParameters(
            command=str(GUARDRAILS),
            args=["mcp", "proxy", "--agent", "clerk"],
            cwd=project,
            env={"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]},
        )
        async with Client(parameters) as client:
            return await work(client)

    return asyncio.run(main())


def test_files_are_read_by_the_servers_own_hints_and_never_written(project, filesystem):
    shared = project / "shared"
    shared.mkdir()
    (shared / "notes.txt").write_text("two lamps", "utf-8")
    command, program = filesystem
    behind(
        project,
        files={
            "command": command,
            "args": [program, str(shared)],
            "permissions": {"read": ["file", "directory"]},
        },
    )

    async def work(client):
        shown = {tool.name for tool in (await client.list_tools()).tools}
        read = await client.call_tool("read_text_file", {"path": str(shared / "notes.txt")})
        outside = await client.call_tool("read_text_file", {"path": "/etc/passwd"})
        new = {"path": str(shared / "new.txt"), "content": "x"}
        return shown, read, outside, await client.call_tool("write_file", new)

    shown, read, outside, written = using(project, work)
    assert "read_text_file" in shown
    assert not {"write_file", "edit_file", "move_file"} & shown
    assert "two lamps" in text_of(read)
    assert outside.is_error  # the server's own refusal passes as it is
    assert written.is_error
    assert "not permitted" in text_of(written)
    assert not (shared / "new.txt").exists()


def test_two_python_servers_behind_one_proxy(project):
    repository = project / "repository"
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    behind(
        project,
        git={
            "command": sys.executable,
            "args": ["-m", "mcp_server_git"],
            "permissions": {"read": ["git_status"]},
        },
        time={
            "command": sys.executable,
            "args": ["-m", "mcp_server_time"],
            "permissions": {"read": ["convert_time", "get_current_time"]},
        },
    )

    async def work(client):
        shown = {tool.name for tool in (await client.list_tools()).tools}
        where = {"repo_path": str(repository)}
        return (
            shown,
            await client.call_tool("git__git_status", where),
            await client.call_tool("git__git_add", {**where, "files": ["."]}),
            await client.call_tool("time__get_current_time", {"timezone": "Europe/Vienna"}),
        )

    shown, status, added, time = using(project, work)
    assert shown == {"git__git_status", "time__convert_time", "time__get_current_time"}
    assert not status.is_error
    assert added.is_error
    assert "not permitted" in text_of(added)
    assert "Vienna" in text_of(time)
