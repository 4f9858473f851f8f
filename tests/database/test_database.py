"""A database holds what a transaction said, whole or not at all, for threads and processes."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from guardrails.database import Database
from guardrails.errors import StateUnavailable

SCHEMA = ("CREATE TABLE counter (n INTEGER NOT NULL); INSERT INTO counter VALUES (0)",)


def count(database: Database) -> int:
    with database.read() as connection:
        return connection.execute("SELECT n FROM counter").fetchone()[0]


def add(database: Database, times: int) -> None:
    for _ in range(times):
        with database.transaction() as connection:
            (n,) = connection.execute("SELECT n FROM counter").fetchone()
            connection.execute("UPDATE counter SET n = ?", (n + 1,))


class Stop(Exception):  # noqa: N818  # no error: it ends a transaction
    pass


def fail_after(database: Database, *, within: bool = False, n: int = 9) -> None:
    """Set the counter to `n`, or in a transaction within add one to it, and raise."""
    with database.transaction() as connection:
        if within:
            add(database, 1)
            assert connection.execute("SELECT n FROM counter").fetchone() == (1,)
        else:
            connection.execute("UPDATE counter SET n = ?", (n,))
        raise Stop


def select(database: Database, statement: str) -> None:
    with database.transaction() as connection:
        connection.execute(statement)


def add_in_process(path: Path, times: int) -> None:
    add(Database(path, SCHEMA), times)


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path):
    """The next one would be a part of it, and what it writes would be gone with the process."""
    late = "REFERENCES counter (id) DEFERRABLE INITIALLY DEFERRED"
    schema = (
        "CREATE TABLE counter (n INTEGER NOT NULL, id INTEGER PRIMARY KEY)",
        "INSERT INTO counter VALUES (0, 1)",
        f"CREATE TABLE owed (id INTEGER {late})",
    )
    database = Database(tmp_path / "x.sqlite", schema)
    with pytest.raises(StateUnavailable, match="FOREIGN KEY"):
        select(database, "INSERT INTO owed VALUES (7)")
    add(database, 1)
    assert count(Database(tmp_path / "x.sqlite", schema)) == 1


def test_a_transaction_that_raises_leaves_nothing(tmp_path):
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with pytest.raises(Stop):
        fail_after(database)
    assert count(database) == 0


def test_no_update_of_threads_and_processes_is_lost(tmp_path):
    path = tmp_path / "deep" / "x.sqlite"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=add_in_process, args=(path, 25)) for _ in range(3)]
    for process in processes:
        process.start()
    database = Database(path, SCHEMA)
    threads = [threading.Thread(target=add, args=(database, 25)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.join()
    assert count(database) == 150


def test_what_a_transaction_within_did_is_undone_with_the_outer_one(tmp_path):
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with pytest.raises(Stop):
        fail_after(database, within=True)
    assert count(database) == 0


def test_a_transaction_within_that_fails_leaves_the_outer_one_alone(tmp_path):
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with database.transaction() as connection:
        connection.execute("UPDATE counter SET n = 5")
        with pytest.raises(Stop):
            fail_after(database)
    assert count(database) == 5


def test_a_forked_child_has_a_connection_of_its_own(tmp_path):
    path = tmp_path / "x.sqlite"
    script = """
import os, sys
from guardrails.database import Database
database = Database(sys.argv[1], sys.argv[2:])
def add():
    with database.transaction() as c:
        c.execute("UPDATE counter SET n = n + 1")
add()
child = os.fork()
if child == 0:
    add()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
add()
"""
    subprocess.run([sys.executable, "-c", script, path, *SCHEMA], check=True)
    assert count(Database(path, SCHEMA)) == 3


def count_elsewhere(path: Path) -> int:
    """What another process reads; it is the last to close the file, if none here holds a lock."""
    script = """
import sys
from guardrails.database import Database
database = Database(sys.argv[1], sys.argv[2:])
with database.read() as c:
    print(c.execute("SELECT n FROM counter").fetchone()[0])
database.close()
"""
    command = [sys.executable, "-c", script, str(path), *SCHEMA]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_second_one_of_the_same_file_takes_no_lock_away(tmp_path):
    path = tmp_path / "x.sqlite"
    first = Database(path, SCHEMA)
    add(first, 1)
    second = Database(path, SCHEMA)
    assert count(second) == 1
    assert count_elsewhere(path) == 1
    add(first, 1)
    assert count_elsewhere(path) == 2, "the first still writes where others read"
    second.close()
    assert count_elsewhere(path) == 2
    add(first, 1)
    assert count_elsewhere(path) == 3


def test_a_forked_child_writes_where_others_read_once_its_parent_is_gone(tmp_path):
    path = tmp_path / "x.sqlite"
    script = """
import os, subprocess, sys
from guardrails.database import Database
database = Database(sys.argv[1], sys.argv[2:])
def add():
    with database.transaction() as c:
        c.execute("UPDATE counter SET n = n + 1")
add()
ended, end = os.pipe()
if os.fork():
    os._exit(0)  # as a process that becomes a daemon does
add()
look = "import sys; from guardrails.database import Database as D; D(*sys.argv[1:2], sys.argv[2:])"
subprocess.run([sys.executable, "-c", look, *sys.argv[1:]], check=True)
add()
print("done")
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, path, *SCHEMA], check=True, capture_output=True, text=True
    )
    assert ran.stdout == "done\n"
    assert count_elsewhere(path) == 3


