"""A machine's kill switch when something dies, goes missing, or happens in the middle.

The law of all of these: a kill that returned holds, and what cannot be read refuses.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import timeit
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails import database
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.model.kill import Kill, Scope, Subject
from guardrails.runs import kill_watcher
from guardrails.runs.inflight import InFlight
from guardrails.runs.kill import MemoryKillSwitch
from guardrails.runs.kill_facts import kill_facts
from guardrails.runs.kill_page import SIZE, KillPage
from guardrails.runs.kill_shared import SharedKillSwitch
from guardrails.runs.kill_store import NOTICE, KillStore

CALL = Subject(("a", "b"), "billing", "3", "prod", "refund")


class HandClock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def switch(tmp_path, clock):
    with closing(SharedKillSwitch(tmp_path, monotonic=clock)) as made:
        yield made


@pytest.fixture
def other(tmp_path, switch, clock):
    """What another process has: a mapping and a connection of its own."""
    with closing(SharedKillSwitch(tmp_path, monotonic=clock)) as made:
        yield made


def kill(switch, target, reason="enough"):
    return switch.kill(Scope.parse(target), reason=reason, by="op")


def number(switch):
    return switch.store.page.number


# ------------------------------------------------------------------------------- dying half-way

DIE = """
import os, signal, sys
from guardrails.model.kill import Scope
from guardrails.runs.kill_page import KillPage
from guardrails.runs.kill_shared import SharedKillSwitch

switch = SharedKillSwitch(sys.argv[1])
step = sys.argv[2]
store, stored = KillPage.store, 0

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def dying(self, number):
    global stored
    stored += 1
    if (stored, step) in ((1, "before odd"), (2, "committed")):
        die()
    store(self, number)
    if (stored, step) in ((1, "odd"), (2, "even")):
        die()

KillPage.store = dying

def traced(statement):
    if step == "before commit" and statement.startswith("COMMIT") and stored == 1:
        die()

