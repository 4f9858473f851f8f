"""Processes that work on a record look through what they make of it, not what they imported."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from guardrails.replay.processes import Workers

if TYPE_CHECKING:
    from collections.abc import Callable


def frozen() -> Callable[[int], tuple[int, bool]]:
    return lambda _: (gc.get_freeze_count(), gc.isenabled())


def test_what_was_imported_is_no_part_of_a_collection() -> None:
    pool: Workers[int, tuple[int, bool]] = Workers(frozen, (), 2)
    found = dict(pool.results([1, 2, 3]))
    assert found.keys() == {1, 2, 3}
    for count, collects_meanwhile in found.values():
        assert count > 1_000
        assert not collects_meanwhile
    assert gc.isenabled()
