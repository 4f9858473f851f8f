"""The sidecar engine beside ``http.client`` and opa-python-client: one decision, all of its cost.

The policy decides by one comparison, so that what is measured is the way to OPA and back, with
the input written and the answer read as JSON. Each side keeps its connection open. The engine's
time includes everything that it does for a decision: exact numbers, the deadline, the breaker,
provenance, the version check and reading the decision strictly.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from opa_client.opa import OpaClient

from benchmarks.peers.opa_server import served
from benchmarks.variant import Variant, variant
from benchmarks.workload import Case
from guardrails.engines.sidecar import SidecarEngine
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack

    from guardrails.model.decision import Decision

TCP: Final = "engine, TCP"
UNIX: Final = "engine, Unix socket"
CLIENT_TCP: Final = "http.client, TCP"
CLIENT_UNIX: Final = "http.client, Unix socket"
COROUTINE: Final = "engine, coroutine, Unix socket"
GUARDED: Final = "engine, Unix socket, system.authz"
QUERY_RULE: Final = "opa-python-client, TCP"

_DEADLINE: Final = 10.0
_HOST: Final = "127.0.0.1"
_TARGET: Final = "/v1/data/guardrails/decision?provenance=true&strict-builtin-errors=true"
_POLICY: Final = """package guardrails

default decision := {
\t"effect": "deny",
\t"reasons": [{"rule": "guardrails", "reason": "no rule allows this call"}],
\t"approvals": [],
\t"obligations": [],
}

decision := {
\t"effect": "allow",
\t"reasons": [{"rule": "reads", "reason": "allowed"}],
\t"approvals": [],
\t"obligations": [],
} if {
\tinput.tool.operation == "read"
}
"""

_encode: Final = json.JSONEncoder(default=float, separators=(",", ":")).encode


def cases(inputs: tuple[Case, ...]) -> tuple[Case, ...]:
    """`inputs` as calls about which this policy decides."""
    return tuple(
        Case(
            case.name,
            case.input,
            "allow" if case.input["tool"]["operation"] == "read" else "deny",
            case.weight,
        )
        for case in inputs
    )


def makers(stack: ExitStack) -> Mapping[str, Callable[[], Variant]]:
    """What makes each variant; one server serves all of them but the guarded one.

    Raises:
        NotThereError: there is no OPA.
    """
    open_one = stack.enter_context(served({"policy": _POLICY}, {}))
    unix = f"unix://{open_one.socket_path}"

    def guarded() -> Variant:
        authz = (policies_directory() / "system" / "authz.rego").read_text(encoding="utf-8")
        options = ("--authentication=token", "--authorization=basic")
        found = stack.enter_context(served({"policy": _POLICY, "authz": authz}, {}, options))
        return _engine(stack, GUARDED, f"unix://{found.socket_path}")

    return {
        CLIENT_TCP: lambda: _client(
            stack, CLIENT_TCP, http.client.HTTPConnection(_HOST, open_one.port)
        ),
        CLIENT_UNIX: lambda: _client(stack, CLIENT_UNIX, _UnixConnection(open_one.socket_path)),
        TCP: lambda: _engine(stack, TCP, f"http://{_HOST}:{open_one.port}"),
        UNIX: lambda: _engine(stack, UNIX, unix),
        COROUTINE: lambda: _coroutine(stack, unix),
        GUARDED: guarded,
        QUERY_RULE: lambda: _query_rule(stack, open_one.port),
    }


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def _client(stack: ExitStack, name: str, connection: http.client.HTTPConnection) -> Variant:
    stack.callback(connection.close)
    headers = {"Content-Type": "application/json"}

    def decide(input: Any) -> Any:
        connection.request("POST", _TARGET, _encode({"input": input}), headers)
        return json.loads(connection.getresponse().read(), parse_float=Decimal)["result"]

    return variant(name, decide, answer=_effect)


def _engine(stack: ExitStack, name: str, address: str) -> Variant:
    engine = SidecarEngine(address, deadline=_DEADLINE)
    stack.callback(engine.close)
    return variant(name, lambda input: engine.decide(input, "d"), answer=_effect_of)


def _coroutine(stack: ExitStack, address: str) -> Variant:
    engine = SidecarEngine(address, deadline=_DEADLINE)
    loop = asyncio.new_event_loop()
    stack.callback(loop.close)
    stack.callback(engine.close)
    run = loop.run_until_complete
    return variant(
        COROUTINE,
        lambda input: run(engine.decide_async(input, "d")),
        answer=_effect_of,
        remark="with the event loop started and stopped for each call",
    )


def _query_rule(stack: ExitStack, port: int) -> Variant:
    client = OpaClient(host=_HOST, port=port)
    stack.callback(client.close_connection)
    return variant(
        QUERY_RULE,
        lambda input: client.query_rule(input, "guardrails", "decision")["result"],
        prepare=lambda input: json.loads(_encode(input)),
        answer=_effect,
        remark="`query_rule`, which knows no exact numbers: it gets floats",
    )


def _effect(decision: Any) -> Any:
    return decision["effect"]


def _effect_of(decision: Decision) -> Any:
    return decision.effect.value
