"""Budgets across real processes: exactly N of M, kill -9 at any point, recall, fork, hand-over."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.budgets.stand import CALL, SOAK, STEP, StillLedger, call, terms

from guardrails.errors import BudgetExceeded, ConfigError, RunClosed, StateUnavailable
from guardrails.model.budget import Budget, Charge, Usage
from guardrails.processes import SILENCE, Process
from guardrails.runs.ledgers.overview import Overview
from guardrails.runs.ledgers.sqlite import SqliteLedger
from guardrails.runs.windows import Calendar

SPENDER = Path(__file__).with_name("spender.py")
ENV = terms("env/prod", calls=120, usd="1")


class Nursery:
    """One process that has imported everything, and forks spenders."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, str(SPENDER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, said):
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="module")
def nursery():
    made = Nursery()
    yield made
    made.close()


class Spender:
    """One of its children."""

    def __init__(self, nursery, words):
        self.nursery = nursery
        self.result = Path(words["log"] + ".json")
        self.pid = nursery.ask(words)
        self.code = None

    def send(self, number):
        if self.code is None:
            os.kill(self.pid, number)

    def stop(self):
        """Stop it, and return once it has stopped."""
        self.send(signal.SIGSTOP)
        state = ["ps", "-o", "stat=", "-p", str(self.pid)]
        until = time.monotonic() + 60
        while not subprocess.run(state, capture_output=True, check=True).stdout.startswith(b"T"):
            assert time.monotonic() < until
            time.sleep(0.01)

    def wait(self):
        if self.code is None:
            self.code = self.nursery.ask(self.pid)
        return self.code

    def kill(self):
        self.send(signal.SIGKILL)
        self.wait()

    def finished(self):
        assert self.wait() == 0
        return json.loads(self.result.read_text())


class Machine:
    """Real processes that spend from one database, and what they did."""

    def __init__(self, folder, nursery=None):
        self.folder = folder
        self.path = folder / "budgets.sqlite"
        self.nursery = nursery
        self.started = []

    def start(self, name, **said):
        words = {
            "path": str(self.path),
            "log": str(self.folder / name),
            "run": name,
            "calls": 40,
            "cost": 1_000,
            "limits": [["env/prod", "day", {"calls": 120, "usd": "1"}]],
            "go": str(self.folder / "go"),
            **said,
        }
        spender = Spender(self.nursery, words)
        self.started.append(spender)
        return spender

    def go(self):
        (self.folder / "go").touch()

    def executed(self):
        """Calls whose effect happened, and how many of them reported an overrun."""
        logs = [each.read_bytes() for each in self.folder.glob("r?")]
        return sum(log.count(b"x") for log in logs), sum(log.count(b"o") for log in logs)

    def stand(self):
        overview = Overview(self.path, [ENV], Calendar())
        found = overview.stands(time.time_ns())[0]
        overview.close()
        return found

    def end(self):
        for spender in self.started:
            if spender.code is None:
                spender.kill()


@pytest.fixture
def machine(tmp_path, nursery):
    made = Machine(tmp_path, nursery)
    yield made
    made.end()


@pytest.mark.parametrize("settings", [{"lease": 1}, {"lease": 20, "patience": 3}])
def test_eight_processes_start_exactly_as_many_calls_as_fit(machine, settings):
    processes = [machine.start(f"r{number}", calls=25, **settings) for number in range(8)]
    machine.go()
    results = [process.finished() for process in processes]
    assert sum(result["done"] for result in results) == 120
    assert machine.executed() == (120, 0)
    stand = machine.stand()
    assert (stand.spent, stand.taken, stand.crashed) == ((120_000, 0, 120), (0, 0, 0), (0, 0, 0))


@pytest.mark.soak
@pytest.mark.timeout(3000)
def test_processes_that_are_killed_at_any_point_overspend_nothing(tmp_path, nursery):
    chance = random.Random("kill")
    for number in range(200 if SOAK else 10):
        folder = tmp_path / str(number)
        folder.mkdir()
        one_campaign(Machine(folder, nursery), random.Random(chance.random()))


