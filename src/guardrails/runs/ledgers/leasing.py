"""A ledger of which each process takes a part at a time: taking, reporting, giving back.

What a process has taken it spends by itself, so that most calls do no I/O. It asks again when
that is used up, reports what it has spent every second, and gives back what it does not need
when others do, when it is idle, and when it ends.
"""

from __future__ import annotations

import atexit
import multiprocessing.util
import threading
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final

from guardrails.database import Database
from guardrails.errors import StateUnavailable
from guardrails.runs.ledgers import lines, run_rows
from guardrails.runs.ledgers.accounts import Lease, Line, ToolAccount
from guardrails.runs.ledgers.amounts import NO_LIMITS, NOTHING, Amount, limits_of
from guardrails.runs.ledgers.exchange import Exchange, Report
from guardrails.runs.ledgers.lines import LineKey
from guardrails.runs.ledgers.local import LocalLedger
from guardrails.runs.ledgers.renewal import Renewal
from guardrails.runs.ledgers.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from guardrails.model.account import Terms
    from guardrails.ports import Clock
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.accounts import Account
    from guardrails.runs.ledgers.exchange import Act, Answer
    from guardrails.runs.ledgers.run_rows import RunRow

_REPORT: Final = 1.0
_SWEEP: Final = 5.0
_IDLE: Final = 10.0
"""Seconds between reports, between sweeps, and after which what is idle is given back."""

_LAST: Final = -100
"""Of what `multiprocessing` does at the end of a worker: after its own workers have ended."""


class LeasingLedger(LocalLedger, ABC):
    """Accounts in a shared database. What begins with an underscore is called under the lock."""

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
        # How often each run of another process is joined here; what was opened here is not in it.
        self._joins: dict[str, int] = {}
        self._closed = False
        # While a report is on its way, nothing else may be taken or reported.
        self._is_reporting = False
        self._reported = threading.Condition(self._lock)
        self._renewal: Renewal | None = None
        self._epoch = -1
        self._next_report = self._next_sweep = 0.0
        self._exchange = self._new_exchange()
        atexit.register(_close, weakref.ref(self))
        # A worker of `multiprocessing` that was forked ends without `atexit`, and forgets, as it
        # begins, what its parent wanted at its end; but not whom to tell that it has begun.
        self._close_at_end()
        multiprocessing.util.register_after_fork(self, LeasingLedger._close_at_end)

    def _close_at_end(self) -> None:
        multiprocessing.util.Finalize(None, _close, (weakref.ref(self),), exitpriority=_LAST)

    def _new_exchange(self) -> Exchange:
        lease, charges = self._settings
        return Exchange(
            Database(self._path, SCHEMA), lease=lease, charges_crashes=charges, now_ns=self._now
        )

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

    def _require_usable(self) -> None:
        if self._closed:
            raise StateUnavailable(f"the ledger in `{self._path}` is closed")

    def _new_line(self, terms: Terms, start: int, end: int) -> Line:
        line = super()._new_line(terms, start, end)
        self._attach(line, terms.window.value, start, end)
        return line

    def _attach(self, account: Account, period: str, start: int = 0, end: int = 0) -> Lease:
        """From now on the account is kept in the database, and this process has nothing of it."""
        key = LineKey(account.name, period, start, end)
        lease = account.lease = Lease(key, limits_of(account.budget))
        account.alerts_at = NO_LIMITS
        account.limits = (0, 0, 0)
        self._leased[key] = account
        return lease

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
        lease = lease_of(account)
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
            lease.opening,
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
            lease = lease_of(each)
            lease.reported = [
                said - spent for said, spent in zip(lease.reported, report.spent, strict=True)
            ]

    def _apply(self, accounts: Sequence[Account], answers: Iterable[Answer]) -> None:
        """Let the accounts stand as the database says."""
        for account, answer in zip(accounts, answers, strict=True):
            lease = lease_of(account)
            if answer.is_gone:
                self._end_run(account)
            lease.is_known = True
            lease.limits, lease.spent = answer.limits, answer.spent
            lease.elsewhere, lease.revision = answer.elsewhere, answer.revision
            if not answer.is_gone:
                mine, every = lease.reported, answer.spent
                lease.others = (every[0] - mine[0], every[1] - mine[1], every[2] - mine[2])
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
                reported = lease_of(account).reported
                usd, tokens, calls = (
                    limit if limit is None else said
                    for limit, said in zip(account.limits, reported, strict=True)
                )
                account.limits = (usd, tokens, calls)
        self._stop_overdrawn(accounts)

    def _wait_for_report(self) -> None:
        while self._is_reporting:
            self._reported.wait()

    def _start(self) -> None:
        if self._renewal is None and not self._closed:
            self._renewal = Renewal(self, LeasingLedger.renew)

    def renew(self, now: float) -> None:
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
            run_rows.sweep(self._exchange.database, self._now())
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
            limits = self._set_limits() if everything else None
        finally:
            with self._lock:
                self._is_reporting = False
                self._reported.notify_all()
        with self._lock:
            self._forget()
            if limits is not None:
                self._put_in_force(limits)

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
        lease = lease_of(account)
        if account.spent != lease.reported:
            lease.used = now
            return True
        return self._is_idle(account, now)

    def _is_idle(self, account: Account, now: float) -> bool:
        """Whether this process has of an account what it does not need, or others need more."""
        lease = lease_of(account)
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
        return run_of(account) not in self._open

    def _forget(self) -> None:
        """Forget accounts that are over, wholly reported and given back."""
        for key, account in tuple(self._leased.items()):
            if (
                self._is_over(account)
                and not any(account.held)
                and account.spent == lease_of(account).reported
                and not self._has_more(account)
            ):
                del self._leased[key]

    @abstractmethod
    def _rows_of_runs(self) -> list[RunRow]:
        """What is to be written down of runs that are this process's alone."""

    @abstractmethod
    def _write_runs(self, rows: Sequence[RunRow]) -> None:
        """Write that down, without the lock; forget the runs that were closed."""

    @abstractmethod
    def _end_run(self, account: Account) -> None:
        """Note that the run has been closed by the process that opened it."""

    @abstractmethod
    def _set_limits(self) -> list[tuple[str, str, int]]:
        """What was set for runs: account, dimension, limit; without the lock."""

    @abstractmethod
    def _put_in_force(self, limits: Sequence[tuple[str, str, int]]) -> None:
        """Let runs that are this process's alone have what was set, or else their own limits."""


def _close(known: weakref.ref[LeasingLedger]) -> None:
    ledger = known()
    if ledger is not None:
        ledger.close()


def lease_of(account: Account) -> Lease:
    """What this process has of the account.

    Raises:
        StateUnavailable: the account is not in the database.
    """
    if account.lease is None:
        raise StateUnavailable(f"`{account.name}` is kept in this process")
    return account.lease


def run_of(account: Account) -> str:
    """The id of the run whose account, or whose tool's account, it is."""
    return (
        account.name.rpartition("run/")[2] if isinstance(account, ToolAccount) else account.name[4:]
    )
