"""The rows of accounts in the shared database, and what may be done with them in a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from guardrails.runs.alerts import Alert
from guardrails.runs.ledgers.amounts import (
    DIMENSIONS,
    Amount,
    Limits,
    in_units,
    reached,
    still_alerted,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

RUN_PERIOD = "run"
"""The period of an account that lasts as long as its run."""


class LineKey(NamedTuple):
    """Which account, in which window.

    Attributes:
        account: Its name.
        period: Its window, or ``run``.
        start: When the window began, in UTC nanoseconds; 0 for a run.
        until: When it ends; 0 for never.
    """

    account: str
    period: str
    start: int
    until: int


class LineRow(NamedTuple):
    """One account in one window as the database has it.

    Attributes:
        id: Its number.
        key: Which it is.
        limits: The limits in force: configured or set, and what people have added.
        spent: What is reported.
        alerted: The highest percent told of.
        thresholds: At which percent it alerts.
        revision: How often the limits have changed.
        recall: Whether nobody is to hold more of it than calls in flight need.
    """

    id: int
    key: LineKey
    limits: Limits
    spent: Amount
    alerted: Amount
    thresholds: tuple[int, ...]
    revision: int
    recall: bool


_SELECT = """
    SELECT line.id, line.account, line.period, line.start, line.until,
        coalesce(u.amount, usd_limit) + usd_more,
        coalesce(t.amount, tokens_limit) + tokens_more,
        coalesce(c.amount, calls_limit) + calls_more,
        usd_spent, tokens_spent, calls_spent, usd_alerted, tokens_alerted, calls_alerted,
        thresholds, revision, recall
    FROM line
    LEFT JOIN setting u
        ON u.account = line.account AND u.period = line.period AND u.dimension = 'usd'
    LEFT JOIN setting t
        ON t.account = line.account AND t.period = line.period AND t.dimension = 'tokens'
    LEFT JOIN setting c
        ON c.account = line.account AND c.period = line.period AND c.dimension = 'calls'