def one_campaign(machine, chance):
    on_crash = "charge"
    overrun = chance.choice([0, 700])
    words = {
        "lease": chance.choice([1, 3, 20, 100]),
        "on_crash": on_crash,
        "overrun": overrun,
        "pause": chance.choice([0, 0.002]),
        "cost": chance.choice([1_000, 12_000]),
    }
    try:
        processes = [machine.start(f"r{number}", calls=60, **words) for number in range(3)]
        machine.go()
        for process in chance.sample(processes, 2):
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
        again = [machine.start(f"r{number}", calls=60, **words) for number in (7, 8)]
        for process in (*processes, *again):
            process.wait()
        last = machine.start("r9", calls=130, patience=0, **words)
        last.finished()
    finally:
        machine.end()
    executed, overruns = machine.executed()
    stand = machine.stand()
    assert executed <= 120
    # A killed process may have reported its overrun to nobody.
    assert executed * words["cost"] + 0 <= 1_000_000 + overruns * overrun
    assert executed <= stand.spent[2] <= 120
    assert stand.spent[0] + overruns * overrun >= executed * words["cost"]
    assert (stand.taken, stand.crashed) == ((0, 0, 0), (0, 0, 0)), "whoever came last has swept"


def test_what_an_idle_process_has_is_called_back_when_others_need_it(machine):
    idle = machine.start("r1", calls=1, stays=True, lease=100)
    machine.go()
    until = time.monotonic() + 60
    while not machine.path.exists() or machine.stand().taken[2] + machine.stand().spent[2] < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    result = machine.start("r2", calls=119, lease=100, patience=60).finished()
    assert result["done"] == 119
    os.kill(idle.pid, 0)


def test_a_slow_process_is_not_robbed_and_a_dead_one_is_charged(machine):
    slow = machine.start("r1", calls=1, stays=True, lease=10)
    machine.go()
    until = time.monotonic() + 60
    while not machine.path.exists() or machine.stand().taken[2] < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
    slow.stop()
    taken = None
    while taken is None:
        try:
            taken = machine.stand().taken[2]
        except StateUnavailable:  # it was stopped while it held the lock for writing
            slow.send(signal.SIGCONT)
            time.sleep(0.1)
            slow.stop()
    unreported = 1 - machine.stand().spent[2]
    assert machine.start("r2", calls=130, lease=1).finished()["done"] == 120 - taken - (
        1 - unreported
    )
    assert machine.stand().taken[2] == taken, "it still has it"
    slow.kill()
    assert machine.start("r3", calls=5, lease=1).finished()["done"] == 0
    stand = machine.stand()
    assert stand.taken == stand.crashed == (0, 0, 0)
    assert stand.spent[2] == 120, "what it had taken counts as spent"


def test_by_configuration_what_a_dead_process_had_taken_is_released(machine):
    dead = machine.start("r1", calls=1, stays=True, lease=10, on_crash="release")
    machine.go()
    until = time.monotonic() + 60
    while not machine.path.exists() or machine.stand().taken[2] < 5:
        assert time.monotonic() < until
        time.sleep(0.05)
    dead.kill()
    spent = machine.stand().spent[2]
    assert (
        machine.start("r2", calls=130, lease=1, on_crash="release").finished()["done"]
        == 120 - spent
    )


# ------------------------------------------------------------------------------- who is who


def test_a_process_is_told_from_a_later_one_of_its_number():
    here = Process.current()
    assert here.is_alive(0, 10**30), "what can be looked up needs no sign of life"
    assert not here._replace(started="1").is_alive(10**30, 10**30)
    assert not here._replace(boot="another").is_alive(10**30, 10**30)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    pid = gone.pid
    gone.wait()
    assert not here._replace(pid=pid).is_alive(10**30, 10**30)


def test_a_process_that_cannot_be_looked_up_lives_while_it_gives_signs_of_life():
    other = Process.current()._replace(namespace="pid:[1]", pid=1)
    assert other.is_alive(1000, 1000 + SILENCE - 1)
    assert not other.is_alive(1000, 1000 + SILENCE)
    nothing_told = Process(os.getpid(), "", Process.current().boot, Process.current().namespace)
    assert nothing_told.is_alive(1000, 1001)


