"""A kill reaches work in flight: an agent and its children stop in the middle of a call."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final

from rich.text import Text

import guardrails as gr
from guardrails.demo.claims import Claim
from guardrails.demo.stage import duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from guardrails.demo.lab import Lab
    from guardrails.demo.stage import Stage

_AGENT: Final = "research-agent"
_SECONDS: Final = 3.0
_SCRIPTED: Final = 0.2
_PATIENCE: Final = 10.0
_SOON: Final = 1.0


def play(number: int, stage: Stage, lab: Lab) -> list[Claim]:
    """Play it; what it claims."""
    example = lab.example("kill_in_flight")
    mark = lab.mark()
    work = _Work(example, lab.governor)
    work.start()
    try:
        at_work = 1 + len(example.TOPICS)
        started = _until(lambda: sum(call.ran for call in lab.calls(mark)) == at_work)
        how = f"Press k (or wait {_SECONDS:.0f} s)" if stage.has_keys else "It is killed now"
        stage.heading(number, "KILL", f"{_AGENT} is inside a 30 s call. {how}")
        answer = stage.wait_for("k", seconds=_SECONDS, scripted=_SCRIPTED)
    finally:
        # Also after Ctrl-C: nobody wants to wait 30 seconds for it.
        began = time.perf_counter_ns()
        lab.governor.kill(f"agent/{_AGENT}", reason="stopped in the demo", by="you")
        work.join(_PATIENCE)
    latency = work.ended - began
    events = lab.record.events[mark:]
    kill = next(index for index, event in enumerate(events) if event.kind == "kill")
    late = sum(event.kind == "call.started" for event in events[kill:])
    children = {
        event.run_id
        for event in events
        if event.kind == "run.opened" and (event.detail or {}).get("ancestry")
    }
    stopped = sum(event.kind == "run.closed" and event.run_id in children for event in events)
    stage.line(
        "> ",
        Text("k   ", "bold" if answer.by_hand else "bold dim"),
        f"stopped in {duration(latency)} · its {stopped} children too · "
        f"{late} calls ran afterwards",
    )
    return [
        Claim("the agent was inside its calls when it was killed", started),
        Claim("a killed run stops in mid-call", work.was_stopped and latency < _SOON * 1e9),
        Claim("its children stop with it", stopped == len(children) == len(example.TOPICS)),
        Claim("no call runs after a kill", late == 0),
    ]


class _Work:
    """The agent at work in a thread with an event loop of its own."""

    def __init__(self, example: ModuleType, governor: gr.Governor) -> None:
        self._example = example
        self._governor = governor
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.was_stopped = False
        self.ended = 0

    def start(self) -> None:
        self._thread.start()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)
        self.ended = self.ended or time.perf_counter_ns()

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except gr.RunStopped:
            self.was_stopped = True

    async def _work(self) -> None:
        try:
            await self._example.research(self._governor)
        finally:
            self.ended = time.perf_counter_ns()


def _until(condition: Callable[[], bool]) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
