"""Samples: the share that was asked for, one for one under threads, and never foreseeable."""

from __future__ import annotations

import os
import threading
from itertools import pairwise

import pytest

from guardrails.engines.sampling import Sampler


def taken(sampler: Sampler, calls: int) -> list[int]:
    return [number for number in range(calls) if sampler.take()]


def test_none_and_all() -> None:
    assert taken(Sampler(0), 10_000) == []
    assert taken(Sampler(1), 1_000) == list(range(1_000))


@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_the_share_is_what_was_asked_for(share) -> None:
    calls = 200_000
    expected = calls * share
    # Six standard deviations of as many coins: once in five hundred million runs.
    spread = 6 * (expected * (1 - share)) ** 0.5
    assert abs(len(taken(Sampler(share), calls)) - expected) < spread


def test_the_distance_to_the_next_sample_does_not_repeat() -> None:
    found = taken(Sampler(0.05), 40_000)
    gaps = {after - before for before, after in pairwise(found)}
    assert min(gaps) == 1, "two calls in a row are sampled, too"
    assert max(gaps) > 60
    assert taken(Sampler(0.05), 4_000) != taken(Sampler(0.05), 4_000)


def test_threads_take_each_sample_once() -> None:
    sampler = Sampler(0.2)
    counts = []

    def work() -> None:
        counts.append(len(taken(sampler, 25_000)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Numbers that come in between two threads may cost a sample, never give one more.
    assert 0.15 * 200_000 < sum(counts) < 0.21 * 200_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_children_of_a_fork_sample_other_calls() -> None:
    sampler = Sampler(0.05)
    found = []
    for _ in range(2):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, ",".join(map(str, taken(sampler, 2_000))).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answer:
            found.append(answer.read())
        os.waitpid(child, 0)
    assert all(found)
    assert found[0] != found[1]
    assert found[0] != ",".join(map(str, taken(sampler, 2_000)))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
def test_what_is_no_share(share) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Sampler(share)