# ------------------------------------------------------------------------------- runs in several


def ledger_at(folder, **words):
    return StillLedger(folder / "budgets.sqlite", **words)


def test_a_run_that_is_shared_is_spent_from_by_both(tmp_path):
    one, other = ledger_at(tmp_path), ledger_at(tmp_path)
    one.open_run("p", parent_id=None, budget=Budget(calls=30), terms=(ENV,))
    one.open_run("r", parent_id="p", budget=Budget(calls=20))
    assert sum(call(one, "r") for _ in range(4)) == 4
    with pytest.raises(RunClosed, match="no run `r` is shared here: it has ended"):
        other.join_run("r", nonces=("a", "b"))
    hold = one.reserve("r", "t", CALL, None)
    other.join_run("r", nonces=one.share_run("r"))
    done = 0
    for _ in range(30):
        done += call(other, "r") + call(one, "r", tool="pay", limits=Budget(calls=3))
    one.settle(hold, STEP)
    for _ in range(30):  # each gives back what it does not need, until nothing is left
        for ledger in (one, other):
            ledger._next_report = 0.0
            ledger.renew(1e9)
            done += call(ledger, "r")
    assert done == 15
    assert call(one, "p") == 1, "the parent has ten more"
    one.close_run("r")
    one._next_report = 0.0
    one.renew(1e9)
    call_if_open(other, "r")
    other._next_report = 0.0
    other.renew(1e9)
    with pytest.raises(RunClosed):
        other.reserve("r", "t", CALL, None)
    one.close()
    other.close()


@pytest.mark.parametrize("in_flight", [False, True])
def test_a_run_that_was_left_is_joined_again_with_all_that_is_still_to_count(tmp_path, in_flight):
    one, other = ledger_at(tmp_path, lease=1), ledger_at(tmp_path, lease=1)
    one.open_run("p", parent_id=None, budget=Budget(calls=30))
    one.open_run("r", parent_id="p", budget=Budget(calls=4))
    nonces = one.share_run("r")
    limit = Budget(calls=3)
    other.join_run("r", nonces=nonces)
    hold = other.reserve("r", "pay", CALL, limit)
    if not in_flight:
        other.settle(hold, STEP)
    other.leave_run("r")
    other.join_run("r", nonces=nonces)
    if in_flight:
        other.settle(hold, STEP)
    assert [call(other, "r", tool="pay", limits=limit) for _ in range(4)] == [1, 1, 0, 0]
    assert [call(other, "r") for _ in range(3)] == [1, 0, 0]
    assert other.spent("r") == one.spent("r") == Usage(calls=4)
    one.close()
    other.close()


def test_a_run_is_left_when_the_last_who_joined_it_leaves(tmp_path):
    one, other = ledger_at(tmp_path), ledger_at(tmp_path)
    one.open_run("p", parent_id=None, budget=Budget(calls=30))
    one.open_run("r", parent_id="p", budget=Budget(calls=30))
    nonces = one.share_run("r")
    other.join_run("r", nonces=nonces)
    other.join_run("r", nonces=nonces)
    other.join_run("p", nonces=nonces[:1])
    other.leave_run("r")
    assert call(other, "r") == 1, "somebody else has joined it, too"
    other.leave_run("p")
    assert call(other, "r") == 1, "its parent was joined with it"
    other.leave_run("r")
    for run_id in ("r", "p"):
        with pytest.raises(RunClosed):
            other.reserve(run_id, "t", CALL, None)
    assert not other._open
    assert not other._joins
    one.join_run("r", nonces=nonces)
    one.leave_run("r")
    one.leave_run("r")
    assert call(one, "r") == 1, "where it was opened it goes on"
    one.close()
    other.close()


