"""A record that lives as long as the process, for tests and short programs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from guardrails.model.call import Event

MAX_EVENTS: Final = 10_000
"""How many events are kept unless told otherwise; the oldest go first."""


class MemoryRecord:
    """Keeps the newest events; implements :class:`guardrails.ports.Record`.

    Args:
        limit: How many events are kept.
    """

    def __init__(self, limit: int = MAX_EVENTS) -> None:
        self._events: deque[Event] = deque(maxlen=limit)

    @property
    def events(self) -> list[Event]:
        """The events that are kept, oldest first; a new list each time."""
        return list(self._events)

    def tools(self) -> list[str]:
        """The names of the tools whose calls were executed, in their order."""
        started = (event.tool for event in self._events if event.kind == "call.started")
        return [tool for tool in started if tool is not None]

    def write(self, event: Event) -> None:
        """Keep the event."""
        self._events.append(event)

    def write_ahead(self, event: Event) -> None:
        """Keep the event; there is no disk to wait for."""
        self.write(event)

    def close(self) -> None:
        """Do nothing: the events stay readable."""
