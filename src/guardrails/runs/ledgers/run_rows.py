"""Runs in the shared database: whose they are, and what they had spent when last heard of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.errors import ConfigError
from guardrails.model.account import Terms, Window
from guardrails.model.budget import Budget
from guardrails.model.money import dollars
from guardrails.runs.ledgers import lines
from guardrails.runs.ledgers.amounts import Amount, Limits, limits_of
from guardrails.runs.ledgers.lines import RUN_PERIOD, LineKey

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from guardrails.database import Database
    from guardrails.runs.ledgers.exchange import Exchange
    from guardrails.runs.ledgers.run_account import RunAccount

_PUT: Final = """
    INSERT INTO run (
        id, parent, holder, terms, usd_limit, tokens_limit, calls_limit, usd, tokens, calls, shared,
        nonce, named
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        parent = excluded.parent, holder = excluded.holder, terms = excluded.terms,
        usd_limit = excluded.usd_limit, tokens_limit = excluded.tokens_limit,
        calls_limit = excluded.calls_limit, usd = excluded.usd, tokens = excluded.tokens,
        calls = excluded.calls, shared = excluded.shared, nonce = excluded.nonce,
        named = excluded.named, crashed = NULL
    WHERE excluded.shared >= run.shared
"""


KEPT_NS: Final = 7 * 24 * 3600 * 10**9
"""For how long a run is shown whose process crashed, and which cannot go on."""


class RunRow(NamedTuple):
    """A run as it is written down.

    Attributes:
        id: Its id.
        parent: The run in which it is.
        terms: The accounts that it shares.
        limits: Its own limits.
        taken: What was spent and held; of a shared run nothing, which its account says.
        is_shared: Whether its account is in the database.
        nonce: What this opening has and no other of the same id; empty where it is not shared.
        is_named: Whether somebody chose its id, so that it may go on after a crash.
    """

    id: str
    parent: str | None
    terms: tuple[Terms, ...]
    limits: Limits
    taken: Amount
    is_shared: bool
    nonce: str = ""
    is_named: bool = False

    @property
    def budget(self) -> Budget:
        """Its limits as a budget."""
        return _budget(self.limits)


def row_of(account: RunAccount, *, is_shared: bool) -> RunRow:
    """The account's run as it is to be written down."""
    usd, tokens, calls = (
        0 if is_shared else spent + held
        for spent, held in zip(account.spent, account.held, strict=True)
    )
    parent = None if account.parent is None else account.parent.run_id
    limits = limits_of(account.budget)  # what was set stands beside them
    return RunRow(
        account.run_id,
        parent,
        account.terms,
        limits,
        (usd, tokens, calls),
        is_shared,
        account.nonce,
        account.named,
    )


def put(connection: Connection, holder: str, row: RunRow) -> None:
    """Write a run down; one that was shared meanwhile stays so."""
    connection.execute(
        _PUT,
        (
            row.id,
            row.parent,
            holder,
            _text(row.terms),
            *row.limits,
            *row.taken,
            int(row.is_shared),
            row.nonce,
            int(row.is_named),
        ),
    )


def find_shared(connection: Connection, run_id: str) -> RunRow | None:
    """The shared run of this id, or None."""
    found = connection.execute(
        "SELECT parent, terms, usd_limit, tokens_limit, calls_limit, nonce FROM run"
        " WHERE id = ? AND shared = 1",
        (run_id,),
    ).fetchone()
    if found is None:
        return None
    parent, terms, usd, tokens, calls, nonce = found
    limits = (usd, tokens, calls)
    return RunRow(run_id, parent, _terms(terms), limits, (0, 0, 0), is_shared=True, nonce=nonce)


def delete(connection: Connection, holder: str, run_id: str) -> None:
    """Forget a run that `holder` has closed, with its accounts."""
    mine = connection.execute(
        "DELETE FROM run WHERE id = ? AND holder = ?", (run_id, holder)
    ).rowcount
    if not mine:
        return
    account = f"run/{run_id}"
    connection.execute(
        "DELETE FROM line WHERE period = ? AND (account = ? OR account LIKE ? ESCAPE '!')",
        (RUN_PERIOD, account, f"tool/% in run/{_escaped(run_id)}"),
    )
    connection.execute(
        "DELETE FROM setting WHERE period = ? AND account = ?", (RUN_PERIOD, account)
    )


def sweep(database: Database, now_ns: int) -> None:
    """Mark the runs whose process is gone; forget, a week later, those that cannot go on.

    A run goes on after a crash where somebody chose its id: only then can it be opened again.
    """
    with database.read() as connection:  # mostly nothing is to be written
        if not any(connection.execute(each, (now_ns - KEPT_NS,)).fetchone() for each in _SWEPT):
            return
    with database.transaction() as connection:
        connection.execute(f"UPDATE run SET crashed = ? WHERE {_IS_ORPHAN}", (now_ns,))  # noqa: S608  # our own words
        connection.execute(f"UPDATE run SET crashed = NULL WHERE {_IS_BACK}")  # noqa: S608  # as above
        for run_id, holder in connection.execute(
            f"SELECT id, holder FROM run WHERE {_IS_OVER}",  # noqa: S608  # as above
            (now_ns - KEPT_NS,),
        ).fetchall():
            delete(connection, holder, run_id)


_IS_ORPHAN: Final = "crashed IS NULL AND holder NOT IN (SELECT id FROM holder)"
_IS_BACK: Final = "crashed IS NOT NULL AND holder IN (SELECT id FROM holder)"
# Processes that have joined it may still be at work.
_IS_OVER: Final = (
    "named = 0 AND crashed < ? AND NOT EXISTS (SELECT 1 FROM lease JOIN line"
    " ON line.id = lease.line WHERE line.period = 'run' AND line.account = 'run/' || run.id)"
)
_SWEPT: Final = (
    f"SELECT 1 FROM run WHERE {_IS_ORPHAN} AND ? LIMIT 1",  # noqa: S608  # our own words
    f"SELECT 1 FROM run WHERE {_IS_BACK} AND ? LIMIT 1",  # noqa: S608  # as above
    f"SELECT 1 FROM run WHERE {_IS_OVER} LIMIT 1",  # noqa: S608  # as above
)


def take_over(connection: Connection, exchange: Exchange, account: RunAccount) -> None:
    """Make sure that no living process has the run, and count what a dead one had spent.

    Raises:
        ConfigError: a living process has it.
    """
    found = connection.execute(
        "SELECT holder, usd, tokens, calls, shared FROM run WHERE id = ?", (account.run_id,)
    ).fetchone()
    if found is None or found[0] == exchange.holder:
        return
    holder, usd, tokens, calls, is_shared = found
    if exchange.alive(connection, holder):
        raise ConfigError(
            f"a run `{account.run_id}` is open in another process; a run's id is used once"
        )
    exchange.resolve_crashes(connection, exchange.alerts, exchange.acts)
    if not is_shared:
        key = LineKey(account.name, RUN_PERIOD, 0, 0)
        row = lines.made(connection, key, limits_of(account.budget), account.thresholds)
        exchange.alerts += lines.spend(connection, row, (usd, tokens, calls))


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _text(terms: Iterable[Terms]) -> str:
    return json.dumps(
        [
            [each.account, each.window.value, limits_of(each.limits), each.thresholds]
            for each in terms
        ]
    )


def _terms(text: str) -> tuple[Terms, ...]:
    return tuple(
        Terms(account, Window(window), _budget(limits), None, tuple(thresholds))
        for account, window, limits, thresholds in json.loads(text)
    )


def _budget(limits: Limits) -> Budget:
    usd, tokens, calls = limits
    return Budget(usd=None if usd is None else dollars(usd), tokens=tokens, calls=calls)
