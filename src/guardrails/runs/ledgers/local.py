"""The ledger's port over the accounts of this process: what every ledger here is made of.

A call looks at its whole path of accounts only now and then. It then fills the run's purse
with holds for the next calls like it, which are held on all of them already; the run gives them
out and ends them itself, without a lock (:mod:`guardrails.runs.ledgers.holds` says how). Where a
limit is near, purses are taken back, and every call looks at every account.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from guardrails.errors import ConfigError, StateUnavailable
from guardrails.model.budget import Usage
from guardrails.runs.ledgers.amounts import CALLS, NOTHING, amount_of
from guardrails.runs.ledgers.books import Books
from guardrails.runs.ledgers.holds import Hold, Place, Purse, State
from guardrails.runs.ledgers.run_account import RunAccount

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from guardrails.model.account import Exhausted, Terms
    from guardrails.model.budget import Budget, Charge, Remaining
    from guardrails.model.call import Step
    from guardrails.ports import Hold as AnyHold


class LocalLedger(Books):
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

    # ------------------------------------------------------------------------------------- runs

    def open_run(
        self,
        run_id: str,
        *,
        parent_id: str | None,
        budget: Budget,
        terms: Sequence[Terms] = (),
        named: bool = False,  # noqa: ARG002  # the port's: what it means is up to heirs
    ) -> Mapping[str, Purse]:
        """Open the run's account below its parent's; its budget is a cap, no transfer.

        Returns:
            The run's purses by the names of tools, as they come and go: see :mod:`holds`.

        Raises:
            ConfigError: a run of this id is there already.
            RunClosed: the parent, or one of its own, has ended.
        """
        with self._lock:
            known = self._known.get(run_id)
            # One that has ended, and of which nothing is in flight, may only not be collected yet.
            if known is not None and (not known.closed or any(known.in_flight())):
                raise ConfigError(f"a run `{run_id}` is there already; a run's id is used once")
            parent = None if parent_id is None else self._find_open(parent_id)
            account = RunAccount(self, run_id, budget, parent, terms)
            self._open[run_id] = self._known[run_id] = account
            return account.purses_by_tool

    def close_run(self, run_id: str) -> None:
        """Close the account: no new hold is given, holds in flight may still settle."""
        self._make_up()
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
            StateUnavailable: a signal handler asks, in the middle of the ledger's own work.
        """
        amount = amount_of(cost)
        self._require_outside()
        if self._put_off:
            self._make_up()
        with self._lock:
            account = self._find_open(run_id, tool)
            self._catch_up(account)
            if tool in account.purses_by_tool:
                taken = self._take(account, tool, cost) if limits is None else None
                if taken is not None:
                    return taken
                self._fold_purse(account, tool)
            if self._now() >= account.until:
                self._fold(account)
                self._roll(account)
            path = self._path_of(account, tool, limits)
            self._require_room(path, amount, NOTHING, tool=tool, run_id=run_id)
            hold = self._hold(account, path, tool, cost, amount)
            if self._pursed:
                self._fold_tight(path, amount)
            if limits is None:
                self._fill(account, tool, cost)
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
            old.state = State.REPLACED  # first: nothing of it is given back twice
            for each in path:
                each.give_back(freed)
            account.count(old.tool, -freed[CALLS])
            return self._hold(account, path, old.tool, cost, amount)

    def charge(self, hold: AnyHold, charge: Charge) -> None:
        """Report what the call in flight really cost.

        The first report in a dimension replaces its price, further ones add; None reports
        nothing. Never raises for an overrun: it is counted in full, and the
        next call is refused. A report that comes after the hold's end is counted as spent.
        """
        own, amount = _own(hold), amount_of(charge.usage)
        if self._is_inside:
            return self._put_off.append(partial(self.charge, hold, charge))
        with self._lock:
            if own.account.foreign:
                return None
            self._fold(own.account)
            if own.state is State.HELD:
                self._see_fresh(own.account)
                own.report(amount, (charge.micro_usd is not None, charge.tokens is not None, False))
            else:
                self._spend(own.path, amount)
            self._stop_overdrawn(own.path)
        return self.tell()

    def spend(self, run_id: str, usage: Usage) -> None:
        """Charge the run and its ancestors for what was no governed call, as a model's tokens.

        Raises:
            RunClosed: the run has ended.
        """
        amount = amount_of(usage)
        if self._is_inside:
            return self._put_off.append(partial(self.spend, run_id, usage))
        with self._lock:
            account = self._find(run_id)
            self._fold(account)
            self._roll(account)
            self._see_fresh(account)
            path = self._path_of(account, None, None)
            self._spend(path, amount)
            self._stop_overdrawn(path)
        return self.tell()

    def settle(self, hold: AnyHold, step: Step) -> None:
        """Turn the hold into spending, at what was charged or else at its price.

        Raises:
            ValueError: the hold was released or replaced.
        """
        own = _own(hold)
        if self._is_inside:
            return self._put_off.append(partial(self.settle, hold, step))
        with self._lock:
            self._catch_up(own.account)
            if own.state is State.SETTLED or own.account.foreign:
                return None
            if own.state is not State.HELD:
                raise ValueError(
                    f"the hold of `{own.tool}` {own.state.value}, and cannot be settled"
                )
            self._see_fresh(own.account, but=own)
            own.step = step
            self._end(own)
            self._stop_overdrawn(own.path)
        return self.tell()

    def release(self, hold: AnyHold) -> None:
        """Give the hold back: the call did not start."""
        own = _own(hold)
        if self._is_inside:
            return self._put_off.append(partial(self.release, hold))
        with self._lock:
            account = own.account
            self._catch_up(account)
            if own.state is not State.HELD or account.foreign:
                return None
            self._see_fresh(account, but=own)
            own.state = State.RELEASED
            amount = own.amount
            purse = own.purse
            if isinstance(purse, Purse) and purse.is_open:
                purse.idle += 1
                account.count_idle(purse.cost)
                own.purse = Place(account, own.tool, purse.path)
                purse.holds += purse.made(1)
            else:
                for each in own.path:
                    each.give_back(amount)
            account.count(own.tool, -amount[CALLS])
        return self._make_up()

    # ------------------------------------------------------------------------------------- sums

    def spent(self, run_id: str) -> Usage:
        """What the run and its children have settled.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        self._make_up()
        with self._lock:
            return Usage(*self._counted(run_id).settled())

    def reserved(self, run_id: str) -> Usage:
        """What calls in flight hold, of the run and its children.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        self._make_up()
        with self._lock:
            return Usage(*self._counted(run_id).in_flight())

    def remaining(self, run_id: str) -> Remaining:
        """What is left of each limit, the tightest of the run and its ancestors; without seconds.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
        """
        self._make_up()
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

    def share_run(self, run_id: str) -> tuple[str, ...]:
        """Let other processes join the run.

        Raises:
            StateUnavailable: this ledger is one process's.
        """
        raise StateUnavailable(
            f"the run `{run_id}` cannot be handed to another process: its account is in this "
            "process's memory; name a directory under `state` in guardrails.yaml"
        )

    def join_run(
        self,
        run_id: str,
        *,
        nonces: Sequence[str],  # noqa: ARG002  # the port's
        terms: Sequence[Terms] = (),  # noqa: ARG002  # as above
    ) -> None:
        """Open the account of a run that another process has shared.

        Raises:
            StateUnavailable: this ledger is one process's.
        """
        self.share_run(run_id)

    def leave_run(self, run_id: str) -> None:
        """Nothing: no run is joined here."""

    def close(self) -> None:
        """Give back what is held from others; here nothing is."""


def _own(hold: AnyHold) -> Hold:
    if not isinstance(hold, Hold):
        raise TypeError(f"a hold of this ledger is needed, not a {type(hold).__name__}")
    return hold
