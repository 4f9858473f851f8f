"""Where a run stands in its life."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run stands. A killed run is open until it is left."""

    NEW = "new"
    OPEN = "open"
    CLOSED = "closed"
