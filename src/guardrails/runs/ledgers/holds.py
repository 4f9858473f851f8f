"""Reservations, and the purse from which most of them come."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from guardrails.model.budget import Usage

if TYPE_CHECKING:
    from guardrails.model.call import Snapshot, Step
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account
    from guardrails.runs.ledgers.amounts import Amount
    from guardrails.runs.ledgers.run_account import RunAccount


class State(Enum):
    """Where a hold stands."""

    HELD = "is in flight"
    SETTLED = "was settled"
    RELEASED = "was released"
    REPLACED = "was replaced"


class Purse:
    """Holds for calls of one tool in one run, already on every account of their path.

    It ends below the next alert of every account, so that what is spent out of it needs no
    look at any of them. Once closed, what it held stands on the accounts themselves.

    Attributes:
        account: The run's.
        path: The accounts, without those of tools.
        cost: What each hold is good for.
        holds: Those that no call has yet. Calls take them without the ledger's lock.
        left: How many are nobody's, as far as is counted.
        settled: How many were settled.
        seen: How many were nobody's or settled, and how many were settled, when the account's
            sums were looked at last.
        is_open: Whether calls may take from it.
    """

    __slots__ = ("account", "cost", "holds", "is_open", "left", "path", "seen", "settled")

    def __init__(self, account: RunAccount, path: tuple[Account, ...], cost: Amount) -> None:
        self.account = account
        self.path = path
        self.cost = cost
        self.holds: list[Hold] = []
        self.left = 0
        self.settled = 0
        self.seen = (0, 0)
        self.is_open = True
        for each in path:
            each.purses += 1

    def add(self, count: int, holds: list[Hold]) -> None:
        """Hold so many more on the whole path, of which `holds` are nobody's yet."""
        more = self.times(count)
        for account in self.path:
            account.hold(more)
        self.left += count
        self.account.moved.add(self)
        self.holds += holds

    def times(self, count: int) -> Amount:
        """What so many holds are good for."""
        usd, tokens, calls = self.cost
        return usd * count, tokens * count, calls * count

    def close(self, unused: int) -> list[Alert]:
        """Put what is held and spent on the accounts, but `unused`; the alerts that this raises."""
        self.is_open = False
        self.account.forget(self)
        back, spent = self.times(unused + self.settled), self.times(self.settled)
        alerts: list[Alert] = []
        for account in self.path:
            account.purses -= 1
            account.give_back(back)
            alerts += account.spend(spent) or ()
        return alerts


_NOT_REPORTED: Final = (False, False, False)


class Hold:
    """A reservation in a ledger of this package; only that ledger changes it.

    Attributes:
        account: The run's account.
        tool: The tool's name.
        cost: What is held: the price, or what the call reported in its place.
        purse: Where it was taken from; None where it stands on the accounts of its path.
        state: Where it stands.
        step: What its call came to, once it is to be settled.
        reported: What of dollars, tokens and calls was reported: those parts are no prices.
        seen: The snapshot, once somebody has looked.
        stands_on: The accounts that it was taken from one by one.
        is_counted: Whether its call counts in the run's sums.
    """

    # Most holds have these as they are: to set each of them would take as long as the rest.
    stands_on: tuple[Account, ...] = ()
    state = State.HELD
    step: Step | None = None
    reported = _NOT_REPORTED
    seen: Snapshot | None = None
    is_counted = False

    def __init__(self, account: RunAccount, tool: str, cost: Usage, purse: Purse | None) -> None:
        self.account = account
        self.tool = tool
        self.cost = cost
        self.purse = purse

    @property
    def snapshot(self) -> Snapshot:
        """The run's state at the moment of the reservation, without it; until the hold ends."""
        return self.seen or self.account.books.see(self)

    @property
    def path(self) -> tuple[Account, ...]:
        """The accounts that it stands on, once its purse is closed."""
        return self.stands_on if self.purse is None else self.purse.path

    @property
    def amount(self) -> Amount:
        """The cost as a triple."""
        cost = self.cost
        return cost.micro_usd, cost.tokens, cost.calls

    def report(self, amount: Amount, reports: tuple[bool, bool, bool]) -> None:
        """Hold what the call reports in the place of its price, or besides what it reported."""
        held = self.amount
        for account in self.path:
            account.give_back(held)
        usd, tokens, calls = (
            (known + more if told else more) if reports_it else known
            for known, more, told, reports_it in zip(
                held, amount, self.reported, reports, strict=True
            )
        )
        self.cost = Usage(usd, tokens, calls)
        told_usd, told_tokens, told_calls = (
            told or reports_it for told, reports_it in zip(self.reported, reports, strict=True)
        )
        self.reported = (told_usd, told_tokens, told_calls)
        for account in self.path:
            account.hold((usd, tokens, calls))
