"""The kill switches, of one process and of one machine, and the calls in flight that they reach."""

from __future__ import annotations

import threading

import pytest

from guardrails.errors import ConfigError
from guardrails.model.kill import Kill, Scope, Subject
from guardrails.ports import KillSwitch
from guardrails.runs.inflight import InFlight
from guardrails.runs.kill import MemoryKillSwitch
from guardrails.runs.kill_shared import SharedKillSwitch

CALL = Subject(("a", "b"), "billing", "3", "prod", "refund")


@pytest.fixture(params=["memory", "shared"])
def switch(request, tmp_path):
    if request.param == "memory":
        yield MemoryKillSwitch()
        return
    shared = SharedKillSwitch(tmp_path)
    yield shared
    shared.close()


def kill(switch, target, reason="enough"):
    return switch.kill(Scope.parse(target), reason=reason, by="op")


def test_it_is_a_kill_switch(switch):
    assert isinstance(switch, KillSwitch)


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("all", True),
        ("env/prod", True),
        ("env/dev", False),
        ("agent/billing", True),
        ("agent/billing@3", True),
        ("agent/billing@2", False),
        ("run/a", True),
        ("run/b", True),
        ("run/c", False),
        ("tool/refund", True),
        ("tool/search", False),
    ],
)
def test_a_kill_is_found_by_what_it_covers(switch, target, found):
    made = kill(switch, target)
    assert switch.find(CALL) == (made if found else None)


def test_the_oldest_kill_is_found_first_and_stands_in_its_own_words(switch):
    first = kill(switch, "run/a", "first")
    kill(switch, "all", "second")
    kill(switch, "run/a", "third")
    assert switch.find(CALL) == first
    assert [active.reason for active in switch.active()] == ["first", "second"]


def test_the_generation_grows_with_every_kill_and_resume(switch):
    seen = [switch.generation]
    for _ in range(2):
        kill(switch, "all")
        seen.append(switch.generation)
    switch.resume(Scope("all"), reason="fixed", by="op")
    seen.append(switch.generation)
    assert seen == sorted(set(seen))
    assert switch.find(CALL) is None


def test_a_run_never_resumes(switch):
    made = kill(switch, "run/a")
    with pytest.raises(ConfigError, match="`run/a` cannot resume"):
        switch.resume(Scope("run", "a"), reason="fixed", by="op")
    assert switch.find(CALL) == made


def test_only_what_is_killed_resumes(switch):
    kill(switch, "agent/x")
    with pytest.raises(ConfigError, match="`all` is not killed; what is: `agent/x`"):
        switch.resume(Scope("all"), reason="fixed", by="op")


def test_listeners_hear_of_a_kill_that_is_in_force_and_all_of_them_do(switch):
    heard = []
    before = switch.generation
    switch.subscribe(lambda made: heard.append((1, switch.find(CALL), switch.generation, made)))

    def broken(_):
        raise RuntimeError("broken")

    switch.subscribe(broken)
    switch.subscribe(lambda made: heard.append((2, switch.find(CALL), switch.generation, made)))
    with pytest.raises(RuntimeError, match="broken"):
        kill(switch, "all")
    (made,) = switch.active()
    assert [(which, found, told) for which, found, _, told in heard] == [
        (1, made, made),
        (2, made, made),
    ]
    assert all(generation > before for _, _, generation, _ in heard)


def test_a_watch_hears_of_kills_of_its_subjects_while_it_stands(switch):
    in_flight = InFlight(switch)
    heard = []
    parent = Subject(("a",), "boss", "1", "prod")
    with in_flight.watch((parent, CALL), lambda made: heard.append(str(made.scope))):
        assert len(in_flight) == 1
        kill(switch, "tool/search")
        kill(switch, "agent/boss")
        kill(switch, "tool/refund")
    kill(switch, "all")
    assert heard == ["agent/boss", "tool/refund"]
    assert len(in_flight) == 0


def test_a_kill_that_is_in_force_is_told_on_entry(switch):
    in_flight = InFlight(switch)
    made = kill(switch, "run/a")
    heard: list[Kill] = []
    with in_flight.watch((CALL,), heard.append):
        assert heard == [made]


def test_of_one_owners_watches_the_last_that_is_covered_is_told(switch):
    in_flight = InFlight(switch)
    heard: list[str] = []
    owner = object()
    inner = CALL._replace(tool="search")
    with (
        in_flight.watch((CALL,), lambda _: heard.append("outer"), owner=owner),
        in_flight.watch((inner,), lambda _: heard.append("inner"), owner=owner),
        in_flight.watch((CALL,), lambda _: heard.append("unowned")),
        in_flight.watch((CALL,), lambda _: heard.append("unowned")),
    ):
        kill(switch, "run/a")
        assert heard == ["unowned", "unowned", "inner"]
        heard.clear()
        kill(switch, "tool/refund")
        assert heard == ["unowned", "unowned", "outer"]


def test_no_kill_falls_between_looking_and_watching(switch):
    in_flight = InFlight(switch)
    for turn in range(200):
        run = Subject((f"r{turn}",), "billing", "3", "prod")
        told = threading.Event()

        def tell(_, told=told):
            told.set()

        go = threading.Barrier(2)

        def killer(turn=turn, go=go):
            go.wait()
            kill(switch, f"run/r{turn}")

        thread = threading.Thread(target=killer)
        thread.start()
        go.wait()
        with in_flight.watch((run,), tell):
            assert told.wait(5)
        thread.join()
