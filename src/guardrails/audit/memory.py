"""A record that lives as long as the process, for tests and short programs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.redaction import Redaction, hide

if TYPE_CHECKING:
    from guardrails.model.call import Event

MAX_EVENTS: Final = 10_000
"""How many events are kept unless told otherwise; the oldest go first."""


class MemoryRecord:
    """Keeps the newest events; implements :class:`guardrails.ports.Record`.

    Args:
        limit: How many events are kept.
        redaction: What must not be written, and what stands in its place.
    """

    def __init__(self, limit: int = MAX_EVENTS, redaction: Redaction | None = None) -> None:
        self._events: deque[Event] = deque(maxlen=limit)
        self._redaction = redaction if redaction is not None else Redaction()

    @property
    def events(self) -> list[Event]:
        """The events that are kept, oldest first; a new list each time.

        What policy hides is hidden in them; secrets are found only on the way to
        :attr:`documents`.
        """
        return [_hidden(event) for event in list(self._events)]

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The same as the objects that another record would write, one a line."""
        return [self._redaction.document(event) for event in list(self._events)]

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


def _hidden(event: Event) -> Event:
    document = event.input
    if document is None or "args" not in document:
        return event
    if event.effect is None:
        kept = {name: value for name, value in document.items() if name != "args"}
        return event._replace(input=kept)
    return event._replace(input={**document, "args": hide(document["args"], event.obligations)})
