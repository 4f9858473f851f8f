"""Which process it is, so that another one can tell later whether it still lives.

A process id alone says little: it is used again. With it stand the start of the
machine, the start of the process, and the container (the namespace) that the id is
of. Where a system has no ``/proc``, only the id is known.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

SILENCE: Final = 120_000_000_000
"""Nanoseconds without a sign of life after which a process that cannot be looked up is dead."""


class Life(StrEnum):
    """What can be said about a process."""

    ALIVE = "alive"
    GONE = "gone"
    UNKNOWN = "unknown"
    """It is in another container, or this system does not tell."""


class Process(NamedTuple):
    """One process of one machine.

    Attributes:
        pid: Its id.
        started: When it started, in ticks since the machine did; empty where not known.
        boot: The id of that start of the machine; empty where not known.
        namespace: Whose ids these are: containers have their own; empty where not known.
    """

    pid: int
    started: str = ""
    boot: str = ""
    namespace: str = ""

    @classmethod
    def current(cls) -> Process:
        """The process that asks."""
        pid = os.getpid()
        return cls(pid, _started(pid), _boot(), _namespace())

    def is_alive(self, seen_ns: int, now_ns: int) -> bool:
        """Whether it lives; where it cannot be looked up, by its last sign of life.

        Args:
            seen_ns: That sign, in UTC nanoseconds by the machine's clock.
            now_ns: Now, by the same clock.
        """
        life = self.life()
        if life is Life.UNKNOWN or not self.started:
            return life is not Life.GONE and now_ns - seen_ns < SILENCE
        return life is Life.ALIVE

    def life(self) -> Life:
        """Whether it lives, as far as the process that asks can see."""
        if self.boot != _boot():
            return Life.GONE
        if self.namespace != _namespace() or os.name != "posix":
            return Life.UNKNOWN
        if self.started:
            return Life.ALIVE if _started(self.pid) == self.started else Life.GONE
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return Life.GONE
        except OSError:
            return Life.ALIVE
        return Life.ALIVE


def _started(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # proc_pid_stat(5). The name in parentheses may hold anything; after it come the fields
    # from the third on: the state, and as the 22nd the start.
    fields = text.rpartition(")")[2].split()
    return "" if not fields or fields[0] in "ZX" else fields[19]


def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""


def user_name() -> str:
    """Who the operating system says is at work, by this process's id; no variable can change it."""
    if not hasattr(os, "getuid"):
        return os.getlogin()
    import pwd  # noqa: PLC0415  # only where the system has it

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
