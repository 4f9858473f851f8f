"""A tool in a process of its own: a kill ends it in truth, and what it says is only data."""

from __future__ import annotations

import asyncio
import ctypes
import datetime as dt
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.model.decision import ApprovalDemand, Decision, Effect

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's"),
]

HERE = Path(__file__).parent
PATIENCE = 60


@pytest.fixture
def tools(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    yield importlib.import_module("isolated_tools")
    sys.modules.pop("isolated_tools")


def events(its, kind):
    return [event for event in its.record.events if event.kind == kind]


def outcomes(its):
    return [event.detail["outcome"] for event in events(its, "call.finished")]


def pids_in(note: Path) -> tuple[int, int]:
    until = time.monotonic() + PATIENCE
    while not note.exists():
        assert time.monotonic() < until, "the tool did not start"
        time.sleep(0.01)
    tool, child = note.read_text().split()
    return int(tool), int(child)


def is_known(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_alive(pid: int) -> bool:
    if not is_known(pid):
        return False
    # An orphan that is dead may wait for its new parent.
    state = Path(f"/proc/{pid}/stat")
    try:
        return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def descriptors(pid: object = "self") -> int:
    known = Path(f"/proc/{pid}/fd")
    return len(list(known.iterdir())) if known.exists() else 0


def gone(*pids: int) -> bool:
    until = time.monotonic() + PATIENCE
    while any(map(is_alive, pids)):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_values_cross_by_their_annotations(tools) -> None:
    order = tools.Order("A-17", Decimal("20.50"), dt.datetime(2026, 1, 2, tzinfo=dt.UTC), ["x"])
    with testing.run():
        found = tools.echo(order, tools.Colour.RED, b"\x00\xff", 0.1, 1, 2, note="ä")
        assert tools.blob(b"\x00\xff") == b"\x00\xff"
        with pytest.raises(gr.ToolProcessError, match="reads as something else"):
            tools.blobs(b"\x00\xff")
    assert found == (order, tools.Colour.RED, 2, 0.1, (1, 2), {"note": "ä"})
    assert [type(each) for each in found[:4]] == [tools.Order, tools.Colour, int, float]


WAYS = ("value_error", "odd", "exit", "segfault", "formless", "garbage", "forged", "steal")


def told(error: object) -> tuple[str, str]:
    return type(error).__name__, str(error).replace("_async", "")


def test_errors_and_crashes_are_outcomes_that_are_charged_and_async_does_as_sync(tools) -> None:
    its = testing.governor()

    async def main():
        async with its.run("a"):
            found = await asyncio.gather(
                *(tools.act_async(how) for how in WAYS), return_exceptions=True
            )
        return [told(each) for each in found]

    with its.run("a") as run:
        errors = []
        for how in WAYS:
            with pytest.raises((ValueError, gr.ToolProcessError)) as caught:
                tools.act(how)
            errors.append(told(caught.value))
    assert run.spent.usd == Decimal("0.8")
    assert errors == asyncio.run(main())
    assert outcomes(its) == ["error"] * 16
    kinds, texts = zip(*errors, strict=True)
    assert kinds == ("ValueError", *("ToolProcessError",) * 7)
    assert texts[0] == "no such order"
    assert "raised isolated_tools.Odd: odd" in texts[1]
    assert "ended with status 3 without an answer" in texts[2]
    assert "ended by signal 11" in texts[3]
    assert "no JSON form" in texts[4] or "NoJsonForm" in texts[4]
    for text in texts[5:]:
        assert "its answer cannot be used" in text


def test_its_process_is_its_own_its_charges_arrive_and_nothing_is_left(tools, monkeypatch) -> None:
    monkeypatch.setenv("GUARDRAILS_RUN_TOKEN", "gr1.secret")
    its = testing.governor()
    with its.run("a") as run:
        nursery = tools.act("parent")
        gc.collect()  # what tests before this one have left
        before, there_before = descriptors(), descriptors(nursery)
        found = [tools.act("answer") for _ in range(20)]
        assert len({each["pid"] for each in found} | {os.getpid()}) == 21
        assert all(each["pid"] == each["group"] for each in found)
        assert found[0]["half"] == Decimal("0.5")
        assert tools.act("token") is None
        spent = run.spent
        assert tools.act("charge") is None
        assert run.spent.usd - spent.usd == Decimal("0.3")
        assert run.spent.tokens == 7
        assert descriptors() <= before
        assert descriptors(nursery) == there_before
    assert gone(*(each["pid"] for each in found))


def test_its_idempotency_key_is_the_call_s_and_that_of_the_approval_that_was_used(tools) -> None:
    its = testing.governor()
    with its.run("a"):
        keys = [tools.act("key"), asyncio.run(tools.act_async("key"))]
    assert keys == [event.decision_id for event in events(its, "call.started")]
    assert len(set(keys)) == 2

    demand = ApprovalDemand("large", "over the limit", ("finance-ops",))
    asks = Decision(
        Effect.REQUIRE_APPROVAL, (gr.Reason("rule.id", "because"),), approvals=(demand,)
    )
    its = testing.governor(engine=testing.FunctionEngine(lambda _: asks))
    approvals = its.approvals
    with testing.run(governor=its):
        for call in (tools.act, lambda how: asyncio.run(tools.act_async(how))):
            with pytest.raises(gr.ApprovalPending) as pending:
                call("key")
            approvals.approve(pending.value.request_id, by="dana", groups={"finance-ops"})
            assert call("key") == approvals.get(pending.value.request_id).idempotency_key


def test_what_processes_are_forked_from_ends_with_its_governor_and_is_replaced(tools) -> None:
    its = testing.governor()
    with its.run("a"):
        first = tools.act("parent")
        assert tools.act("parent") == first
        os.kill(first, signal.SIGKILL)
        second = tools.act("parent")
        assert second != first
        its.nursery.close()
        third = tools.act("parent")
        assert third != second
    its.close()
    assert gone(first, second, third)
    assert its.nursery.end(third) is None


def test_only_a_child_is_ended(tools) -> None:
    its = testing.governor()
    with its.run("a"):
        parent = tools.act("parent")
        assert its.nursery.end(os.getpid()) is None
        assert tools.act("parent") == parent
    its.close()


def test_a_forked_agent_has_a_nursery_of_its_own(tools) -> None:
    script = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "import isolated_tools\n"
        "from guardrails import testing\n"
        "its = testing.governor()\n"
        "with its.run('a'): first = isolated_tools.act('parent')\n"
        "child = os.fork()\n"
        "with its.run('b'): second = isolated_tools.act('parent')\n"
        "if child == 0:\n"
        "    its.close(); os._exit(0 if first != second else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "with its.run('c'): assert isolated_tools.act('parent') == first == second\n"
    )
    subprocess.run([sys.executable, "-c", script, HERE], check=True, timeout=PATIENCE)


def test_it_makes_no_governed_calls_and_opens_no_runs(tools) -> None:
    with testing.run():
        for how in ("governed", "run"):
            with pytest.raises(gr.ToolProcessError, match="makes no governed calls") as caught:
                tools.act(how)
            assert caught.value.kind == "guardrails.errors.NoActiveRun"


def test_what_a_finished_tool_has_left_behind_is_ended_with_it(tools, tmp_path) -> None:
    with testing.run():
        tools.linger(str(tmp_path / "note"), 0)
    assert gone(*pids_in(tmp_path / "note"))


def test_a_kill_ends_the_process_and_its_children_and_is_recorded_as_one(tools, tmp_path) -> None:
    its = testing.governor()
    note = tmp_path / "note"

    def operator():
        pids_in(note)
        its.kill("tool/iso.linger", reason="enough")

    person = threading.Thread(target=operator)
    person.start()
    with its.run("a") as run, pytest.raises(gr.RunKilled, match="enough"):
        tools.linger(str(note))
    person.join()
    assert gone(*pids_in(note))
    assert outcomes(its) == ["killed"]
    assert run.spent.usd == Decimal("0.1")
    its.resume("tool/iso.linger", reason="mended")


def test_a_kill_a_cancellation_and_a_timeout_end_an_async_one(tools, tmp_path) -> None:
    its = testing.governor()

    async def start(name):
        note = tmp_path / name
        task = asyncio.create_task(tools.linger_async(str(note)))
        return task, await asyncio.to_thread(pids_in, note)

    async def until(watcher, body):
        async with asyncio.timeout(None) as limit:
            now = asyncio.get_running_loop().time
            watcher.add_done_callback(lambda _: limit.reschedule(now()))
            await body

    async def main():
        async with its.run("a") as run:
            task, cancelled = await start("cancelled")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            note = tmp_path / "late"
            watcher = asyncio.create_task(asyncio.to_thread(pids_in, note))
            with pytest.raises(TimeoutError):
                await until(watcher, tools.linger_async(str(note)))
            late = await watcher
            task, killed = await start("killed")
            run.kill("enough")
            with pytest.raises(gr.RunKilled, match="enough"):
                await task
            return (*cancelled, *late, *killed)

    pids = asyncio.run(main())
    assert gone(*pids)
    assert outcomes(its) == ["cancelled", "cancelled", "killed"]


def test_an_interrupt_ends_it(tools, tmp_path) -> None:
    its = testing.governor()
    note = tmp_path / "note"

    over = threading.Event()

    def operator():
        pids_in(note)
        os.kill(os.getpid(), signal.SIGINT)
        # Python loses a signal that comes just before a call that blocks; people press again.
        while not over.wait(5):
            os.kill(os.getpid(), signal.SIGINT)

    person = threading.Thread(target=operator)
    person.start()
    with its.run("a"), pytest.raises(KeyboardInterrupt):
        tools.linger(str(note))
    over.set()
    person.join()
    assert gone(*pids_in(note))
    assert outcomes(its) == ["error"]


@pytest.mark.parametrize("leaves", ["", "leaves"])
def test_it_ends_when_its_agent_is_killed(tools, tmp_path, leaves) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import isolated_tools\n"
        "from guardrails import testing\n"
        "with testing.run(): isolated_tools.linger(sys.argv[2], 600, bool(sys.argv[3]))\n"
    )
    note = tmp_path / "note"
    agent = subprocess.Popen([sys.executable, "-c", script, HERE, note, leaves])
    pids = pids_in(note)
    agent.send_signal(signal.SIGKILL)
    assert agent.wait() == -signal.SIGKILL
    assert gone(*pids)


