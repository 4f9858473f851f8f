"""The process of one call of an isolated tool: it runs the body, says what came of it, and ends.

It is forked by ``nursery_process`` and leads a process group of its own. When its agent closes the
other end of the line, or dies, it ends with all that it has started.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from guardrails.enforcement.arguments import Arguments
from guardrails.enforcement.json_form import to_document
from guardrails.enforcement.process_groups import end_group
from guardrails.enforcement.tools import tool_of
from guardrails.enforcement.worker_messages import receive, send
from guardrails.enforcement.workers import RESULT_LIMITS, located, same
from guardrails.errors import NoActiveRun
from guardrails.model.limits import DEFAULT_LIMITS
from guardrails.runs.context import Frame, enter

if TYPE_CHECKING:
    from guardrails.enforcement.definition import Tool
    from guardrails.model.budget import Charge


class RemoteRun:
    """The run of the agent, as far as it reaches into this process: a call can be charged."""

    def __init__(self, id: str, agent: str, say: Any) -> None:
        self.id = id
        self.agent = SimpleNamespace(id=agent, runbook=None)
        self._say = say

    def charge_call(self, _hold: object, charge: Charge) -> None:
        """Report what the call really cost."""
        self._say({"charged": {"micro_usd": charge.micro_usd, "tokens": charge.tokens}})

    def check_kill(self, _tool: str | None = None) -> None:
        """Nothing: who is killed here has no time to look."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        msg = 'a tool with isolation="process" makes no governed calls and opens no runs'
        raise NoActiveRun(
            msg,
            run_id=self.id,
            hint="make the call in a tool without isolation, and hand its result over",
        )


def serve(fd: int) -> None:
    """Serve the one call that comes over the socket `fd`."""
    connection = socket.socket(fileno=fd)
    # What the tool starts must not hold the line open once this process is gone.
    connection.set_inheritable(False)
    asked = receive(connection)
    if asked is None:
        return
    os.chdir(asked["directory"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:] = asked["path"]
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    saying = threading.Lock()

    def say(message: dict[str, Any]) -> None:
        with saying:
            send(connection, message)

    try:
        if "TRACEPARENT" in asked["environment"]:
            # Only then: it is imported anew in each of these processes.
            from guardrails.telemetry.carrying import go_on  # noqa: PLC0415  # see above

            go_on(os.environ)
        tool = _asked_for(asked["module"], asked["name"])
        run = RemoteRun(asked["run"], asked["agent"], say)
        enter(Frame(run, object(), tool.facts.name, asked["key"]))  # type: ignore[arg-type]  # a part of them
        value = _run(tool, asked["arguments"])
        answer = {"returned": to_document(value, path="result", limits=RESULT_LIMITS)}
    except BaseException as error:  # noqa: BLE001  # handed to the agent, which raises it
        answer = {"raised": _described(error)}
    sys.stdout.flush()
    sys.stderr.flush()
    say(answer)


def _asked_for(module: str, name: str) -> Tool:
    tool = tool_of(located(module, name))
    if tool is None:
        raise LookupError(f"`{module}:{name}` is not governed")
    return tool


def _run(tool: Tool, document: dict[str, Any]) -> Any:
    parameters = tool.parameters
    named = dict.fromkeys(parameters.names)
    blank = Arguments((), {}, named, {}, DEFAULT_LIMITS, can_change=False)
    arguments = parameters.rewrite(blank, document)
    if not same(document, arguments.document):
        raise ValueError("by their annotations the arguments read as something else")
    if inspect.iscoroutinefunction(tool.function):
        return asyncio.run(tool.function(*arguments.args, **arguments.kwargs))
    return tool.function(*arguments.args, **arguments.kwargs)


def _described(error: BaseException) -> dict[str, Any]:
    kind = type(error)
    try:
        # A message that is a text is the whole of it; a KeyError would quote it.
        text = error.args[0] if len(error.args) == 1 and type(error.args[0]) is str else str(error)
    except Exception:  # noqa: BLE001  # an error that cannot be shown is told without its text
        text = ""
    shown = text.encode("utf-8", "replace").decode()
    return {"module": kind.__module__, "type": kind.__qualname__, "text": shown[:10_000]}


def _end_with(connection: socket.socket) -> None:
    """Wait for the agent to hang up, and end this process with its group."""
    try:
        connection.recv(1)
    finally:
        end_group(os.getpid())
