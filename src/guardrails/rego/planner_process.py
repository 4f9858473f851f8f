"""The parent's end of the planner's child process: start it, ask it, survive it.

regopy can abort or crash the process that it runs in, print to its standard
streams, and run or grow without bound. So it never runs in the caller's
process: :class:`PlannerProcess` starts :mod:`guardrails.rego.planner_child`
with this interpreter as a new process (never a fork), limits its time and
memory, and starts another one when it dies.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from guardrails.errors import PolicyLoadError

if TYPE_CHECKING:
    from types import TracebackType

TIMEOUT: Final = 30.0
"""Seconds that one request may take, unless the caller says otherwise."""

MEMORY: Final = 2 << 30
"""Bytes of address space that the child may use: 2 GiB."""

_BODY_LIMIT: Final = 512 << 20
_HEADER_LIMIT: Final = 1 << 20
_LOG_TAIL: Final = 4_096
_ABORTS: Final = frozenset({"SIGABRT", "SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE"})
_CHILD: Final = Path(__file__).with_name("planner_child.py")
_ENVIRONMENT: Final = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


class PlannerCrash(Exception):  # noqa: N818  # named for what happened to the child
    """The child died, hung or answered garbage over one request.

    Args:
        message: What happened, in words.
        log: The end of what the child wrote to its standard error.
        aborted: Whether the child ended by itself, as by an abort or a segmentation fault.
    """

    def __init__(self, message: str, log: str, *, aborted: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.log = log
        self.aborted = aborted


class PlannerProcess:
    """A child process that plans; restarted when a request takes it down.

    Not for use by several threads at once.

    Args:
        timeout: Seconds of wall-clock time, and of processor time, for one request.
        memory: The cap on the child's address space, in bytes.
    """

    def __init__(self, *, timeout: float = TIMEOUT, memory: int = MEMORY) -> None:
        self._timeout = timeout
        self._memory = memory
        self._library = _regopy_directory()
        self._process: subprocess.Popen[bytes] | None = None
        self._scratch = tempfile.TemporaryDirectory(
            prefix="guardrails-plan-", ignore_cleanup_errors=True
        )
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in `close`

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child and removes its temporary files."""
        self._stop()
        self._log.close()
        self._scratch.cleanup()

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The child's answer to `request`: its header and its body.

        Raises:
            PlannerCrash: The child died, took too long, or answered garbage.
            PolicyLoadError: regopy cannot be imported in the child.
        """
        process = self._running()
        line = json.dumps({**request, "cpu_seconds": self._timeout}).encode() + b"\n"
        expired = threading.Event()
        watchdog = threading.Timer(self._timeout, _expire, (process, expired))
        watchdog.daemon = True
        watchdog.start()
        try:
            header, body = _exchange(process, line)
        except (OSError, EOFError, ValueError, RecursionError) as error:
            watchdog.cancel()
            raise self._crash(process, error, timed_out=expired.is_set()) from error
        except BaseException:
            self._stop()
            raise
        finally:
            watchdog.cancel()
        if "missing" in header:
            msg = f"the planner regopy cannot be loaded: {header['missing']}"
            raise PolicyLoadError(msg)
        return header, body

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        if not sys.executable:
            msg = "`sys.executable` names no Python to plan with; use the planner `opa`"
            raise PolicyLoadError(msg)
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        scratch = self._scratch.name
        command = [
            sys.executable,
            "-I",
            "-u",
            str(_CHILD),
            self._library,
            scratch,
            str(self._memory),
        ]
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter and our own file
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                cwd=scratch,
                env=environment,
            )
        except OSError as error:
            msg = f"the planner's process cannot be started: {error}"
            raise PolicyLoadError(msg) from error
        return self._process

    def _crash(
        self, process: subprocess.Popen[bytes], error: Exception, *, timed_out: bool
    ) -> PlannerCrash:
        """What became of the child, after it has been ended."""
        if isinstance(error, (OSError, EOFError)):
            try:
                process.wait(1.0)  # its pipe is closed: let it die of its own cause, to name that
            except subprocess.TimeoutExpired:
                process.kill()
        code = process.poll()
        self._stop()
        log = self._read_log()
        if timed_out:
            return PlannerCrash(f"took longer than {self._timeout:g} s", log)
        if code is not None and code < 0:
            try:
                name = signal.Signals(-code).name
            except ValueError:
                name = str(-code)
            return PlannerCrash(f"was ended by {name}", log, aborted=name in _ABORTS)
        if code:
            return PlannerCrash(f"ended with exit code {code}", log)
        return PlannerCrash(f"gave an answer that cannot be read ({error})", log)

    def _read_log(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL))
        text = self._log.read().decode("utf-8", "replace")
        self._log.seek(0)
        self._log.truncate()
        return text

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    process.kill()


def _exchange(process: subprocess.Popen[bytes], line: bytes) -> tuple[dict[str, Any], bytes]:
    """Writes one request, reads one answer; any shortfall is an EOFError or a ValueError."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise EOFError
    stdin.write(line)
    stdin.flush()
    head = stdout.readline(_HEADER_LIMIT)
    if not head:
        raise EOFError
    header = json.loads(head)
    size = header["body"] if isinstance(header, dict) and type(header.get("body")) is int else -1
    if not 0 <= size <= _BODY_LIMIT:
        msg = "its size is wrong"
        raise ValueError(msg)
    body = stdout.read(size)
    if len(body) != size:
        raise EOFError
    return header, body


def _regopy_directory() -> str:
    """Where the ``regopy`` package lies, without importing it here.

    Raises:
        PolicyLoadError: It is not installed.
    """
    spec = importlib.util.find_spec("regopy")
    if spec is None or spec.origin is None:
        msg = "the planner `regopy` is not installed; install it, or set the planner to `opa`"
        raise PolicyLoadError(msg)
    return str(Path(spec.origin).resolve().parent.parent)


__all__ = ["MEMORY", "TIMEOUT", "PlannerCrash", "PlannerProcess"]
