"""A clock that tests hold in their hands."""

from __future__ import annotations

import pytest


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / 1e9

    def advance(self, seconds: float) -> None:
        self.ns += int(seconds * 1_000_000_000)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()
