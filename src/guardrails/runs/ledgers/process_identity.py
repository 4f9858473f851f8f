"""Whether the process that took something is still there: its number, its birth, its boot.

A process number alone says little: numbers are used again. With the moment of its start and
the boot of the machine it names one process. Where the system does not tell these, or the
other process numbers its processes in a space of its own (a container), nothing but its last
sign of life says whether it lives.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

SILENCE: Final = 120_000_000_000
"""Nanoseconds without a sign of life after which a process that cannot be looked up is dead."""

_STARTED: Final = 19
"""Of the fields in ``/proc/PID/stat`` after the name: the start, in ticks since boot."""


class ProcessIdentity(NamedTuple):
    """One process of this machine.

    Attributes:
        pid: Its number.
        started: When it started, in the system's own unit; empty where that is not told.
        boot: The boot in which it runs; empty as above.
        space: The space in which its number counts; empty as above.
    """

    pid: int
    started: str
    boot: str
    space: str

    def is_alive(self, seen_ns: int, now_ns: int) -> bool:
        """Whether it lives.

        Args:
            seen_ns: Its last sign of life, in UTC nanoseconds by the machine's clock.
            now_ns: Now, by the same clock.
        """
        here = this_process()
        if self.boot != here.boot:
            return False
        if self.space != here.space or not self.started:
            return _answers(self) and now_ns - seen_ns < SILENCE
        return _started(self.pid) == self.started


def this_process() -> ProcessIdentity:
    """This process."""
    pid = os.getpid()
    return ProcessIdentity(pid, _started(pid), _boot(), _space())


def _answers(other: ProcessIdentity) -> bool:
    """False where it is known to be gone."""
    if other.space != _space() or os.name != "posix":
        return True
    try:
        os.kill(other.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _started(pid: int) -> str:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The name stands in brackets, and may hold brackets and spaces itself.
    rest = fields.rpartition(")")[2].split()
    if len(rest) <= _STARTED or rest[0] in ("Z", "X"):
        return ""  # it has ended, and nobody has asked how
    return rest[_STARTED]


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