def test_a_child_that_was_forked_in_a_transaction_refuses(tmp_path):
    path = tmp_path / "x.sqlite"
    script = """
import os, sys
from guardrails.database import Database
from guardrails.errors import StateUnavailable
database = Database(sys.argv[1], sys.argv[2:])
with database.transaction() as c:
    c.execute("UPDATE counter SET n = 7")
    child = os.fork()
    if child == 0:
        try:
            with database.read():
                os._exit(1)
        except StateUnavailable:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", script, path, *SCHEMA], check=True)
    assert count_elsewhere(path) == 7


def test_forks_while_other_threads_write_hang_nobody(tmp_path):
    path = tmp_path / "x.sqlite"
    script = """
import os, sys, threading
from guardrails.database import Database
database = Database(sys.argv[1], sys.argv[2:])
stop = threading.Event()
def add():
    while not stop.is_set():
        with database.transaction() as c:
            c.execute("UPDATE counter SET n = n + 1")
threads = [threading.Thread(target=add) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(15):
    child = os.fork()
    if child == 0:
        with database.transaction() as c:
            c.execute("UPDATE counter SET n = n + 1")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads:
    thread.join()
"""
    subprocess.run([sys.executable, "-c", script, path, *SCHEMA], check=True, timeout=100)


def test_a_process_that_is_killed_in_a_transaction_changes_nothing(tmp_path):
    path = tmp_path / "x.sqlite"
    script = """
import os, signal, sys
from guardrails.database import Database
database = Database(sys.argv[1], sys.argv[2:])
with database.transaction() as c:
    c.execute("UPDATE counter SET n = 9")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", script, path, *SCHEMA], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert count(Database(path, SCHEMA)) == 0


def test_an_older_file_is_brought_up_to_date_and_a_newer_one_refused(tmp_path):
    path = tmp_path / "x.sqlite"
    Database(path, SCHEMA).close()
    newer = Database(path, (*SCHEMA, "ALTER TABLE counter ADD COLUMN why TEXT"))
    with newer.read() as connection:
        assert connection.execute("SELECT why FROM counter").fetchone() == (None,)
    with pytest.raises(StateUnavailable, match="made by a newer one"):
        Database(path, SCHEMA)


def test_the_file_is_its_users_alone(tmp_path):
    path = tmp_path / "made" / "x.sqlite"
    Database(path, SCHEMA).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o620)
    with pytest.raises(StateUnavailable, match="another user"):
        Database(path, SCHEMA)


@pytest.mark.parametrize("make", ["link", "directory", "garbage"])
def test_what_is_no_database_is_refused(tmp_path, make):
    path = tmp_path / "x.sqlite"
    if make == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif make == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"no database" * 100)
        path.chmod(0o600)
    with pytest.raises(StateUnavailable, match=r"cannot be used|no regular file"):
        Database(path, SCHEMA)


def _replace(path):
    other = path.with_name("other.sqlite")
    Database(other, SCHEMA).close()
    other.rename(path)


def _transaction(database):
    with database.transaction():
        pass


def _read(database):
    with database.read():
        pass


def _rows(database):
    database.rows("SELECT 1")


def _change(database):
    database.change("PRAGMA user_version = 1")


@pytest.mark.parametrize(
    "gone", [Path.unlink, _replace, lambda path: path.parent.rename(path.parent.with_name("b"))]
)
@pytest.mark.parametrize("use", [_transaction, _read, _rows, _change])
def test_a_file_that_is_gone_from_its_place_is_not_gone_on_with(tmp_path, gone, use):
    path = tmp_path / "a" / "x.sqlite"
    database = Database(path, SCHEMA)
    use(database)
    gone(path)
    for _ in range(2):
        with pytest.raises(StateUnavailable, match="deleted or replaced"):
            use(database)
    # Nor does it make a new one in the place of the one that it had, after a fork or before.
    database.before_fork()
    with pytest.raises(StateUnavailable, match="deleted or replaced"):
        use(database)
    database.close()
    use(Database(path, SCHEMA))


def test_a_closed_database_refuses(tmp_path):
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    database.close()
    database.close()
    with pytest.raises(StateUnavailable, match="is closed"), database.read():
        pass


def test_errors_of_sqlite_are_refusals(tmp_path):
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    with (
        pytest.raises(StateUnavailable, match="no such table") as caught,
        database.transaction() as c,
    ):
        c.execute("SELECT * FROM missing")
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    add(database, 1)  # it is still usable
    assert count(database) == 1
    assert os.getpid() == database._pid


def test_a_query_and_a_change_are_a_part_of_the_transaction_around_them(tmp_path):
    path = tmp_path / "x.sqlite"
    database = Database(path, SCHEMA)
    assert database.change("UPDATE counter SET n = ?", 3) == 1
    assert Database(path, SCHEMA).rows("SELECT n FROM counter") == [(3,)], "one of its own holds"

    def set_and_stop() -> None:
        with database.transaction():
            assert database.change("UPDATE counter SET n = n + ? WHERE n = ?", 1, 3) == 1
            assert database.change("UPDATE counter SET n = 0 WHERE n = ?", 3) == 0
            assert database.rows("SELECT n FROM counter WHERE n = ?", 4) == [(4,)]
            assert Database(path, SCHEMA).rows("SELECT n FROM counter") == [(3,)]
            raise Stop

    with pytest.raises(Stop):
        set_and_stop()
    assert database.rows("SELECT n FROM counter") == [(3,)]


def test_a_query_and_a_change_that_fail_are_refusals_and_leave_the_file_usable(tmp_path):
    database = Database(tmp_path / "x.sqlite", SCHEMA)
    for method in (database.rows, database.change):
        with pytest.raises(StateUnavailable, match="no such table") as caught:
            method("DELETE FROM missing")
        assert isinstance(caught.value.__cause__, sqlite3.Error)
    assert database.rows("SELECT n FROM counter") == [(0,)]
    database.close()
    for method in (database.rows, database.change):
        with pytest.raises(StateUnavailable, match="is closed"):
            method("SELECT n FROM counter")
