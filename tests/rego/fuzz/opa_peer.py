"""The real OPA as a peer: one process plans many policies, one server answers for all of them.

Every policy has a root of its own (:class:`~policies.Maker`'s prefix), so that one plan and one
server hold a whole batch. A server is started anew for each batch, on a Unix socket in a new
directory: that takes 60 ms, where pushing fifty policies over REST takes a second.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

from tests.opa.opa_process import OpaProcess

from guardrails.errors import EvaluationError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.opa_binary import build_plan
from guardrails.rego.values import dumps, equal, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Answer = tuple[str, Any]
"""``("value", JSON)``, ``("undefined", None)`` or ``("error", code)``."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Server:
    """A running OPA server."""

    def __init__(self, path: str) -> None:
        self.connection = _Connection(path)

    def ask(self, entrypoint: str, document: Any, *, strict: bool) -> Answer:
        """What OPA answers at `entrypoint`."""
        body = "{}" if document is UNDEFINED else dumps({"input": from_json(document)})
        flag = "?strict-builtin-errors=true" if strict else ""
        headers = {"Content-Type": "application/json"}
        self.connection.request(
            "POST", f"/v1/data/{quote(entrypoint)}{flag}", body.encode(), headers
        )
        response = self.connection.getresponse()
        answer = json.loads(response.read(), parse_float=Decimal)
        if response.status == http.client.OK:
            return ("value", answer["result"]) if "result" in answer else ("undefined", None)
        return "error", answer["errors"][0]["code"] if "errors" in answer else answer["code"]


@contextlib.contextmanager
def serving(
    opa: str, modules: Mapping[str, str], data: Mapping[str, Any], folder: Path, *options: str
) -> Iterator[Server]:
    """A server with these modules and data, and more options."""
    for number, text in enumerate(modules.values()):
        (folder / f"m{number}.rego").write_text(text, "utf-8", newline="")
    (folder / "data.json").write_text(dumps(from_json(data)), "utf-8")
    files = [*(f"m{number}.rego" for number in range(len(modules))), "data.json"]
    process = OpaProcess(opa, folder, [*options, *files])
    try:
        process.start()
        server = Server(process.socket_path)
        with contextlib.closing(server.connection):
            yield server
    finally:
        process.stop()


def planned(
    opa: str, modules: Mapping[str, str], entrypoints: Sequence[str], data: Mapping[str, Any]
) -> Program:
    """The program of OPA's plan."""
    document = build_plan(opa, modules, entrypoints, timeout=120)
    return Program.from_plan(document, planner="opa", data=data, compiled=False)


def without_shortcuts(program: Program) -> Program:
    """The same program, whose interpreter does every statement that the plan has."""
    with mock.patch.multiple(
        "guardrails.rego.interpreter",
        with_exits=lambda policy: policy,
        unrolled=lambda policy: policy,
    ):
        known = program.interpreter
        plain = Interpreter(known.policy, known.builtins, known.limits)
    return Program(plain, program.data, program.checked)


def answer(program: Program, entrypoint: str, document: Any, *, strict: bool) -> Answer:
    """What a program of ours answers at `entrypoint`, in the form of OPA's answers."""
    try:
        value = program.evaluate(entrypoint, document, strict_builtin_errors=strict)
    except EvaluationError as error:
        return "error", error.code
    return ("undefined", None) if value is UNDEFINED else ("value", to_json(value))


def alike(one: Answer, other: Answer) -> bool:
    """Whether two answers are the same."""
    if one[0] != other[0] or one[0] != "value":
        return one == other
    return equal(from_json(one[1]), from_json(other[1]))
