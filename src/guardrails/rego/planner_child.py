"""The child process that runs regopy: requests on stdin, answers on stdout, nothing else.

This file is run as a script by :mod:`guardrails.rego.planner_process`, in
isolated mode, and imports nothing of guardrails. regopy is C++ that can abort,
crash or grow without bound on a policy; here it takes down only this process.

A request is one line of JSON; an answer is one line of JSON, its ``body`` the
number of bytes that follow it. regopy writes to the standard streams as it
likes, so the answer pipe is moved to a descriptor of its own first.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regopy import Interpreter

LOG_TAIL = 16_384
"""How many of the last bytes that regopy wrote to its log go back with an answer."""


class _Failed(Exception):  # noqa: N818  # named for what happened, and never leaves this file
    """The planner refused a policy; carried to the parent as an answer, not as a crash."""

    def __init__(self, module: str | None, text: str) -> None:
        super().__init__(text)
        self.module = module
        self.text = text


def _limit(memory: int) -> None:
    """Caps further memory, file sizes and core dumps, where the platform can do that.

    regopy's allocator reserves 256 GiB of addresses as soon as it is loaded, and aborts if it
    may not. So the cap comes after that, and counts from what is mapped by then.
    """
    try:
        import resource  # noqa: PLC0415  # POSIX only; elsewhere the parent's time-out remains
    except ImportError:
        return
    bounds = {"RLIMIT_CORE": 0, "RLIMIT_FSIZE": memory}
    try:
        mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        pass  # no Linux: how much is mapped is not known here
    else:
        bounds["RLIMIT_AS"] = mapped * resource.getpagesize() + memory
    for what, value in bounds.items():
        try:
            number = getattr(resource, what)
            hard = resource.getrlimit(number)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (bound, hard))
        except (AttributeError, OSError, ValueError):
            continue


def _limit_cpu(seconds: float) -> None:
    """Allows this much more processor time, so that a lost child cannot burn for ever."""
    try:
        import resource  # noqa: PLC0415  # POSIX only; elsewhere the parent's time-out remains
    except ImportError:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    bound = int(usage.ru_utime + usage.ru_stime + seconds) + 2
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (bound, hard))


def _add_modules(interpreter: Interpreter, modules: dict[str, str]) -> None:
    for name, text in modules.items():
        try:
            interpreter.add_module(name, text)
        except Exception as error:
            raise _Failed(name, str(error)) from error


def _plan(request: dict[str, Any], scratch: Path) -> bytes:
    """The bytes of the plan that regopy makes for one request."""
    from regopy import Interpreter  # noqa: PLC0415  # its import path is set in `main`

    interpreter = Interpreter()
    _add_modules(interpreter, request["modules"])
    try:
        if request["data"] is not None:
            interpreter.add_data_json(request["data"])
        bundle = interpreter.build(request["query"], request["entrypoints"])
        sound = bundle.ok()
        if sound:
            interpreter.save_bundle(str(scratch), bundle)
    except Exception as error:
        raise _Failed(None, str(error)) from error
    if not sound:
        raise _Failed(None, "")
    return (scratch / "plan.json").read_bytes()


def _trees(request: dict[str, Any], scratch: Path) -> bytes:
    """The syntax trees of every module as regopy dumps them, as one JSON object."""
    from regopy import Interpreter  # noqa: PLC0415  # its import path is set in `main`

    trees: dict[str, dict[str, str]] = {}
    for name, text in request["modules"].items():
        interpreter = Interpreter()
        interpreter.debug_enabled = True
        interpreter.set_debug_path(str(scratch))
        try:
            _add_modules(interpreter, {name: text})
        except _Failed as failed:
            trees[name] = {"error": failed.text}
        else:
            dumps = sorted((scratch / "module0").iterdir())
            trees[name] = {
                "tokens": dumps[0].read_text("utf-8", "surrogateescape"),
                "tree": dumps[-1].read_text("utf-8", "surrogateescape"),
            }
        shutil.rmtree(scratch / "module0", ignore_errors=True)
    return json.dumps(trees).encode()


def _builtins(request: dict[str, Any], _scratch: Path) -> bytes:
    """Which of the asked names are builtins that regopy knows, as a JSON array."""
    from regopy import Interpreter  # noqa: PLC0415  # its import path is set in `main`

    interpreter = Interpreter()
    return json.dumps([name for name in request["names"] if interpreter.is_builtin(name)]).encode()


_WORK = {"plan": _plan, "trees": _trees, "builtins": _builtins}


def _log_text(log: BinaryIO) -> str:
    """What regopy wrote since the last answer, its end if it is long; the log is emptied."""
    sys.stdout.flush()
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - LOG_TAIL))
    text = log.read().decode("utf-8", "replace")
    log.seek(0)
    log.truncate()
    return text


def _answer(line: bytes, scratch_root: str, log: BinaryIO) -> Iterator[bytes]:
    request = json.loads(line)
    _limit_cpu(request["cpu_seconds"])
    with tempfile.TemporaryDirectory(dir=scratch_root) as scratch:
        try:
            body = _WORK[request["work"]](request, Path(scratch))
        except _Failed as failed:
            header = {"failed": failed.text, "module": failed.module, "body": 0}
            body = b""
        except ImportError as error:
            header = {"missing": str(error), "body": 0}
            body = b""
        else:
            header = {"body": len(body)}
    header["log"] = _log_text(log)
    yield json.dumps(header).encode() + b"\n"
    yield body


def main(library: str, scratch_root: str, memory: str) -> None:
    """Answers requests until stdin ends.

    Args:
        library: The directory in which the ``regopy`` package lies.
        scratch_root: A directory for temporary files; the parent removes it.
        memory: The cap on the address space, in bytes.
    """
    sys.path.append(library)
    try:
        from regopy import Interpreter  # noqa: PLC0415  # loaded before the memory is capped

        Interpreter()
    except ImportError:
        pass  # each answer will say so
    _limit(int(memory))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with os.fdopen(os.dup(2), "rb+", buffering=0, closefd=True) as log:
        for line in sys.stdin.buffer:
            for part in _answer(line, scratch_root, log):
                answers.write(part)
            answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
