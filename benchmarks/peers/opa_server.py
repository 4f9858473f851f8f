"""The OPA server, asked by HTTP over one connection that stays open."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.policies.reference import ENTRYPOINT
from benchmarks.variant import NotThereError, Variant, variant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.policies.policy import Policy

NAME: Final = "OPA server"
_ROOT: Final = Path(__file__).parents[2]
_HOST: Final = "127.0.0.1"
_START: Final = 20.0
"""Seconds within which the server has to answer."""

_encode = json.JSONEncoder(default=float, separators=(",", ":")).encode


def opa_binary() -> str:
    """Where OPA is: $OPA, the tree's own, or the path's.

    Raises:
        NotThereError: nowhere.
    """
    local = _ROOT / ".tools" / "opa"
    found = os.environ.get("OPA") or (str(local) if local.exists() else shutil.which("opa"))
    if not found:
        raise NotThereError("there is no OPA: run `make opa`")
    return found


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server that runs listens: on a port of the loopback address and on a Unix socket."""

    port: int
    socket_path: str


@contextlib.contextmanager
def opa_server(policy: Policy) -> Iterator[Variant]:
    """A server with the policy, for as long as the context lasts.

    Raises:
        NotThereError: there is no OPA, or it does not answer.
    """
    with served(policy.modules, policy.data) as listening:
        connection = http.client.HTTPConnection(_HOST, listening.port, timeout=_START)
        with contextlib.closing(connection):
            yield _variant(connection)


@contextlib.contextmanager
def served(
    modules: Mapping[str, str], data: Mapping[str, Any], options: Sequence[str] = ()
) -> Iterator[Listening]:
    """A server with these policies and data, for as long as the context lasts.

    Args:
        modules: The policies.
        data: The base documents.
        options: More options of OPA's.

    Raises:
        NotThereError: there is no OPA, or it does not answer.
    """
    binary = opa_binary()
    with tempfile.TemporaryDirectory(prefix="guardrails-bench-") as folder:
        for number, text in enumerate(modules.values()):
            Path(folder, f"{number}.rego").write_text(text, encoding="utf-8")
        Path(folder, "data.json").write_text(_encode(data), encoding="utf-8")
        listening = Listening(_free_port(), f"{folder}/socket")
        command = [
            binary, "run", "--server", "--addr", f"{_HOST}:{listening.port}",
            "--addr", f"unix://{listening.socket_path}", "--log-level", "error",
            "--skip-version-check", "--ignore", "socket", *options, folder,
        ]  # fmt: skip
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603  # the binary that is measured
        try:
            _wait(listening.port, server)
            yield listening
        finally:
            server.terminate()
            server.wait()


def _variant(connection: http.client.HTTPConnection) -> Variant:
    path = f"/v1/data/{ENTRYPOINT}?strict-builtin-errors=true"
    headers = {"Content-Type": "application/json"}

    def decide(input: Any) -> Any:
        connection.request("POST", path, _encode({"input": input}), headers)
        return json.loads(connection.getresponse().read())["result"]

    return variant(NAME, decide, remark="by HTTP on this machine, one open connection")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline and server.poll() is None:
        connection = http.client.HTTPConnection(_HOST, port, timeout=_START)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("GET", "/health")
            if connection.getresponse().read() is not None:
                return
        time.sleep(0.05)
    raise NotThereError("the OPA server does not answer")
