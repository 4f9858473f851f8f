"""The ledger of one machine: accounts in SQLite, of which each process takes a part at a time.

What a process has taken it spends by itself, so that most calls do no I/O. It asks again when
that is used up, reports what it has spent every second, and gives back what it does not need
when others do, when it is idle, and when it ends.

A run is its process's alone until it is shared; a run whose id somebody chose is kept in the
database from the start, so that it can go on after a crash with what it had spent.
"""

from __future__ import annotations

import threading
from secrets import token_hex
from typing import TYPE_CHECKING, Final

from guardrails.errors import RunClosed
from guardrails.model.budget import Budget, Usage
from guardrails.runs.ledgers import lines, run_rows
from guardrails.runs.ledgers.accounts import Line, ToolAccount
from guardrails.runs.ledgers.amounts import DIMENSIONS, limits_of
from guardrails.runs.ledgers.leasing import LeasingLedger, lease_of, run_of
from guardrails.runs.ledgers.lines import RUN_PERIOD, LineKey
from guardrails.runs.ledgers.local import LocalLedger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from sqlite3 import Connection

    from guardrails.model.account import Exhausted, Terms
    from guardrails.runs.ledgers.accounts import Account
    from guardrails.runs.ledgers.holds import Purse
    from guardrails.runs.ledgers.run_account import RunAccount
    from guardrails.runs.ledgers.run_rows import RunRow

FILE_NAME: Final = "budgets.sqlite"
"""The database below the state directory."""


