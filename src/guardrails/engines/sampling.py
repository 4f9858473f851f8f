"""Which calls are sampled: a share of them, and which ones nobody can tell beforehand.

An agent that knew which of its calls are looked at twice could save its bad ones for the others.
So the distance to the next sample is drawn from the system's random source, as if a coin were
thrown for every call, and nothing that an agent sees depends on it. A call that is not sampled
costs one comparison.
"""

from __future__ import annotations

import itertools
import math
import secrets
import threading
from typing import Final

from guardrails.forks import begin_anew

_NEVER: Final = 1 << 62


class Sampler:
    """Says of each call in turn whether it is sampled. Threads may share it.

    Args:
        share: From 0 (none) to 1 (all).

    Raises:
        ValueError: `share` is no number from 0 to 1.
    """

    __slots__ = ("__weakref__", "_calls", "_due", "_lock", "_random", "share")

    def __init__(self, share: float) -> None:
        if not 0 <= share <= 1:
            msg = f"the share of samples is from 0 to 1, not `{share}`"
            raise ValueError(msg)
        self.share = float(share)
        self._random = secrets.SystemRandom()
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        # In the child of a fork, too: it must not sample the very calls that its siblings do.
        self._lock = threading.Lock()
        self._calls = itertools.count()
        self._due = self._gap() - 1

    def take(self) -> bool:
        """Whether this call is sampled."""
        # `next` is one step of the interpreter: every call has a number of its own.
        number = next(self._calls)
        if number < self._due:
            return False
        with self._lock:
            if number < self._due:  # another thread took the sample that was due
                return False
            self._due = number + self._gap()
            return True

    def _gap(self) -> int:
        """Calls to the next sample, with it: geometrically distributed."""
        if self.share == 0:
            return _NEVER
        if self.share == 1:
            return 1
        # 1 − random() is above 0, so that its logarithm is finite.
        drawn = math.log(1.0 - self._random.random()) / math.log1p(-self.share)
        return min(int(drawn) + 1, _NEVER)
