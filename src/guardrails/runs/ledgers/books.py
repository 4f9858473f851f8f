"""The accounts of this process, behind one lock: windows, purses, and what is still to count.

An account is kept while its run is open, while a call of it is in flight, and
while a child's account is; then nothing of it is left but its part of its
parent's sums, and of those that runs share.
"""

from __future__ import annotations

import time
from threading import RLock
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from guardrails.errors import RunClosed, StateUnavailable
from guardrails.runs.ledgers.accounts import Line
from guardrails.runs.ledgers.amounts import CALLS, DIMENSIONS
from guardrails.runs.ledgers.forks import watch_forks
from guardrails.runs.ledgers.holds import Hold, Purse, State
from guardrails.runs.windows import Calendar, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrails.model.account import Terms
    from guardrails.model.budget import Budget, Usage
    from guardrails.model.call import Snapshot
    from guardrails.ports import Clock
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account
    from guardrails.runs.ledgers.amounts import Amount
    from guardrails.runs.ledgers.run_account import RunAccount

_LARGEST: Final = 1 << 50
"""What a purse holds where there is no limit."""

_LEAST: Final = 8
"""Calls that a purse must be good for; below, each call looks for itself."""

_NEVER: Final = 1 << 63
"""Later than any window ends, in nanoseconds."""