def test_a_kill_ends_a_process_that_has_left_its_group(tools, tmp_path) -> None:
    its = testing.governor()
    note = tmp_path / "note"

    def operator():
        pids_in(note)
        its.kill("tool/iso.linger", reason="enough")

    person = threading.Thread(target=operator)
    person.start()
    with its.run("a"):
        nursery = tools.act("parent")
        # The body would end by itself long after, so that a failure ends the test, too.
        with pytest.raises(gr.RunKilled, match="enough"):
            tools.linger(str(note), PATIENCE, leaves=True)
        assert not is_alive(pids_in(note)[0])
        assert tools.act("parent") == nursery
    person.join()
    assert gone(*pids_in(note))
    assert outcomes(its) == ["ok", "killed", "ok"]


def test_a_kill_ends_the_call_also_where_a_forked_child_holds_its_line(tools, tmp_path) -> None:
    its = testing.governor()
    note = tmp_path / "note"

    def operator():
        pids_in(note)
        its.kill("tool/iso.fork", reason="enough")

    person = threading.Thread(target=operator)
    person.start()
    with its.run("a"), pytest.raises(gr.RunKilled, match="enough"):
        tools.fork_away(str(note))
    person.join()
    tool, child = pids_in(note)
    assert is_alive(child), "it left the group and the session, which nobody can follow"
    os.kill(child, signal.SIGKILL)
    assert gone(tool, child)


