"""agent-governance-toolkit-core in a process of its own: nothing of this project is imported here.

It reads one JSON document a line and answers each by one line. The first says what to do:
``{"govern": [[tool, arguments], …]}`` for governed calls, ``{"record": path, "inputs": […]}`` for
its audit log, an event a pass.
Then each ``{"passes": n}`` is answered by what so many passes took, ``[wall_ns, cpu_ns]``.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import sys
import time
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_POLICY: Final = """
apiVersion: governance.toolkit/v1
name: flat
agents: ["*"]
default_action: deny
rules:
  - name: not-granted
    condition: "agent.value != 'billing'"
    action: deny
    priority: 100
  - name: not-in-this-environment
    condition: "environment.value != 'prod' and environment.value != 'staging'"
    action: deny
    priority: 100
  - name: blocked-here
    condition: "action.type in ['drop_table', 'run_shell', 'export_customers']"
    action: deny
    priority: 100
  - name: pay-above-the-limit
    condition: "action.type == 'pay' and amount.value > 1000"
    action: deny
    priority: 100
  - name: refund-above-the-limit
    condition: "action.type == 'refund' and amount.value > 250.5"
    action: deny
    priority: 100
  - name: no-contact
    condition: "action.type == 'send_mail' and to.value != 'orders@brandt.example'"
    action: deny
    priority: 100
  - name: granted
    condition: "action.type in ['get_invoice', 'pay', 'refund', 'send_mail']"
    action: allow
    priority: 1
"""
"""`flat` for the agent that calls, as far as these conditions can say it."""


def _governed(calls: list[tuple[str, dict[str, Any]]]) -> Callable[[], None]:
    module = import_module("agentmesh.governance.govern")

    def body(**arguments: Any) -> str:
        return str(arguments["action"])

    tools = {
        name: module.govern(body, policy=_POLICY, agent_id="billing")
        for name in dict.fromkeys(name for name, _ in calls)
    }
    known = {"agent": "billing", "environment": "prod"}
    made = [(tools[name], {"action": name, **known, **given}) for name, given in calls]
    _must_refuse(module.GovernanceDenied, made)

    def one_pass() -> None:
        for tool, arguments in made:
            tool(**arguments)

    one_pass()
    return one_pass


def _must_refuse(denied: type[Exception], made: list[tuple[Any, dict[str, Any]]]) -> None:
    """What does not decide is no peer: each tool is refused to another agent."""
    for tool, arguments in made:
        try:
            tool(**{**arguments, "agent": "research"})
        except denied:
            continue
        msg = f"`{arguments['action']}` is not refused to an agent that it is not granted to"
        raise RuntimeError(msg)


def _recorded(path: str, inputs: list[dict[str, Any]]) -> Callable[[], None]:
    log = import_module("agentmesh.governance.audit").AuditLog
    sink = import_module("agentmesh.governance.audit_backends").FileAuditSink
    audit = log(sink=sink(path, b"0" * 32))
    documents = itertools.cycle(inputs)

    def one_pass() -> None:
        document = next(documents)
        audit.log(
            "call.started",
            document["agent"]["id"],
            document["tool"]["name"],
            data={
                "run": "01a21fff-4590-75d6-b946-171690a8b90c",
                "args": document,
                "decision_ns": 12_345,
            },
            policy_decision="allow",
            trace_id="01a21fff-45a1-7215-a860-000000000001",
            policy_version="sha256:0123456789abcdef",
        )

    return one_pass


def _timed(one_pass: Callable[[], None], passes: int) -> tuple[int, int]:
    gc.collect()
    gc.disable()
    cpu, wall = time.process_time_ns(), time.perf_counter_ns()
    for _ in range(passes):
        one_pass()
    took = time.perf_counter_ns() - wall, time.process_time_ns() - cpu
    gc.enable()
    return took


def main() -> None:
    """Answers until its input ends."""
    logging.disable(logging.CRITICAL)
    answers, sys.stdout = sys.stdout, sys.stderr  # what the peer prints is no answer
    first = json.loads(sys.stdin.readline())
    if "govern" in first:
        one_pass = _governed(first["govern"])
    else:
        one_pass = _recorded(first["record"], first["inputs"])
    version = metadata.version("agent-governance-toolkit-core")
    answers.write(json.dumps({"version": version}) + "\n")
    answers.flush()
    for line in sys.stdin:
        answers.write(json.dumps(_timed(one_pass, json.loads(line)["passes"])) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
