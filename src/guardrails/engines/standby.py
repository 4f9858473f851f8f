"""Who decides while the first engine cannot: named in the log when it begins, and when it ends."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrails.errors import PolicyUnavailable
    from guardrails.ports import PolicyEngine

_log: Final = logging.getLogger("guardrails")


class _Process:
    """What one process knows; a fork's child begins anew, with a lock that nobody holds."""

    __slots__ = ("decisions", "is_deciding", "lock", "pid")

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.is_deciding = False
        self.decisions = 0


class Standby:
    """Another engine, or none, for the time in which one is out of reach.

    Args:
        engine: Who decides then; None if calls are refused.
        name: Whom it stands in for, as the log names it.
    """

    __slots__ = ("_name", "_process", "engine")

    def __init__(self, engine: PolicyEngine | None, name: str) -> None:
        self.engine = engine
        self._name = name
        self._process = _Process()

    @property
    def deciding(self) -> PolicyEngine | None:
        """The other engine, if it made the last decision."""
        return self.engine if self._here().is_deciding else None

    @property
    def decisions(self) -> int:
        """How many decisions were its to make."""
        return self._here().decisions

    def instead(self, error: PolicyUnavailable) -> PolicyEngine:
        """The other engine, which decides since `error`.

        Raises:
            PolicyUnavailable: `error`, if there is none.
        """
        if self.engine is None:
            raise error
        here = self._here()
        with here.lock:
            has_changed = not here.is_deciding
            here.is_deciding = True
            here.decisions += 1
        if has_changed:
            _log.warning(
                "%s; until it answers, calls are decided in this process, by revision %s",
                error.message,
                self.engine.revision,
            )
        return self.engine

    def returned(self) -> None:
        """Note that the first engine answers."""
        here = self._here()
        if not here.is_deciding:
            return
        with here.lock:
            has_changed = here.is_deciding
            here.is_deciding = False
        if has_changed:
            _log.warning("%s answers again and decides", self._name)

    def _here(self) -> _Process:
        process = self._process
        if process.pid != os.getpid():
            process = self._process = _Process()
        return process
