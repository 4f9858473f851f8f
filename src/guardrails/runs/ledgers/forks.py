"""What tells a ledger that its process forks: the child must not spend what the parent holds."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Forked(Protocol):
    """Who is told."""

    def before_fork(self) -> None:
        """Stand still while the process is copied."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...

    def after_fork_in_child(self) -> None:
        """Hold nothing of what the parent holds."""
        ...


def watch_forks(ledger: Forked) -> None:
    """Tell `ledger` of every fork of this process, for as long as it lives."""
    if not hasattr(os, "register_at_fork"):
        return
    known = weakref.ref(ledger)
    standing: list[Forked] = []  # told before: a collection in between must not unbalance it

    def before() -> None:
        found = known()
        if found is not None:
            standing.append(found)
            found.before_fork()

    def in_parent() -> None:
        if standing:
            standing.pop().after_fork_in_parent()

    def in_child() -> None:
        if standing:
            standing.pop().after_fork_in_child()

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)