class Books:
    """Accounts and their holds. What begins with an underscore is called under the lock.

    Args:
        on_alert: Told when a part of a limit is used, outside of the lock.
        clock: The time by which windows begin and end.
        time_zone: In which days and months do.

    Raises:
        ConfigError: there is no such time zone here.
    """

    def __init__(
        self,
        on_alert: Callable[[Alert], None] | None = None,
        *,
        clock: Clock | None = None,
        time_zone: str = "UTC",
    ) -> None:
        self.calendar = Calendar(time_zone)
        self._on_alert = on_alert
        self._now: Callable[[], int] = time.time_ns if clock is None else clock.now_ns
        # Reentrant: a generator that is collected here, in a cycle, settles here.
        self._lock = RLock()
        self._open: dict[str, RunAccount] = {}
        # Closed accounts live by the references of their holds and children alone.
        self._known: WeakValueDictionary[str, RunAccount] = WeakValueDictionary()
        self._lines: dict[tuple[str, str], Line] = {}
        # Runs with a purse, in the order in which they got it.
        self._pursed: dict[RunAccount, None] = {}
        self._alerts: list[Alert] = []
        watch_forks(self)

    def see(self, hold: Hold) -> Snapshot:
        """The snapshot of a hold that is in flight.

        Raises:
            ValueError: the hold has ended, and nobody had looked before.
        """
        with self._lock:
            account = hold.account
            if hold.seen is None:
                if account.fresh is not hold or hold.state is not State.HELD:
                    raise ValueError(
                        f"the hold of `{hold.tool}` has ended; nobody saw its snapshot"
                    )
                self._catch_up(account)
                if account.fresh is not hold:
                    raise ValueError(
                        f"the hold of `{hold.tool}` has ended; nobody saw its snapshot"
                    )
                hold.seen = account.snapshot(hold)
                account.fresh = None
            return hold.seen

    def tell(self) -> None:
        """Tell of alerts that are due."""
        while self._alerts:
            try:
                alert = self._alerts.pop(0)
            except IndexError:  # another thread has told it
                return
            if self._on_alert is not None:
                self._on_alert(alert)

    def _require_room(
        self, path: Sequence[Account], amount: Amount, freed: Amount, *, tool: str, run_id: str
    ) -> None:
        """Nothing, if `amount` fits on every account of `path`, once purses are taken back.

        Raises:
            BudgetExceeded: it does not.
        """
        if _first_lacking(path, amount, freed) is None:
            return
        self._fold_all()
        lacking = _first_lacking(path, amount, freed)
        if lacking is not None:
            lacking = self._extend(path, amount, freed, lacking)
        if lacking is not None:
            account, index = lacking
            raise account.refusal(index, amount, tool=tool, run_id=run_id)

    def _path_of(
        self, account: RunAccount, tool: str | None, limits: Budget | None
    ) -> tuple[Account, ...]:
        return account.path(tool, limits)

    def _extend(
        self,
        path: Sequence[Account],  # noqa: ARG002  # what heirs need
        amount: Amount,  # noqa: ARG002  # as above
        freed: Amount,  # noqa: ARG002  # as above
        lacking: tuple[Account, int],
    ) -> tuple[Account, int] | None:
        """Find room where this process has none; what still lacks."""
        return lacking

    def _line(self, terms: Terms, now_ns: int) -> Line:
        """The account's line of the window that is open now; it never goes back to an old one."""
        key = (terms.account, terms.window.value)
        line = self._lines.get(key)
        if line is None or now_ns >= line.span.end:
            span = self.calendar.span(terms.window, now_ns)
            line = self._new_line(terms, span.start, span.end)
            self._lines[key] = line
        return line

    def _new_line(self, terms: Terms, start: int, end: int) -> Line:
        return Line(terms, Span(start, end), self.calendar.moment(end))

    def _roll(self, account: RunAccount) -> None:
        """Let the run stand on the windows that are open now."""
        if not account.terms:
            account.until = _NEVER
            return
        now = self._now()
        if now >= account.until:
            account.lines = tuple(self._line(terms, now) for terms in account.terms)
            account.until = min(line.span.end for line in account.lines)

    def _hold(
        self,
        account: RunAccount,
        path: tuple[Account, ...],
        tool: str,
        cost: Usage,
        amount: Amount,
    ) -> Hold:
        self._see_fresh(account)
        hold = Hold(account, tool, cost, None)
        hold.stands_on = path
        hold.seen = account.snapshot()
        for each in path:
            each.hold(amount)
        account.count(tool, amount[CALLS])
        return hold

    def _fill(self, account: RunAccount, cost: Usage) -> None:
        """Give the run a purse, where its whole path has room for one."""
        if account.parent is not None:
            return
        path = self._path_of(account, None, None)
        room = [_LARGEST] * len(DIMENSIONS)
        for each in path:
            sharers = 2 * (each.purses + 1)
            for index in range(len(DIMENSIONS)):
                left = each.room(index)
                if left is not None:
                    room[index] = min(room[index], left // sharers)
        usd, tokens, calls = room
        if (
            usd < cost.micro_usd * _LEAST
            or tokens < cost.tokens * _LEAST
            or calls < cost.calls * _LEAST
            or min(room) < 0
        ):
            return
        for each in path:
            each.purses += 1
            each.hold((usd, tokens, calls))
        account.purse = Purse(path, (usd, tokens, calls))
        self._pursed[account] = None

    def _fold(self, account: RunAccount) -> None:
        """Take the run's purse back: all that it holds stands on the accounts of its path."""
        self._catch_up(account)
        purse = account.purse
        if purse is None:
            return
        fresh = account.fresh
        self._see_fresh(account)
        if fresh is not None and fresh.state is not State.HELD:
            account.fresh = None
        account.purse = None
        del self._pursed[account]
        self._alerts += purse.close()

    def _fold_all(self) -> None:
        for account in tuple(self._pursed):
            self._fold(account)

    def _see_fresh(self, account: RunAccount, but: Hold | None = None) -> None:
        """Take the snapshots that are due before sums change, the ancestors' too."""
        for level in account.chain():
            fresh = level.fresh
            if fresh is not None:
                level.fresh = None
                if fresh is not but and fresh.step is None and fresh.seen is None:
                    fresh.seen = level.snapshot(fresh)

    def _catch_up(self, account: RunAccount) -> None:
        """Count the calls that have ended meanwhile."""
        done = account.done
        if not done:
            return
        purse, steps = account.purse, account.steps
        usd = tokens = calls = 0
        while done:
            try:
                hold = done.popleft()
            except IndexError:  # a signal handler has counted it
                break
            if hold.state is not State.HELD:
                continue
            step = hold.step
            if hold.purse is purse and purse is not None and step is not None:
                hold.state = State.SETTLED
                cost = hold.cost
                usd += cost.micro_usd
                tokens += cost.tokens
                calls += cost.calls
                steps.append(step)
            else:
                self._end(hold)
        if purse is not None:
            spent = purse.spent
            spent[0] += usd
            spent[1] += tokens
            spent[2] += calls
        fresh = account.fresh
        if fresh is not None and fresh.state is not State.HELD:
            account.fresh = None

    def _end(self, hold: Hold) -> None:
        hold.state = State.SETTLED
        account, purse, step = hold.account, hold.purse, hold.step
        if account.fresh is hold:
            account.fresh = None
        if purse is not None and purse.is_open:
            cost, spent = hold.cost, purse.spent
            spent[0] += cost.micro_usd
            spent[1] += cost.tokens
            spent[2] += cost.calls
        else:
            amount = hold.amount
            for each in hold.path:
                each.give_back(amount)
            self._spend(hold.path, amount)
        if step is not None:
            level: RunAccount | None = account
            while level is not None:
                level.steps.append(step)
                level = level.parent

    def _spend(self, path: Sequence[Account], amount: Amount) -> None:
        for account in path:
            self._alerts += account.spend(amount) or ()

    def _counted(self, run_id: str) -> RunAccount:
        account = self._find(run_id)
        self._catch_up(account)
        return account

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
            if level.foreign:
                raise StateUnavailable(
                    f"the run `{level.run_id}` belongs to the process from which this one was "
                    "forked; open a run of its own here",
                    tool=tool,
                    run_id=account.run_id,
                )

    def before_fork(self) -> None:
        """Stand still while the process is copied."""
        self._lock.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Forget the runs of the process that this one was forked from: it goes on with them."""
        self._lock = RLock()
        for account in tuple(self._known.values()):
            account.foreign = True
            account.done.clear()
            if account.purse is not None:
                account.purse.is_open = False
                account.purse = None
        self._open.clear()
        self._pursed.clear()
        self._lines.clear()
        self._alerts.clear()


def _first_lacking(
    path: Sequence[Account], amount: Amount, freed: Amount
) -> tuple[Account, int] | None:
    for account in path:
        index = account.lacking(amount, freed)
        if index is not None:
            return account, index
    return None
