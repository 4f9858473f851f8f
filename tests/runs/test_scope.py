"""Leaving a run: where a kill stops, alone, in groups, and under a parent."""

# ruff: noqa: PT012  # a run and what happens in it are one thing under test

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING

import pytest

from guardrails.errors import ConfigError, Refusal, RunKilled, RunStopped
from guardrails.runs.context import current_run

if TYPE_CHECKING:
    from collections.abc import Callable


def killed(run_id, words="enough"):
    return RunKilled(words, run_id=run_id, scope=f"run/{run_id}", tool="refund", decision_id="d1")


def leave_with(stand, error, run_id="r"):
    with pytest.raises(BaseException) as raised, stand.scope(run_id):
        raise error
    return raised.value


def test_the_runs_own_kill_becomes_run_stopped_chained_from_it(stand):
    kill = killed("r")
    stopped = leave_with(stand, kill)
    assert type(stopped) is RunStopped
    assert stopped.__cause__ is kill
    assert (stopped.run_id, stopped.agent, stopped.tool) == ("r", "billing", "refund")
    assert stopped.decision_id == "d1"
    assert "enough" in str(stopped)


def test_it_is_a_refusal_so_that_a_workers_loop_goes_on(stand):
    done = []
    for job in range(3):
        try:
            with stand.scope(f"r{job}") as run:
                if job == 1:
                    run.kill("this one")
                run.check_kill()
                done.append(job)
        except Refusal:
            continue
    assert done == [0, 2]


def test_an_ancestors_kill_goes_on_to_the_ancestor(stand):
    passed = []
    with pytest.raises(RunStopped) as stopped, stand.scope("a") as top:
        try:
            with stand.scope("b", parent=top) as child:
                top.kill("all of it")
                child.check_kill()
        except RunKilled as kill:
            passed.append(kill)
            raise
    assert stopped.value.__cause__ is passed[0]
    assert stopped.value.run_id == "a"


def test_a_childs_kill_stops_at_the_child(stand):
    with stand.scope("a") as top:
        with pytest.raises(RunStopped), stand.scope("b", parent=top) as child:
            child.kill("only this")
            child.check_kill()
        top.check_kill()


def test_a_killed_run_that_is_left_normally_raises_nothing(stand):
    with stand.scope() as run:
        run.kill("too late")
    assert run.is_closed


def test_other_errors_pass_unchanged(stand):
    error = KeyError("own")
    assert leave_with(stand, error) is error
    group = ExceptionGroup("g", [ValueError(1), killed_child()])
    assert leave_with(stand, group, "r2") is group


def killed_child():
    return RunStopped("a child was stopped", run_id="c")


def test_a_group_of_nothing_but_the_kill_becomes_one_run_stopped(stand):
    kill = killed("r")
    group = BaseExceptionGroup("g", [BaseExceptionGroup("h", [kill, killed("r")])])
    stopped = leave_with(stand, group)
    assert type(stopped) is RunStopped
    assert stopped.__cause__ is kill


def test_beside_children_that_were_stopped_it_is_one_run_stopped_too(stand):
    group = BaseExceptionGroup("g", [killed_child(), killed("r")])
    assert type(leave_with(stand, group)) is RunStopped


def test_in_a_mixed_group_the_leaf_is_replaced_and_the_rest_stays(stand):
    kill, value = killed("r"), ValueError("own")
    group = BaseExceptionGroup("g", [value, BaseExceptionGroup("h", [kill])])
    group.add_note("of interest")
    left = leave_with(stand, group)
    assert type(left) is ExceptionGroup
    assert left.message == "g"
    assert left.__notes__ == ["of interest"]
    assert left.exceptions[0] is value
    (stopped,) = left.exceptions[1].exceptions
    assert type(stopped) is RunStopped
    assert stopped.__cause__ is kill


def test_a_parents_kill_in_a_group_goes_on_beside_what_was_stopped(stand):
    with (
        pytest.raises(RunStopped) as stopped,
        stand.scope("a") as top,
        stand.scope("b", parent=top),
    ):
        raise BaseExceptionGroup("g", [killed("b"), killed("a")])
    assert stopped.value.run_id == "a"


def test_groups_keep_their_class(stand):
    class Own(BaseExceptionGroup):
        def derive(self, excs):
            return Own(self.message, excs)

    left = leave_with(stand, Own("g", [killed("r"), KeyboardInterrupt()]))
    assert type(left) is Own


def test_a_scope_is_entered_once(stand):
    scope = stand.scope()
    with scope:
        pass
    with pytest.raises(ConfigError, match="entered once"):
        scope.__enter__()


def test_leaving_from_another_context_or_thread_raises_nothing_and_closes(stand):
    elsewheres: list[Callable[..., None]] = [contextvars.copy_context().run, in_thread]
    for number, elsewhere in enumerate(elsewheres):
        scope = stand.scope(f"r{number}")
        context = contextvars.copy_context()
        run = context.run(scope.__enter__)
        elsewhere(lambda scope=scope: scope.__exit__(None, None, None))
        assert run.is_closed


def in_thread(fn):
    errors = []

    def body():
        try:
            fn()
        except BaseException as error:  # noqa: BLE001  # handed to the test
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert errors == []


def test_async_scopes_do_the_same(stand):
    async def main():
        with pytest.raises(RunStopped):
            async with stand.scope() as run:
                assert run is stand.current()
                run.kill("enough")
                run.check_kill()
        assert current_run() is None

    asyncio.run(main())
