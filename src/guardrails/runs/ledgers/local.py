"""Accounts in this process behind one lock: what every ledger here is made of.

An account is kept while its run is open, while a call of it is in flight, and
while a child's account is; then nothing of it is left but its part of its
parent's sums, and of those that runs share.

A call looks at its whole path of accounts only now and then. It then fills the run's purse
with a part of what is left on all of them, and the next calls take from the purse alone.
Where a limit is near, purses are taken back, and every call looks at every account.
"""

from __future__ import annotations

import time
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from guardrails.errors import ConfigError, RunClosed, StateUnavailable
from guardrails.model.budget import Usage
from guardrails.runs.ledgers.accounts import Line
from guardrails.runs.ledgers.amounts import CALLS, DIMENSIONS, NOTHING, amount_of
from guardrails.runs.ledgers.forks import watch_forks
from guardrails.runs.ledgers.holds import Hold, Purse, State
from guardrails.runs.ledgers.run_account import RunAccount
from guardrails.runs.windows import Calendar, Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrails.model.account import Terms
    from guardrails.model.budget import Budget, Charge, Remaining
    from guardrails.model.call import Snapshot, Step
    from guardrails.ports import Clock
    from guardrails.ports import Hold as AnyHold
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account, Exhausted
    from guardrails.runs.ledgers.amounts import Amount

_LARGEST: Final = 1 << 50
"""What a purse holds where there is no limit."""

_LEAST: Final = 8
"""Calls that a purse must be good for; below, each call looks for itself."""

_UNCOUNTED: Final = 64
"""Ended calls that may wait to be counted."""

_NEVER: Final = 1 << 63
"""Later than any window ends, in nanoseconds."""