"""
_BY_KEY = _SELECT + " WHERE line.account = ? AND line.period = ? AND line.start = ?"
_BY_ID = _SELECT + " WHERE line.id = ?"
_ALL = _SELECT + " ORDER BY line.account, line.period, line.start"

_WITHOUT_MORE = {
    "usd": "UPDATE line SET usd_more = 0 WHERE id = ?",
    "tokens": "UPDATE line SET tokens_more = 0 WHERE id = ?",
    "calls": "UPDATE line SET calls_more = 0 WHERE id = ?",
}


def find(connection: Connection, account: str, period: str, start: int) -> LineRow | None:
    """The row, if there is one."""
    found = connection.execute(_BY_KEY, (account, period, start)).fetchone()
    return None if found is None else _row(found)


def get(connection: Connection, line: int) -> LineRow:
    """The row of this number."""
    return _row(connection.execute(_BY_ID, (line,)).fetchone())


def every(connection: Connection) -> list[LineRow]:
    """All rows, by account, period and start."""
    return [_row(found) for found in connection.execute(_ALL)]


def made(
    connection: Connection,
    key: LineKey,
    wanted: Limits,
    thresholds: Sequence[int],
    alerted: Sequence[int] = (0, 0, 0),
) -> LineRow:
    """The row of `key`: the one that is there, or a new one with the limits `wanted`."""
    found = find(connection, key.account, key.period, key.start)
    if found is not None:
        return found
    connection.execute(
        "INSERT INTO line (account, period, start, until, usd_limit, tokens_limit, calls_limit,"
        " usd_alerted, tokens_alerted, calls_alerted, thresholds)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, *wanted, *alerted, ",".join(map(str, thresholds))),
    )
    return made(connection, key, wanted, thresholds)


def configure(connection: Connection, line: int, holder: str, wanted: Limits) -> None:
    """Note what the configuration of `holder` says; see :func:`agree`."""
    connection.execute(
        "INSERT OR REPLACE INTO wanted VALUES (?, ?, ?, ?, ?)", (line, holder, *wanted)
    )
    agree(connection, line)


def forget_holder(connection: Connection, holder: str) -> None:
    """Let nothing that `holder` has taken or configured count any more."""
    connection.execute("DELETE FROM lease WHERE holder = ?", (holder,))
    concerned = connection.execute("SELECT line FROM wanted WHERE holder = ?", (holder,)).fetchall()
    connection.execute("DELETE FROM wanted WHERE holder = ?", (holder,))
    connection.execute("DELETE FROM holder WHERE id = ?", (holder,))
    for (line,) in concerned:
        agree(connection, line)


def agree(connection: Connection, line: int) -> None:
    """Let the configured limits be the lowest that any process here has.

    Whichever spoke last, the outcome is the same. While processes with an older configuration
    run beside newer ones, a limit that was lowered holds at once, and one that was raised holds
    when the last of the old ones has ended.
    """
    count, *lowest = connection.execute(
        "SELECT count(*), min(usd), min(tokens), min(calls) FROM wanted WHERE line = ?", (line,)
    ).fetchone()
    if not count:  # the next process says what holds
        return
    wanted = tuple(lowest)
    different = connection.execute(
        "UPDATE line SET usd_limit = ?, tokens_limit = ?, calls_limit = ? WHERE id = ? AND"
        " (usd_limit IS NOT ? OR tokens_limit IS NOT ? OR calls_limit IS NOT ?)",
        (*wanted, line, *wanted),
    ).rowcount
    if different:
        changed(connection, line)
        bump(connection)


def spend(connection: Connection, row: LineRow, amount: Amount) -> list[Alert]:
    """Count `amount` as spent; the alerts that are due with that, which count as told."""
    spent = (row.spent[0] + amount[0], row.spent[1] + amount[1], row.spent[2] + amount[2])
    due = reached(row.limits, spent, row.alerted, row.thresholds)
    alerted = list(row.alerted)
    for index, percent in due:
        alerted[index] = percent
    connection.execute(
        "UPDATE line SET usd_spent = ?, tokens_spent = ?, calls_spent = ?, usd_alerted = ?,"
        " tokens_alerted = ?, calls_alerted = ? WHERE id = ?",
        (*spent, *alerted, row.id),
    )
    return [_alert(row, index, percent, spent) for index, percent in due]


def take_back_raise(connection: Connection, line: int, dimension: str) -> None:
    """Let nothing of what people have added to a limit stand on top of it."""
    connection.execute(_WITHOUT_MORE[dimension], (line,))


def changed(connection: Connection, line: int) -> None:
    """Note that the limits of a line have changed: alerts that they take back may come again."""
    row = get(connection, line)
    alerted = still_alerted(row.limits, row.spent, row.alerted, row.thresholds)
    connection.execute(
        "UPDATE line SET usd_alerted = ?, tokens_alerted = ?, calls_alerted = ?,"
        " revision = revision + 1 WHERE id = ?",
        (*alerted, line),
    )


def taken(connection: Connection, line: int, holder: str) -> tuple[Amount, Amount, int]:
    """What `holder` has taken of a line, what all others have, and how many others."""
    mine: Amount = (0, 0, 0)
    others, count = [0, 0, 0], 0
    for who, *amount in connection.execute(
        "SELECT holder, usd, tokens, calls FROM lease WHERE line = ?", (line,)
    ):
        if who == holder:
            mine = (amount[0], amount[1], amount[2])
        else:
            count += 1
            others = [known + more for known, more in zip(others, amount, strict=True)]
    return mine, (others[0], others[1], others[2]), count


def put_lease(connection: Connection, line: int, holder: str, amount: Amount) -> None:
    """Let `holder` have taken this much of a line."""
    if any(amount):
        connection.execute(
            "INSERT INTO lease VALUES (?, ?, ?, ?, ?) ON CONFLICT (line, holder)"
            " DO UPDATE SET usd = excluded.usd, tokens = excluded.tokens, calls = excluded.calls",
            (line, holder, *amount),
        )
    else:
        connection.execute("DELETE FROM lease WHERE line = ? AND holder = ?", (line, holder))


def is_open(connection: Connection, run_id: str, nonce: str) -> bool:
    """Whether this opening of the run is the one that is there."""
    found = connection.execute("SELECT nonce FROM run WHERE id = ?", (run_id,)).fetchone()
    return found is not None and found[0] == nonce


def bump(connection: Connection) -> None:
    """Make every process look again."""
    connection.execute("UPDATE state SET epoch = epoch + 1")


def epoch(connection: Connection) -> int:
    """A number that grows with whatever every process has to look at."""
    return int(connection.execute("SELECT epoch FROM state").fetchone()[0])


def note(  # noqa: PLR0913  # the columns, each by its name
    connection: Connection,
    *,
    at: int,
    kind: str,
    account: str,
    period: str,
    dimension: str,
    old: int | None,
    new: int | None,
    by: str,
    reason: str,
) -> None:
    """Write a row of the history."""
    connection.execute(
        "INSERT INTO history (at, kind, account, period, dimension, old, new, by, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (at, kind, account, period, dimension, old, new, by, reason),
    )


def _row(found: Sequence[int | str | None]) -> LineRow:
    numbers: tuple[int, ...] = tuple(found[8:14])  # type: ignore[arg-type]  # NOT NULL in the schema
    return LineRow(
        id=found[0],  # type: ignore[arg-type]  # the columns' types stand in the schema
        key=LineKey(*found[1:5]),  # type: ignore[arg-type]  # as above
        limits=tuple(found[5:8]),  # type: ignore[arg-type]  # as above
        spent=numbers[:3],  # type: ignore[arg-type]  # three of them
        alerted=numbers[3:],  # type: ignore[arg-type]  # three of them
        thresholds=tuple(int(each) for each in str(found[14]).split(",") if each),
        revision=found[15],  # type: ignore[arg-type]  # as above
        recall=bool(found[16]),
    )


def _alert(row: LineRow, index: int, percent: int, spent: Amount) -> Alert:
    used, limit = in_units(index, spent[index]), in_units(index, row.limits[index] or 0)
    name, dimension, key = row.key.account, DIMENSIONS[index], row.key
    if key.period != RUN_PERIOD:
        return Alert("", None, dimension, percent, used, limit, name, key.period, key.start)
    tool, within, run = name.partition(" in run/")
    if within:
        return Alert(run, tool.removeprefix("tool/"), dimension, percent, used, limit)
    return Alert(name.removeprefix("run/"), None, dimension, percent, used, limit)
