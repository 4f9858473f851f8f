"""What has to begin anew in the child of a fork: threads and locks that only its parent has."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def after_fork(begin: Callable[[], None]) -> None:
    """Call the bound method `begin` in every child of a fork, as long as its object lives."""
    method = weakref.WeakMethod(begin)

    def renew() -> None:
        found = method()
        if found is not None:
            found()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)


__all__ = ["after_fork"]
