"""Shared accounts as people ask for them and set them, beside the processes that spend.

A limit that is set takes the place of the configured one in that window and all later ones,
until it is set to ``None``, which lets the configured one hold again. Running processes hear of
it within a tenth of a second: they give back what they had taken, and their next calls take
under the new limit.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from guardrails.database import Database
from guardrails.errors import ConfigError
from guardrails.processes import Process
from guardrails.runs.ledgers import lines
from guardrails.runs.ledgers.amounts import DIMENSIONS, Amount, Limits, limits_of
from guardrails.runs.ledgers.lines import RUN_PERIOD
from guardrails.runs.ledgers.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from sqlite3 import Connection

    from guardrails.model.account import Terms
    from guardrails.runs.windows import Calendar


class Stand(NamedTuple):
    """How an account stands in its window.

    Attributes:
        account: Its name.
        window: Its window; ``run`` for a run's.
        start: When that began, in UTC nanoseconds; 0 for a run's.
        until: When it ends; 0 for never.
        limits: The limits in force.
        spent: What is reported as spent.
        taken: What living processes have taken besides, and may spend or give back.
        crashed: The same of processes that are gone; it is resolved by the next that lives.
        is_set: The dimensions in which somebody has set the limit.
        differs: Whether processes are configured differently: the lowest limits hold.
        crashed_at: Of a run whose process is gone when that was found; None for others.
    """

    account: str
    window: str
    start: int
    until: int
    limits: Limits
    spent: Amount
    taken: Amount
    crashed: Amount
    is_set: tuple[str, ...]
    differs: bool = False
    crashed_at: int | None = None

    @property
    def left(self) -> Limits:
        """What nobody has spent or taken, where there is a limit."""
        usd, tokens, calls = (
            None if limit is None else limit - spent - taken - crashed
            for limit, spent, taken, crashed in zip(
                self.limits, self.spent, self.taken, self.crashed, strict=True
            )
        )
        return usd, tokens, calls


class Change(NamedTuple):
    """One row of the history; amounts in the dimension's unit, money in micro-dollars."""

    at: int
    kind: str
    account: str
    window: str
    dimension: str
    old: int | None
    new: int | None
    by: str
    reason: str


