"""OPA's status updates: which bundles this process has, and how its parts are, for a service."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from guardrails.opa.services import ServiceError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.opa.bundles.status import BundleStatus

OK: Final = "OK"
NOT_READY: Final = "NOT_READY"
ERROR: Final = "ERROR"

_log: Final = logging.getLogger("guardrails")
_console: Final = logging.getLogger("guardrails.status")


def status_document(
    labels: Mapping[str, str], bundles: Mapping[str, BundleStatus], plugins: Mapping[str, str]
) -> dict[str, Any]:
    """The update as OPA writes it.

    Args:
        labels: Who says it: ``id``, ``version`` and those of the configuration.
        bundles: How each bundle is.
        plugins: The state of each further part, by OPA's names for them, as ``decision_logs``.
    """
    states = dict(plugins)
    if bundles:
        states["bundle"] = OK if all(each.is_active for each in bundles.values()) else NOT_READY
    document: dict[str, Any] = {"labels": dict(labels)}
    if bundles:
        document["bundles"] = {name: each.document() for name, each in bundles.items()}
    document["plugins"] = {name: {"state": state} for name, state in sorted(states.items())}
    return document


class StatusReporter:
    """Posts updates. One that is not taken is made anew at the next time: only the last counts.

    Args:
        post: Sends one update; raises :class:`ServiceError` where it was not taken. None where
            they are logged here alone.
        labels: Who says it.
        bundles: Gives how each bundle is now.
        plugins: Gives how each further part is now.
        console: Whether each update is logged here, too.
    """

    def __init__(
        self,
        post: Callable[[bytes], object] | None,
        *,
        labels: Mapping[str, str],
        bundles: Callable[[], Mapping[str, BundleStatus]],
        plugins: Callable[[], Mapping[str, str]],
        console: bool = False,
    ) -> None:
        self._post = post
        self._labels = labels
        self._bundles = bundles
        self._plugins = plugins
        self._console = console
        self._taken: dict[str, Any] | None = None
        self.errors = 0

    @property
    def has_news(self) -> bool:
        """Whether something is otherwise than in the last update that was taken."""
        return self._document() != self._taken

    def report(self) -> bool:
        """Post an update, also where nothing is new; whether it was taken."""
        document = self._document()
        if self._console:
            _console.info("%s", json.dumps(document))
        try:
            if self._post is not None:
                self._post(json.dumps(document, separators=(",", ":")).encode())
        except ServiceError as error:
            if not self.errors:
                _log.warning("status updates are not taken, and will be sent again: %s", error)
            self.errors += 1
            return False
        self._taken, self.errors = document, 0
        return True

    def _document(self) -> dict[str, Any]:
        return status_document(self._labels, self._bundles(), self._plugins())