class LocalLedger:
    """Who may still spend what. Every method is atomic, from any thread.

    Ends of a hold: to settle a settled hold, or to release a settled or released
    one, does nothing, so that an end may be reported twice. To settle a released
    hold is an error, since its call was said not to have started.

    Args:
        on_alert: Told when a part of a limit is used, once for each account, dimension,
            threshold and window; outside of the lock. What it raises comes out of
            :meth:`settle`, :meth:`charge` or :meth:`spend`, after the spending is counted.
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

    # ------------------------------------------------------------------------------------- runs

    def open_run(
        self,
        run_id: str,
        *,
        parent_id: str | None,
        budget: Budget,
        terms: Sequence[Terms] = (),
        named: bool = False,  # noqa: ARG002  # the port's: what it means is up to heirs
    ) -> None:
        """Open the run's account below its parent's; its budget is a cap, no transfer.

        Raises:
            ConfigError: a run of this id is there already.
            RunClosed: the parent, or one of its own, has ended.
        """
        with self._lock:
            if run_id in self._known:
                raise ConfigError(f"a run `{run_id}` is there already; a run's id is used once")
            parent = None if parent_id is None else self._find_open(parent_id)
            account = RunAccount(run_id, budget, parent, terms)
            self._open[run_id] = self._known[run_id] = account

    def close_run(self, run_id: str) -> None:
        """Close the account: no new hold is given, holds in flight may still settle."""
        with self._lock:
            account = self._open.pop(run_id, None)
            if account is not None:
                self._fold(account)
                account.closed = True

    # ------------------------------------------------------------------------------------- holds

    def reserve(self, run_id: str, tool: str, cost: Usage, limits: Budget | None) -> Hold:
        """Take `cost` on every account of the chain, or on none.

        The tool's own limits hold in the run and in each ancestor, where the calls of
        children count too.

        Raises:
            BudgetExceeded: a limit would be passed, or is overdrawn; nothing is held.
            RunClosed: the run or an ancestor has ended.
        """
        with self._lock:
            account = self._open.get(run_id)
            if account is not None and limits is None:
                purse = account.purse
                if purse is not None and self._now() < account.until:
                    hold = Hold(self, account, tool, cost, purse)
                    fresh = account.fresh
                    if fresh is not None and fresh.step is None and fresh.seen is None:
                        fresh.seen = account.snapshot(fresh)
                    # From here on nothing is called: no signal handler and no collector, which
                    # may come back to this ledger, runs in between.
                    usd, tokens, calls = cost.micro_usd, cost.tokens, cost.calls
                    if (
                        purse.is_open
                        and 0 <= usd <= purse.usd
                        and 0 < calls <= purse.calls
                        and 0 <= tokens <= purse.tokens
                    ):
                        purse.usd -= usd
                        purse.calls -= calls
                        if tokens:
                            purse.tokens -= tokens
                        history = account.history
                        history[tool] = history[tool] + calls if tool in history else calls
                        account.fresh = hold
                        return hold
            return self._reserve(run_id, tool, cost, limits)

    def _reserve(self, run_id: str, tool: str, cost: Usage, limits: Budget | None) -> Hold:
        amount = amount_of(cost)
        account = self._find_open(run_id, tool)
        self._fold(account)
        self._roll(account)
        path = self._path_of(account, tool, limits)
        self._require_room(path, amount, NOTHING, tool=tool, run_id=run_id)
        hold = self._hold(account, path, tool, cost, amount)
        if limits is None:
            self._fill(account, cost)
        return hold

    def replace(self, hold: AnyHold, cost: Usage) -> Hold:
        """Put a hold of another cost in the place of `hold`, with a new snapshot.

        Raises:
            BudgetExceeded: the new cost passes a limit; the old hold stands.
            RunClosed: the run or an ancestor has ended; the old hold stands.
            ValueError: `hold` has ended, or its call has reported what it cost.
        """
        old, amount = _own(hold), amount_of(cost)
        with self._lock:
            account = old.account
            self._fold(account)
            if old.state is not State.HELD or any(old.reported):
                what = old.state.value if old.state is not State.HELD else "has reported its cost"
                raise ValueError(f"the hold of `{old.tool}` {what}, and cannot be replaced")
            self._require_open(account, old.tool)
            path = old.path
            freed = old.amount
            self._require_room(path, amount, freed, tool=old.tool, run_id=account.run_id)
            self._see_fresh(account)
            for each in path:
                each.give_back(freed)
            account.count(old.tool, -freed[CALLS])
            old.state = State.REPLACED
            return self._hold(account, path, old.tool, cost, amount)

    def charge(self, hold: AnyHold, charge: Charge) -> None:
        """Report what the call in flight really cost.

        The first report in a dimension replaces its price, further ones add; None reports
        nothing. Never raises for an overrun: it is counted in full, and the
        next call is refused. A report that comes after the hold's end is counted as spent.
        """
        own, amount = _own(hold), amount_of(charge.usage)
        with self._lock:
            if own.account.foreign:
                return
            self._fold(own.account)
            if own.state is State.HELD:
                self._see_fresh(own.account)
                own.report(amount, (charge.micro_usd is not None, charge.tokens is not None, False))
            else:
                self._spend(own.path, amount)
        self.tell()

    def spend(self, run_id: str, usage: Usage) -> None:
        """Charge the run and its ancestors for what was no governed call, as a model's tokens.

        Raises:
            RunClosed: the run has ended.
        """
        amount = amount_of(usage)
        with self._lock:
            account = self._find(run_id)
            self._fold(account)
            self._roll(account)
            self._see_fresh(account)
            self._spend(self._path_of(account, None, None), amount)
        self.tell()

    def settle(self, hold: AnyHold, step: Step) -> None:
        """Turn the hold into spending, at what was charged or else at its price.

        Raises:
            ValueError: the hold was released or replaced.
        """
        own = hold if type(hold) is Hold else _own(hold)
        purse = own.purse
        if purse is not None and purse.is_open and own.state is State.HELD:
            # No lock: it is counted under one, as soon as anybody asks for a sum.
            if own.step is None:
                own.step = step
                done = own.account.done
                done.append(own)
                if len(done) < _UNCOUNTED:
                    return
            with self._lock:
                self._catch_up(own.account)
        else:
            self._settle(own, step)
        self.tell()

    def _settle(self, own: Hold, step: Step) -> None:
        with self._lock:
            self._catch_up(own.account)
            if own.state is State.SETTLED or own.account.foreign:
                return
            if own.state is not State.HELD:
                raise ValueError(
                    f"the hold of `{own.tool}` {own.state.value}, and cannot be settled"
                )
            self._see_fresh(own.account, but=own)
            own.step = step
            self._end(own)

    def release(self, hold: AnyHold) -> None:
        """Give the hold back: the call did not start."""
        own = _own(hold)
        with self._lock:
            account = own.account
            self._catch_up(account)
            if own.state is not State.HELD or account.foreign:
                return
            self._see_fresh(account, but=own)
            own.state = State.RELEASED
            amount = own.amount
            purse = own.purse
            if purse is not None and purse.is_open:
                purse.usd += amount[0]
                purse.tokens += amount[1]
                purse.calls += amount[2]
            else:
                for each in own.path:
                    each.give_back(amount)
            account.count(own.tool, -amount[CALLS])

    # ------------------------------------------------------------------------------------- sums

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

    def spent(self, run_id: str) -> Usage:
        """What the run and its children have settled.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        with self._lock:
            return Usage(*self._counted(run_id).settled())

    def reserved(self, run_id: str) -> Usage:
        """What calls in flight hold, of the run and its children.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        with self._lock:
            return Usage(*self._counted(run_id).in_flight())

    def remaining(self, run_id: str) -> Remaining:
        """What is left of each limit, the tightest of the run and its ancestors; without seconds.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        with self._lock:
            account = self._counted(run_id)
            for level in account.chain():
                self._catch_up(level)
            return account.remaining()

    # ------------------------------------------------------------------------------------- limits

    def raise_limit(self, exhausted: Exhausted, *, request_id: str, by: str) -> bool:  # noqa: ARG002  # the governor records who
        """Raise the limit of an account's window, if it still is as it was when people were asked.

        Returns:
            Whether it was raised; False where it has changed meanwhile.
        """
        with self._lock:
            line = self._lines.get((exhausted.account, exhausted.window))
            if (
                line is None
                or line.span.start != exhausted.start
                or line.revision != exhausted.revision
            ):
                return False
            self._fold_all()
            line.raise_by(exhausted.top_up.by)
            return True

    def share_run(self, run_id: str) -> None:
        """Let other processes join the run.

        Raises:
            StateUnavailable: this ledger is one process's.
        """
        raise StateUnavailable(
            f"the run `{run_id}` cannot be handed to another process: its account is in this "
            "process's memory; name a directory under `state` in guardrails.yaml"
        )

    def join_run(self, run_id: str, *, terms: Sequence[Terms] = ()) -> None:  # noqa: ARG002  # the port's
        """Open the account of a run that another process has shared.

        Raises:
            StateUnavailable: this ledger is one process's.
        """
        self.share_run(run_id)

    def close(self) -> None:
        """Give back what is held from others; here nothing is."""

    # ------------------------------------------------------------------------------------- within

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
        hold = Hold(self, account, tool, cost, None)
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
        while done:
            with suppress(IndexError):
                hold = done.popleft()
                if hold.state is State.HELD:
                    self._end(hold)

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


def _own(hold: AnyHold) -> Hold:
    if not isinstance(hold, Hold):
        raise TypeError(f"a hold of this ledger is needed, not a {type(hold).__name__}")
    return hold