class SqliteLedger(LeasingLedger):
    """Who may still spend what, on this machine. Every method is atomic, from any thread.

    Args:
        path: The database; made where it is not.
        on_alert: As for :class:`LocalLedger`; also called from a thread of its own.
        on_act: Told of what was done to accounts and belongs in the record: a kind, its detail.
        clock: The time by which windows begin and end.
        time_zone: In which days and months do.
        lease: How many calls' worth is taken at a time; 1: every call asks.
        on_crash: ``charge`` counts what a crashed process had taken as spent; ``release`` does so
            on a run's own account only.

    Raises:
        ConfigError: there is no such time zone here.
        StateUnavailable: the database cannot be used.
    """

    # ------------------------------------------------------------------------------------- runs

    def open_run(
        self,
        run_id: str,
        *,
        parent_id: str | None,
        budget: Budget,
        terms: Sequence[Terms] = (),
        named: bool = False,
    ) -> Mapping[str, Purse]:
        """Open the run's account below its parent's; its budget is a cap, no transfer.

        Args:
            run_id: The run.
            parent_id: The run in which it is opened.
            budget: Its own limits.
            terms: The accounts that it shares with other runs.
            named: Whether somebody chose the id. Such a run is kept in the database: where its
                process died, it goes on with what it had spent, and is charged with what that
                process had taken.

        Raises:
            ConfigError: a run of this id is open, here or in another process.
            RunClosed: the parent, or one of its own, has ended.
            StateUnavailable: the database cannot be used.
        """
        with self._lock:
            self._require_usable()
            self._forget_closed(run_id)
            purses = super().open_run(run_id, parent_id=parent_id, budget=budget, terms=terms)
            account = self._open[run_id]
            account.named = named
            try:
                if named:
                    self._keep(account)
                else:
                    self._dirty_runs[run_id] = None
                    self._start()
            except BaseException:
                del self._open[run_id]
                raise
        self.tell()
        return purses

    def close_run(self, run_id: str) -> None:
        """Close the account: no new hold is given, holds in flight may still settle.

        Of a run that is shared others hear at once: what was spent here, or that it has ended.
        """
        self._make_up()
        with self._lock:
            account = self._open.get(run_id)
            super().close_run(run_id)
            if account is None or account.foreign:
                return
            self._dirty_runs.pop(run_id, None)
            self._gone_runs.append(run_id)
            if account.lease is not None and not self._closed:
                self._wait_for_report()
                mine = [
                    each
                    for level in account.chain()
                    for each in (level, *level.tools.values())
                    if each.lease is not None
                ]
                self._say(mine, [self._report(each, give=True) for each in mine])
                self._write_runs(())
        self.tell()

    def spent(self, run_id: str) -> Usage:
        """What the run and its children have settled, in every process that shares it.

        Raises:
            RunClosed: the run has ended and nothing of it is in flight.
            StateUnavailable: it is shared, and the database cannot be used.
        """
        self._make_up()
        with self._lock:
            usage = super().spent(run_id)
            account = self._known.get(run_id)
            if account is None or account.lease is None or account.closed or self._closed:
                return usage
            self._wait_for_report()
            self._say((account,), [self._report(account)])
            return usage + Usage(*account.lease.others)

    def share_run(self, run_id: str) -> tuple[str, ...]:
        """Let other processes join the run and its ancestors: their accounts go to the database.

        Returns:
            What this opening of each has and no other of the same id, outermost first.

        Raises:
            RunClosed: the run is not open here.
            StateUnavailable: the database cannot be used.
        """
        with self._lock:
            self._require_usable()
            chain = tuple(self._find_open(run_id).chain())[::-1]
            for account in chain:
                if account.lease is None:
                    self._keep(account)
        self.tell()
        return tuple(account.nonce for account in chain)

    def join_run(self, run_id: str, *, nonces: Sequence[str], terms: Sequence[Terms] = ()) -> None:
        """Open, in this process, the account of a run that another one has shared.

        Args:
            run_id: The run.
            nonces: What :meth:`share_run` has returned.
            terms: The accounts that it shares, where they are not to be those with which it was
                opened.

        Raises:
            RunClosed: no such run is shared, it has ended, or its id has been opened anew since.
            StateUnavailable: the database cannot be used.
        """
        with self._lock:
            self._require_usable()
            with self._exchange.database.read() as connection:
                row = run_rows.find_shared(connection, run_id)
            if row is None:
                raise RunClosed(
                    f"no run `{run_id}` is shared here: it has ended, or is another state "
                    "directory's",
                    run_id=run_id,
                )
            *above, nonce = nonces or ("",)
            if not nonce or row.nonce != nonce or bool(above) != (row.parent is not None):
                raise RunClosed(
                    f"the run `{run_id}` that was shared has ended; another one has its id now",
                    run_id=run_id,
                )
            if row.parent is not None:
                self.join_run(row.parent, nonces=above)
            try:
                self._join(row, terms)
            except BaseException:
                if row.parent is not None:
                    self.leave_run(row.parent)
                raise
            self._start()

    def leave_run(self, run_id: str) -> None:
        """Take back one :meth:`join_run`: with the last one the account is closed in this process.

        So are its ancestors', which were joined with it. Where the run was opened here, it goes on.
        """
        with self._lock:
            account = self._open.get(run_id)
            if account is None:
                return
            try:
                joins = self._joins.get(run_id, 0)
                if joins > 1:
                    self._joins[run_id] = joins - 1
                elif joins:
                    del self._joins[run_id]
                    self.close_run(run_id)
            finally:
                if account.parent is not None:
                    self.leave_run(account.parent.run_id)

    def _join(self, row: RunRow, terms: Sequence[Terms]) -> None:
        run_id = row.id
        account = self._open.get(run_id)
        if account is not None:
            if account.nonce != row.nonce:
                raise RunClosed(
                    f"an earlier run `{run_id}` has not been left here yet", run_id=run_id
                )
            if run_id in self._joins:
                self._joins[run_id] += 1
            return
        if not self._reopen(row):
            super().open_run(
                run_id, parent_id=row.parent, budget=row.budget, terms=terms or row.terms
            )
            account = self._open[run_id]
            account.nonce = row.nonce
            self._attach_joined(account)
        self._joins[run_id] = 1

    def _reopen(self, row: RunRow) -> bool:
        """Go on with the account of a run that was left; False where nothing is left of that.

        It still knows what calls in flight hold, and what of its spending is not reported.
        """
        known = self._known.get(row.id)
        if known is None or not known.closed:
            return False
        parent = None if row.parent is None else self._open[row.parent]
        if known.nonce != row.nonce or known.parent is not parent or not self._is_kept(known):
            self._forget_closed(row.id)
            return False
        known.tools = {name: each for name, each in known.tools.items() if self._is_kept(each)}
        known.closed = False
        self._open[row.id] = known
        return True

    def _is_kept(self, account: Account) -> bool:
        """Whether what happens on the account still comes to the database."""
        lease = account.lease
        return lease is not None and self._leased.get(LineKey(*lease.key)) is account

    def _keep(self, account: RunAccount) -> None:
        """Move a run's account to the database, with what was spent and is held of it."""
        self._fold(account)
        alerted = account.alerted
        self._wait_for_report()
        exchange = self._exchange
        account.nonce = token_hex(16)
        with exchange.database.transaction() as connection:
            exchange.register(connection)
            self._delete_closed(connection)
            run_rows.take_over(connection, exchange, account)
            run_rows.put(connection, exchange.holder, run_rows.row_of(account, is_shared=True))
        self._gone_runs.clear()
        self._dirty_runs.pop(account.run_id, None)
        mine = (account, *account.tools.values())
        for each in mine:
            self._attach_to(account, each)
        self._say(mine, [self._report(each, alerted) for each in mine])
        self._start()

    def _forget_closed(self, run_id: str) -> None:
        """Forget a run of this id that was closed, and whose last report is not made yet."""
        known = self._known.get(run_id)
        if known is not None and known.closed and not any(known.held):
            self._leased = {
                key: account
                for key, account in self._leased.items()
                if isinstance(account, Line) or run_of(account) != run_id
            }
            del self._known[run_id]

    def _delete_closed(self, connection: Connection) -> None:
        for run_id in self._gone_runs:
            run_rows.delete(connection, self._exchange.holder, run_id)

    # ------------------------------------------------------------------------------------- limits

    def raise_limit(self, exhausted: Exhausted, *, request_id: str, by: str) -> bool:
        """Raise the limit of an account's window, as people have approved; once a request.

        Returns:
            Whether it was raised now; False where it was before, or the limit has changed since.
        """
        more = limits_of(exhausted.top_up.by)
        with self._lock:
            self._wait_for_report()
            with self._exchange.database.transaction() as connection:
                row = lines.find(connection, exhausted.account, exhausted.window, exhausted.start)
                if row is None or row.revision != exhausted.revision:
                    return False
                used = connection.execute(
                    "INSERT OR IGNORE INTO top_up VALUES (?, ?)", (request_id, row.id)
                ).rowcount
                if not used:
                    return False
                connection.execute(
                    "UPDATE line SET usd_more = usd_more + ?, tokens_more = tokens_more + ?,"
                    " calls_more = calls_more + ? WHERE id = ?",
                    (*(each or 0 for each in more), row.id),
                )
                lines.changed(connection, row.id)
                lines.bump(connection)
                for index, each in enumerate(more):
                    old = row.limits[index]
                    if each and old is not None:
                        lines.note(
                            connection,
                            at=self._now(),
                            kind="top_up",
                            account=row.key.account,
                            period=row.key.period,
                            dimension=DIMENSIONS[index],
                            old=old,
                            new=old + each,
                            by=by,
                            reason=f"approval {request_id}",
                        )
        return True

    # ------------------------------------------------------------------------------------- end

    def close(self) -> None:
        """Report what was spent and give back what was taken; later calls refuse."""
        self._make_up()
        with self._lock:
            if self._closed:
                return
            renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.stop()
        with self._lock:
            if self._closed:
                return
            self._wait_for_report()
            self._closed = True
            self._fold_all()
            held = any(any(each.held) for each in self._leased.values())
            try:
                accounts = tuple(self._leased.values())
                self._say(accounts, [self._report(each, give=True) for each in accounts])
                self._write_runs(self._rows_of_runs())
                if not held:
                    self._exchange.leave()
            finally:
                self._exchange.database.close()
        self.tell()

    # ------------------------------------------------------------------------------------- within

    def _path_of(
        self, account: RunAccount, tool: str | None, limits: Budget | None
    ) -> tuple[Account, ...]:
        path = super()._path_of(account, tool, limits)
        for each in path:
            if isinstance(each, ToolAccount) and each.lease is None:
                level = next(one for one in account.chain() if one.run_id == each.run_id)
                if level.lease is not None:
                    self._attach_to(level, each)
        return path

    def _attach_to(self, run: RunAccount, account: Account) -> None:
        """Keep the run's account, or that of one of its tools, in the database."""
        self._attach(account, RUN_PERIOD).opening = (run.run_id, run.nonce)

    def _attach_joined(self, account: RunAccount) -> None:
        self._attach_to(account, account)
        lease_of(account).is_known = True

    def _end_run(self, account: Account) -> None:
        """Its opener has closed the run; one that has its id since then is another."""
        run = self._known.get(run_of(account))
        if run is not None and lease_of(account).opening == (run.run_id, run.nonce):
            run.closed = True

    def _set_limits(self) -> list[tuple[str, str, int]]:
        with self._exchange.database.read() as connection:
            return connection.execute(
                "SELECT account, dimension, amount FROM setting WHERE period = ?", (RUN_PERIOD,)
            ).fetchall()

    def _put_in_force(self, limits: Sequence[tuple[str, str, int]]) -> None:
        """Let runs that are this process's alone have what was set, or else their own limits."""
        amounts = {(name, dimension): amount for name, dimension, amount in limits}
        for account in self._open.values():
            if account.lease is not None:
                continue
            usd, tokens, calls = (
                amounts.get((account.name, dimension), own)
                for dimension, own in zip(DIMENSIONS, limits_of(account.budget), strict=True)
            )
            if (usd, tokens, calls) != account.limits:
                self._fold(account)
                account.put_in_force((usd, tokens, calls))

    def _rows_of_runs(self) -> list[RunRow]:
        """What is to be written down of runs that are this process's alone."""
        rows: list[RunRow] = []
        for each in self._open.values():
            is_news = each.run_id in self._dirty_runs or each.written != each.spent
            if each.lease is None and is_news:
                rows.append(run_rows.row_of(each, is_shared=False))
                each.written = list(each.spent)
        self._dirty_runs.clear()
        return rows

    def _write_runs(self, rows: Sequence[RunRow]) -> None:
        gone = len(self._gone_runs)
        if not rows and not gone:
            return
        with self._exchange.database.transaction() as connection:
            self._exchange.register(connection)
            for row in rows:
                run_rows.put(connection, self._exchange.holder, row)
            self._delete_closed(connection)
        del self._gone_runs[:gone]

    def before_fork(self) -> None:
        """Share the runs that are open, so that the child can go on with them; stand still."""
        super().before_fork()
        try:
            if not self._closed:
                for account in tuple(self._open.values()):
                    if account.lease is None:
                        self._keep(account)
        except BaseException:
            self._lock.release()
            raise

    def after_fork_in_child(self) -> None:
        """Be another process: with nothing taken, and the shared runs joined anew."""
        runs = [(each, each.lease is not None) for each in self._open.values()]
        super().after_fork_in_child()
        self._reported = threading.Condition(self._lock)
        self._is_reporting = False
        self._renewal = None
        self._leased.clear()
        self._dirty_runs.clear()
        self._gone_runs.clear()
        if self._closed:
            return
        # Until it has dealings of its own, it must not go on with those of its parent.
        self._closed = True
        self._exchange = self._new_exchange()
        self._closed = False
        for old, is_shared in runs:
            if is_shared:
                self._known.pop(old.run_id, None)
                parent = None if old.parent is None else old.parent.run_id
                LocalLedger.open_run(
                    self,
                    old.run_id,
                    parent_id=parent,
                    budget=old.budget or Budget(),
                    terms=old.terms,
                )
                account = self._open[old.run_id]
                account.history, account.steps = dict(old.history), old.steps.copy()
                account.nonce = old.nonce
                self._attach_joined(account)