def test_what_one_opening_of_a_run_was_shared_with_does_not_join_the_next(tmp_path):
    one, other = ledger_at(tmp_path), ledger_at(tmp_path)

    def opened():
        one.open_run("p", parent_id=None, budget=Budget(calls=30), named=True)
        one.open_run("r", parent_id="p", budget=Budget(calls=30), named=True)
        return one.share_run("r")

    old = opened()
    assert one.share_run("r") == old, "of one opening it stays the same"
    other.join_run("r", nonces=old)
    one.close_run("r")
    one.close_run("p")
    new = opened()
    assert not set(old) & set(new)
    for wrong in (old, (new[0], old[1]), (old[0], new[1]), new[1:], (*new, new[1]), (), ("", "")):
        with pytest.raises(RunClosed, match="has its id now"):
            other.join_run("r", nonces=wrong)
    with pytest.raises(RunClosed, match="not been left"):
        other.join_run("r", nonces=new)
    other.leave_run("r")
    other.join_run("r", nonces=new)
    assert call(other, "r") == 1
    one.close()
    other.close()


def test_who_joined_one_opening_of_a_run_spends_nothing_of_the_next(tmp_path):
    one, other = ledger_at(tmp_path, lease=4), ledger_at(tmp_path, lease=4)
    one.open_run("r", parent_id=None, budget=Budget(calls=30), named=True)
    other.join_run("r", nonces=one.share_run("r"))
    one.close_run("r")
    one.open_run("r", parent_id=None, budget=Budget(calls=30), named=True)
    for tool, limits in (("t", None), ("pay", Budget(calls=9))):
        with pytest.raises((RunClosed, BudgetExceeded)):
            other.reserve("r", tool, CALL, limits)
    with pytest.raises(RunClosed):
        other.reserve("r", "t", CALL, None)
    assert sum(call(one, "r") for _ in range(40)) == 30
    one.close()
    other.close()


def call_if_open(ledger, run_id):
    with contextlib.suppress(RunClosed):
        call(ledger, run_id)


def test_a_tools_limit_holds_in_all_processes_of_a_shared_run(tmp_path):
    one, other = ledger_at(tmp_path, lease=1), ledger_at(tmp_path, lease=1)
    one.open_run("r", parent_id=None, budget=Budget(calls=100))
    other.join_run("r", nonces=one.share_run("r"))
    limit = Budget(calls=5)
    done = sum(call(each, "r", tool="pay", limits=limit) for _ in range(6) for each in (one, other))
    assert done == 5
    one.close()
    other.close()


@pytest.mark.parametrize("on_crash", ["charge", "release"])
def test_a_named_run_goes_on_after_a_crash_with_what_it_had_spent(tmp_path, on_crash):
    script = f"""
import os
from guardrails.model.budget import Budget, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.sqlite import SqliteLedger
ledger = SqliteLedger({str(tmp_path / "budgets.sqlite")!r}, lease=4, on_crash={on_crash!r})
ledger.open_run("job-7", parent_id=None, budget=Budget(calls=20), named=True)
for _ in range(6):
    ledger.settle(ledger.reserve("job-7", "t", Usage(calls=1), None), Step("t", "r", "allow", "ok"))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    ledger = ledger_at(tmp_path, on_crash=on_crash)
    ledger.open_run("job-7", parent_id=None, budget=Budget(calls=20), named=True)
    done = sum(call(ledger, "job-7") for _ in range(30))
    assert 20 - 6 - 4 <= done <= 20 - 6, "what it had taken of its own budget is charged, too"
    other = ledger_at(tmp_path)
    with pytest.raises(ConfigError, match="open in another process"):
        other.open_run("job-7", parent_id=None, budget=Budget(calls=20), named=True)
    ledger.close_run("job-7")
    ledger.open_run("job-7", parent_id=None, budget=Budget(calls=20), named=True)
    assert sum(call(ledger, "job-7") for _ in range(30)) == 20, "a closed run begins anew"
    ledger.close()
    other.close()


def test_an_unnamed_run_goes_on_with_what_was_written_down(tmp_path):
    dead = ledger_at(tmp_path)
    dead.open_run("r", parent_id=None, budget=Budget(calls=20))
    assert sum(call(dead, "r") for _ in range(6)) == 6
    dead.reserve("r", "t", CALL, None)
    dead.renew(1e9)
    with dead._exchange.database.transaction() as connection:
        connection.execute("UPDATE holder SET started = 'gone'")
    ledger = ledger_at(tmp_path)
    ledger.open_run("r", parent_id=None, budget=Budget(calls=20), named=True)
    assert sum(call(ledger, "r") for _ in range(30)) == 20 - 6 - 1
    ledger.close()
    dead._closed = True
    dead._exchange.database.close()


def test_a_forked_child_spends_from_the_same_run_and_takes_for_itself(tmp_path):
    script = f"""
