"""What an account says when a given part of one of its limits is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from guardrails.model.money import display

if TYPE_CHECKING:
    from decimal import Decimal


def account_name(run_id: str, tool: str | None) -> str:
    """A run's account as people read it: ``run/r-1`` or ``tool/refund in run/r-1``."""
    return f"run/{run_id}" if tool is None else f"tool/{tool} in run/{run_id}"


@dataclass(frozen=True, slots=True)
class Alert:
    """A limit of which a given part is used. Holds of calls in flight are not used yet.

    Attributes:
        run_id: The run whose account it is; empty where several runs share it.
        tool: The tool whose account in that run it is; None for the run's own.
        dimension: ``usd``, ``tokens`` or ``calls``.
        percent: The threshold that was reached, as 50.
        used: What is settled, in the dimension's unit (dollars for ``usd``).
        limit: The limit, in the same unit.
        shared: The account that several runs share, as ``agent/billing``; empty for a run's.
        window: How long its limit counts, as ``day``; empty for a run's.
        start: When the window began, in UTC nanoseconds.
    """

    run_id: str
    tool: str | None
    dimension: str
    percent: int
    used: Decimal | int
    limit: Decimal | int
    shared: str = ""
    window: str = ""
    start: int = 0

    @property
    def account(self) -> str:
        """The account, as ``run/r-1``, ``tool/refund in run/r-1`` or ``agent/billing``."""
        return self.shared or account_name(self.run_id, self.tool)

    def document(self) -> dict[str, str | int]:
        """The alert as JSON values, for the record; money is the exact text of its dollars."""
        used, limit = (
            str(x) if self.dimension == "usd" else int(x) for x in (self.used, self.limit)
        )
        document: dict[str, str | int] = {
            "account": self.account,
            "dimension": self.dimension,
            "percent": self.percent,
            "used": used,
            "limit": limit,
        }
        if self.window:
            document |= {"window": self.window, "start": self.start}
        return document

    def __str__(self) -> str:
        if self.dimension == "usd":
            used, limit = (display(int(amount * 1_000_000)) for amount in (self.used, self.limit))
        else:
            used, limit = str(self.used), f"{self.limit} {self.dimension}"
        span = f" for the {self.window}" if self.window else ""
        return f"{self.account} has used {self.percent} % of its limit{span}: {used} of {limit}"