class Overview:
    """What a state directory knows of budgets.

    Args:
        path: The database.
        terms: The accounts that configuration states.
        calendar: Its windows.

    Raises:
        StateUnavailable: the database cannot be used; also from every method.
    """

    def __init__(self, path: str | Path, terms: Sequence[Terms], calendar: Calendar) -> None:
        self._database = Database(path, SCHEMA)
        self._terms = tuple(terms)
        self._calendar = calendar

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def stands(self, now_ns: int) -> list[Stand]:
        """Every configured account in its window of now, and every run that is open."""
        with self._database.transaction() as connection:
            found = [self._configured(connection, terms, now_ns) for terms in self._terms]
            return [*found, *self._runs(connection)]

    def run(self, run_id: str) -> Stand | None:
        """The account of one run; None where it is not open."""
        with self._database.transaction() as connection:
            return next(
                (each for each in self._runs(connection) if each.account == f"run/{run_id}"), None
            )

    def set_limit(  # noqa: PLR0913  # each by its name
        self,
        account: str,
        window: str,
        dimension: str,
        amount: int | None,
        *,
        by: str,
        reason: str,
        now_ns: int,
    ) -> Change:
        """Let a limit be `amount`, or again what configuration says; without what people added.

        Args:
            account: The account's name.
            window: Its window; ``run`` for a run's.
            dimension: ``usd`` (in micro-dollars), ``tokens`` or ``calls``.
            amount: The limit; None for the configured one.
            by: Who.
            reason: Why.
            now_ns: The time for the history, in UTC nanoseconds.

        Returns:
            What was changed: the limits in force before and after, None for none.

        Raises:
            ConfigError: there is no such account or window.
        """
        index = DIMENSIONS.index(dimension)
        with self._database.transaction() as connection:
            before = self._find(connection, account, window, now_ns)
            if amount is None:
                connection.execute(
                    "DELETE FROM setting WHERE account = ? AND period = ? AND dimension = ?",
                    (account, window, dimension),
                )
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO setting VALUES (?, ?, ?, ?)",
                    (account, window, dimension, amount),
                )
            for (line,) in connection.execute(
                "SELECT id FROM line WHERE account = ? AND period = ?", (account, window)
            ).fetchall():
                lines.take_back_raise(connection, line, dimension)
                lines.changed(connection, line)
            lines.bump(connection)
            after = self._find(connection, account, window, now_ns)
            change = Change(
                now_ns,
                "set",
                account,
                window,
                dimension,
                before.limits[index],
                after.limits[index],
                by,
                reason,
            )
            lines.note(
                connection,
                at=now_ns,
                kind="set",
                account=account,
                period=window,
                dimension=dimension,
                old=change.old,
                new=change.new,
                by=by,
                reason=reason,
            )
        return change

    def history(self) -> list[Change]:
        """What was set, added and charged for crashes; the oldest first."""
        with self._database.read() as connection:
            return [
                Change(*row)
                for row in connection.execute(
                    "SELECT at, kind, account, period, dimension, old, new, by, reason"
                    " FROM history ORDER BY n"
                )
            ]

    def _find(self, connection: Connection, account: str, window: str, now_ns: int) -> Stand:
        if window == RUN_PERIOD:
            for run in self._runs(connection):
                if run.account == account:
                    return run
            raise ConfigError(f"there is no open run `{account.removeprefix('run/')}`")
        for terms in self._terms:
            if (terms.account, terms.window.value) == (account, window):
                return self._configured(connection, terms, now_ns)
        known = ", ".join(f"`{terms.account}` a {terms.window}" for terms in self._terms) or "none"
        raise ConfigError(
            f"guardrails.yaml has no budget of `{account}` a {window}, so no run stands on it; "
            f"there are {known}"
        )

    def _configured(self, connection: Connection, terms: Terms, now_ns: int) -> Stand:
        start, until = self._calendar.span(terms.window, now_ns)
        period = terms.window.value
        row = lines.find(connection, terms.account, period, start)
        if row is not None:
            return self._stand(connection, row)
        limits = list(limits_of(terms.limits))
        is_set = self._set(connection, terms.account, period)
        for dimension, amount in is_set.items():
            limits[DIMENSIONS.index(dimension)] = amount
        usd, tokens, calls = limits
        nothing = (0, 0, 0)
        return Stand(
            terms.account,
            period,
            start,
            until,
            (usd, tokens, calls),
            nothing,
            nothing,
            nothing,
            tuple(is_set),
        )

    def _stand(self, connection: Connection, row: lines.LineRow) -> Stand:
        taken, crashed = [0, 0, 0], [0, 0, 0]
        now = time.time_ns()
        for usd, tokens, calls, *who, seen in connection.execute(
            "SELECT usd, tokens, calls, pid, started, boot, space, seen FROM lease"
            " JOIN holder ON holder.id = lease.holder WHERE line = ?",
            (row.id,),
        ).fetchall():
            sums = taken if Process(*who).is_alive(seen, now) else crashed
            for index, part in enumerate((usd, tokens, calls)):
                sums[index] += part
        return Stand(
            row.key.account,
            row.key.period,
            row.key.start,
            row.key.until,
            row.limits,
            row.spent,
            (taken[0], taken[1], taken[2]),
            (crashed[0], crashed[1], crashed[2]),
            tuple(self._set(connection, row.key.account, row.key.period)),
            differs=connection.execute(
                "SELECT count(*) FROM (SELECT DISTINCT usd, tokens, calls FROM wanted"
                " WHERE line = ?)",
                (row.id,),
            ).fetchone()[0]
            > 1,
        )

    def _runs(self, connection: Connection) -> Iterator[Stand]:
        nothing = (0, 0, 0)
        for run_id, crashed, usd, tokens, calls, *rest in connection.execute(
            "SELECT id, crashed, usd_limit, tokens_limit, calls_limit, usd, tokens, calls FROM run"
            " ORDER BY id"
        ).fetchall():
            account = f"run/{run_id}"
            row = lines.find(connection, account, RUN_PERIOD, 0)
            if row is not None:
                yield self._stand(connection, row)._replace(crashed_at=crashed)
                continue
            is_set = self._set(connection, account, RUN_PERIOD)
            limits = [
                is_set.get(name, limit)
                for name, limit in zip(DIMENSIONS, (usd, tokens, calls), strict=True)
            ]
            yield Stand(
                account,
                RUN_PERIOD,
                0,
                0,
                (limits[0], limits[1], limits[2]),
                (rest[0], rest[1], rest[2]),
                nothing,
                nothing,
                tuple(is_set),
                crashed_at=crashed,
            )

    def _set(self, connection: Connection, account: str, period: str) -> dict[str, int]:
        return dict(
            connection.execute(
                "SELECT dimension, amount FROM setting WHERE account = ? AND period = ?",
                (account, period),
            ).fetchall()
        )
