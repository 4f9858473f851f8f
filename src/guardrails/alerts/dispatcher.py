"""All sinks together: every notice goes to each that wants its severity."""

from __future__ import annotations

import atexit
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.alerts.lane import CAPACITY, Lane
from guardrails.errors import ConfigError
from guardrails.model.notice import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.model.notice import Notice, Undelivered
    from guardrails.ports import AlertSink

DRAIN: Final = 5.0
"""Seconds that the end of a process waits for notices that are still to be delivered."""


@dataclass(frozen=True, slots=True)
class Route:
    """A sink, and what goes to it.

    Attributes:
        name: Its name; a record names it by that.
        sink: The sink.
        at_least: The least severity that goes to it.
    """

    name: str
    sink: AlertSink
    at_least: Severity = Severity.INFO


class Dispatcher:
    """Delivers notices; implements :class:`guardrails.ports.Alerts`.

    :meth:`notify` only puts a notice into queues. They are in memory: what waits there is lost
    where the process is killed (``kill -9``); the event that the notice is about is in the
    record by then.

    Args:
        routes: The sinks.
        capacity: Notices that may wait for one sink.
        drain: Seconds that :meth:`close` waits.

    Raises:
        ConfigError: two sinks have one name.
    """

    def __init__(
        self, routes: Iterable[Route], *, capacity: int = CAPACITY, drain: float = DRAIN
    ) -> None:
        self.routes = tuple(routes)
        self._drain = drain
        self._listeners: tuple[Callable[[Undelivered], None], ...] = ()
        names = [route.name for route in self.routes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"two alert sinks are called `{twice[0]}`; give each a name of its own"
            raise ConfigError(msg)
        self._lanes = {
            route.name: Lane(route.name, route.sink, self._undelivered, capacity=capacity)
            for route in self.routes
        }
        if self._lanes:
            held = weakref.WeakMethod(self.close)
            atexit.register(_close_at_exit, held)

    def subscribe(self, listener: Callable[[Undelivered], None]) -> None:
        """Call `listener` for every notice that a sink did not deliver, from any thread."""
        self._listeners = (*self._listeners, listener)

    def notify(self, notice: Notice) -> None:
        """Send `notice` to every sink that wants it; never blocks, never raises."""
        for route in self.routes:
            if notice.severity >= route.at_least:
                self._lanes[route.name].put(notice)

    @property
    def failed(self) -> dict[str, int]:
        """How many notices each sink did not deliver."""
        return {name: lane.failed for name, lane in self._lanes.items()}

    def waiting(self) -> int:
        """How many notices wait for their sinks."""
        return sum(lane.waiting for lane in self._lanes.values())

    def close(self) -> None:
        """Deliver what waits, within the time for that, and stop; what is left is reported."""
        until = time.monotonic() + self._drain
        for lane in self._lanes.values():
            lane.close(max(0.0, until - time.monotonic()))

    def _undelivered(self, undelivered: Undelivered) -> None:
        for listener in self._listeners:
            listener(undelivered)


def _close_at_exit(held: weakref.WeakMethod[Callable[[], None]]) -> None:
    close = held()
    if close is not None:
        close()
