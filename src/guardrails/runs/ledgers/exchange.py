"""What a process and the shared database tell each other: what was spent, what may be taken.

Each act is one transaction. What processes have taken of an account, and what is reported of
it as spent, never exceeds its limit but by what calls reported beyond their price: a process
takes only what nobody has.

What one process takes at a time is good for a number of calls, halved until twice that for
every process that takes is left. Where that is less than two calls, a call takes only what it
needs, and what the other processes have and do not need is called back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

from guardrails.processes import Process
from guardrails.runs.ledgers import lines
from guardrails.runs.ledgers.amounts import DIMENSIONS, NOTHING, Amount, Limits, is_over

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from guardrails.database import Database
    from guardrails.runs.alerts import Alert
    from guardrails.runs.ledgers.lines import LineKey

_LEAST: Final = 2
"""Calls that a process takes at least, if it takes more than one call needs."""


class Report(NamedTuple):
    """What a process says about one account.

    Attributes:
        key: Which.
        wanted: The limits that its configuration states.
        thresholds: Percent at which it alerts.
        alerted: What was told of before the account was shared.
        spent: What was spent and is not reported yet.
        held: What calls in flight hold.
        needed: What the next call takes besides.
        back: What is given back of what was taken.
        is_new: Whether this process speaks of it for the first time.
        opening: Of a run's account the run's id, and what tells its opening from another one.
    """

    key: LineKey
    wanted: Limits
    thresholds: tuple[int, ...]
    alerted: Amount = NOTHING
    spent: Amount = NOTHING
    held: Amount = NOTHING
    needed: Amount = NOTHING
    back: Amount = NOTHING
    is_new: bool = False
    opening: tuple[str, str] | None = None


class Answer(NamedTuple):
    """How one account stands after that.

    Attributes:
        lease: What this process has taken and not reported as spent.
        limits: The limits in force.
        spent: What all have reported.
        elsewhere: What other processes have taken.
        revision: How often the limits have changed.
        recall: Whether to hold no more than calls in flight need.
        lacks: The dimension in which there is not what was needed; None if there was.
        is_gone: Whether it was a run's, and the run has been closed.
    """

    lease: Amount
    limits: Limits
    spent: Amount
    elsewhere: Amount
    revision: int
    recall: bool
    lacks: int | None = None
    is_gone: bool = False


_GONE: Final = Answer(
    NOTHING, (0, 0, 0), NOTHING, NOTHING, 0, recall=False, lacks=len(DIMENSIONS) - 1, is_gone=True
)


class Act(NamedTuple):
    """Something that was done to an account and belongs in the record."""

    kind: str
    detail: dict[str, Any]


class Exchange:
    """One process's dealings with the shared database.

    Attributes:
        holder: Under which name it takes.
        lost: Whether others took this process for dead, and what it had taken is gone.
        alerts: What is to be told of.
        acts: What is to be recorded.

    Args:
        database: Where the accounts are.
        lease: How many calls' worth is taken at a time.
        charges_crashes: Whether what a crashed process had taken counts as spent on accounts that
            runs share; on a run's own it always does.
        now_ns: The time for the history.
    """

    def __init__(
        self, database: Database, *, lease: int, charges_crashes: bool, now_ns: Any = time.time_ns
    ) -> None:
        self.database = database
        self.holder = uuid4().hex
        self._lease = lease
        self._charges = charges_crashes
        self._now = now_ns
        self._is_registered = False
        self.lost = False
        self.alerts: list[Alert] = []
        self.acts: list[Act] = []

    def exchange(self, reports: Sequence[Report], *, takes: bool = False) -> list[Answer]:
        """How the accounts stand once all that is reported counts.

        Args:
            reports: An account each.
            takes: Whether what is needed is taken: on all of them, or on none.
        """
        alerts: list[Alert] = []
        acts: list[Act] = []
        with self.database.transaction() as connection:
            self.register(connection)
            rows = [self._reported(connection, report, alerts) for report in reports]
            pairs = list(zip(rows, reports, strict=True))
            answers = [self._answer(connection, *pair) for pair in pairs]
            if takes and any(answer.lacks is not None for answer in answers):
                self.resolve_crashes(connection, alerts, acts)
                answers = [self._answer(connection, *pair) for pair in pairs]
            if takes and all(answer.lacks is None for answer in answers):
                for line, report in pairs:
                    self._take(connection, line, report)
                answers = [self._answer(connection, *pair, took=True) for pair in pairs]
            elif takes:
                for line, answer in zip(rows, answers, strict=True):
                    if line is not None and answer.lacks is not None:
                        self._recall(connection, line, answer.elsewhere)
        # Only what is on disk counts, and is told of.
        self._is_registered = True
        self.alerts += alerts
        self.acts += acts
        return answers

    def resolve_crashes(self, connection: Connection, alerts: list[Alert], acts: list[Act]) -> None:
        """Charge or release what processes had taken that are not there any more."""
        now = time.time_ns()
        for holder, pid, started, boot, space, seen in connection.execute(
            "SELECT id, pid, started, boot, space, seen FROM holder"
        ).fetchall():
            identity = Process(pid, started, boot, space)
            if holder != self.holder and not identity.is_alive(seen, now):
                self._resolve(connection, holder, f"process {pid}", alerts, acts)

    def sweep(self) -> None:
        """Resolve crashes, say that this process lives, and forget windows that are long over."""
        alerts: list[Alert] = []
        acts: list[Act] = []
        with self.database.transaction() as connection:
            if self._is_registered:
                connection.execute(
                    "UPDATE holder SET seen = ? WHERE id = ?", (time.time_ns(), self.holder)
                )
            self.resolve_crashes(connection, alerts, acts)
            connection.execute(
                "DELETE FROM line WHERE until > 0 AND until < ?"
                " - CASE WHEN period IN ('minute', 'hour') THEN 172800000000000"
                " ELSE 34560000000000000 END"
                " AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.line = line.id)",
                (self._now(),),
            )
        self.alerts += alerts
        self.acts += acts

    def leave(self) -> None:
        """Say that this process takes nothing any more; what it had is given back by then."""
        if self._is_registered:
            with self.database.transaction() as connection:
                lines.forget_holder(connection, self.holder)
            self._is_registered = False

    def alive(self, connection: Connection, holder: str) -> bool:
        """Whether the process behind `holder` lives."""
        found = connection.execute(
            "SELECT pid, started, boot, space, seen FROM holder WHERE id = ?", (holder,)
        ).fetchone()
        if found is None:
            return False
        *who, seen = found
        return Process(*who).is_alive(seen, time.time_ns())

    def register(self, connection: Connection) -> None:
        """Make sure that others can see whether this process lives."""
        made = connection.execute(
            "INSERT OR IGNORE INTO holder VALUES (?, ?, ?, ?, ?, ?)",
            (self.holder, *Process.current(), time.time_ns()),
        ).rowcount
        if made and self._is_registered:
            self.lost = True

    def _reported(self, connection: Connection, report: Report, alerts: list[Alert]) -> int | None:
        """The number of the account's line once the report counts; None where its run is gone."""
        key = report.key
        if key.period == lines.RUN_PERIOD and not report.is_new:
            known = lines.find(connection, key.account, key.period, key.start)
            if known is None:
                return None
        row = lines.made(connection, key, report.wanted, report.thresholds, report.alerted)
        if (report.is_new or self.lost) and key.period != lines.RUN_PERIOD:
            lines.configure(connection, row.id, self.holder, report.wanted)
            row = lines.get(connection, row.id)
        if any(report.spent) or any(report.back):
            mine, _, _ = lines.taken(connection, row.id, self.holder)
            usd, tokens, calls = (
                max(0, had - spent - back)
                for had, spent, back in zip(mine, report.spent, report.back, strict=True)
            )
            lines.put_lease(connection, row.id, self.holder, (usd, tokens, calls))
            alerts += lines.spend(connection, row, report.spent)
        if report.opening is not None and not lines.is_open(connection, *report.opening):
            # Another opening has the id now. What was spent counts, and nothing more is.
            lines.put_lease(connection, row.id, self.holder, NOTHING)
            return None
        return row.id

    def _answer(
        self, connection: Connection, line: int | None, report: Report, *, took: bool = False
    ) -> Answer:
        if line is None:
            return _GONE
        row = lines.get(connection, line)
        mine, others, _ = lines.taken(connection, line, self.holder)
        lacks = None
        for index, limit in enumerate(row.limits):
            if limit is None or took:
                continue
            missing = max(0, report.held[index] + report.needed[index] - mine[index])
            free = limit - row.spent[index] - mine[index] - others[index]
            if missing > free or is_over(index, row.spent[index], limit):
                lacks = index
                break
        return Answer(mine, row.limits, row.spent, others, row.revision, row.recall, lacks)

    def _take(self, connection: Connection, line: int | None, report: Report) -> None:
        if line is None:
            return
        row = lines.get(connection, line)
        mine, others, count = lines.taken(connection, line, self.holder)
        sharers = 2 * (count + 1)
        calls = self._lease
        missing = [0] * len(DIMENSIONS)
        for index, limit in enumerate(row.limits):
            if limit is None:
                continue
            needed = report.needed[index]
            missing[index] = max(0, report.held[index] + needed - mine[index])
            free = limit - row.spent[index] - mine[index] - others[index] - missing[index]
            if needed:
                calls = min(calls, 1 + free // (needed * sharers))
        calls = calls if calls >= _LEAST else 1
        usd, tokens, number = (
            had + more + (calls - 1) * needed if limit is not None else 0
            for had, more, needed, limit in zip(
                mine, missing, report.needed, row.limits, strict=True
            )
        )
        lines.put_lease(connection, line, self.holder, (usd, tokens, number))
        if calls == 1 and self._lease > 1:
            self._recall(connection, line, others)
        elif row.recall and calls > _LEAST:
            connection.execute("UPDATE line SET recall = 0 WHERE id = ?", (line,))

    def _recall(self, connection: Connection, line: int, others: Amount) -> None:
        if any(others):
            connection.execute("UPDATE line SET recall = 1 WHERE id = ?", (line,))
            lines.bump(connection)

    def _resolve(
        self,
        connection: Connection,
        holder: str,
        who: str,
        alerts: list[Alert],
        acts: list[Act],
    ) -> None:
        for line, usd, tokens, calls in connection.execute(
            "SELECT line, usd, tokens, calls FROM lease WHERE holder = ?", (holder,)
        ).fetchall():
            row, amount = lines.get(connection, line), (usd, tokens, calls)
            # A run never overspends, not even where the crash of one process is forgiven.
            charges = self._charges or row.key.period == lines.RUN_PERIOD
            if charges:
                alerts += lines.spend(connection, row, amount)
            did = "charged" if charges else "released"
            for index, part in enumerate(amount):
                if part:
                    old = row.spent[index]
                    lines.note(
                        connection,
                        at=self._now(),
                        kind=f"crash.{did}",
                        account=row.key.account,
                        period=row.key.period,
                        dimension=DIMENSIONS[index],
                        old=old,
                        new=old + part if charges else old,
                        by=who,
                        reason="it ended without giving back what it had taken",
                    )
            acts.append(
                Act(
                    "budget.crash",
                    {
                        "account": row.key.account,
                        "window": row.key.period,
                        "start": row.key.start,
                        did: dict(zip(("micro_usd", "tokens", "calls"), amount, strict=True)),
                        "by": who,
                    },
                )
            )
        lines.forget_holder(connection, holder)
