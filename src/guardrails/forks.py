"""What a fork must not break: locks that other threads hold, and threads that the child lacks.

A lock that another thread holds at the fork stays locked in the child for good. So the
thread that forks takes it first, and both sides give it back. Services are held weakly:
Python keeps what is told of forks for as long as the process lives.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import RLock

T = TypeVar("T")


class Forkable(Protocol):
    """What survives forks of its process."""

    @property
    def fork_lock(self) -> RLock:
        """Held while another thread must not fork."""
        ...

    def after_fork(self) -> None:
        """Let go, in the child, of what only threads of the parent do."""
        ...


class Closable(Protocol):
    """A file that must not be open at a fork."""

    @property
    def fork_lock(self) -> RLock:
        """Held across every fork."""
        ...

    def before_fork(self) -> None:
        """Close it, for both sides to open it anew."""
        ...


def close_before_forks(file: Closable) -> None:
    """Have `file` closed at every fork, once every service stands still that may use it."""
    _files.add(file)


def survive_forks(service: Forkable) -> None:
    """Hold the lock of `service` across every fork of this process, as long as it lives."""

    def in_child(its: Forkable) -> None:
        its.after_fork()
        its.fork_lock.release()

    at_forks(
        service,
        before=lambda its: its.fork_lock.acquire(),
        in_parent=lambda its: its.fork_lock.release(),
        in_child=in_child,
    )


def begin_anew(begin: Callable[[], None]) -> None:
    """Call the bound method `begin` in every child of a fork, as long as its object lives."""
    name = begin.__name__
    at_forks(begin.__self__, in_child=lambda its: getattr(its, name)())  # type: ignore[attr-defined]  # a bound method


def at_forks(
    service: T,
    *,
    before: Callable[[T], Any] | None = None,
    in_parent: Callable[[T], Any] | None = None,
    in_child: Callable[[T], Any],
) -> None:
    """Call these with `service` around every fork of this process, as long as it lives.

    Args:
        service: Whom it concerns.
        before: Called by the thread that forks; of several services in the opposite order
            of their registration.
        in_parent: Called afterwards in the process that forked.
        in_child: Called afterwards in the new one.
    """
    if not hasattr(os, "register_at_fork"):
        return
    known = weakref.ref(service)
    held: list[T] = []  # found before: a collection in between must not unbalance it

    def find() -> None:
        found = known()
        if found is not None:
            held.append(found)
            if before is not None:
                before(found)

    def parent() -> None:
        if held:
            found = held.pop()
            if in_parent is not None:
                in_parent(found)

    def child() -> None:
        if held:
            in_child(held.pop())

    os.register_at_fork(before=find, after_in_parent=parent, after_in_child=child)


_files: Final[weakref.WeakSet[Closable]] = weakref.WeakSet()
_held: Final[list[Closable]] = []


def _close_files() -> None:
    for file in tuple(_files):
        file.fork_lock.acquire()
        _held.append(file)
        file.before_fork()


def _let_files_go() -> None:
    while _held:
        _held.pop().fork_lock.release()


# Registered first, and so called last before a fork: whoever uses a file holds its own lock by
# then, and takes that of the file after it, as always.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_close_files, after_in_parent=_let_files_go, after_in_child=_let_files_go
    )
