"""SQLite as the stores of one machine use it: one file, many threads and processes.

A database is in WAL mode, so that readers never wait. Every change is one immediate
transaction, which is on disk when it returns (``synchronous=FULL``) and is there whole
or not at all after a crash. The file is its user's alone (0600), the directories made
for it too (0700); one that others may write to is not used, nor one that was deleted or
replaced meanwhile.

SQLite's locks do not hold on network file systems: these files belong on a local disk.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import StateUnavailable
from guardrails.forks import close_before_forks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WAIT: Final = 10.0
"""Seconds that a transaction waits for those of other processes before it refuses."""

_PAUSE: Final = 0.005


class Database:
    """One SQLite file. Threads may share it; a forked child gets a connection of its own.

    Args:
        path: The file; made where it does not exist, with the directories above it.
        schema: What made it what it is, a version each: SQL scripts, only ever added to. A
            file of an older version is brought up to date; one of a newer is refused.

    Raises:
        StateUnavailable: it cannot be used; also from its other methods.
    """

    def __init__(self, path: str | Path, schema: Sequence[str]) -> None:
        self.path = Path(path)
        self._schema = tuple(schema)
        # Reentrant: a signal handler that kills runs inside whatever it interrupts.
        self._lock = RLock()
        self._pid = 0
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._closed = False
        close_before_forks(self)
        with self._lock:
            try:
                self._connect()
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that holds the write lock: all that is done with it holds, or nothing.

        Inside a transaction of the same thread, as in a signal handler, it is a part of that.
        """
        # One context for all of it: each that is written in Python costs as much as a query.
        with self._lock:
            try:
                connection = self._connect()
                if connection.in_transaction:
                    with _savepoint(connection):
                        yield connection
                    return
                # Also a commit that fails, or a signal between two lines, leaves none open: the
                # next one would be taken for a part of it, and what it writes would never hold.
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for queries; several of them may see different states."""
        with self._lock:
            try:
                yield self._connect()
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def rows(self, query: str, *given: object) -> list[tuple[Any, ...]]:
        """What one query finds, with `given` for its question marks."""
        with self._lock:
            try:
                return self._connect().execute(query, given).fetchall()
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    def change(self, statement: str, *given: object) -> int:
        """How many rows one statement changed, all of them or none.

        Inside a transaction of the same thread it is a part of that, else one of its own.
        """
        with self._lock:
            try:
                return self._connect().execute(statement, given).rowcount
            except sqlite3.Error as error:
                raise self._unusable(error) from error

    @property
    def fork_lock(self) -> RLock:
        """Held across a fork."""
        return self._lock

    def before_fork(self) -> None:
        """Have no connection open: SQLite's cannot be used, nor even be closed, by a child.

        A child would also believe that it holds its parent's locks. Both sides open the file
        anew when they use it.
        """
        connection = self._connection
        if connection is not None and self._pid == os.getpid() and not connection.in_transaction:
            self._connection = None
            connection.close()

    def close(self) -> None:
        """Close the file; again, it does nothing. Later use raises."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._closed = True
            if connection is not None and self._pid == os.getpid():
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        if self._closed:
            raise StateUnavailable(f"the database `{self.path}` is closed")
        self._require_there()
        connection = self._connection
        if connection is not None:
            if self._pid != os.getpid():
                raise StateUnavailable(
                    f"the database `{self.path}` was in the middle of a transaction when this "
                    "process was forked, and cannot be used in it"
                )
            return connection
        try:
            self._make_private()
        except OSError as error:
            raise self._unusable(error) from error
        connection = sqlite3.connect(
            self.path, timeout=WAIT, isolation_level=None, check_same_thread=False
        )
        try:
            _in_wal_mode(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        self._file = _identity(_status(self.path))
        self._pid = os.getpid()
        self._connection = connection
        return connection

    def _require_there(self) -> None:
        """Refuse once the path names another file, or none, than the one that was opened.

        SQLite goes on with the file that it has open, also when nobody else can find it.
        """
        if self._file is None:
            return
        try:
            found = _identity(_status(self.path))
        except OSError as error:
            raise self._unusable(error) from error
        if found != self._file:
            raise StateUnavailable(
                f"the database `{self.path}` was deleted or replaced while it was in use: what "
                "this process does there, no other would see; start it again"
            )

    def _make_private(self) -> None:
        for directory in reversed(self.path.parents):
            if not directory.exists():
                directory.mkdir(mode=0o700, exist_ok=True)
        # Closing any descriptor of a file drops all of a process's locks on it, also those that
        # another connection to it holds. So a file that may be open is never opened here.
        found = _status(self.path)
        if found is None:
            _make(self.path)
            found = self.path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise StateUnavailable(f"the database `{self.path}` is no regular file")
        if os.name == "posix" and (found.st_mode & 0o022 or found.st_uid != os.geteuid()):
            raise StateUnavailable(
                f"the database `{self.path}` belongs to, or may be written by, another user; "
                "it has to be this process's user's alone"
            )

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if _version(connection) == len(self._schema):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Asked again: another process may have been first.
            for script in self._schema[self._known_version(connection) :]:
                for statement in script.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(self._schema)}")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _known_version(self, connection: sqlite3.Connection) -> int:
        version = _version(connection)
        if version > len(self._schema):
            raise StateUnavailable(
                f"the database `{self.path}` has version {version}, this release knows "
                f"{len(self._schema)}: it was made by a newer one"
            )
        return version

    def _unusable(self, error: Exception) -> StateUnavailable:
        return StateUnavailable(f"the database `{self.path}` cannot be used: {error}")


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _identity(found: os.stat_result | None) -> tuple[int, int] | None:
    return None if found is None else (found.st_dev, found.st_ino)


def _make(path: Path) -> None:
    """An empty file at `path`, its user's alone; one that has come meanwhile stays."""
    fd, made = tempfile.mkstemp(prefix=path.name, dir=path.parent)
    os.close(fd)
    try:
        os.link(made, path)
    except FileExistsError:
        return
    finally:
        Path(made).unlink()


@contextmanager
def _savepoint(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("SAVEPOINT within")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK TO within")
        connection.execute("RELEASE within")
        raise
    connection.execute("RELEASE within")


def _in_wal_mode(connection: sqlite3.Connection) -> None:
    # SQLite does not wait by itself where two processes ask for this at once.
    until = time.monotonic() + WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= until:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
