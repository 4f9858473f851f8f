"""The ledger of one process: accounts in memory behind one lock.

An account is kept while its run is open, while a call of it is in flight, and
while a child's account is; then nothing of it is left but its part of its
parent's sums.
"""

from __future__ import annotations

from enum import Enum
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from guardrails.errors import ConfigError, RunClosed
from guardrails.model.budget import Usage
from guardrails.runs.ledgers.accounts import NOTHING, Account, RunAccount, amount_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from guardrails.model.budget import Budget, Charge, Remaining
    from guardrails.model.call import Snapshot, Step
    from guardrails.ports import Hold
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Amount


class _State(Enum):
    HELD = "is in flight"
    SETTLED = "was settled"
    RELEASED = "was released"
    REPLACED = "was replaced"


class MemoryHold:
    """A reservation in a :class:`MemoryLedger`; only that ledger changes it."""

    __slots__ = ("account", "amount", "path", "reported", "snapshot", "state")

    def __init__(
        self, account: RunAccount, path: tuple[Account, ...], amount: Amount, snapshot: Snapshot
    ) -> None:
        self.account = account
        self.path = path
        self.amount = amount
        self.snapshot = snapshot
        # What of dollars, tokens and calls was reported: those parts are no prices any more.
        self.reported = (False, False, False)
        self.state = _State.HELD

    @property
    def cost(self) -> Usage:
        """What is held: the price, or what the call reported in its place."""
        return Usage(*self.amount)

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.path[0].tool or ""

    def report(self, amount: Amount, reports: tuple[bool, bool, bool]) -> None:
        """Hold what the call reports in the place of its price, or besides what it reported."""
        self._move(Account.give_back)
        usd, tokens, calls = (
            (held + part if told else part) if reports_it else held
            for held, part, told, reports_it in zip(
                self.amount, amount, self.reported, reports, strict=True
            )
        )
        self.amount = (usd, tokens, calls)
        told_usd, told_tokens, told_calls = (
            told or reports_it for told, reports_it in zip(self.reported, reports, strict=True)
        )
        self.reported = (told_usd, told_tokens, told_calls)
        self._move(Account.hold)

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._move(Account.give_back)

    def spend(self, amount: Amount) -> list[Alert]:
        """Count `amount` as spent by this call; the alerts that this raises."""
        return _spend(self.path, amount)

    def _move(self, how: Callable[[Account, Amount], None]) -> None:
        for account in self.path:
            how(account, self.amount)


