"""Turns of sending: decisions from the record to one place, and status updates."""

from __future__ import annotations

import logging
import random as randomness
import threading
from typing import TYPE_CHECKING, Final

from guardrails.opa.bundles.schedule import Polling, delay_after_errors, delay_after_success
from guardrails.opa.logs.place import PlaceTaken

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.opa.logs.packing import Packed
    from guardrails.opa.logs.place import Place
    from guardrails.opa.logs.settings import LogSettings
    from guardrails.opa.logs.shipping import Shipped, Shipper
    from guardrails.opa.services import ServiceClient
    from guardrails.opa.status import StatusReporter
    from guardrails.ports import Clock

LOOK: Final = Polling(1, 1)
"""How often decisions are looked for that are logged in this process."""

FLUSH: Final = 5.0
"""Seconds that sending the rest may take at the end."""

_STATUS: Final = Polling(1, 120)
"""How often it is looked whether there is news; and the most seconds between two tries."""

_HEADERS: Final = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

_console: Final = logging.getLogger("guardrails.decision_logs")


class Sending:
    """Sends decisions, as long as no other process of the machine does.

    Args:
        shipper: Sends what is there.
        place: Its place; taken at the first turn at which nobody has it, and kept.
        polling: How often there is a turn.
        random: Gives numbers from 0 to below 1, for the spread of the waits.
    """

    def __init__(
        self,
        shipper: Shipper,
        place: Place,
        polling: Polling,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self._shipper = shipper
        self._place = place
        self._polling = polling
        self._random = random
        self._ends = False

    @property
    def errors(self) -> int:
        """How many turns in a row did not come to their end."""
        return self._shipper.errors

    def turn(self) -> float:
        """Send what is there; the seconds until the next time."""
        if not self._take():
            return delay_after_success(self._polling, self._random)
        self._shipper.ship(lambda: not self._ends)
        return self._shipper.delay(self._polling, self._random)

    def send(self, go_on: Callable[[], bool] = lambda: True) -> Shipped:
        """Send what is there now.

        Raises:
            PlaceTaken: another process of the machine does that.
            StateUnavailable: the cursor cannot be kept.
        """
        if not self._place.is_held:
            self._place.__enter__()
        return self._shipper.ship(go_on)

    def end(self) -> None:
        """A turn at work sends no further chunk."""
        self._ends = True

    def rest(self, clock: Clock, abort: Callable[[], object]) -> None:
        """Send what is left, for some seconds at most, and leave the place to others.

        Args:
            clock: For the time that it may take.
            abort: Ends a request in flight.
        """
        if self._take():
            until = clock.monotonic() + FLUSH
            timer = threading.Timer(FLUSH, abort)
            timer.daemon = True
            timer.start()
            try:
                self._shipper.ship(lambda: clock.monotonic() < until)
            finally:
                timer.cancel()
                self.leave()

    def leave(self) -> None:
        """Leave the place to other processes."""
        self._place.__exit__(None, None, None)

    def _take(self) -> bool:
        """Whether the place is this process's."""
        if not self._place.is_held:
            try:
                self._place.__enter__()
            except PlaceTaken:
                return False
        return True


class StatusTurns:
    """Tells how things are when something has changed."""

    def __init__(
        self, reporter: StatusReporter, random: Callable[[], float] = randomness.random
    ) -> None:
        self._reporter = reporter
        self._random = random

    def turn(self) -> float:
        """Tell what is new; the seconds until the next time."""
        if self._reporter.has_news and not self._reporter.report():
            return delay_after_errors(self._reporter.errors, _STATUS, self._random)
        return _STATUS.min_delay


def to_service(client: ServiceClient, settings: LogSettings) -> Callable[[Packed], object]:
    """What posts chunks to a service."""
    return lambda chunk: client.post(settings.resource, chunk.body, _HEADERS)


def to_console(chunk: Packed) -> None:
    """Log each entry of a chunk, a line of JSON each."""
    for each in chunk.texts:
        _console.info("%s", each.text.decode())


__all__ = ["FLUSH", "LOOK", "Sending", "StatusTurns", "to_console", "to_service"]