switch.store.database._connection.set_trace_callback(traced)
switch.kill(Scope.parse("agent/billing"), reason="enough", by="op")
"""


@pytest.mark.parametrize("step", ["before odd", "odd", "before commit", "committed", "even"])
def test_a_killer_that_dies_half_way_leaves_a_kill_that_holds_or_none(tmp_path, switch, step):
    assert switch.find(CALL) is None
    died = subprocess.run([sys.executable, "-c", DIE, str(tmp_path), step], check=False)
    assert died.returncode == -signal.SIGKILL
    # Before anybody else touched it: an odd number is there exactly where a change was begun.
    assert number(switch) % 2 == (step in ("odd", "before commit", "committed"))
    holds = step in ("committed", "even")
    found = switch.find(CALL)
    assert (found is not None) is holds
    # Whoever looked has also put the number right, and the next change is seen as any other.
    assert number(switch) % 2 == 0
    before = switch.generation
    kill(switch, "all")
    assert switch.generation > before
    assert switch.find(CALL) is not None


def test_an_odd_number_is_remembered_by_nobody(switch, other):
    assert switch.find(CALL) is None
    with other.store.database.transaction() as connection:  # as a killer that hangs
        other.store.page.store(number(other) + 1)
        seen = [switch.generation for _ in range(3)]
        assert len(set(seen)) == 3
        assert switch.find(CALL) is None
        connection.execute(
            "INSERT INTO acts VALUES (?, 'kill', 'all', '', 'r', 'op', 0, 0)", (number(other) + 1,)
        )
    assert number(switch) % 2
    assert switch.find(CALL) is not None


def test_a_number_that_lost_its_last_change_is_put_right_at_the_start(tmp_path):
    with closing(SharedKillSwitch(tmp_path)) as first:
        made = kill(first, "all")
        first.store.page.store(made.generation - 2)  # as after a power cut
    with closing(SharedKillSwitch(tmp_path)) as second:
        assert number(second) >= made.generation
        assert second.find(CALL) is not None
        assert kill(second, "run/x").generation > made.generation


# ------------------------------------------------------------------------------- what goes missing


def replace_page(path):
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def resize_page(path):
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize(
    ("name", "harm", "says"),
    [
        ("kill.page", lambda path: path.unlink(), "it was deleted"),
        ("kill.page", replace_page, "was replaced"),
        ("kill.page", resize_page, "it was damaged"),
        ("kill.page", lambda path: path.chmod(0o620), "may be written by others"),
        ("kill.sqlite", lambda path: path.unlink(), "is not there"),
        ("kill.sqlite", replace_page, "was replaced"),
    ],
)
def test_what_goes_missing_under_a_process_refuses_in_time(  # noqa: PLR0913, PLR0917  # as above
    tmp_path, switch, clock, name, harm, says
):
    assert switch.find(CALL) is None
    harm(tmp_path / name)
    clock.seconds += NOTICE
    for _ in range(2):
        with pytest.raises(StateUnavailable, match=says):
            switch.find(CALL)
        with pytest.raises(StateUnavailable, match=says):
            _ = switch.generation
    with pytest.raises(StateUnavailable, match=f"{says}|was deleted or replaced"):
        kill(switch, "all")


def test_a_page_that_belongs_to_another_user_refuses(tmp_path, switch, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StateUnavailable, match="belongs to another user"):
        KillPage(tmp_path / "kill.page")


def test_a_directory_that_others_may_write_to_refuses(tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o775)
    with pytest.raises(StateUnavailable, match=r"state directory .* another user"):
        SharedKillSwitch(state)


@pytest.mark.parametrize("where", [0, 8, 12, 28, 36])
def test_a_page_of_garbage_refuses(tmp_path, where):
    with closing(SharedKillSwitch(tmp_path)):
        pass
    page = tmp_path / "kill.page"
    with page.open("r+b") as file:
        file.seek(where)
        file.write(b"\xff\xfe")
    with pytest.raises(StateUnavailable, match="kill page"):
        SharedKillSwitch(tmp_path)
    assert page.read_bytes()[where : where + 2] == b"\xff\xfe", "it is left for people to see"


@pytest.mark.parametrize("content", [b"", b"x" * SIZE, b"\0" * SIZE])
def test_a_file_that_is_no_page_refuses(tmp_path, content):
    with closing(SharedKillSwitch(tmp_path)):
        pass
    (tmp_path / "kill.page").write_bytes(content)
    with pytest.raises(StateUnavailable, match="kill page"):
        SharedKillSwitch(tmp_path)


def test_a_page_of_another_table_refuses(tmp_path):
    for name in ("one", "two"):
        with closing(SharedKillSwitch(tmp_path / name)):
            pass
    shutil.copy(tmp_path / "one" / "kill.page", tmp_path / "two" / "kill.page")
    with pytest.raises(StateUnavailable, match="belongs to another table"):
        SharedKillSwitch(tmp_path / "two")


def test_a_table_that_was_deleted_is_not_begun_anew_beside_its_page(tmp_path):
    with closing(SharedKillSwitch(tmp_path)) as first:
        kill(first, "all")
    for file in tmp_path.glob("kill.sqlite*"):
        file.unlink()
    for _ in range(2):
        with pytest.raises(StateUnavailable, match="what was killed is forgotten"):
            SharedKillSwitch(tmp_path)


def test_a_page_that_was_deleted_is_made_anew_once_the_old_one_s_users_have_noticed(tmp_path):
    with closing(SharedKillSwitch(tmp_path)) as old:
        kill(old, "agent/other")
        assert old.find(CALL) is None
        (tmp_path / "kill.page").unlink()
        with closing(SharedKillSwitch(tmp_path)) as new:
            assert [str(one.scope) for one in new.active()] == ["agent/other"]
            kill(new, "all")
            # The old mapping never hears of it, so it must have stopped answering by now.
            with pytest.raises(StateUnavailable, match="was replaced"):
                old.find(CALL)


def test_a_table_that_went_back_in_time_refuses(tmp_path, switch, clock):
    kill(switch, "agent/one")
    kept = (tmp_path / "kill.sqlite").stat().st_ino
    kill(switch, "agent/two")
    with sqlite3.connect(tmp_path / "kill.sqlite") as connection:
        connection.execute("DELETE FROM acts WHERE name = 'two'")
    connection.close()
    assert (tmp_path / "kill.sqlite").stat().st_ino == kept
    switch._doubt()
    switch.store.page.store(number(switch) + 2)
    with pytest.raises(StateUnavailable, match="has lost acts"):
        switch.find(CALL)


def test_a_table_of_garbage_refuses(tmp_path):
    with closing(SharedKillSwitch(tmp_path)):
        pass
    for file in tmp_path.glob("kill.sqlite*"):
        file.unlink()
    (tmp_path / "kill.sqlite").write_bytes(b"no database" * 999)
    (tmp_path / "kill.sqlite").chmod(0o600)
    with pytest.raises(StateUnavailable, match="cannot be used"):
        SharedKillSwitch(tmp_path)


def test_a_kill_that_cannot_be_written_says_so_and_holds_here(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "WAIT", 0.05)
    heard: list[Kill] = []
    with (
        closing(SharedKillSwitch(tmp_path)) as switch,
        closing(SharedKillSwitch(tmp_path)) as other,
        closing(sqlite3.connect(tmp_path / "kill.sqlite")) as blocker,
    ):
        switch.subscribe(heard.append, here=True)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateUnavailable, match="locked"):
            kill(switch, "agent/billing")
        assert [str(one.scope) for one in heard] == ["agent/billing"]
        assert switch.find(CALL) is not None
        assert switch.find(CALL._replace(agent="x")) is None
        assert other.find(CALL) is None
        blocker.execute("ROLLBACK")
        kill(switch, "agent/billing")
        assert other.find(CALL) is not None
        switch.resume(Scope.parse("agent/billing"), reason="fixed", by="op")
        assert switch.find(CALL) is other.find(CALL) is None


def test_a_reader_does_not_wait_for_a_writer(tmp_path, switch, other):
    with closing(sqlite3.connect(tmp_path / "kill.sqlite")) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        switch.store.page.store(number(switch) + 1)
        began = time.monotonic()
        assert other.find(CALL) is None
        assert time.monotonic() - began < database.WAIT / 2


def test_who_maps_a_page_that_is_truncated_ends_and_does_not_go_on(tmp_path):
    script = """
