"""Reservations, and the purses from which most of them come.

How a call takes a hold out of a purse and ends it without a lock, and why that is safe, stands
here once. The steps are those of :meth:`guardrails.runs.run.Run.reserve` and
:meth:`~guardrails.runs.run.Run.settle`; everything else that touches a purse has the ledger's
lock.

**What is done in one step.** With the global interpreter lock, ``list.pop``, ``deque.append``,
``deque.popleft`` and the load or store of one attribute are done whole, and all threads see
them in one order. Where an interpreter runs without that lock nothing here would be sure, so
that no purse is filled there (:data:`HAS_ONE_ORDER`): each call then goes by the lock.

**Beginning.** ``purse.take()`` pops a hold: no other call can have the same one. ``begin(hold)``
puts it in the log, by whose order calls are counted. Between the two it is nobody's: a thread
that is interrupted there (a signal handler that raises) has lost it. It stays held on every
account, so that a limit is reached too early, never too late. Whoever takes a purse back pops
what is left, so that a hold is either given back or taken by a call, never both.

**Ending.** The call stores its step in the hold, and *then* looks whether the beginning was
counted. Whoever counts the beginning marks the hold as counted, and *then* looks whether it has
a step. Stores and loads have one order, so that at least one of the two sees the other: the end
is counted with the beginning, or put in the log by the call, or both, and the second of both
finds the hold ended. One store makes the end: an interrupt before it leaves the call in flight,
for its caller to settle again; after it, before the log, the second settling does it under the
lock.

**Interrupts** amid work under the lock: wherever something moves, it is added before it is taken
away, so that an account then shows too much, never too little, and no limit is passed.

**Forks.** The parent's purses are emptied and closed in the child, under the lock that is held
across the fork; a hold taken before ends in the parent.
"""

from __future__ import annotations

import sys
from enum import Enum
from itertools import repeat
from typing import TYPE_CHECKING, Final

from guardrails.model.budget import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.model.call import Snapshot, Step
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account
    from guardrails.runs.ledgers.amounts import Amount
    from guardrails.runs.ledgers.run_account import RunAccount

HAS_ONE_ORDER: Final = bool(getattr(sys, "_is_gil_enabled", lambda: True)())
"""Whether threads see each other's steps in one order: whether there is the interpreter's lock."""


class State(Enum):
    """Where a hold stands."""

    TAKEN = "has begun"
    """Out of a purse; it is not counted yet, and its end is counted with its beginning."""
    HELD = "is in flight"
    SETTLED = "was settled"
    RELEASED = "was released"
    REPLACED = "was replaced"


class Place:
    """Where holds stand: the run's account, the tool's name, the accounts of the path.

    Attributes:
        account: The run's.
        tool: The tool's name.
        path: The accounts, those of tools included.
        is_open: Whether it is a purse from which calls may take.
    """

    __slots__ = ("account", "is_open", "path", "tool")

    def __init__(self, account: RunAccount, tool: str, path: tuple[Account, ...]) -> None:
        self.account = account
        self.tool = tool
        self.path = path
        self.is_open = False


class Purse(Place):
    """Holds for calls of one tool in one run, already on every account of their path.

    It ends below the next alert of every account, so that what is spent out of it needs no
    look at any of them. Once closed, what it held stands on the accounts themselves.

    Attributes:
        price: What each hold is good for.
        cost: The same as a triple.
        until: When the first window of its accounts ends, UTC nanoseconds: not to be used after.
        now: The time.
        holds: Those that no call has yet.
        take: Pops one of them; an IndexError where none is left.
        begin: Notes that a call has taken one.
        idle: How many no call holds, as far as is counted: they are nobody's, or were settled.
        settled: How many were settled.
    """

    __slots__ = (
        "begin",
        "cost",
        "holds",
        "idle",
        "now",
        "price",
        "settled",
        "take",
        "until",
    )

    def __init__(
        self,
        account: RunAccount,
        tool: str,
        path: tuple[Account, ...],
        price: Usage,
        now: Callable[[], int],
    ) -> None:
        super().__init__(account, tool, path)
        self.price = price
        self.cost: Amount = (price.micro_usd, price.tokens, price.calls)
        self.until = account.until
        self.now = now
        self.holds: list[Hold] = []
        self.take = self.holds.pop
        self.begin = account.log.append
        self.idle = 0
        self.settled = 0
        self.is_open = True
        for each in path:
            each.purses += 1

    def add(self, count: int) -> None:
        """Hold so many more on the whole path, for calls to take."""
        more = self.times(count)
        for account in self.path:
            account.hold(more)
        self.idle += count
        self.account.count_idle(more)
        self.holds += self.made(count)

    def made(self, count: int) -> list[Hold]:
        """So many holds of it."""
        price, taken = self.price, State.TAKEN
        # No `__init__`: a frame for each would take as long as the rest of a call.
        made = list(map(_new, repeat(Hold, count)))
        for hold in made:
            hold.purse = self
            hold.cost = price
            hold.step = hold.seen = None
            hold.state = taken
        return made

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
            alerts += account.spend(spent) or ()
            account.give_back(back)
        return alerts


_NOT_REPORTED: Final = (False, False, False)


class Hold:
    """A reservation in a ledger of this package; only that ledger, and its run, change it.

    Args:
        place: Where it stands.
        cost: What is held.

    Attributes:
        purse: Where it stands: a purse, or the accounts of a path one by one.
        cost: What is held: the price, or what the call reported in its place.
        state: Where it stands in its life.
        step: What its call came to, once it is to be settled.
        seen: The snapshot, once somebody has looked.
    """

    __slots__ = ("_reported", "cost", "purse", "seen", "state", "step")

    def __init__(self, place: Place, cost: Usage) -> None:
        self.purse = place
        self.cost = cost
        self.step: Step | None = None
        self.state = State.HELD
        self.seen: Snapshot | None = None

    @property
    def account(self) -> RunAccount:
        """The run's account."""
        return self.purse.account

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.purse.tool

    @property
    def snapshot(self) -> Snapshot:
        """The run's state at the moment of the reservation, without it; until the hold ends."""
        return self.seen or self.purse.account.books.see(self)

    @property
    def path(self) -> tuple[Account, ...]:
        """The accounts that it stands on, once its purse is closed."""
        return self.purse.path

    @property
    def amount(self) -> Amount:
        """The cost as a triple."""
        cost = self.cost
        return cost.micro_usd, cost.tokens, cost.calls

    @property
    def reported(self) -> tuple[bool, bool, bool]:
        """What of dollars, tokens and calls was reported: those parts are no prices."""
        return getattr(self, "_reported", _NOT_REPORTED)  # most holds never have any

    def report(self, amount: Amount, reports: tuple[bool, bool, bool]) -> None:
        """Hold what the call reports in the place of its price, or besides what it reported."""
        held = self.amount
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
        self._reported = (told_usd, told_tokens, told_calls)
        for account in self.path:
            account.hold((usd, tokens, calls))
            account.give_back(held)


_new: Final = object.__new__
