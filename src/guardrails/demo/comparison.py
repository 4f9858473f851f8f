"""The same questions to a real OPA server: does it give the same decisions?

The server is started here, on loopback, for as long as the questions take. It gets the
policies and the data that the engine decided with, and every input again, through
opa-python-client's ``query_rule`` with strict builtin errors. Compared is the whole
decision: effect, reasons, approvals, obligations.
"""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from opa_client.opa import OpaClient

import guardrails as gr
from guardrails.engines.layers import DATA_ROOT
from guardrails.model.decision import MalformedDecision
from guardrails.rego.opa_binary import find_opa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from guardrails.demo.lab import Asked, Lab

_HOST: Final = "127.0.0.1"
_PACKAGE: Final = "guardrails"
_RULE: Final = "decision"
_STRICT: Final = {"strict-builtin-errors": "true"}
_SECONDS: Final = 10.0
_ENVIRONMENT: Final = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of asking again.

    Attributes:
        equal: For each decision, in their order, whether the server decides alike; empty
            where it was not asked.
        skipped: Why it was not asked; empty where it was.
        failed: Why asking failed; empty where it did not.
    """

    equal: tuple[bool, ...] = ()
    skipped: str = ""
    failed: str = ""


def compare(lab: Lab) -> Comparison:
    """Ask an OPA server everything that the lab's engine was asked."""
    try:
        opa = find_opa(None if lab.config.opa is None else str(lab.config.opa))
        if opa is None:
            return Comparison(skipped="no opa; `make opa` gets one")
        with _server(opa) as client:
            _upload(client, lab)
            return Comparison(tuple(_decides_alike(client, asked) for asked in lab.engine.asked))
    except gr.GuardrailsError as error:
        return Comparison(failed=str(error))
    except Exception as error:  # noqa: BLE001  # the client raises errors of several libraries; the demo goes on
        return Comparison(failed=f"{type(error).__name__}: {error}")


class _Loopback(OpaClient):  # type: ignore[misc]  # the library has no types
    """A client for a server on this machine: no proxy stands between."""

    def _init_session(self) -> Any:
        session = super()._init_session()
        session.trust_env = False
        return session


@contextmanager
def _server(opa: str) -> Iterator[Any]:
    """A client of a new server, which ends with the context."""
    port = _free_port()
    process = subprocess.Popen(  # noqa: S603  # the binary that the user chose, arguments in a list
        [opa, "run", "--server", f"--addr={_HOST}:{port}", "--log-level=error"],
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # No retries: an answer of 500 is a builtin's error, and the next would be the same.
        with _Loopback(host=_HOST, port=port, retries=0, timeout=_SECONDS) as client:
            client.wait_for_ready(timeout=_SECONDS, interval=0.05)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return cast("int", probe.getsockname()[1])


def _upload(client: Any, lab: Lab) -> None:
    """Give the server the modules and the data that the engine decides with."""
    client.update_or_create_data(_plain(lab.policies.data[DATA_ROOT]), DATA_ROOT)
    for number, text in enumerate(lab.policies.modules.values()):
        client.update_policy_from_string(text, f"m{number}.rego", rego_compat=False)


def _decides_alike(client: Any, asked: Asked) -> bool:
    answer = client.query_rule(
        _plain(asked.document), package_path=_PACKAGE, rule_name=_RULE, query_params=_STRICT
    )
    ours = asked.decision
    try:
        theirs = gr.Decision.from_document(
            answer.get("result"), revision=ours.revision, decision_id=ours.decision_id
        )
    except MalformedDecision:
        return False
    return theirs == ours


def _plain(value: Any) -> Any:
    """`value` as the client's JSON encoder takes it, every number the same number.

    Raises:
        ValueError: a decimal is no number that the encoder can write.
    """
    if isinstance(value, Decimal):
        if value == value.to_integral_value():
            return int(value)
        number = float(value)
        if Decimal(repr(number)) != value:
            msg = f"{value} cannot be sent as a floating-point number"
            raise ValueError(msg)
        return number
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    return value
