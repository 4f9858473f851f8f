"""The directory of runs: what is open, where, and what became of it, as another process sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.errors import ConfigError, StateUnavailable
from guardrails.model.kill import Scope
from guardrails.processes import Life, Process
from guardrails.runs.directory import RunDirectory, State

DAY = 24 * 3600


class Now:
    def __init__(self):
        self.ns = 1_000 * DAY * 10**9

    def __call__(self):
        return self.ns


@gr.governed_tool(name="step")
def step() -> str:
    return "done"


@pytest.fixture
def now():
    return Now()


@pytest.fixture
def directory(tmp_path, now):
    with closing(RunDirectory(tmp_path, now_ns=now, keep=7 * DAY, at_most=5)) as made:
        yield made


@pytest.fixture
def its(directory):
    return testing.governor(directory=directory)


def states(directory):
    return {run.id: run.state for run in directory.runs(ended=True)}


def test_a_run_is_listed_while_it_is_open_and_with_its_end(directory, its):
    with testing.run("billing", governor=its, id="r", principal="ann") as run:
        (listed,) = directory.runs()
        assert (listed.id, listed.agent, listed.version) == ("r", "billing", "1")
        assert (listed.environment, listed.principal) == ("test", "ann")
        assert listed.revision == "test"
        assert listed.process == Process.current()
        assert listed.parent is None
        with its.run("billing", id="child"):
            child = directory.find("child")
            assert child.parent == "r"
            assert child.ancestors == (("r", "billing"),)
        assert run.spent.calls == 0
    assert directory.runs() == ()
    assert states(directory) == {"r": State.CLOSED, "child": State.CLOSED}


def test_how_a_run_ended_is_listed(directory, its):
    with pytest.raises(KeyError), testing.run(governor=its, id="failed"):
        raise KeyError
    its.kill("run/stopped", reason="enough")
    with pytest.raises(gr.RunStopped), testing.run(governor=its, id="stopped"):
        step()
    assert states(directory) == {"failed": State.FAILED, "stopped": State.STOPPED}


def test_the_names_of_called_tools_are_kept(directory, its):
    assert directory.tools() == ()
    with testing.run(governor=its):
        step()
    assert directory.tools() == ("step",)


@pytest.mark.parametrize(
    ("target", "covered"),
    [
        ("all", True),
        ("env/test", True),
        ("env/prod", False),
        ("agent/child-agent", True),
        ("agent/boss", True),
        ("agent/boss@1", False),  # the boss's own row says which version it is
        ("agent/child-agent@1", True),
        ("run/r", True),
        ("run/c", True),
        ("run/x", False),
        ("tool/any", True),
    ],
)
def test_a_listed_run_knows_what_covers_it(directory, its, target, covered, monkeypatch):
    def agent(name):
        entry = testing.OpenRegister().agent(name)
        return type(entry)(
            entry.id, "1", entry.owner, budgets=entry.budgets, delegates={"child-agent": False}
        )

    monkeypatch.setattr(its.register, "agent", agent)
    with its.run("boss", id="r"), its.run("child-agent", id="c"):
        assert directory.find("c").is_covered_by(Scope.parse(target)) is covered


def test_a_short_id_is_enough_where_it_is_one_run_s(directory, its):
    with testing.run(governor=its, id="abc-1"), its.run("test-agent", id="abd-1"):
        assert directory.find("abc").id == "abc-1"
        with pytest.raises(ConfigError, match="several runs begin with `ab`: `abd-1`, `abc-1`"):
            directory.find("ab")
        with pytest.raises(ConfigError, match="no run `x` is listed"):
            directory.find("x")


LEAVE_OPEN = """
import os, signal, sys
from guardrails import testing
from guardrails.runs.directory import RunDirectory
its = testing.governor(directory=RunDirectory(sys.argv[1]))
with testing.run(governor=its, id="lost"):
    print("open", flush=True)
    sys.stdin.read()
"""


def test_a_run_whose_process_died_is_lost(tmp_path, directory):
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE_OPEN, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        (run,) = directory.runs()
        assert (run.process.pid, run.life, run.state) == (process.pid, Life.ALIVE, State.OPEN)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert directory.runs() == ()
    assert states(directory) == {"lost": State.LOST}


def test_another_process_of_the_same_id_is_not_taken_for_it():
    current = Process.current()
    assert current.life() is Life.ALIVE
    assert current._replace(started="1").life() is Life.GONE
    assert current._replace(boot="another start").life() is Life.GONE
    assert current._replace(namespace="pid:[1]").life() is Life.UNKNOWN
    assert Process(2**22 + 1, "7", current.boot, current.namespace).life() is Life.GONE


def test_ended_runs_are_kept_for_a_time_and_up_to_a_number(directory, its, now):
    def one(id):
        with testing.run(governor=its, id=id):
            pass

    one("old")
    now.ns += 8 * DAY * 10**9
    one("new")
    assert set(states(directory)) == {"new"}
    with testing.run(governor=its, id="long"):
        for turn in range(9):
            one(f"r{turn}")
        kept = set(states(directory))
        assert "long" in kept, "an open run is never dropped"
        assert kept - {"long"} == {f"r{turn}" for turn in range(4, 9)}


def test_a_run_that_cannot_be_listed_does_not_open(directory, its):
    directory.close()
    with pytest.raises(StateUnavailable), testing.run(governor=its) as run:
        pytest.fail("it opened")
    assert [event.kind for event in its.record.events] == ["run.opened", "run.closed"]
    assert "run" not in locals()


def test_listing_costs_a_call_nothing(directory, its, monkeypatch):
    with testing.run(governor=its):
        monkeypatch.setattr(directory, "_database", None)
        assert [step() for _ in range(3)] == ["done"] * 3
        monkeypatch.undo()
    assert os.path.lexists(directory._database.path)
    assert json.dumps(directory.runs()) == "[]"
