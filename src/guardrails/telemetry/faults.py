"""What fails in telemetry: it is logged, and nothing else comes of it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_log: Final = logging.getLogger("guardrails")


class Faults:
    """Runs what may fail, and logs the first failure and then ever fewer of those that follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def safely(self, what: Callable[..., Any], *args: Any) -> Any:
        """What `what` gives, or None where it raises an exception."""
        try:
            return what(*args)
        except Exception as error:  # noqa: BLE001  # whatever an exporter raises, calls go on
            self.tell(error)
            return None

    def tell(self, error: Exception) -> None:
        """Log `error`, where it is the first, second, fourth, eighth, … one."""
        with self._lock:
            self._count += 1
            count = self._count
        if count & (count - 1) == 0:
            # Without its text, which may hold what a span processor was shown of a call.
            _log.warning(
                "telemetry failed (%s, %d so far); decisions and calls are not affected",
                type(error).__name__,
                count,
            )
