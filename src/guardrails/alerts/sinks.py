"""Where notices go: a function, a log, a signed webhook."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError
from guardrails.model.notice import Severity

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.notice import Notice
    from guardrails.ports import Clock
    from guardrails.webhooks.sender import WebhookSender

LOGGER: Final = "guardrails.alerts"
"""The logger of a log sink that names no other."""

_LEVELS: Final = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.CRITICAL,
}


class CallbackSink:
    """Calls a function with each notice, on the sink's own thread.

    Args:
        function: Takes the notice; what it raises means that the notice was not delivered.

    Raises:
        ConfigError: it is no plain function.
    """

    def __init__(self, function: Callable[[Notice], object]) -> None:
        if not callable(function) or inspect.iscoroutinefunction(function):
            msg = (
                f"an alert's callback is a plain function of the notice, not {function!r}; there "
                "is no event loop where it is called"
            )
            raise ConfigError(msg)
        self._function = function

    @property
    def target(self) -> str:
        """The function's name."""
        module = getattr(self._function, "__module__", None)
        name = getattr(self._function, "__qualname__", type(self._function).__qualname__)
        return f"{module}:{name}" if module else str(name)

    def send(self, notice: Notice) -> str:
        """Call the function."""
        self._function(notice)
        return "returned"

    def close(self) -> None:
        """Nothing: a function that runs cannot be stopped."""


class LogSink:
    """Writes each notice as one line of JSON, at the level of its severity.

    Args:
        logger: The logger's name.
    """

    def __init__(self, logger: str = LOGGER) -> None:
        self.target = logger
        self._logger = logging.getLogger(logger)

    def send(self, notice: Notice) -> str:
        """Write the line."""
        self._logger.log(_LEVELS[notice.severity], "%s", notice.json())
        return "written"

    def close(self) -> None:
        """Nothing: nothing is held back."""


class WebhookSink:
    """Sends each notice as a signed webhook, whose id is the notice's.

    The time for attempts is counted from when a notice was given. So notices that wait behind a
    receiver that is away are tried once each when their turn comes late, not for minutes each.

    Args:
        sender: Sends, and tries again.
        clock: The time.
    """

    def __init__(self, sender: WebhookSender, clock: Clock) -> None:
        self._sender = sender
        self._clock = clock

    @property
    def target(self) -> str:
        """Scheme, host and port; the rest of the address may hold a token."""
        return self._sender.endpoint.origin

    def send(self, notice: Notice) -> str:
        """Deliver the notice.

        Raises:
            DeliveryError: it was not delivered.
        """
        waited = (self._clock.now_ns() - notice.time) / 1e9
        receipt = self._sender.send(notice.id, notice.json().encode("ascii"), waited=waited)
        return f"answered {receipt.status} after {receipt.seconds:.2f} s"

    def close(self) -> None:
        """Try nothing again."""
        self._sender.close()
