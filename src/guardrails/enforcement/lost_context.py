"""Where a call stands that has lost its run, and how the run gets there."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Final

from guardrails.errors import NoActiveRun
from guardrails.runs.run_token import VARIABLE

_OPEN: Final = "call it inside `with guardrails.run(agent=…)`"


def outside_of_every_run(tool: str) -> NoActiveRun:
    """The refusal of a call of `tool` that has lost its run."""
    place, remedy = place_and_remedy()
    message = f"`{tool}` was called outside of every run{place}"
    return NoActiveRun(message, tool=tool, hint=remedy)


def place_and_remedy() -> tuple[str, str]:
    """The place, as `` in the thread `worker-1` ``, and what carries a run there."""
    if os.environ.get(VARIABLE):
        return " in a process that was given one", "enter it: `with guardrails.join_run(): …`"
    # Whoever is a worker of it has imported it.
    multiprocessing = sys.modules.get("multiprocessing")
    parent = None if multiprocessing is None else multiprocessing.parent_process()
    if parent is not None:
        return f" in the worker process {os.getpid()}", (
            "hand `guardrails.run_token()` to the worker, and call it there inside "
            "`with guardrails.join_run(token)`"
        )
    thread = threading.current_thread()
    name = thread.name
    if thread is not threading.main_thread():
        place = f" in the thread `{name}`"
        if name.startswith("asyncio_"):
            return place, (
                "`loop.run_in_executor(None, fn)` loses the run: use `asyncio.to_thread(fn)`, or "
                "`guardrails.bind(fn)`"
            )
        if name.startswith("ThreadPoolExecutor-"):
            return place, (
                "use `guardrails.GovernedExecutor` in place of `ThreadPoolExecutor`, or submit "
                "`guardrails.bind(fn)`"
            )
        return place, (
            "start it with `Thread(target=guardrails.bind(fn))`, or work in a "
            "`guardrails.GovernedExecutor`"
        )
    if _on_event_loop():
        return " in a task or callback of the event loop", (
            f"{_OPEN}, or make the task inside of the run; wrap a callback as `guardrails.bind(fn)`"
        )
    return "", (
        f"{_OPEN}; carry the run into threads with `guardrails.bind(fn)` or "
        "`guardrails.GovernedExecutor`, into processes with `guardrails.run_token()`"
    )


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
