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
from guardrails.runs.processes import Life, Process

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from guardrails.runs.kill_store import KillStore

_KEPT: Final = 2_000
"""Numbers of the page for which answers are kept."""

_LOOK: Final = 0.01


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

    def listed(self) -> str:
        """List this process among those that look; gives the id that it answers under."""
        id, process = uuid.uuid4().hex, Process.current()
        with self._brief() as connection:
            rows = connection.execute("SELECT id, pid, started, boot, namespace FROM watchers")
            for row in rows.fetchall():
                if Process(*row[1:]).life() is Life.GONE:
                    connection.execute("DELETE FROM watchers WHERE id = ?", row[:1])
            connection.execute("INSERT INTO watchers VALUES (?, ?, ?, ?, ?)", (id, *process))
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
        asked = self._watchers()
        while True:
            given = self._given(generation)
            late = {id for id in asked if id not in given and asked[id].life() is not Life.GONE}
            # Who has nothing in flight any more was told, or had nothing to be told.
            late &= self._watchers().keys()
            if not late or time.monotonic() >= until:
                break
            time.sleep(_LOOK)
        silent = [Answer(asked[id].pid, None) for id in late - self._given(generation).keys()]
        return tuple(sorted([*self._given(generation).values(), *silent], key=lambda one: one.pid))

    @contextmanager
    def _brief(self) -> Iterator[sqlite3.Connection]:
        with self._turn(), self._store.brief() as connection:
            yield connection

    def _watchers(self) -> dict[str, Process]:
        with self._turn(), self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT id, pid, started, boot, namespace FROM watchers"
            ).fetchall()
        return {row[0]: Process(*row[1:]) for row in rows}

    def _given(self, generation: int) -> dict[str, Answer]:
        with self._turn(), self._store.database.read() as connection:
            rows = connection.execute(
                "SELECT watcher, pid, cancelled, woken, at_work FROM answers WHERE generation = ?",
                (generation,),
            ).fetchall()
        return {row[0]: Answer(row[1], Reach(*row[2:])) for row in rows}


__all__ = ["Answer", "KillAnswers"]
