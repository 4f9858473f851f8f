"""Connections that are kept open between two requests, for all threads and event loops alike.

A connection is one caller's alone while it is in use. The last one given back is the first one
taken, so that the others grow old and are closed. A process keeps its own: see
:class:`guardrails.opa.server.Server`, which makes a new pool after a fork.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrails.opa.connection import Connection
    from guardrails.ports import Clock

MOST_IDLE: Final = 100
"""How many connections wait for the next request at most."""

LONGEST_IDLE: Final = 30.0
"""Seconds for which a connection may wait: what lies between the two ends may forget it."""


class Pool:
    """The idle connections of one process. No lock: a deque's ends are atomic.

    Args:
        clock: Its monotonic time is read.
    """

    __slots__ = ("_clock", "_idle")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._idle: deque[Connection] = deque()

    def take(self) -> Connection | None:
        """A connection that is open as far as can be seen from here, or None."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return None
            young = self._clock.monotonic() - connection.idle_since <= LONGEST_IDLE
            if young and connection.is_quiet():
                return connection
            connection.close()

    def give_back(self, connection: Connection) -> None:
        """Keep a connection on which nothing is under way."""
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)
        while len(self._idle) > MOST_IDLE:
            try:
                self._idle.popleft().close()
            except IndexError:
                return

    def close(self) -> None:
        """Close all that wait."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def __del__(self) -> None:
        # An engine that is dropped, not closed, leaves no socket behind.
        self.close()

    def __len__(self) -> int:
        return len(self._idle)
