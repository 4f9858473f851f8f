"""What the other processes answer to a kill: what it met at work there.

A process that has calls in flight which a kill can reach looks for kills (see
:mod:`guardrails.runs.kill_watcher`), and is listed while it does. It answers each kill
once, when its calls have been told. A process that is not listed has nothing to cancel;
its next call refuses, and it is asked nothing.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.model.kill import Reach
from guardrails.processes import Life, Process

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from guardrails.runs.kill_store import KillStore

_KEPT: Final = 2_000
"""Numbers of the page for which answers are kept."""

LISTED: Final = 30
"""Seconds for which a process is taken to look that said so and cannot be seen from here."""

_LOOK: Final = 0.01
_NS: Final = 1_000_000_000


class Answer(NamedTuple):
    """What one process said about a kill.

    Attributes:
        pid: The process.
        reach: What the kill met there; None where it did not answer in time.
    """

    pid: int
    reach: Reach | None


class KillAnswers:
    """Who looks for kills, and what each of them answered.

    Args:
        store: The kill table.
        turn: A context in which the caller alone uses it.

    Raises:
        StateUnavailable: it cannot be used; from every method.
    """

    def __init__(self, store: KillStore, turn: Callable[[], AbstractContextManager[None]]) -> None:
        self._store = store
        self._turn = turn

    def listed(self, id: str | None = None) -> str:
        """List this process among those that look, or say that it still does.

        Args:
            id: The id under which it is listed; None for a new one.

        Returns:
            The id that it answers under.
        """
        id = id or uuid.uuid4().hex
        with self._brief() as connection:
            for other, _ in self._looking(connection, gone=True):
                connection.execute("DELETE FROM watchers WHERE id = ?", (other,))
            connection.execute(
                "INSERT OR REPLACE INTO watchers VALUES (?, ?, ?, ?, ?, ?)",
                (id, *Process.current(), time.time_ns()),
            )
        return id

    def unlisted(self, id: str) -> None:
        """Take `id` off the list: nothing is in flight there."""
        with self._brief() as connection:
            connection.execute("DELETE FROM watchers WHERE id = ?", (id,))

    def answer(self, id: str, pid: int, generation: int, reach: Reach) -> None:
        """Answer the kill with this generation."""
        with self._brief() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, ?)",
                (generation, id, pid, *reach),
            )
            connection.execute("DELETE FROM answers WHERE generation < ?", (generation - _KEPT,))

    def wait(self, generation: int, seconds: float) -> tuple[Answer, ...]:
        """The answers of all that look now, at most `seconds` later; by process id."""
        until = time.monotonic() + seconds
        asked = self.looking()
        while True:
            given = self._given(generation)
            # Who is not listed any more has told its calls, or had none, or is gone.
            late = (asked.keys() - given.keys()) & self.looking().keys()
            if not late or time.monotonic() >= until:
                break
            time.sleep(_LOOK)
        silent = [Answer(asked[id].pid, None) for id in late]
        return tuple(sorted([*given.values(), *silent], key=lambda one: one.pid))

    def looking(self) -> dict[str, Process]:
        """The processes that look now, by the ids that they answer under."""
        with self._turn(), self._store.database.read() as connection:
            return dict(self._looking(connection, gone=False))

    @contextmanager
    def _brief(self) -> Iterator[sqlite3.Connection]:
        with self._turn(), self._store.brief() as connection:
            yield connection

    def _looking(self, connection: sqlite3.Connection, *, gone: bool) -> list[tuple[str, Process]]:
        """Those that look, or with `gone` those that are listed and do not."""
        oldest = time.time_ns() - LISTED * _NS
        found = []
        for id, *words, at in connection.execute("SELECT * FROM watchers").fetchall():
            process = Process(*words)
            life = process.life()
            if (life is Life.GONE or (life is Life.UNKNOWN and at < oldest)) is gone:
                found.append((id, process))
        return found

    def _given(self, generation: int) -> dict[str, Answer]:
        with self._turn(), self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT watcher, pid, cancelled, woken, at_work FROM answers WHERE generation = ?",
                (generation,),
            ).fetchall()
        return {row[0]: Answer(row[1], Reach(*row[2:])) for row in rows}


__all__ = ["LISTED", "Answer", "KillAnswers"]
