"""Where people answer, on a machine: each step and each refused answer is recorded and told.

The command line and the HTTP server are two doors to it; neither knows another way to answer.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.alerts.dispatcher import Dispatcher
from guardrails.alerts.teller import Teller
from guardrails.approvals.events import event_of
from guardrails.assembly import approval_service, approvers_of
from guardrails.audit.memory import MemoryRecord
from guardrails.audit.opening import open_record
from guardrails.clock import SystemClock
from guardrails.errors import ConfigError
from guardrails.model.call import Event
from guardrails.register import Register
from guardrails.runs.ledgers.amounts import DIMENSIONS
from guardrails.runs.ledgers.overview import Overview
from guardrails.runs.ledgers.sqlite import FILE_NAME
from guardrails.runs.windows import Calendar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails import ports
    from guardrails.approvals import ApprovalService
    from guardrails.config import Config
    from guardrails.config.approvers import ApproversFile
    from guardrails.model.approval import ApprovalRequest
    from guardrails.model.notice import Undelivered

_DISK: Final = 30.0
"""Seconds that an answer waits until it is recorded; then it does not happen."""


class Desk:
    """The requests of one machine, for people to look at and answer.

    Args:
        config: Where they are, who may answer, where it is recorded, and who is told.
        clock: The time.
        tell: Whether steps that are made here are told by the sinks of ``alerts``; what only looks
            needs neither them nor their secrets.

    Raises:
        ConfigError: requests are in the memory of other processes, or a file is wrong.
        StateUnavailable: requests or record cannot be used.
    """

    def __init__(
        self, config: Config, *, clock: ports.Clock | None = None, tell: bool = True
    ) -> None:
        if config.state is None:
            raise ConfigError(
                f"`{config.file}` keeps its state in memory (`state: null`), "
                "which no other process sees"
            )
        self.config = config
        self.clock = clock if clock is not None else SystemClock()
        with ExitStack() as opened:
            self._record: ports.Record = (
                MemoryRecord() if config.record is None else open_record(config.record, waits=True)
            )
            opened.callback(self._record.close)
            self.service: ApprovalService = approval_service(config, self.clock)
            opened.callback(self.service.close)
            self.approvers: ApproversFile | None = approvers_of(config)
            self.service.subscribe(self._record_step)
            routes = [sink.route(self.clock) for sink in config.alerts] if tell else []
            if routes:
                alerts = Dispatcher(routes)
                opened.callback(alerts.close)
                alerts.subscribe(self._undelivered)
                teller = Teller(
                    alerts,
                    register=Register.load(config.agents),
                    clock=self.clock,
                    environment=config.environment,
                    agent_of=lambda _: None,
                    link="" if config.server is None else config.server.link,
                )
                self.service.subscribe(teller.asked)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Deliver the notices that wait, let go of the requests, and close the record."""
        self._opened.close()

    def answer(self, request_id: str, *, by: str, channel: str, **said: Any) -> ApprovalRequest:
        """The request after one person's answer; one that is refused is recorded as such.

        Everything is as :meth:`guardrails.approvals.ApprovalService.answer` says.
        """
        return self.service.answer(request_id, by=by, channel=channel, **said)

    def edit(
        self, request_id: str, args: Mapping[str, Any], *, by: str, channel: str, **said: Any
    ) -> ApprovalRequest:
        """The request that takes the place of one whose arguments a person changed.

        As :meth:`guardrails.approvals.ApprovalService.edit`; a refused edit is recorded as such.
        """
        return self.service.edit(request_id, args, by=by, channel=channel, **said)

    def accept(self, request_id: str, *, by: str, channel: str, **said: Any) -> ApprovalRequest:
        """The request for the call that a withheld one becomes.

        As :meth:`guardrails.approvals.ApprovalService.accept`; a refused one is recorded as such.
        """
        return self.service.accept(request_id, by=by, channel=channel, **said)

    def left(self, request: ApprovalRequest) -> dict[str, int] | None:
        """What is left now of the limits of the request's run: by dimension, usd in micro-dollars.

        It is as the run's process has reported, which it does every second. None where the run is
        not open, or its budget is in the memory of its process.

        Raises:
            StateUnavailable: the accounts cannot be read.
        """
        file = None if self.config.state is None else self.config.state / FILE_NAME
        if file is None or not file.exists():
            return None
        overview = Overview(file, (), Calendar(self.config.budgets.time_zone))
        try:
            stand = overview.run(request.run_id)
        finally:
            overview.close()
        if stand is None:
            return None
        amounts = zip(DIMENSIONS, stand.limits, stand.spent, strict=True)
        return {name: limit - spent for name, limit, spent in amounts if limit is not None}

    def note(self, kind: str, **detail: Any) -> None:
        """Record what else happened here, as that nobody knew who asked."""
        self._keep(Event(kind, self.clock.now_ns(), detail=detail))

    def _record_step(self, request: ApprovalRequest, step: str) -> None:
        self._keep(event_of(request, step))  # what is not on the disk does not happen

    def _keep(self, event: Event) -> None:
        written = self._record.write_ahead(event)
        if written is not None:
            written.result(_DISK)

    def _undelivered(self, undelivered: Undelivered) -> None:
        self.note("alert.undelivered", **undelivered.document())
