"""The ledger of one machine: accounts in SQLite, of which each process takes a part at a time.

What a process has taken it spends by itself, so that most calls do no I/O. It asks again when
that is used up, reports what it has spent every second, and gives back what it does not need
when others do, when it is idle, and when it ends.

A run is its process's alone until it is shared; a run whose id somebody chose is kept in the
database from the start, so that it can go on after a crash with what it had spent.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from guardrails.database import Database
from guardrails.errors import RunClosed, StateUnavailable
from guardrails.model.budget import Budget
from guardrails.runs.ledgers import lines, run_rows
from guardrails.runs.ledgers.accounts import Lease, Line, ToolAccount
from guardrails.runs.ledgers.amounts import (
    DIMENSIONS,
    NO_LIMITS,
    NOTHING,
    Amount,
    limits_of,
)
from guardrails.runs.ledgers.exchange import Exchange, Report
from guardrails.runs.ledgers.lines import RUN_PERIOD, LineKey
from guardrails.runs.ledgers.local import LocalLedger
from guardrails.runs.ledgers.renewal import Renewal
from guardrails.runs.ledgers.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from guardrails.model.account import Terms
    from guardrails.ports import Clock
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account, Exhausted
    from guardrails.runs.ledgers.exchange import Act, Answer
    from guardrails.runs.ledgers.run_account import RunAccount
    from guardrails.runs.ledgers.run_rows import RunRow

FILE_NAME: Final = "budgets.sqlite"
"""The database below the state directory."""

_REPORT: Final = 1.0
_SWEEP: Final = 5.0
_IDLE: Final = 10.0
"""Seconds between reports, between sweeps, and after which what is idle is given back."""


class SqliteLedger(LocalLedger):
    """Who may still spend what, on this machine. Every method is atomic, from any thread.

    Args:
        path: The database; made where it is not.
        on_alert: As for :class:`LocalLedger`; also called from a thread of its own.
        on_act: Told of what was done to accounts and belongs in the record: a kind, its detail.
        clock: The time by which windows begin and end.
        time_zone: In which days and months do.
        lease: How many calls' worth is taken at a time; 1: every call asks.
        on_crash: ``charge`` counts what a crashed process had taken as spent, ``release`` does not.

    Raises:
        ConfigError: there is no such time zone here.
        StateUnavailable: the database cannot be used.
    """

    def __init__(  # noqa: PLR0913  # the services and settings, each by its name
        self,
        path: str | Path,
        on_alert: Callable[[Alert], None] | None = None,
        *,
        on_act: Callable[[str, dict[str, Any]], None] | None = None,
        clock: Clock | None = None,
        time_zone: str = "UTC",
        lease: int = 100,
        on_crash: str = "charge",
    ) -> None:
        super().__init__(on_alert, clock=clock, time_zone=time_zone)
        self._path = path
        self._on_act = on_act
        self._settings = (lease, on_crash == "charge")
        self._leased: dict[LineKey, Account] = {}
        self._dirty_runs: dict[str, None] = {}
        self._gone_runs: list[str] = []
        self._closed = False
        # While a report is on its way, nothing else may be taken or reported.
        self._is_reporting = False
        self._reported = threading.Condition(self._lock)
        self._renewal: Renewal | None = None
        self._epoch = -1
        self._next_report = self._next_sweep = 0.0
        self._exchange = self._new_exchange()
        known = weakref.ref(self)
        atexit.register(_close, known)

    def _new_exchange(self) -> Exchange:
        lease, charges = self._settings
        return Exchange(
            Database(self._path, SCHEMA), lease=lease, charges_crashes=charges, now_ns=self._now
        )

    # ------------------------------------------------------------------------------------- runs

    def open_run(
        self,
        run_id: str,
        *,
        parent_id: str | None,
        budget: Budget,
        terms: Sequence[Terms] = (),
        named: bool = False,
    ) -> None:
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
            super().open_run(run_id, parent_id=parent_id, budget=budget, terms=terms)
            account = self._open[run_id]
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

    def close_run(self, run_id: str) -> None:
        """Close the account: no new hold is given, holds in flight may still settle."""
        with self._lock:
            account = self._open.get(run_id)
            super().close_run(run_id)
            if account is not None and not account.foreign:
                self._dirty_runs.pop(run_id, None)
                self._gone_runs.append(run_id)

    def share_run(self, run_id: str) -> None:
        """Let other processes join the run and its ancestors: their accounts go to the database.

        Raises:
            RunClosed: the run is not open here.
            StateUnavailable: the database cannot be used.
        """
        with self._lock:
            self._require_usable()
            for account in reversed(tuple(self._find_open(run_id).chain())):
                if account.lease is None:
                    self._keep(account)
        self.tell()

    def join_run(self, run_id: str, *, terms: Sequence[Terms] = ()) -> None:
        """Open, in this process, the account of a run that another one has shared.

        Args:
            run_id: The run.
            terms: The accounts that it shares, where they are not to be those with which it was
                opened.

        Raises:
            RunClosed: no such run is shared, or it has ended.
            StateUnavailable: the database cannot be used.
        """
        with self._lock:
            self._require_usable()
            if run_id in self._open:
                return
            with self._exchange.database.read() as connection:
                row = run_rows.find_shared(connection, run_id)
            if row is None:
                raise RunClosed(f"no run `{run_id}` is shared here", run_id=run_id)
            if row.parent is not None:
                self.join_run(row.parent)
            super().open_run(
                run_id, parent_id=row.parent, budget=row.budget, terms=terms or row.terms
            )
            self._attach_joined(self._open[run_id])
            self._start()

    def _keep(self, account: RunAccount) -> None:
        """Move a run's account to the database, with what was spent and is held of it."""
        self._fold(account)
        alerted = account.alerted
        self._wait_for_report()
        exchange = self._exchange
        with exchange.database.transaction() as connection:
            exchange.register(connection)
            self._delete_closed(connection)
            run_rows.take_over(connection, exchange, account)
            run_rows.put(connection, exchange.holder, run_rows.row_of(account, is_shared=True))
        self._gone_runs.clear()
        self._dirty_runs.pop(account.run_id, None)
        mine = (account, *account.tools.values())
        for each in mine:
            self._attach(each, RUN_PERIOD)
        self._say(mine, [self._report(each, alerted) for each in mine])
        self._start()

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

    def tell(self) -> None:
        """Tell of alerts and acts that are due."""
        exchange = self._exchange
        with self._lock:
            self._alerts += exchange.alerts
            exchange.alerts = []
            acts, exchange.acts = exchange.acts, []
        for act in acts:
            self._tell_act(act)
        super().tell()

    def _tell_act(self, act: Act) -> None:
        if self._on_act is not None:
            self._on_act(act.kind, act.detail)

    # ------------------------------------------------------------------------------------- within

    def _require_usable(self) -> None:
        if self._closed:
            raise StateUnavailable(f"the ledger in `{self._path}` is closed")

    def _new_line(self, terms: Terms, start: int, end: int) -> Line:
        line = super()._new_line(terms, start, end)
        self._attach(line, terms.window.value, start, end)
        return line

    def _attach(self, account: Account, period: str, start: int = 0, end: int = 0) -> None:
        """From now on the account is kept in the database, and this process has nothing of it."""
        key = LineKey(account.name, period, start, end)
        account.lease = Lease(key, limits_of(account.budget))
        account.alerts_at = NO_LIMITS
        account.limits = (0, 0, 0)
        self._leased[key] = account

    def _attach_joined(self, account: RunAccount) -> None:
        self._attach(account, RUN_PERIOD)
        _lease_of(account).is_known = True

    def _path_of(
        self, account: RunAccount, tool: str | None, limits: Budget | None
    ) -> tuple[Account, ...]:
        path = super()._path_of(account, tool, limits)
        for each in path:
            if isinstance(each, ToolAccount) and each.lease is None:
                level = next(one for one in account.chain() if one.run_id == each.run_id)
                if level.lease is not None:
                    self._attach(each, RUN_PERIOD)
        return path

    def _extend(
        self,
        path: Sequence[Account],
        amount: Amount,
        freed: Amount,
        lacking: tuple[Account, int],  # noqa: ARG002  # looked for anew: the lock was given up
    ) -> tuple[Account, int] | None:
        self._require_usable()
        self._wait_for_report()
        self._fold_all()
        leased: list[Account] = []
        for each in path:
            index = each.lacking(amount, freed)
            if index is None:
                continue
            if each.lease is None:
                return each, index
            leased.append(each)
        if not leased:
            return None
        self._start()
        usd, tokens, calls = (max(0, more - less) for more, less in zip(amount, freed, strict=True))
        needed = (usd, tokens, calls)
        answers = self._say(
            leased, [self._report(each, needed=needed) for each in leased], takes=True
        )
        for each, answer in zip(leased, answers, strict=True):
            if answer.lacks is not None:
                return each, answer.lacks
        return None

    def _report(
        self,
        account: Account,
        alerted: Amount = NOTHING,
        *,
        needed: Amount = NOTHING,
        give: bool = False,
    ) -> Report:
        """What there is to say about a leased account; from here on it counts as said."""
        lease = _lease_of(account)
        spent, held = account.spent, account.held
        usd, tokens, calls = (
            now - before for now, before in zip(spent, lease.reported, strict=True)
        )
        back = NOTHING
        if give:
            idle_usd, idle_tokens, idle_calls = (
                0 if limit is None else max(0, limit - spent[index] - held[index])
                for index, limit in enumerate(account.limits)
            )
            back = (idle_usd, idle_tokens, idle_calls)
            limits = [
                limit if limit is None else limit - back[index]
                for index, limit in enumerate(account.limits)
            ]
            account.limits = (limits[0], limits[1], limits[2])
        is_new = not lease.is_known
        lease.reported = list(spent)
        return Report(
            LineKey(*lease.key),
            lease.wanted,
            account.thresholds,
            alerted,
            (usd, tokens, calls),
            (held[0], held[1], held[2]),
            needed,
            back,
            is_new,
        )

    def _say(
        self, accounts: Sequence[Account], reports: Sequence[Report], *, takes: bool = False
    ) -> list[Answer]:
        try:
            answers = self._exchange.exchange(reports, takes=takes)
        except BaseException:
            self._unsay(accounts, reports)
            raise
        self._apply(accounts, answers)
        return answers

    def _unsay(self, accounts: Sequence[Account], reports: Sequence[Report]) -> None:
        """What could not be said is still to be said; what was to be given back stays lost."""
        for each, report in zip(accounts, reports, strict=True):
            lease = _lease_of(each)
            lease.reported = [
                said - spent for said, spent in zip(lease.reported, report.spent, strict=True)
            ]

    def _apply(self, accounts: Iterable[Account], answers: Iterable[Answer]) -> None:
        """Let the accounts stand as the database says."""
        for account, answer in zip(accounts, answers, strict=True):
            lease = _lease_of(account)
            if answer.is_gone:
                self._end_run(account)
            lease.is_known = True
            lease.limits, lease.spent = answer.limits, answer.spent
            lease.elsewhere, lease.revision = answer.elsewhere, answer.revision
            lease.recall = answer.recall
            usd, tokens, calls = (
                None if limit is None else said + mine
                for limit, said, mine in zip(
                    answer.limits, lease.reported, answer.lease, strict=True
                )
            )
            account.limits = (usd, tokens, calls)
        if self._exchange.lost:
            self._exchange.lost = False
            for account in self._leased.values():
                reported = _lease_of(account).reported
                usd, tokens, calls = (
                    limit if limit is None else said
                    for limit, said in zip(account.limits, reported, strict=True)
                )
                account.limits = (usd, tokens, calls)

    def _wait_for_report(self) -> None:
        while self._is_reporting:
            self._reported.wait()

    def _start(self) -> None:
        if self._renewal is None and not self._closed:
            self._renewal = Renewal(self, SqliteLedger._renew)

    def _renew(self, now: float) -> None:
        """Report, give back, look for changes; on a thread of its own."""
        with self._exchange.database.read() as connection:
            epoch = lines.epoch(connection)
        changed, self._epoch = epoch != self._epoch, epoch
        if changed or now >= self._next_report:
            self._next_report = now + _REPORT
            self._say_all(now, everything=changed)
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP
            self._exchange.sweep()
        self.tell()

    def _say_all(self, now: float, *, everything: bool) -> None:
        with self._lock:
            if self._closed or self._is_reporting:
                return
            self._fold_all()
            for account in tuple(self._open.values()):
                self._catch_up(account)
            accounts = [
                each for each in self._leased.values() if everything or self._has_news(each, now)
            ]
            reports = [
                self._report(each, give=everything or self._is_idle(each, now)) for each in accounts
            ]
            rows = self._rows_of_runs()
            self._is_reporting = True
        try:
            self._say_unlocked(accounts, reports)
            self._write_runs(rows)
            limits = self._set_limits() if everything else []
        finally:
            with self._lock:
                self._is_reporting = False
                self._reported.notify_all()
        with self._lock:
            self._forget()
            for name, dimension, amount in limits:
                self._set_limit(name, dimension, amount)

    def _say_unlocked(self, accounts: Sequence[Account], reports: Sequence[Report]) -> None:
        """Report while calls go on; they may take from what this process has, and settle."""
        if not reports:
            return
        try:
            answers = self._exchange.exchange(reports)
        except BaseException:
            with self._lock:
                self._unsay(accounts, reports)
            raise
        with self._lock:
            self._apply(accounts, answers)

    def _has_news(self, account: Account, now: float) -> bool:
        lease = _lease_of(account)
        if account.spent != lease.reported:
            lease.used = now
            return True
        return self._is_idle(account, now)

    def _is_idle(self, account: Account, now: float) -> bool:
        """Whether this process has of an account what it does not need, or others need more."""
        lease = _lease_of(account)
        if any(account.held):
            lease.used = now
        return self._has_more(account) and (
            lease.recall or self._is_over(account) or now - lease.used >= _IDLE
        )

    def _has_more(self, account: Account) -> bool:
        return any(
            limit is not None and limit > spent + held
            for limit, spent, held in zip(account.limits, account.spent, account.held, strict=True)
        )

    def _is_over(self, account: Account) -> bool:
        """Whether no further call can stand on an account."""
        if isinstance(account, Line):
            return self._now() >= account.span.end
        return _run_of(account) not in self._open

    def _forget(self) -> None:
        """Forget accounts that are over, wholly reported and given back."""
        for key, account in tuple(self._leased.items()):
            if (
                self._is_over(account)
                and not any(account.held)
                and account.spent == _lease_of(account).reported
                and not self._has_more(account)
            ):
                del self._leased[key]

    def _end_run(self, account: Account) -> None:
        """Its opener has closed the run."""
        run = self._known.get(_run_of(account))
        if run is not None:
            run.closed = True

    def _set_limits(self) -> list[tuple[str, str, int]]:
        with self._exchange.database.read() as connection:
            return connection.execute(
                "SELECT account, dimension, amount FROM setting WHERE period = ?", (RUN_PERIOD,)
            ).fetchall()

    def _set_limit(self, name: str, dimension: str, amount: int) -> None:
        """Put in force what was set for a run that is this process's alone."""
        account = self._open.get(name.removeprefix("run/"))
        if account is None or account.lease is not None:
            return
        limits = list(account.limits)
        limits[DIMENSIONS.index(dimension)] = amount
        usd, tokens, calls = limits
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
                self._attach_joined(account)


def _close(known: weakref.ref[SqliteLedger]) -> None:
    ledger = known()
    if ledger is not None:
        ledger.close()


def _lease_of(account: Account) -> Lease:
    if account.lease is None:
        raise StateUnavailable(f"`{account.name}` is kept in this process")
    return account.lease


def _run_of(account: Account) -> str:
    return (
        account.name.rpartition("run/")[2] if isinstance(account, ToolAccount) else account.name[4:]
    )
