"""What an account says when half, and then four fifths, of one of its limits is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.model.money import display

if TYPE_CHECKING:
    from decimal import Decimal

THRESHOLDS: Final = (50, 80)
"""Percent of a limit at which an account alerts, once each."""


def account_name(run_id: str, tool: str | None) -> str:
    """The account as people read it: ``run/r-1`` or ``tool/refund in run/r-1``."""
    return f"run/{run_id}" if tool is None else f"tool/{tool} in run/{run_id}"


@dataclass(frozen=True, slots=True)
class Alert:
    """A limit of which a given part is used. Holds of calls in flight are not used yet.

    Attributes:
        run_id: The run whose account it is.
        tool: The tool whose account in that run it is; None for the run's own.
        dimension: ``usd``, ``tokens`` or ``calls``.
        percent: The threshold that was reached, as 50.
        used: What is settled, in the dimension's unit (dollars for ``usd``).
        limit: The limit, in the same unit.
    """

    run_id: str
    tool: str | None
    dimension: str
    percent: int
    used: Decimal | int
    limit: Decimal | int

    @property
    def account(self) -> str:
        """The account, as ``run/r-1`` or ``tool/refund in run/r-1``."""
        return account_name(self.run_id, self.tool)

    def document(self) -> dict[str, str | int]:
        """The alert as JSON values, for the record; money is the exact text of its dollars."""
        used, limit = (
            str(x) if self.dimension == "usd" else int(x) for x in (self.used, self.limit)
        )
        return {
            "account": self.account,
            "dimension": self.dimension,
            "percent": self.percent,
            "used": used,
            "limit": limit,
        }

    def __str__(self) -> str:
        if self.dimension == "usd":
            used, limit = (display(int(amount * 1_000_000)) for amount in (self.used, self.limit))
        else:
            used, limit = str(self.used), f"{self.limit} {self.dimension}"
        return f"{self.account} has used {self.percent} % of its limit: {used} of {limit}"
