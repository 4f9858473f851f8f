"""A hold whose snapshot also says how many seconds are left: ledgers know no time, runs do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from guardrails.model.budget import Remaining
from guardrails.model.call import Snapshot

if TYPE_CHECKING:
    from guardrails.model.budget import Usage
    from guardrails.ports import Hold


class TimedHold:
    """The hold `inner`, with `seconds` left in its snapshot.

    Args:
        inner: The ledger's hold.
        seconds: What is left of the tightest limit on time.
    """

    __slots__ = ("_seconds", "_snapshot", "inner")

    def __init__(self, inner: Hold, seconds: float) -> None:
        self.inner = inner
        self._seconds = seconds
        self._snapshot: Snapshot | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The ledger's own, with the seconds."""
        if self._snapshot is None:
            known = self.inner.snapshot
            left = known.remaining
            # Spelled out: `_replace` takes three times as long.
            self._snapshot = Snapshot(
                known.calls,
                known.history,
                known.spent,
                known.reserved,
                Remaining(left.micro_usd, left.tokens, left.calls, self._seconds),
                known.steps,
            )
        return self._snapshot

    @property
    def cost(self) -> Usage:
        """What is held."""
        return self.inner.cost


def without_time(hold: Hold) -> Hold:
    """The ledger's own hold."""
    return hold.inner if isinstance(hold, TimedHold) else hold
