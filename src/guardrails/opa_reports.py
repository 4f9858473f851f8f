"""What is sent to the services of OPA's configuration file: decision logs, and status.

Decisions are read from the record, so they have to be in one that can be read from a cursor. The
processes of a machine share the record, and one of them sends it; each tells its own status.
"""

from __future__ import annotations

import threading
import uuid
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.following import Cursor
from guardrails.audit.reading import follow
from guardrails.errors import ConfigError
from guardrails.forks import begin_anew
from guardrails.opa.logs.mask_policy import MaskPolicy
from guardrails.opa.logs.place import Place
from guardrails.opa.logs.sending import FLUSH, LOOK, Sending, StatusTurns, to_console, to_service
from guardrails.opa.logs.shipping import Shipper
from guardrails.opa.rounds import Rounds
from guardrails.opa.services import ServiceClient
from guardrails.opa.status import ERROR, OK, StatusReporter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from guardrails.config import Config
    from guardrails.engines.in_process import InProcessEngine
    from guardrails.opa.bundles.service import BundleService
    from guardrails.opa.config import OpaConfig
    from guardrails.opa.logs.packing import Packed
    from guardrails.ports import Clock

SENT: Final = ".sent"
"""How the name of the cursor's file ends, beside the record: up to where a service has it."""

LOGGED: Final = ".logged"
"""The same for what is logged in a process."""


class OpaReports:
    """Sends decision logs and status, on threads of its own, until it is closed.

    Args:
        config: The configuration.
        opa: OPA's; None where none is named, and nothing is sent.
        engine: What decides in this process, and masks; None where an OPA server does, which sends
            what it decided itself.
        bundles: Keeps its bundles up to date; None where policies come from files.
        clock: The time.

    Raises:
        ConfigError: the record cannot be read from a cursor, or a certificate cannot be used.
    """

    def __init__(
        self,
        config: Config,
        opa: OpaConfig | None,
        engine: InProcessEngine | None,
        bundles: BundleService | None,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._labels: dict[str, str] = {}
        self._clients: list[ServiceClient] = []
        self.sendings: list[Sending] = []
        self._rounds: list[Rounds] = []
        if opa is None or engine is None:
            return
        self._labels |= {**opa.labels, "version": _version()}
        self._name_this_process()
        begin_anew(self._name_this_process)
        if opa.decision_logs is not None:
            self._make_sendings(config, opa, engine)
        if opa.status is not None:
            client = None if opa.status.service is None else self._client(opa.status.service)
            resource = opa.status.resource
            reporter = StatusReporter(
                None if client is None else lambda body: client.post(resource, body, _JSON),
                labels=self._labels,
                bundles=lambda: {} if bundles is None else bundles.status(),
                plugins=self._plugins,
                console=opa.status.console,
            )
            self._rounds.append(Rounds(StatusTurns(reporter).turn, "guardrails-status"))

    def start(self) -> None:
        """Send from now on."""
        for each in self._rounds:
            each.start()

    def end(self) -> None:
        """Send no more; what is in flight has some seconds to be taken."""
        for sending in self.sendings:
            sending.end()
        timer = threading.Timer(FLUSH, self._abort)
        timer.daemon = True
        timer.start()
        for each in self._rounds:
            each.end()
        timer.cancel()

    def rest(self) -> None:
        """Send what was written since, for some seconds at most, once the record is closed."""
        for sending in self.sendings:
            sending.rest(self._clock, self._abort)

    def _make_sendings(self, config: Config, opa: OpaConfig, engine: InProcessEngine) -> None:
        settings, plan = opa.decision_logs, config.record
        if settings is None or (settings.service is None and not settings.console):
            return
        if plan is None or plan.is_plain:
            msg = (
                f"{config.file}: `{opa.file}` wants decision logs, which are read from the record;"
                " let `record` name a directory of segments"
            )
            raise ConfigError(msg)
        mask = MaskPolicy(
            lambda: engine.loaded,
            settings.mask,
            planner=config.planner,
            opa=None if config.opa is None else str(config.opa),
        )
        path: Path = plan.path

        def sending(send: Callable[[Packed], object], name: str, **more: Any) -> Sending:
            place = Place(path.with_name(path.name + name))
            shipper = Shipper(
                lambda cursor: _decisions(path, cursor),
                send,
                place,
                labels=self._labels,
                bundles=[each.name for each in opa.bundles],
                mask=mask,
                wanted=_decided_here if config.engine.name == "sidecar" else None,
                size=settings.size,
            )
            made = Sending(shipper, place, **more)
            self.sendings.append(made)
            return made

        if settings.service is not None:
            client = self._client(settings.service)
            made = sending(to_service(client, settings), SENT, polling=settings.polling)
            self._rounds.append(Rounds(made.turn, "guardrails-decision-logs"))
        if settings.console:
            made = sending(to_console, LOGGED, polling=LOOK)
            self._rounds.append(Rounds(made.turn, "guardrails-console"))

    def _client(self, service: Any) -> ServiceClient:
        client = ServiceClient(service, self._clock)
        self._clients.append(client)
        return client

    def _abort(self) -> None:
        for client in self._clients:
            client.close()

    def _plugins(self) -> dict[str, str]:
        found = {"status": OK}
        if self.sendings:
            found["decision_logs"] = ERROR if any(each.errors for each in self.sendings) else OK
        return found

    def _name_this_process(self) -> None:
        self._labels["id"] = str(uuid.uuid4())


def _decisions(path: Path, cursor: str | None) -> Iterator[tuple[Cursor, dict[str, Any]]]:
    begin = None if cursor is None else Cursor.parse(cursor)
    return follow(path, begin, go_on=lambda: False)


def _decided_here(event: Mapping[str, Any]) -> bool:
    """Whether an event's decision was not made by an OPA server, or by nobody."""
    revision = event.get("revision")
    return revision is None or "sha256:" in revision


def _version() -> str:
    try:
        return metadata.version("guardrails-opa")
    except metadata.PackageNotFoundError:  # run from its source
        return "0"


_JSON: Final = {"Content-Type": "application/json"}

__all__ = ["LOGGED", "SENT", "OpaReports"]