import os, sys
from guardrails.runs.kill_shared import SharedKillSwitch
switch = SharedKillSwitch(sys.argv[1])
os.truncate(sys.argv[1] + "/kill.page", 0)
switch.generation
"""
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGBUS


def test_the_page_is_written_in_place_and_is_its_users_alone(tmp_path, switch):
    page = tmp_path / "kill.page"
    before = page.stat()
    for turn in range(3):
        kill(switch, f"run/{turn}")
    after = page.stat()
    assert (after.st_ino, after.st_size, after.st_mode & 0o777) == (before.st_ino, SIZE, 0o600)
    assert before.st_blocks * 512 >= SIZE, "no hole that a full disk could not fill"


def test_no_mix_of_the_halves_of_two_numbers_is_ever_stored_later():
    """The page's claim about torn reads, for numbers that follow each other."""
    half = 2**32
    rng = random.Random(7)
    numbers = [rng.randrange(2**52) & ~1 for _ in range(200)]
    numbers += [high * half + low for high in (0, 1, 9) for low in (0, 2, half - 4, half - 2)]
    for even in numbers:
        for old, new in ((even, even + 1), (even + 1, even + 2), (even + 1, even + 3)):
            for torn in (
                old // half * half + new % half,
                new // half * half + old % half,
            ):
                assert torn in (old, new) or torn % 2 or torn < old


# ------------------------------------------------------------------------------- in the middle


@pytest.mark.parametrize("inside", ["store", "acts", "check_places"])
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_kill_by_a_signal_handler_in_the_middle_of_a_change_holds(  # noqa: PLR0913, PLR0917  # as above
    tmp_path, switch, other, monkeypatch, inside, ends
):
    owner = KillPage if inside == "store" else KillStore
    was = getattr(owner, inside)
    hits: list[Kill] = []

    def interrupted(self, *words):
        if not hits:
            hits.append(kill(switch, "run/b", "by the handler"))
            if ends == "badly":
                raise KeyboardInterrupt
        return was(self, *words)

    monkeypatch.setattr(owner, inside, interrupted)
    if ends == "badly":
        with pytest.raises(KeyboardInterrupt):
            kill(switch, "agent/x")
    else:
        kill(switch, "agent/x")
    assert hits
    for each in (switch, other):
        assert each.find(CALL).reason == "by the handler"
    expected = {"run/b"} if ends == "badly" and inside != "acts" else {"run/b", "agent/x"}
    assert {str(one.scope) for one in other.active()} == expected
    assert number(switch) % 2 == 0