class Tracer(threading.Thread):
    """Traces a process: when that dies, its parent's wait goes on until the tracing is over."""

    def __init__(self, note: Path, then: Callable[[], object]) -> None:
        super().__init__()
        self._note, self._then = note, then
        self.over = threading.Event()
        self.failed = 0

    def run(self) -> None:
        tool, _ = pids_in(self._note)
        libc = ctypes.CDLL(None, use_errno=True)
        seize = 0x4206
        libc.ptrace.argtypes = (ctypes.c_long,) * 4
        libc.ptrace.restype = ctypes.c_long
        if libc.ptrace(seize, tool, 0, 0) != 0:
            self.failed = ctypes.get_errno()
        self._then()
        assert self.over.wait(PATIENCE)


@pytest.mark.skipif(sys.platform != "linux", reason="the tracing is Linux's")
def test_a_process_that_does_not_end_holds_up_no_other_call(tools, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("guardrails.enforcement.nursery._ENDING", PATIENCE)
    its = testing.governor()
    note = tmp_path / "note"
    found = []

    def agent():
        with its.run("b"), pytest.raises(gr.RunKilled) as caught:
            tools.linger(str(note))
        found.append(caught.value)

    tracer = Tracer(note, lambda: its.kill("tool/iso.linger", reason="enough"))
    stuck = threading.Thread(target=agent)
    with its.run("a"):
        nursery = tools.act("parent")
        stuck.start()
        tracer.start()
        pids = pids_in(note)
        assert gone(*pids), "killed, and only its parent does not know"
        for _ in range(10):
            assert tools.act("parent") == nursery
        assert stuck.is_alive()
        tracer.over.set()
        tracer.join()
        stuck.join()
        assert tools.act("parent") == nursery
    assert (tracer.failed, len(found)) == (0, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="the tracing is Linux's")
def test_a_call_waits_only_so_long_for_its_process_to_end(
    tools, tmp_path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr("guardrails.enforcement.nursery._ENDING", 0.0)
    its = testing.governor()
    note = tmp_path / "note"
    tracer = Tracer(note, lambda: its.kill("tool/iso.linger", reason="enough"))
    tracer.start()
    with its.run("a"):
        with pytest.raises(gr.RunKilled):
            tools.linger(str(note))
        assert tracer.is_alive()
        assert "was killed and has not ended" in caplog.text
        tracer.over.set()
        tracer.join()
        assert tracer.failed == 0
        # It is waited for when another one starts, once the tracing thread is gone in truth.
        monkeypatch.setattr("guardrails.enforcement.nursery._ENDING", PATIENCE)
        nursery = tools.act("parent")
        tool, _ = pids_in(note)
        until = time.monotonic() + PATIENCE
        while is_known(tool):
            assert time.monotonic() < until, "nobody waited for it"
            assert tools.act("parent") == nursery
        assert its.nursery.end(tool) is None


def test_a_kill_that_holds_already_lets_nothing_start(tools) -> None:
    its = testing.governor()
    its.kill("tool/iso.act", reason="enough")
    with its.run("a"), pytest.raises(gr.RunKilled):
        tools.act("answer")
    assert events(its, "call.started") == []


def test_a_withheld_call_starts_no_process(tools) -> None:
    with testing.run(mode="shadow"), pytest.raises(gr.CallShadowed):
        tools.act("exit")


def test_what_its_module_holds_is_what_runs(tools) -> None:
    with testing.run(), pytest.raises(gr.ConfigError, match="something else under that name"):
        tools.unfound("x")