import os, sys
from guardrails.errors import BudgetExceeded
from guardrails.model.account import Terms, Window
from guardrails.model.budget import Budget, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.sqlite import SqliteLedger
ledger = SqliteLedger({str(tmp_path / "budgets.sqlite")!r}, lease=1)
ledger.open_run("r", parent_id=None, budget=Budget(calls=30),
    terms=(Terms("env/prod", Window.DAY, Budget(calls=200)),))
def call():
    try:
        hold = ledger.reserve("r", "t", Usage(calls=1), None)
    except BudgetExceeded:
        return 0
    ledger.settle(hold, Step("t", "r", "allow", "ok"))
    return 1
assert sum(call() for _ in range(5)) == 5
mine = ledger.reserve("r", "t", Usage(calls=1), None)
read, write = os.pipe()
child = os.fork()
if child == 0:
    ledger.settle(mine, Step("t", "r", "allow", "ok"))  # the parent's to settle: counts once
    done = sum(call() for _ in range(40))
    ledger.close()
    os.write(write, str(done).encode())
    os._exit(0)
ledger.settle(mine, Step("t", "r", "allow", "ok"))
done = sum(call() for _ in range(40))
os.waitpid(child, 0)
theirs = int(os.read(read, 10))
assert done + theirs == 24, (done, theirs)
ledger.close()
"""
    result = subprocess.run(
        [sys.executable, "-c", script], check=False, timeout=100, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    overview = Overview(tmp_path / "budgets.sqlite", [terms("env/prod", calls=200)], Calendar())
    assert overview.stands(time.time_ns())[0].spent[2] == 30
    overview.close()


def test_a_forked_child_cannot_spend_from_a_run_in_memory():
    script = """
import os
from guardrails.errors import StateUnavailable
from guardrails.model.budget import Budget, Usage
from guardrails.runs.ledgers.memory import MemoryLedger
ledger = MemoryLedger()
ledger.open_run("r", parent_id=None, budget=Budget(calls=100))
for _ in range(3):
    ledger.reserve("r", "t", Usage(calls=1), None)
