"""Where the processes of isolated tools come from: each call has a new one, forked in milliseconds.

A Python that imports guardrails anew takes a third of a second of CPU; a fork of one that has done
so takes a hundredth of that. The process that is forked handles no data of any call, so that
each call begins clean.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Final
from weakref import finalize

from guardrails.errors import ToolProcessError
from guardrails.runs.run_token import VARIABLE

_MODULE: Final = "guardrails.enforcement.nursery_process"
_UNKNOWN: Final = b"unknown"
_RUNNING: Final = b"running"
_PATIENCE: Final = 60.0
"""Seconds within which a question is answered. None of them waits for a tool."""
_ENDING: Final = 5.0
"""Seconds within which a process that was killed has ended."""
_LONGEST_PAUSE: Final = 0.05

_log: Final = logging.getLogger("guardrails")


class Nursery:
    """Starts the processes of one governor's isolated tools; from any thread.

    What they are forked from starts with the first of them, and ends with :meth:`close`, with
    this object, or with this process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._control: socket.socket | None = None
        self._finish: finalize[[socket.socket, subprocess.Popen[bytes]], Nursery] | None = None

    def start(self, connection: socket.socket) -> int:
        """The id of a new process, the leader of a group of its own, that serves `connection`.

        Raises:
            ToolProcessError: none can be started.
        """
        with self._lock:
            for _ in range(2):  # once more, where the nursery had been killed
                answer = self._ask(b"start", [connection.fileno()])
                if answer is not None:
                    return int(answer)
            raise ToolProcessError("no process for an isolated tool can be started")

    def end(self, pid: int) -> int | None:
        """How the process `pid` ended, once it has: its status, or minus a signal; None: unknown.

        It and its group are killed first. Until this is called, no other process gets its id.
        Other calls start and end meanwhile; one that does not end in time is logged and left.
        """
        until = time.monotonic() + _ENDING
        pause = 0.0005
        while True:
            is_late = time.monotonic() > until
            answer = self._asked_to_end(pid, b"leave" if is_late else b"end")
            if answer is None or answer == _UNKNOWN:
                return None
            if answer != _RUNNING:
                return int(answer)
            if is_late:
                _log.error("process %d of an isolated tool was killed and has not ended", pid)
                return None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _asked_to_end(self, pid: int, how: bytes) -> bytes | None:
        with self._lock:
            # One that was started by a nursery that is gone has no more parent to ask.
            return self._ask(b"%s %d" % (how, pid), []) if self._is_open() else None

    def close(self) -> None:
        """End what processes are forked from; a later start begins anew."""
        with self._lock:
            self._drop()

    def _is_open(self) -> bool:
        # A forked process has its parent's: it must not speak in its place.
        return self._control is not None and self._pid == os.getpid()

    def _ask(self, what: bytes, fds: list[int]) -> bytes | None:
        try:
            control = self._open()
            socket.send_fds(control, [what], fds)
            answer = control.recv(64)
            if answer:
                return answer
        except OSError:
            pass
        self._drop()
        return None

    def _open(self) -> socket.socket:
        if self._control is not None and self._is_open():
            return self._control
        self._drop()
        # One question at a time, and each is a few bytes: they come whole.
        control, other = socket.socketpair()
        with other:
            control.settimeout(_PATIENCE)
            try:
                process = subprocess.Popen(  # noqa: S603  # this Python, and a module of ours
                    [sys.executable, "-P", "-m", _MODULE, str(other.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(other.fileno(),),
                    start_new_session=True,
                    env=_environment(),
                )
            except BaseException:
                control.close()
                raise
        self._pid = os.getpid()
        self._control = control
        self._finish = finalize(self, _stop, control, process)
        return control

    def _drop(self) -> None:
        finish, self._finish = self._finish, None
        control, self._control = self._control, None
        if finish is not None and self._pid == os.getpid():
            finish()
        elif finish is not None:
            finish.detach()
            if control is not None:
                control.close()


def _environment() -> dict[str, str]:
    """This process's, with its import path; what could join the run is not in it."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    environment["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))
    return environment


def _stop(control: socket.socket, process: subprocess.Popen[bytes]) -> None:
    control.close()
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()
