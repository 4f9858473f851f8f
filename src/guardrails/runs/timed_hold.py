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

    __slots__ = ("inner", "snapshot")

    def __init__(self, inner: Hold, seconds: float) -> None:
        self.inner = inner
        known = inner.snapshot
        left = known.remaining
        # Spelled out: `dataclasses.replace` takes as long as the whole reservation.
        self.snapshot = Snapshot(
            known.calls,
            known.history,
            known.spent,
            known.reserved,
            Remaining(left.micro_usd, left.tokens, left.calls, seconds),
            known.steps,
        )

    @property
    def cost(self) -> Usage:
        """What is held."""
        return self.inner.cost


def without_time(hold: Hold) -> Hold:
    """The ledger's own hold."""
    return hold.inner if isinstance(hold, TimedHold) else hold
