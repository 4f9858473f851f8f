"""One process of the model in ``test_processes``: a real governor, and a tool that leaves a trace.

It does what it is told over a pipe, and dies where it is told to, also inside a transaction.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import guardrails as gr
from guardrails import testing
from guardrails.approvals import ApprovalService, UnknownRequest
from guardrails.approvals.approvers import Approver, Approvers
from guardrails.approvals.requests import AnswerRefused
from guardrails.approvals.signing import ApproverKey
from guardrails.approvals.stores.sqlite import SqliteRequests
from guardrails.approvals.versions import edited_key
from guardrails.errors import ConfigError, Reason
from guardrails.model.approval import Answer, Escalation
from guardrails.model.decision import ApprovalDemand, Decision, Effect
from guardrails.runs.kill_shared import SharedKillSwitch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

START = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
EXPIRES, ESCALATES = 100, 50  # seconds

GROUPS = {"ann": {"fin"}, "bob": {"fin"}, "cat": {"ops"}, "dan": {"fin", "ops"}, "eve": {"boss"}}
WANTED = {"a": {"fin": 1}, "b": {"fin": 2}, "c": {"fin": 1, "ops": 1}}
"""How many of which group each order needs."""

KEYS = {name: ApproverKey(bytes([number]) * 32) for number, name in enumerate(GROUPS, 1)}
PEOPLE = Approvers(
    Approver(name, frozenset(groups), KEYS[name].public) for name, groups in GROUPS.items()
)


class SharedClock:
    """The time as it stands in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def now_ns(self) -> int:
        return int(self._path.read_text())

    def monotonic(self) -> float:
        return time.monotonic()


class Table(SqliteRequests):
    """Requests in a file; its process dies at the point that is set."""

    at: tuple[str, str] | None = None
    depth = 0
    put_last = ""

    @contextlib.contextmanager
    def transaction(self):
        self.depth += 1
        try:
            with super().transaction() as connection:
                yield connection
        finally:
            self.depth -= 1
        if self.depth == 0 and self.at == ("committed", self.put_last):
            die()

    def put(self, request):
        self.put_last = request.steps[-1].kind
        if self.at == ("told", self.put_last):
            die()
        super().put(request)
        if self.at == ("written", self.put_last):
            die()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def service_in(folder: Path) -> tuple[ApprovalService, Table]:
    table = Table(folder / "approvals.sqlite")
    clock = SharedClock(folder / "now")
    chain = [Escalation("fin", ESCALATES, "boss")]
    return ApprovalService(table, clock, approvers=PEOPLE, escalation=chain), table


def decide(document: Any) -> Decision:
    order = document["args"]["order"]
    return Decision(
        Effect.REQUIRE_APPROVAL,
        (Reason("money", "it moves money"),),
        tuple(
            ApprovalDemand(f"money_{group}", "it moves money", (group,), quorum, EXPIRES)
            for group, quorum in WANTED[order].items()
        ),
        revision="v1",
    )


class Process:
    """What one process has open on one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.service, self.table = service_in(folder)
        self.switch = SharedKillSwitch(folder)
        self.governor = testing.governor(
            decide,
            approvals=self.service,
            kill_switch=self.switch,
            clock=SharedClock(folder / "now"),
        )
        self.lines: list[int] = []
        self.changes = False
        self.service.subscribe(self.change)

        @gr.governed_tool(name="pay", resource="payments", operation="write")
        def pay(order: str, lines: list[int]) -> str:
            self.die_at("body")
            run = gr.current_run()
            trace = {"run": run.id, "args": {"order": order, "lines": lines}}
            out = os.open(folder / "ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(out, json.dumps(trace).encode() + b"\n")
            os.close(out)
            self.die_at("acted")
            return "paid"

        self.pay = pay

    def die_at(self, point: str) -> None:
        if self.table.at == (point, ""):
            die()

    def change(self, _request: object, step: str) -> None:
        """Somebody else changes the arguments in place, in the middle of the approval's use."""
        if self.changes and step == "consumed":
            self.lines.append(999)

    def close(self) -> None:
        self.governor.close()
        self.switch.close()
        self.service.close()

    def call(self, run: str, order: str, lines: list[int], wait: float | None, *, changes: bool):
        self.lines, self.changes = list(lines), changes
        gc.collect()  # a run whose error is still about keeps its id
        try:
            with self.governor.run("billing", id=run, wait=wait):
                return self.pay(order, self.lines)
        except gr.Refusal as refusal:
            return type(refusal).__name__

    def answer(self, request_id: str, by: str, *, yes: bool) -> str:
        try:
            request = self.service.get(request_id)
            said = Answer(by, frozenset(), yes, "", SharedClock(self.folder / "now").now_ns())
            signature = KEYS[by].sign(request.digest, said)
            self.service.answer(request_id, by=by, approve=yes, signature=signature, time=said.time)
        except (AnswerRefused, UnknownRequest) as refused:
            return type(refused).__name__
        return "counts"

    def edit(self, request_id: str, by: str, lines: list[int]) -> str:
        try:
            request = self.service.get(request_id)
            args = {**request.args, "lines": lines}
            now = SharedClock(self.folder / "now").now_ns()
            said = Answer(by, frozenset(), approved=False, reason="", time=now)
            said = replace(said, edit=edited_key(request, args))
            signature = KEYS[by].sign(request.digest, said)
            self.service.edit(request_id, args, by=by, signature=signature, time=now)
        except (AnswerRefused, UnknownRequest) as refused:
            return type(refused).__name__
        return "counts"

    def withdraw(self, request_id: str) -> str:
        self.service.withdraw(request_id, reason="")
        return ""

    def kill(self, run: str) -> str:
        self.governor.kill(f"run/{run}", reason="stop")
        return ""


def serve(pipe: Connection) -> None:
    """Do what comes over `pipe`, until it ends."""
    gc.freeze()
    process: Process | None = None
    while True:
        try:
            word, options, at = pipe.recv()
        except EOFError:
            return
        if word == "open":
            if process is not None:
                process.close()
            process = Process(Path(options["folder"]))
            pipe.send(options["folder"])
            continue
        process.table.at = at
        try:
            pipe.send(getattr(process, word)(**options))
        except (gr.GuardrailsError, ConfigError) as error:
            pipe.send(f"{type(error).__name__}: {error}")
