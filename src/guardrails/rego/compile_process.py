"""The parent's end of the compiler's child process: ask it, bound it, survive it.

Planning and compiling a large policy takes seconds of processor time, which in the agent's own
process would hold up every other thread. A new process (never a fork) does it, within limits of
time and memory. What it answers is held against the allow-list for compiled functions before
anything of it runs. A child that dies, hangs or answers garbage costs the speed and nothing else:
the caller falls back to the interpreter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from guardrails.errors import PolicyLoadError
from guardrails.rego import exact_json
from guardrails.rego.emit.artefact import Artefact
from guardrails.rego.planner_process import MEMORY

if TYPE_CHECKING:
    from typing import BinaryIO

    from guardrails.rego.compile_request import CompileRequest

TIMEOUT: Final = 60.0
"""Seconds that planning and compiling may take together, unless the caller says otherwise."""

_CHILD: Final = Path(__file__).with_name("compile_child.py")
_BODY_LIMIT: Final = 256 << 20
_HEADER_LIMIT: Final = 1 << 20
_LOG_TAIL: Final = 2_048
_PIECE: Final = 1 << 18
_ENVIRONMENT: Final = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OPA")


class CompilerCrash(Exception):  # noqa: N818  # named for what happened to the child
    """The child died, hung or answered garbage; says what happened, in words."""


@final
@dataclass(frozen=True, slots=True)
class NoForm:
    """The policy is sound, and the compiler has no form for something in it.

    Attributes:
        reason: For what.
        plan: The content of ``plan.json``.
    """

    reason: str
    plan: object


def compile_apart(
    request: CompileRequest, *, timeout: float = TIMEOUT, memory: int = MEMORY
) -> Artefact | NoForm:
    """The answer of a child process to `request`.

    Args:
        request: What to plan and compile.
        timeout: Seconds of wall-clock time.
        memory: The cap on the child's address space, in bytes.

    Raises:
        PolicyLoadError: The policy is refused.
        CompilerCrash: There is no answer.
    """
    with (
        tempfile.TemporaryDirectory(
            prefix="guardrails-compile-", ignore_cleanup_errors=True
        ) as scratch,
        tempfile.TemporaryFile() as log,
    ):
        process = _started(scratch, log)
        expired = threading.Event()
        watchdog = threading.Timer(timeout, _expire, (process, expired))
        watchdog.daemon = True
        watchdog.start()
        try:
            head = {
                "request": json.loads(request.head()),
                "path": _import_path(),
                "seconds": max(1, int(timeout)),
                "memory": memory,
            }
            header, body = _exchange(process, json.dumps(head).encode(), request)
            return _understood(header, body)
        except (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"took longer than {timeout:g} s" if expired.is_set() else _end(process, error)
            msg = f"the compiler's process {what}{_said(log)}"
            raise CompilerCrash(msg) from error
        finally:
            watchdog.cancel()
            _stop(process)


def _started(scratch: str, log: BinaryIO | Any) -> subprocess.Popen[bytes]:
    if not sys.executable:
        msg = "the compiler's process cannot be started: `sys.executable` names no Python"
        raise CompilerCrash(msg)
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        return subprocess.Popen(  # noqa: S603  # our own interpreter and our own file
            [sys.executable, "-I", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**environment, "TMPDIR": scratch},  # what is left behind goes with it
            start_new_session=True,  # so that what it started ends with it
        )
    except OSError as error:
        msg = f"the compiler's process cannot be started: {error}"
        raise CompilerCrash(msg) from error


def _import_path() -> list[str]:
    """Where the child finds what this process would find: the same packages, or none."""
    return [str(Path(part).absolute()) for part in sys.path if part and Path(part).exists()]


def _exchange(
    process: subprocess.Popen[bytes], head: bytes, request: CompileRequest
) -> tuple[dict[str, Any], bytes]:
    """Writes the request, reads the answer; any shortfall is an EOFError or a ValueError."""
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise EOFError
    stdin.write(head + b"\n")
    exact_json.write(request.data, stdin.write)
    stdin.write(b"\n")
    stdin.close()
    answer = stdout.readline(_HEADER_LIMIT)
    if not answer:
        raise EOFError
    header = json.loads(answer)
    size = header["body"] if isinstance(header, dict) and type(header.get("body")) is int else -1
    if not 0 <= size <= _BODY_LIMIT:
        msg = "its size is wrong"
        raise ValueError(msg)
    parts = []
    while size:
        part = stdout.read(min(size, _PIECE))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return header, b"".join(parts)


def _understood(header: dict[str, Any], body: bytes) -> Artefact | NoForm:
    if "refused" in header:
        refused = header["refused"]
        raise PolicyLoadError(
            str(refused["message"]), file=refused["file"], row=refused["row"], col=refused["col"]
        )
    if "plan" in header:
        return NoForm(str(header["plan"]), json.loads(body))
    try:
        return Artefact.loads(body)
    except PolicyLoadError as error:
        raise ValueError(error.message) from error


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the child and all that it started."""
    if process.poll() is not None:
        return
    try:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a session of its own
        else:
            process.kill()
    except (ProcessLookupError, PermissionError):
        process.kill()


def _end(process: subprocess.Popen[bytes], error: Exception) -> str:
    """What became of the child."""
    if isinstance(error, (OSError, EOFError)):
        try:
            process.wait(1.0)  # its pipe is closed: let it die of its own cause, to name that
        except subprocess.TimeoutExpired:
            _kill(process)
    code = process.poll()
    if code is not None and code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    if code:
        return f"ended with exit code {code}"
    return f"gave an answer that cannot be read ({error})"


def _said(log: BinaryIO | Any) -> str:
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _LOG_TAIL))
    lines = log.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" (`{last[:200]}`)" if last else ""


def _stop(process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue
