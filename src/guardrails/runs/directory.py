"""The runs of one machine: which are open, of which agent, in which process.

It is for people: ``guardrails runs``, ``status``, and what a kill will meet. Nothing is
decided by it. A run's opening and its end are each one row written to
``<state>/runs.sqlite``; its calls are not written here, they stand in the record. Rows are
with the system when they are written: they outlive the process, but not a power cut, after
which no run is open anyway.

Nobody has to report that a run lives: its process does, or does not
(:mod:`guardrails.processes`); so do the processes that have joined it by its token.

One thing goes the other way: that an operator lets a run go on which a breaker stopped. The
stopped run looks for it here, when it would refuse a call.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.database import Database
from guardrails.errors import ConfigError
from guardrails.forks import survive_forks
from guardrails.model.kill import Subject
from guardrails.processes import Life, Process
from guardrails.runs.directory_schema import SCHEMA

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator

    from guardrails.model.kill import Scope
    from guardrails.runs.run import Run

FILE: Final = "runs.sqlite"

KEPT_SECONDS: Final = 7 * 24 * 3600
KEPT_RUNS: Final = 10_000

_NS: Final = 1_000_000_000


class State(StrEnum):
    """Where a listed run stands."""

    OPEN = "open"
    """Its process lives, or one that has joined it, or cannot be seen from here."""
    CLOSED = "closed"
    """It was left."""
    STOPPED = "stopped"
    """It was left since it was killed."""
    FAILED = "failed"
    """It was left by another exception."""
    LOST = "lost"
    """Its process is gone, and it was never left."""


class ListedRun(NamedTuple):
    """One run, as it is listed.

    Attributes:
        id: Its id.
        ancestors: The ids of the runs in which it was opened, with their agents, outermost first.
        agent: The agent's id.
        version: The agent's version.
        environment: Where it runs.
        owner: Who answers for the agent.
        mode: How decisions are treated.
        principal: On whose behalf, if anybody's.
        revision: The policy that decided when it was opened.
        process: Where it was opened.
        opened: When, UTC nanoseconds.
        closed: When it ended; None where it did not.
        state: Where it stands.
        life: Whether its process lives.
        workers: The processes that have joined it by its token, and are not known to be gone.
    """

    id: str
    ancestors: tuple[tuple[str, str], ...]
    agent: str
    version: str
    environment: str
    owner: str
    mode: str
    principal: str | None
    revision: str
    process: Process
    opened: int
    closed: int | None
    state: State
    life: Life
    workers: tuple[Process, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether it can still make calls, as far as that can be seen."""
        return self.state is State.OPEN

    @property
    def processes(self) -> tuple[Process, ...]:
        """Where its calls are made: in its own process, and in those that have joined it."""
        return (self.process, *self.workers)

    @property
    def parent(self) -> str | None:
        """The run in which it was opened."""
        return self.ancestors[-1][0] if self.ancestors else None

    def is_covered_by(self, scope: Scope) -> bool:
        """Whether a kill of `scope` stops it or one of its calls.

        Every open run may call any tool, so a tool's kill concerns them all.
        """
        own = Subject(self._ids, self.agent, self.version, self.environment)
        if scope.kind == "tool":
            return True
        # Of an ancestor no version is known here; where it is open, it has a row of its own.
        above = (Subject((id,), agent, "", self.environment) for id, agent in self.ancestors)
        return any(map(scope.covers, (*above, own)))

    @property
    def _ids(self) -> tuple[str, ...]:
        return (*(id for id, _ in self.ancestors), self.id)


class BreakerReset(NamedTuple):
    """That somebody lets a run go on which a breaker stopped.

    Attributes:
        n: Its number; later ones have larger ones.
        reason: Why.
        by: Who.
    """

    n: int
    reason: str
    by: str


