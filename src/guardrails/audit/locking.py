"""A lock on an open file that ends with its process, between processes of one machine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]  # asked for below

if TYPE_CHECKING:
    from collections.abc import Iterator

CAN_LOCK: Final = fcntl is not None
"""Whether this system has such locks. Where it has none, one process may write at a time."""


@contextlib.contextmanager
def locked(fd: int) -> Iterator[None]:
    """Hold the lock of the file of `fd`; waits for it."""
    if fcntl is None:
        yield
        return
    fcntl.flock(fd, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)


def hold(fd: int) -> bool:
    """Take the lock for as long as the file is open; False where another process has it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
