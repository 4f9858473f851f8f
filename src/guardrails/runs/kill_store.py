"""The kill table of one machine: every kill and resume ever made, with who, why and when.

It is a table that is only appended to, in ``<state>/kill.sqlite``: what is killed now
follows from the acts in their order. Beside it stands the page (``<state>/kill.page``)
whose number tells every process that there is something new to read.

**The order of a change**, so that none is missed whatever dies when::

    take the write lock ─► page: odd ─► append the act ─► commit ─► take the lock ─► page: even

*Before the commit* the act does not hold and nobody was told that it does. *After it*
every process that asks finds an odd number, which it may not remember, and reads the
table: the act holds. Who finds the number odd and can have the write lock makes it
even: nobody is between an odd number and a commit then.

**What goes missing refuses.** Page and table know each other by an id, and each is
compared with its path. A table that was deleted takes its kills with it, so a page that
is left without its table is refused. A page that was deleted is made anew from its
table; whoever makes it waits until those who still map the old one must have noticed.
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.database import WAIT, Database
from guardrails.errors import StateUnavailable
from guardrails.model.kill import Scope
from guardrails.runs.kill_page import ID_LENGTH, KillPage, place_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

TABLE: Final = "kill.sqlite"
PAGE: Final = "kill.page"

NOTICE: Final = 0.25
"""Seconds within which a process notices that its page or table was replaced."""

_TURN_OF_OTHERS: Final = 0.003

SCHEMA: Final = (
    """
    CREATE TABLE acts (
        generation INTEGER PRIMARY KEY,
        act TEXT NOT NULL CHECK (act IN ('kill', 'resume')),
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        reason TEXT NOT NULL,
        who TEXT NOT NULL,
        at INTEGER NOT NULL,
        pid INTEGER NOT NULL
    );
    CREATE TABLE page (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        id BLOB NOT NULL,
        place TEXT
    );
    CREATE TABLE watchers (
        id TEXT PRIMARY KEY,
        pid INTEGER NOT NULL,
        started TEXT NOT NULL,
        boot TEXT NOT NULL,
        namespace TEXT NOT NULL,
        at INTEGER NOT NULL
    );
    CREATE TABLE answers (
        generation INTEGER NOT NULL,
        watcher TEXT NOT NULL,
        pid INTEGER NOT NULL,
        cancelled INTEGER NOT NULL,
        woken INTEGER NOT NULL,
        at_work INTEGER NOT NULL,
        PRIMARY KEY (generation, watcher)
    )
    """,
)


class Act(NamedTuple):
    """One kill or resume, as it stands in the table.

    Attributes:
        generation: The page's number with it; the acts' order.
        act: ``kill`` or ``resume``.
        scope: What was killed or resumed.
        reason: Why.
        by: Who.
        at: When, UTC nanoseconds.
        pid: The process that did it.
    """

    generation: int
    act: str
    scope: Scope
    reason: str
    by: str
    at: int
    pid: int


class KillStore:
    """Table and page in the directory `state`; made where they are not there.

    Args:
        state: The directory.
        now_ns: The time, UTC nanoseconds.

    Attributes:
        database: The file of the table.
        page: The page.

    Raises:
        StateUnavailable: they cannot be used; also from every method.
    """

    def __init__(self, state: str | Path, now_ns: Callable[[], int] = time.time_ns) -> None:
        state = Path(state)
        self._now_ns = now_ns
        self.database = Database(state / TABLE, SCHEMA)
        _check_directory(state)
        self._place = place_of(self.database.path.lstat())
        self.page = self._open_page(state / PAGE)

    def acts(self, since: int = 0) -> list[Act]:
        """The acts from the generation `since` on, which itself has to be there if it is not 0."""
        with self.database.read() as connection:
            rows = connection.execute(
                "SELECT generation, act, kind, name, reason, who, at, pid FROM acts "
                "WHERE generation >= ? ORDER BY generation",
                (since,),
            ).fetchall()
        found = [Act(row[0], row[1], Scope(row[2], row[3]), *row[4:]) for row in rows]
        if since and (not found or found[0].generation != since):
            raise StateUnavailable(
                f"the kill table `{self.database.path}` has lost acts: it was put back to an older "
                "state; start this process again to read it anew"
            )
        return found

    def write(
        self,
        act: str,
        scope: Scope,
        *,
        reason: str,
        by: str,
        check: Callable[[], None] | None = None,
    ) -> Act:
        """Append an act; when it returns, the act holds for every process of the machine.

        Args:
            act: ``kill`` or ``resume``.
            scope: What is killed or resumed.
            reason: Why.
            by: Who.
            check: Asked first, under the write lock; what it raises ends the change.
        """
        began = False
        # What has no form in UTF-8 must not keep anybody from killing.
        reason, by = (each.encode(errors="backslashreplace").decode() for each in (reason, by))
        try:
            with self.database.transaction() as connection:
                self.check_places()
                if check is not None:
                    check()
                odd = _next_odd(self.page.number)
                self.page.store(odd)
                began = True
                made = Act(odd + 1, act, scope, reason, by, self._now_ns(), os.getpid())
                connection.execute(
                    "INSERT INTO acts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (made.generation, act, *scope, reason, by, made.at, made.pid),
                )
        finally:
            if began:
                # An odd number that stays costs time, nothing else.
                with suppress(StateUnavailable):
                    self._settle()
                # SQLite keeps no queue: who kills in a loop must not keep others from killing.
                time.sleep(_TURN_OF_OTHERS)
        return made

    def try_settle(self) -> None:
        """Make an odd number even, if nobody is at work on the table at this moment."""
        with suppress(StateUnavailable), self.brief():
            self._make_even()

    @contextmanager
    def brief(self) -> Iterator[sqlite3.Connection]:
        """A transaction that hardly waits for others, and may be lost with the machine's power."""
        with self.database.read() as connection:
            connection.execute("PRAGMA busy_timeout = 20")
            connection.execute("PRAGMA synchronous = NORMAL")
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            finally:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA busy_timeout = {round(WAIT * 1000)}")

    def check_places(self) -> None:
        """Nothing, if the paths still lead to this table and this page."""
        self.page.check()
        try:
            place = place_of(self.database.path.lstat())
        except OSError as error:
            raise StateUnavailable(
                f"the kill table `{self.database.path}` is not there: {error.strerror}"
            ) from error
        if place != self._place:
            raise StateUnavailable(
                f"the kill table `{self.database.path}` was replaced while it was in use; start "
                "this process again to read it"
            )

    def _settle(self) -> None:
        with self.database.transaction():
            self._make_even()

    def _make_even(self) -> None:
        number = self.page.number
        if number & 1:
            self.page.store(number + 1)

    def _open_page(self, path: Path) -> KillPage:
        with self.database.transaction() as connection:
            known = connection.execute("SELECT id, place FROM page").fetchone()
            if known is None:
                if os.path.lexists(path):
                    raise StateUnavailable(
                        f"the kill page `{path}` is there, but its table was deleted, and what "
                        "was killed is forgotten; if nothing is to be killed, remove the page too"
                    )
                # In a transaction of its own: a page must never be there without its id.
                known = (secrets.token_bytes(ID_LENGTH), None)
                connection.execute("INSERT INTO page VALUES (1, ?, ?)", known)
        id, _ = known
        with self.database.transaction() as connection:
            (place,) = connection.execute("SELECT place FROM page").fetchone()
            (last,) = connection.execute("SELECT coalesce(max(generation), 0) FROM acts").fetchone()
            if os.path.lexists(path):
                page = KillPage(path)
            else:
                page = KillPage.make(path, id, _next_even(last), self._now_ns())
            if page.id != id:
                raise StateUnavailable(
                    f"the kill page `{path}` belongs to another table than "
                    f"`{self.database.path}`; remove the page, and it is made anew"
                )
            if page.number & 1 or page.number < last:
                page.store(_next_even(max(page.number, last)))
            if page.place != place:
                connection.execute("UPDATE page SET place = ?", (page.place,))
                if place is not None:
                    # Nobody changes anything before those who map the old page have noticed.
                    time.sleep(NOTICE)
        return page


def in_force(acts: Iterable[Act], known: dict[Scope, Act] | None = None) -> dict[Scope, Act]:
    """What is killed after `acts`, by the first kill of each scope, the oldest first.

    Args:
        acts: In their order.
        known: What was killed before them.
    """
    killed = dict(known or {})
    for act in acts:
        if act.act == "kill":
            killed.setdefault(act.scope, act)
        else:
            killed.pop(act.scope, None)
    return killed


def _check_directory(state: Path) -> None:
    """Refuse where another user could take page and table away, and with them what is killed."""
    found = state.stat()
    if os.name == "posix" and (found.st_mode & 0o022 or found.st_uid != os.geteuid()):
        raise StateUnavailable(
            f"the state directory `{state}` belongs to, or may be written by, another user; it has "
            "to be this process's user's alone: `chmod go-w`"
        )


def _next_odd(number: int) -> int:
    return number + 2 if number & 1 else number + 1


def _next_even(number: int) -> int:
    return number + 1 if number & 1 else number


__all__ = ["NOTICE", "PAGE", "SCHEMA", "TABLE", "Act", "KillStore", "in_force"]