class RunDirectory:
    """The listed runs of one machine.

    Args:
        state: The directory that the machine's processes share.
        now_ns: The time, UTC nanoseconds.
        keep: Seconds for which ended runs are kept.
        at_most: How many runs are kept.

    Raises:
        StateUnavailable: it cannot be used; also from every method.
    """

    def __init__(
        self,
        state: str | Path,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        keep: float = KEPT_SECONDS,
        at_most: int = KEPT_RUNS,
    ) -> None:
        # Around every use of the file, so that none is under way in another thread at a fork.
        self._lock = RLock()
        survive_forks(self)
        with self._lock:
            self._database = Database(Path(state) / FILE, SCHEMA)
        self._now_ns = now_ns
        self._keep = keep
        self._at_most = at_most
        self._seen: set[str] = set()

    def listing(self, run: Run, revision: str, tools: Collection[str]) -> Listing:
        """The listing of `run`, to be opened and closed with it.

        Args:
            run: The run.
            revision: The policy that decides about it.
            tools: The names of the tools that are known here, as they become known.
        """
        return Listing(self, run, revision, tools)

    def join(self, run_id: str) -> Joining:
        """The listing of this process as one that joins a run, to be opened and closed with that.

        Args:
            run_id: The run.
        """
        return Joining(self, run_id)

    def runs(self, *, ended: bool = False) -> tuple[ListedRun, ...]:
        """The open runs, with `ended` those too that have ended; the newest first."""
        where = "" if ended else "WHERE closed IS NULL"
        listed = self._listed(f"{where} ORDER BY n DESC", ())
        return tuple(run for run in listed if ended or run.is_open)

    def find(self, id: str) -> ListedRun:
        """The newest run with this id, or with the one id that begins so.

        Raises:
            ConfigError: there is none, or several begin so.
        """
        for run in self._listed("WHERE id = ? ORDER BY n DESC LIMIT 1", (id,)):
            return run
        begins = self._listed("WHERE substr(id, 1, ?) = ? ORDER BY n DESC LIMIT 100", (len(id), id))
        ids = list(dict.fromkeys(run.id for run in begins))
        if len(ids) > 1:
            raise ConfigError(
                f"several runs begin with `{id}`: {', '.join(f'`{each}`' for each in ids[:5])}"
                + (", …" if len(ids) > 5 else "")  # noqa: PLR2004  # those that were shown
            )
        if not ids:
            raise ConfigError(
                f"no run `{id}` is listed; `guardrails runs list --all` shows those that are"
            )
        return begins[0]

    def is_lost(self, id: str) -> bool:
        """Whether the newest run with exactly this id was never left, and its process is gone."""
        for run in self._listed("WHERE id = ? ORDER BY n DESC LIMIT 1", (id,)):
            return run.closed is None and run.life is Life.GONE
        return False

    def reset_breakers(self, id: str, *, reason: str, by: str) -> None:
        """Let a run go on that a breaker stopped: it hears of it with its next call."""
        with self._brief() as connection:
            connection.execute(
                "INSERT INTO breaker_resets VALUES (NULL, ?, ?, ?, ?)",
                (id, self._now_ns(), by, reason),
            )

    def last_reset(self, id: str) -> BreakerReset | None:
        """The last time that somebody let the run go on; None where nobody did."""
        with self._lock, self._database.read() as connection:
            row = connection.execute(
                "SELECT n, reason, by FROM breaker_resets WHERE id = ? ORDER BY n DESC LIMIT 1",
                (id,),
            ).fetchone()
        return None if row is None else BreakerReset(*row)

    def tools(self) -> tuple[str, ...]:
        """The names of the tools that runs have called, sorted."""
        with self._lock, self._database.read() as connection:
            rows = connection.execute("SELECT name FROM tools ORDER BY name").fetchall()
        return tuple(row[0] for row in rows)

    @property
    def fork_lock(self) -> RLock:
        """Held while this thread uses the file."""
        return self._lock

    def after_fork(self) -> None:
        """Nothing: the file opens itself anew."""

    def close(self) -> None:
        """Close the file; again, it does nothing."""
        self._database.close()

    def _listed(self, rest: str, values: tuple[object, ...]) -> list[ListedRun]:
        with self._lock, self._database.read() as connection:
            rows = connection.execute(f"SELECT * FROM runs {rest}", values).fetchall()  # noqa: S608  # our own words
            joined = connection.execute(
                "SELECT id, pid, started, boot, namespace FROM joined ORDER BY n"
            ).fetchall()
        lives: dict[Process, Life] = {}
        workers: dict[str, dict[Process, None]] = {}
        for run_id, *words in joined:
            process = Process(*words)
            if _life_of(process, lives) is not Life.GONE:
                workers.setdefault(run_id, {})[process] = None
        return [_run_of(row, lives, tuple(workers.get(row[1], ()))) for row in rows]

    def _add(self, run: Run, revision: str) -> int:
        ancestors = [(step["run"], step["agent"]) for step in run.ancestry]
        agent = run.agent
        with self._brief() as connection:
            cursor = connection.execute(
                "INSERT INTO runs VALUES "
                "(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    run.id,
                    json.dumps(ancestors),
                    agent.id,
                    agent.version,
                    agent.environment,
                    agent.owner,
                    run.mode.value,
                    run.principal,
                    revision,
                    *Process.current(),
                    self._now_ns(),
                ),
            )
        return int(cursor.lastrowid or 0)

    def _end(self, row: int, ended: State, tools: Collection[str]) -> None:
        new = set(tools) - self._seen
        now = self._now_ns()
        with self._brief() as connection:
            connection.execute(
                "UPDATE runs SET closed = ?, ended = ? WHERE n = ? AND closed IS NULL",
                (now, ended.value, row),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO tools VALUES (?, ?)",
                [(name, now) for name in new],
            )
            self._prune(connection, now)
        self._seen |= new

    def _join(self, run_id: str) -> int:
        with self._brief() as connection:
            cursor = connection.execute(
                "INSERT INTO joined VALUES (NULL, ?, ?, ?, ?, ?)", (run_id, *Process.current())
            )
            for row in connection.execute(
                "SELECT n, pid, started, boot, namespace FROM joined ORDER BY n LIMIT 100"
            ).fetchall():
                if Process(*row[1:]).life() is Life.GONE:
                    connection.execute("DELETE FROM joined WHERE n = ?", (row[0],))
        return int(cursor.lastrowid or 0)

    def _leave(self, row: int) -> None:
        with self._brief() as connection:
            connection.execute("DELETE FROM joined WHERE n = ?", (row,))

    def _prune(self, connection: sqlite3.Connection, now: int) -> None:
        oldest = now - round(self._keep * _NS)
        connection.execute("DELETE FROM runs WHERE closed < ?", (oldest,))
        connection.execute("DELETE FROM breaker_resets WHERE at < ?", (oldest,))
        # Also what was never left, once it is as old and its process is gone.
        rows = connection.execute(
            "SELECT n, pid, started, boot, namespace FROM runs "
            "WHERE n <= (SELECT max(n) FROM runs) - ? UNION "
            "SELECT n, pid, started, boot, namespace FROM runs WHERE closed IS NULL AND opened < ? "
            "LIMIT 100",
            (self._at_most, oldest),
        ).fetchall()
        for row in rows:
            gone = Process(*row[1:]).life() is Life.GONE
            connection.execute(
                "DELETE FROM runs WHERE n = ? AND (closed IS NOT NULL OR ?)", (row[0], gone)
            )

    @contextmanager
    def _brief(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            with self._database.read() as connection:
                # Inside a transaction, as in a signal handler's call, it has no effect.
                if not connection.in_transaction:
                    connection.execute("PRAGMA synchronous = NORMAL")
            with self._database.transaction() as connection:
                yield connection


class Listing:
    """One run's place in the directory. It is opened once, and closed once."""

    __slots__ = ("_directory", "_revision", "_row", "_run", "_tools")

    def __init__(
        self, directory: RunDirectory, run: Run, revision: str, tools: Collection[str]
    ) -> None:
        self._directory = directory
        self._run = run
        self._revision = revision
        self._tools = tools
        self._row: int | None = None

    def open(self) -> None:
        """List the run as open.

        Raises:
            StateUnavailable: it cannot be listed.
        """
        self._row = self._directory._add(self._run, self._revision)  # noqa: SLF001  # of the same module

    def close(self, ended: State) -> None:
        """List the run as ended; does nothing where it was not listed.

        Raises:
            StateUnavailable: it cannot be written.
        """
        row, self._row = self._row, None
        if row is not None:
            self._directory._end(row, ended, self._tools)  # noqa: SLF001  # of the same module


class Joining:
    """This process's place beside a run that it joins. It is opened once, and closed once."""

    __slots__ = ("_directory", "_row", "_run_id")

    def __init__(self, directory: RunDirectory, run_id: str) -> None:
        self._directory = directory
        self._run_id = run_id
        self._row: int | None = None

    def open(self) -> None:
        """List this process.

        Raises:
            StateUnavailable: it cannot be listed.
        """
        self._row = self._directory._join(self._run_id)  # noqa: SLF001  # of the same module

    def close(self, ended: State) -> None:  # noqa: ARG002  # how the run ended says its own row
        """List this process no more; does nothing where it was not listed.

        Raises:
            StateUnavailable: it cannot be written.
        """
        row, self._row = self._row, None
        if row is not None:
            self._directory._leave(row)  # noqa: SLF001  # of the same module


def _life_of(process: Process, lives: dict[Process, Life]) -> Life:
    if process not in lives:
        lives[process] = process.life()
    return lives[process]


def _run_of(
    row: tuple[object, ...], lives: dict[Process, Life], workers: tuple[Process, ...]
) -> ListedRun:
    _, id, ancestors, agent, version, environment, owner, mode, principal, revision, *rest = row
    *process_words, opened, closed, ended = rest
    process = Process(*process_words)  # type: ignore[arg-type]  # the columns in their order
    life = _life_of(process, lives)
    if ended is not None:
        state, workers = State(str(ended)), ()
    else:
        state = State.LOST if life is Life.GONE and not workers else State.OPEN
    return ListedRun(
        id=str(id),
        ancestors=tuple((one, other) for one, other in json.loads(str(ancestors))),
        agent=str(agent),
        version=str(version),
        environment=str(environment),
        owner=str(owner),
        mode=str(mode),
        principal=None if principal is None else str(principal),
        revision=str(revision),
        process=process,
        opened=int(str(opened)),
        closed=None if closed is None else int(str(closed)),
        state=state,
        life=life,
        workers=workers,
    )


__all__ = [
    "FILE",
    "KEPT_RUNS",
    "KEPT_SECONDS",
    "BreakerReset",
    "Joining",
    "ListedRun",
    "Listing",
    "RunDirectory",
    "State",
]
