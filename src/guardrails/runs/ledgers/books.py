"""The accounts of this process, behind one lock: windows, purses, and what is still to count.

An account is kept while its run is open, while a call of it is in flight, and
while a child's account is; then nothing of it is left but its part of its
parent's sums, and of those that runs share.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from guardrails.errors import RunClosed, StateUnavailable
from guardrails.forks import at_forks
from guardrails.runs.ledgers.accounts import Line
from guardrails.runs.ledgers.amounts import CALLS, NOTHING
from guardrails.runs.ledgers.counting import Counting
from guardrails.runs.ledgers.holds import HAS_ONE_ORDER, Hold, Place, Purse, State
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

_MOST: Final = 128
_LEAST: Final = 4
"""Calls that a purse is good for; below, each call looks for itself."""

_NEVER: Final = 1 << 63
"""Later than any window ends, in nanoseconds."""


class Books(Counting):
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
        self._is_counting = False
        # What signal handlers, and objects that are collected, wanted done amid all this.
        self._put_off: deque[Callable[[], None]] = deque()
        at_forks(
            self,
            before=type(self).before_fork,
            in_parent=type(self).after_fork_in_parent,
            in_child=type(self).after_fork_in_child,
        )

    def see(self, hold: Hold) -> Snapshot:
        """The snapshot of a hold that is in flight.

        Raises:
            ValueError: the hold has ended, and nobody had looked before.
            StateUnavailable: a signal handler asks, in the middle of the ledger's own work.
        """
        self._require_outside()
        with self._lock:
            account = hold.account
            if hold.seen is None:
                self._catch_up(account, hold)
            if hold.seen is None:
                if account.fresh is not hold or hold.state is not State.HELD:
                    raise ValueError(
                        f"the hold of `{hold.tool}` has ended; nobody saw its snapshot"
                    )
                hold.seen = account.snapshot(hold)
                account.fresh = None
            return hold.seen

    def tell(self) -> None:
        """Tell of alerts that are due, and do what was put off."""
        if self._put_off:
            self._make_up()
        while self._alerts:
            try:
                alert = self._alerts.pop(0)
            except IndexError:  # another thread has told it
                return
            if self._on_alert is not None:
                self._on_alert(alert)

    @property
    def _is_inside(self) -> bool:
        """Whether this very thread is at work here: a signal handler runs, or what is collected."""
        return self._lock._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  # as `threading.Condition` asks it

    def _require_outside(self) -> None:
        """Nothing, if this thread is not amid work on the accounts, of which half may be done.

        Raises:
            StateUnavailable: it is.
        """
        if self._is_inside:
            msg = (
                "the accounts are at work on this very thread: a signal handler cannot make a "
                "governed call there"
            )
            raise StateUnavailable(msg)

    def _make_up(self) -> None:
        """Do what was put off; outside of the lock."""
        while self._put_off and not self._is_inside:
            with suppress(IndexError):  # another thread does it
                self._put_off.popleft()()

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
        hold = Hold(Place(account, tool, path), cost)
        hold.seen = account.snapshot()
        for each in path:
            each.hold(amount)
        account.count(tool, amount[CALLS])
        return hold

    def _fill(self, account: RunAccount, tool: str, cost: Usage) -> None:
        """Give the run holds for its next calls like this one, if the last one was like it, too."""
        known, most = account.lately.get(tool, (None, 0))
        # Twice as many each time, so that a run that makes few calls keeps few holds.
        most = min(_MOST, most * 2) if known == cost else _LEAST
        account.lately[tool] = (cost, most)
        if account.parent is not None or not cost.calls or known != cost or not HAS_ONE_ORDER:
            return
        path = self._path_of(account, None, None)
        amount = (cost.micro_usd, cost.tokens, cost.calls)
        count = _fitting(path, amount, most)
        if count >= _LEAST:
            purse = Purse(account, tool, path, cost, self._now)
            purse.add(count)
            account.purses_by_tool[tool] = purse
            self._pursed[account] = None

    def _fold_tight(self, path: Sequence[Account], amount: Amount) -> None:
        """Take back every purse on accounts with little room: their sums count, and alert, now."""
        tight = {id(each) for each in path if each.purses and not _fitting((each,), amount, 1)}
        if not tight:
            return
        for account in tuple(self._pursed):
            purses = account.purses_by_tool.values()
            if any(id(each) in tight for purse in purses for each in purse.path):
                self._fold(account)

    def _stop_overdrawn(self, path: Sequence[Account]) -> None:
        """Take back every purse on an overdrawn account: no call of any run goes on out of it."""
        if self._pursed:
            self._fold_tight(path, NOTHING)

    def _take(self, account: RunAccount, tool: str, cost: Usage) -> Hold | None:
        """A hold out of a purse, filled again where it is used up; None where there is no room."""
        purse = account.purses_by_tool[tool]
        amount = (cost.micro_usd, cost.tokens, cost.calls)
        if amount != purse.cost or self._now() >= account.until:
            return None
        try:
            hold = purse.take()
        except IndexError:
            return self._refill(account, purse, tool, cost, amount)
        purse.begin(hold)
        return hold

    def _refill(
        self, account: RunAccount, purse: Purse, tool: str, cost: Usage, amount: Amount
    ) -> Hold | None:
        most = min(_MOST, account.lately[tool][1] * 2)
        count = _fitting(purse.path, amount, most)
        if count < _LEAST:
            return None
        account.lately[tool] = (cost, most)
        purse.add(count)
        hold = purse.take()
        purse.begin(hold)
        return hold

    def _fold(self, account: RunAccount) -> None:
        """Take the run's purses back: all that calls hold of them stands on the accounts."""
        self._catch_up(account)
        for tool in tuple(account.purses_by_tool):
            self._fold_purse(account, tool)

    def _fold_purse(self, account: RunAccount, tool: str) -> None:
        purse = account.purses_by_tool[tool]
        unused = 0
        while purse.holds:
            try:
                purse.holds.pop()
            except IndexError:  # a call has taken it
                break
            unused += 1
        # What calls took meanwhile is held, and is counted when its turn comes.
        self._catch_up(account)
        self._see_fresh(account)
        del account.purses_by_tool[tool]
        if not account.purses_by_tool:
            self._pursed.pop(account, None)
        self._alerts += purse.close(unused)

    def _fold_all(self) -> None:
        for account in tuple(self._pursed):
            self._fold(account)

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
            account.log.clear()
            for purse in account.purses_by_tool.values():
                purse.is_open = False
            account.purses_by_tool.clear()
            account.pursed_idle, account.pursed_spent = [0, 0, 0], [0, 0, 0]
        self._open.clear()
        self._pursed.clear()
        self._lines.clear()
        self._alerts.clear()
        self._put_off.clear()
        self._is_counting = False


def _fitting(path: Sequence[Account], amount: Amount, most: int) -> int:
    """How many calls of `amount` a run may have holds for: a part of what is left on its path."""
    count = most
    for each in path:
        sharers = 2 * (each.purses + 1)
        for index, needed in enumerate(amount):
            left = each.room(index)
            if left is None:
                continue
            if left < 0:
                return 0
            if needed:
                count = min(count, left // (needed * sharers))
    return count


def _first_lacking(
    path: Sequence[Account], amount: Amount, freed: Amount
) -> tuple[Account, int] | None:
    for account in path:
        index = account.lacking(amount, freed)
        if index is not None:
            return account, index
    return None
