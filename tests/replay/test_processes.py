"""Several processes do all parts, this one among them, and say what goes wrong in any."""

from __future__ import annotations

import gc
import os
import time
from typing import TYPE_CHECKING

import pytest

from guardrails.errors import GuardrailsError
from guardrails.replay.processes import WorkerLost, Workers

if TYPE_CHECKING:
    from collections.abc import Callable


def frozen() -> Callable[[int], tuple[int, bool]]:
    return lambda _: (gc.get_freeze_count(), gc.isenabled())


def own(_: int) -> tuple[int, bool]:
    return -1, gc.isenabled()


def slowly(part: int) -> tuple[int, bool]:
    time.sleep(0.2)  # until the others are there
    return own(part)


def test_what_was_imported_is_no_part_of_a_collection() -> None:
    """Elsewhere; in this process nothing is changed."""
    pool = Workers(slowly, frozen, (), 3)
    found = dict(pool.results(range(40)))
    assert found.keys() == set(range(40))
    others = [each for each in found.values() if each[0] >= 0]
    assert others
    assert len(others) < len(found)
    for count, collects_meanwhile in others:
        assert count > 1_000
        assert not collects_meanwhile
    assert (-1, True) in found.values()
    assert gc.isenabled()


def test_alone_it_does_all() -> None:
    for parts, number in ((range(5), 1), (range(1), 4), (range(0), 4)):
        found = list(Workers(own, frozen, (), number).results(parts))
        assert found == [(part, (-1, True)) for part in parts]


def refusing() -> Callable[[int], tuple[int, bool]]:
    raise GuardrailsError("cannot be made")


def failing() -> Callable[[int], tuple[int, bool]]:
    def fail(part: int) -> tuple[int, bool]:
        raise GuardrailsError(f"part {part} cannot be read")

    return fail


def lost() -> Callable[[int], tuple[int, bool]]:
    return lambda _: os._exit(1)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (refusing, GuardrailsError, "cannot be made"),
        (failing, GuardrailsError, r"part \d+ cannot be read"),
        (lost, WorkerLost, "has ended"),
    ],
)
def test_what_fails_in_another_process_is_told_here(make, error, words) -> None:
    with pytest.raises(error, match=words):
        list(Workers(slowly, make, (), 2).results(range(100)))


def never() -> Callable[[int], tuple[int, bool]]:
    time.sleep(3_600)
    return own


def test_nobody_waits_for_a_process_that_is_not_there_yet() -> None:
    found = dict(Workers(own, never, (), 3).results(range(10)))
    assert found == dict.fromkeys(range(10), (-1, True))


def late() -> Callable[[int], tuple[int, bool]]:
    return slow


def slow(_: int) -> tuple[int, bool]:
    time.sleep(0.5)
    return 1, True


def test_what_another_process_has_begun_is_waited_for() -> None:
    found = dict(Workers(slowly, late, (), 2).results(range(60)))
    assert found.keys() == set(range(60))
    assert (1, True) in found.values()