def test_kills_by_real_signals_hold(switch, other):
    made: list[str] = []

    def handler(_signal, _frame):
        made.append(f"run/h{len(made)}")
        kill(switch, made[-1])

    before = signal.signal(signal.SIGALRM, handler)
    try:
        for turn in range(60):
            signal.setitimer(signal.ITIMER_REAL, 0.0001 * (turn + 1))
            kill(switch, "agent/x")
            switch.find(CALL)
            switch.resume(Scope.parse("agent/x"), reason="fixed", by="op")
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert made
    assert {str(one.scope) for one in other.active()} == set(made)


def test_a_fork_while_the_thread_looks_leaves_a_child_that_works(tmp_path):
    script = """
import os, sys, threading
from guardrails.model.kill import Scope, Subject
from guardrails.runs.inflight import InFlight
from guardrails.runs.kill_shared import SharedKillSwitch

switch = SharedKillSwitch(sys.argv[1])
work = InFlight(switch)
subject = Subject(("r",), "x", "1", "prod", "t")
stop = threading.Event()

def busy():  # the thread and this one use table and page all the time
    other = SharedKillSwitch(sys.argv[1])
    n = 0
    while not stop.is_set():
        other.kill(Scope("run", f"n{n}"), reason="r", by="op")
        switch.find(subject)
        n += 1

with work.watch((subject,), lambda kill: None):
    thread = threading.Thread(target=busy, daemon=True)
    thread.start()
    for turn in range(25):
        child = os.fork()
        if child == 0:
            assert not switch.is_watching and not len(work)
            switch.kill(Scope("run", f"child{turn}"), reason="r", by="op")
            assert switch.find(subject) is None
            with work.watch((subject,), lambda kill: None):
                assert switch.is_watching
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    thread.join()
killed = {str(one.scope) for one in switch.active()}
assert {f"run/child{turn}" for turn in range(25)} <= killed
"""
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)], check=True, timeout=100
    )


def test_the_thread_ends_when_nothing_is_in_flight_and_begins_again(switch, monkeypatch):
    monkeypatch.setattr(kill_watcher, "LINGER", 0.02)
    work = InFlight(switch)
    for _ in range(2):
        assert not switch.is_watching
        with work.watch((CALL,), lambda _: None):
            assert switch.is_watching
        until = time.monotonic() + 10
        while threading.active_count() > 1 and time.monotonic() < until:
            time.sleep(0.01)
    assert not switch.is_watching
    assert switch.answers.looking() == {}


def test_a_call_hears_of_kills_elsewhere_after_it_began_and_of_no_others(switch, other):
    work = InFlight(switch)
    with work.watch((CALL._replace(agent="x"),), lambda _: None):  # there is a thread
        kill(other, "agent/billing", "before")
        other.resume(Scope.parse("agent/billing"), reason="fixed", by="op")
        heard: list[str] = []
        with work.watch((CALL,), lambda made: heard.append(made.reason)):
            kill(other, "tool/search", "not this")
            kill(other, "run/a", "after")
            until = time.monotonic() + 10
            while not heard and time.monotonic() < until:
                time.sleep(0.002)
        assert heard == ["after"]


def test_a_kill_that_was_resumed_at_once_has_still_stopped_what_was_at_work(switch, other):
    work = InFlight(switch)
    heard = threading.Event()
    with work.watch((CALL,), lambda _: heard.set()):
        kill(other, "all")
        other.resume(Scope.parse("all"), reason="fixed", by="op")
        assert heard.wait(10)


def test_listeners_for_kills_made_here_do_not_hear_of_others(switch, other):
    here: list[str] = []
    switch.subscribe(lambda made: here.append(made.reason), here=True)
    work = InFlight(switch)
    heard = threading.Event()
    with work.watch((CALL,), lambda _: heard.set()):
        kill(other, "all", "elsewhere")
        assert heard.wait(10)
        kill(switch, "all", "here")
    assert here == ["here"]


# ------------------------------------------------------------------------------- one meaning