class MemoryLedger:
    """Who may still spend what, in this process. Every method is atomic, from any thread.

    Ends of a hold: to settle a settled hold, or to release a settled or released
    one, does nothing, so that an end may be reported twice. To settle a released
    hold is an error, since its call was said not to have started.

    Args:
        on_alert: Told when 50 % and 80 % of a limit are used, once each for each account
            and dimension; on the thread that settles, outside of the lock. What it
            raises comes out of :meth:`settle`, :meth:`charge` or :meth:`spend`, after
            the spending is counted.
    """

    def __init__(self, on_alert: Callable[[Alert], None] | None = None) -> None:
        self._on_alert = on_alert
        # Reentrant: a generator that is collected here, in a cycle, settles here.
        self._lock = RLock()
        self._open: dict[str, RunAccount] = {}
        # Closed accounts live by the references of their holds and children alone.
        self._known: WeakValueDictionary[str, RunAccount] = WeakValueDictionary()

    def open_run(self, run_id: str, *, parent_id: str | None, budget: Budget) -> None:
        """Open the run's account below its parent's; its budget is a cap, no transfer.

        Raises:
            ConfigError: a run of this id is there already.
            RunClosed: the parent, or one of its own, has ended.
        """
        with self._lock:
            if run_id in self._known:
                raise ConfigError(f"a run `{run_id}` is there already; a run's id is used once")
            parent = None if parent_id is None else self._find_open(parent_id)
            account = RunAccount(run_id, budget, parent)
            self._open[run_id] = self._known[run_id] = account

    def close_run(self, run_id: str) -> None:
        """Close the account: no new hold is given, holds in flight may still settle."""
        with self._lock:
            account = self._open.pop(run_id, None)
            if account is not None:
                account.closed = True

    def reserve(self, run_id: str, tool: str, cost: Usage, limits: Budget | None) -> MemoryHold:
        """Take `cost` on the tool's account in the run, the run's and every ancestor's, or on none.

        The tool's own limits hold in the run and in each ancestor, where the calls of
        children count too.

        Raises:
            BudgetExceeded: a limit would be passed, or is overdrawn; nothing is held.
            RunClosed: the run or an ancestor has ended.
        """
        amount = amount_of(cost)
        with self._lock:
            account = self._find_open(run_id, tool)
            return _hold(account, account.path(tool, limits), amount)

    def replace(self, hold: Hold, cost: Usage) -> MemoryHold:
        """Put a hold of another cost in the place of `hold`, with a new snapshot.

        Raises:
            BudgetExceeded: the new cost passes a limit; the old hold stands.
            RunClosed: the run or an ancestor has ended; the old hold stands.
            ValueError: `hold` has ended, or its call has reported what it cost.
        """
        old, amount = self._own(hold), amount_of(cost)
        with self._lock:
            if old.state is not _State.HELD or any(old.reported):
                what = old.state.value if old.state is not _State.HELD else "has reported its cost"
                raise ValueError(f"the hold of `{old.tool}` {what}, and cannot be replaced")
            self._require_open(old.account, old.tool)
            new = _hold(old.account, old.path, amount, old.amount)
            old.state = _State.REPLACED
            return new

    def charge(self, hold: Hold, charge: Charge) -> None:
        """Report what the call in flight really cost.

        The first report in a dimension replaces its price, further ones add; None reports
        nothing. Never raises for an overrun: it is counted in full, and the
        next call is refused. A report that comes after the hold's end is counted as spent.
        """
        own, amount = self._own(hold), amount_of(charge.usage)
        alerts: list[Alert] = []
        with self._lock:
            if own.state is _State.HELD:
                own.report(amount, (charge.micro_usd is not None, charge.tokens is not None, False))
            else:
                alerts = own.spend(amount)
        self._tell(alerts)

    def spend(self, run_id: str, usage: Usage) -> None:
        """Charge the run and its ancestors for what was no governed call, as a model's tokens.

        Raises:
            RunClosed: the run has ended.
        """
        amount = amount_of(usage)
        with self._lock:
            alerts = _spend(self._find(run_id).chain(), amount)
        self._tell(alerts)

    def settle(self, hold: Hold, step: Step) -> None:
        """Turn the hold into spending, at what was charged or else at its price.

        Raises:
            ValueError: the hold was released or replaced.
        """
        own = self._own(hold)
        with self._lock:
            if own.state is _State.SETTLED:
                return
            if own.state is not _State.HELD:
                raise ValueError(
                    f"the hold of `{own.tool}` {own.state.value}, and cannot be settled"
                )
            own.state = _State.SETTLED
            own.give_back()
            alerts = own.spend(own.amount)
            for account in own.account.chain():
                account.steps.append(step)
        self._tell(alerts)

    def release(self, hold: Hold) -> None:
        """Give the hold back: the call did not start."""
        own = self._own(hold)
        with self._lock:
            if own.state is _State.HELD:
                own.state = _State.RELEASED
                own.give_back()

    def spent(self, run_id: str) -> Usage:
        """What the run and its children have settled.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        with self._lock:
            return Usage(*self._find(run_id).spent)

    def reserved(self, run_id: str) -> Usage:
        """What calls in flight hold, of the run and its children.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        with self._lock:
            return Usage(*self._find(run_id).held)

    def remaining(self, run_id: str) -> Remaining:
        """What is left of each limit, the tightest of the run and its ancestors; without seconds.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        with self._lock:
            return self._find(run_id).remaining()

    def _tell(self, alerts: list[Alert]) -> None:
        if self._on_alert is not None:
            for alert in alerts:
                self._on_alert(alert)

    def _find(self, run_id: str) -> RunAccount:
        account = self._known.get(run_id)
        if account is None:
            raise RunClosed(f"the run `{run_id}` is not open", run_id=run_id)
        return account

    def _find_open(self, run_id: str, tool: str | None = None) -> RunAccount:
        account = self._find(run_id)
        self._require_open(account, tool)
        return account

    def _require_open(self, account: RunAccount, tool: str | None) -> None:
        for level in account.chain():
            if level.closed:
                raise RunClosed(
                    f"the run `{level.run_id}` has ended", tool=tool, run_id=account.run_id
                )

    def _own(self, hold: Hold) -> MemoryHold:
        if not isinstance(hold, MemoryHold):
            raise TypeError(f"a hold of this ledger is needed, not a {type(hold).__name__}")
        return hold


def _hold(
    account: RunAccount, path: tuple[Account, ...], amount: Amount, freed: Amount = NOTHING
) -> MemoryHold:
    for part in path:
        lacking = part.lacking(amount, freed)
        if lacking is not None:
            tool = path[0].tool or ""
            raise part.refusal(lacking, amount, tool=tool, run_id=account.run_id)
    for part in path:
        part.give_back(freed)
    snapshot = account.snapshot()
    for part in path:
        part.hold(amount)
    return MemoryHold(account, path, amount, snapshot)


def _spend(path: Iterable[Account], amount: Amount) -> list[Alert]:
    alerts: list[Alert] = []
    for account in path:
        alerts += account.spend(amount) or ()
    return alerts
