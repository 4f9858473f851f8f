"""No fork while another thread is in the middle of something that the child would inherit.

A lock that another thread holds at the fork stays locked in the child for good. So the
thread that forks takes the lock first, and both sides give it back.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock


class Forkable(Protocol):
    """What survives forks of its process."""

    @property
    def fork_lock(self) -> RLock:
        """Held while another thread must not fork."""
        ...

    def after_fork(self) -> None:
        """Let go, in the child, of what only threads of the parent do."""
        ...


def survive_forks(service: Forkable) -> None:
    """Hold the lock of `service` across every fork of this process, as long as it exists."""
    if not hasattr(os, "register_at_fork"):
        return
    known: Callable[[], Forkable | None] = weakref.ref(service)
    # Python keeps these functions for good; they keep nothing else.
    held: list[Forkable] = []

    def before() -> None:
        its = known()
        if its is not None:
            its.fork_lock.acquire()
            held.append(its)

    def in_parent() -> None:
        if held:
            held.pop().fork_lock.release()

    def in_child() -> None:
        if held:
            its = held.pop()
            its.after_fork()
            its.fork_lock.release()

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)