WORDS = st.lists(
    st.tuples(
        st.sampled_from(["kill", "resume"]),
        st.sampled_from(["all", "env/prod", "agent/x", "agent/x@1", "run/r", "run/s", "tool/t"]),
        st.integers(0, 1),
    ),
    max_size=12,
)
SUBJECTS = [
    Subject(("r",), "x", "1", "prod"),
    Subject(("r", "s"), "x", "2", "dev", "t"),
    Subject(("q",), "y", "1", "dev", "u"),
    Subject(("q", "s"), "y", "1", "prod", "t"),
]


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(words=WORDS)
def test_it_means_what_the_switch_of_one_process_means(words, tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    model = MemoryKillSwitch()
    with closing(SharedKillSwitch(state)) as one, closing(SharedKillSwitch(state)) as two:
        for turn, (act, target, who) in enumerate(words):
            scope, generation = Scope.parse(target), one.generation
            outcomes: list[object] = []
            for switch in (model, (one, two)[who]):
                try:
                    if act == "kill":
                        made = switch.kill(scope, reason=str(turn), by="op")
                        outcomes.append((made.scope, made.reason, made.by))
                    else:
                        switch.resume(scope, reason=str(turn), by="op")
                        outcomes.append(None)
                except ConfigError as error:
                    outcomes.append(str(error))
            assert outcomes[0] == outcomes[1]
            grew = isinstance(outcomes[0], tuple) or outcomes[0] is None
            for each in (one, two):
                assert (each.generation > generation) is grew
                assert [one.scope for one in each.active()] == [one.scope for one in model.active()]
                for subject in SUBJECTS:
                    found, wanted = each.find(subject), model.find(subject)
                    assert (found and (found.scope, found.reason)) == (
                        wanted and (wanted.scope, wanted.reason)
                    )


def test_the_facts_are_there_without_making_anything(tmp_path):
    facts = kill_facts(tmp_path)
    assert not facts.is_there
    assert list(tmp_path.iterdir()) == []
    with closing(SharedKillSwitch(tmp_path)) as switch:
        kill(switch, "agent/x")
        script = (
            "import sys; from guardrails.runs.kill_shared import SharedKillSwitch as S; "
            "s = S(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            process.stdout.readline()
            facts = kill_facts(tmp_path)
            assert facts.is_there
            assert facts.settled
            assert facts.mapped_by == (process.pid,)
            assert [str(act.scope) for act in facts.killed] == ["agent/x"]
            process.stdin.close()


def test_a_look_at_the_page_costs_a_few_times_what_a_property_costs(tmp_path):
    """Measured in one run, side by side; the figures are printed (``pytest -rP``)."""

    class Own:
        number = 1

        @property
        def generation(self):
            return self.number

    memory = Own()
    with closing(SharedKillSwitch(tmp_path, monotonic=time.monotonic)) as shared:
        shared.until = float("inf")  # the comparison of the paths is not what is measured
        _ = shared.generation
        shared.until = float("inf")
        times: dict[str, list[float]] = {"memory": [], "page": [], "shared": []}
        # Short pieces, side by side, so that the best of each is one that nothing interrupted.
        for _ in range(300):
            for name, text in (
                ("memory", "memory.generation"),
                ("page", "number[0]"),
                ("shared", "shared.generation"),
            ):
                names = {"memory": memory, "shared": shared, "number": shared.page}
                times[name].append(timeit.timeit(text, globals=names, number=500) / 500)
    best = {name: min(some) for name, some in times.items()}
    print(  # noqa: T201  # a figure to report
        ", ".join(f"{name} {seconds * 1e9:.0f} ns" for name, seconds in best.items()),
        f"ratio {best['shared'] / best['memory']:.1f}",
    )
    assert best["page"] < 3 * best["memory"]
    assert best["shared"] < 10 * best["memory"]


def test_a_closed_switch_has_no_thread_that_complains(tmp_path, caplog):
    for state in (tmp_path / "a", tmp_path / "b"):
        state.mkdir()
        switch = SharedKillSwitch(state)
        work = InFlight(switch)
        if state.name == "a":
            with work.watch((CALL,), lambda _: None):
                pass  # the thread lingers
            switch.close()
        else:
            with work.watch((CALL,), lambda _: None):
                switch.close()
        shutil.rmtree(state)
        assert not [
            thread for thread in threading.enumerate() if thread.name == "guardrails-kill-watcher"
        ]
    assert not caplog.records