child = os.fork()
if child == 0:
    try:
        ledger.reserve("r", "t", Usage(calls=1), None)
    except StateUnavailable as error:
        ledger.open_run("own", parent_id=None, budget=Budget(calls=1))
        ledger.reserve("own", "t", Usage(calls=1), None)
        os._exit(7 if "belongs to the process" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
ledger.reserve("r", "t", Usage(calls=1), None)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


WORKERS = """
import multiprocessing, sys
from guardrails.model.account import Terms, Window
from guardrails.model.budget import Budget, Usage
from guardrails.model.call import Step
from guardrails.runs.ledgers.sqlite import SqliteLedger

ledger = SqliteLedger(sys.argv[2])

def work(name):
    ledger.open_run(name, parent_id=None, budget=Budget(),
        terms=(Terms("env/prod", Window.DAY, Budget(usd="1", calls=120)),))
    hold = ledger.reserve(name, "t", Usage(1_000, 0, 1), None)
    ledger.settle(hold, Step("t", "r", "allow", "ok"))

if __name__ == "__main__":
    if len(sys.argv) > 3:
        work("mine")
    context = multiprocessing.get_context(sys.argv[1])
    workers = [context.Process(target=work, args=(f"r{n}",)) for n in range(3)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    sys.exit(max(each.exitcode for each in workers))
"""


@pytest.mark.parametrize("used_before", [False, True])
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_multiprocessing_give_back_what_they_had_taken(tmp_path, method, used_before):
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    words = [sys.executable, script, method, tmp_path / "budgets.sqlite"]
    subprocess.run([*words, "used"] if used_before else words, check=True, timeout=100)
    calls = 4 if used_before else 3
    overview = Overview(tmp_path / "budgets.sqlite", [ENV], Calendar())
    stand = overview.stands(time.time_ns())[0]
    history = overview.history()
    overview.close()
    assert (stand.spent, stand.taken) == ((calls * 1_000, 0, calls), (0, 0, 0))
    assert (stand.crashed, history) == ((0, 0, 0), [])


# ------------------------------------------------------------------------------- faults


def test_a_database_that_cannot_be_used_refuses_and_loses_nothing(tmp_path):
    ledger = ledger_at(tmp_path, lease=2)
    ledger.open_run("r", parent_id=None, budget=Budget(), terms=(ENV,))
    assert sum(call(ledger, "r") for _ in range(4)) == 4
    database = ledger._exchange.database
    real, database.transaction = database.transaction, broken
    with pytest.raises(StateUnavailable):
        sum(call(ledger, "r") for _ in range(4))
    database.transaction = real
    assert sum(call(ledger, "r") for _ in range(130)) >= 114
    ledger.close()
    machine = Machine(tmp_path)
    assert machine.stand().spent[2] == 120


def broken():
    raise StateUnavailable("the disk is gone")


def test_a_closed_ledger_refuses(tmp_path):
    ledger = ledger_at(tmp_path)
    ledger.open_run("r", parent_id=None, budget=Budget(), terms=(ENV,))
    assert call(ledger, "r") == 1
    ledger.close()
    ledger.close()
    with pytest.raises(StateUnavailable, match="is closed"):
        call(ledger, "r")
    with pytest.raises(StateUnavailable, match="is closed"):
        ledger.open_run("s", parent_id=None, budget=Budget())


def test_an_overrun_in_one_process_stops_the_others(tmp_path):
    one, other = ledger_at(tmp_path, lease=1), ledger_at(tmp_path, lease=1)
    for ledger in (one, other):
        ledger.open_run(f"r{id(ledger)}", parent_id=None, budget=Budget(), terms=(ENV,))
    hold = one.reserve(f"r{id(one)}", "t", Usage(1_000, 0, 1), None)
    one.charge(hold, Charge(micro_usd=2_500_000))
    one.settle(hold, STEP)
    one._next_report = 0.0
    one.renew(1e9)
    with pytest.raises(BudgetExceeded, match=r"-\$1.50 left of \$1.00 a day: \$2.50 spent"):
        other.reserve(f"r{id(other)}", "t", CALL, None)
    one.close()
    other.close()


def test_threads_report_and_give_back_while_calls_go_on(tmp_path):
    ledger = SqliteLedger(tmp_path / "budgets.sqlite", lease=5)
    ledger.open_run("r", parent_id=None, budget=Budget(), terms=(ENV,))
    until = time.monotonic() + 60
    done = call(ledger, "r")
    machine = Machine(tmp_path)
    while machine.stand().spent[2] < done:
        assert time.monotonic() < until
        time.sleep(0.05)
    ledger.close()
    assert machine.stand().taken == (0, 0, 0)


def test_a_run_opened_again_while_its_end_is_being_reported_is_open(tmp_path):
    with contextlib.closing(SqliteLedger(tmp_path / "budgets.sqlite", lease=5)) as ledger:
        budget = Budget(calls=10)

        def reopen():
            ledger.open_run("r", parent_id=None, budget=budget, named=True)

        reopen()
        ended = ledger._known["r"]
        ledger.close_run("r")
        exchange = ledger._exchange.exchange
        opening = threading.Thread(target=reopen)

        def meanwhile(reports, **words):
            ledger._exchange.exchange = exchange
            opening.start()
            while ledger._known.get("r") in {None, ended}:
                time.sleep(0.001)
            return exchange(reports, **words)

        ledger._exchange.exchange = meanwhile
        ledger._say_all(0.0, everything=True)
        opening.join()
        assert not ledger._known["r"].closed
