"""A candidate rides along: asked about every call, it changes none."""

import threading
from dataclasses import replace

import pytest
from tests.replay.records import STRICTER, inputs, shipped

from guardrails.engines.beside import Agreement, CandidateEngine
from guardrails.errors import EvaluationError, PolicyUnavailable


class Broken:
    """An engine that raises what it is given."""

    revision = "broken"

    def __init__(self, error) -> None:
        self.error = error

    def decide(self, document, decision_id):
        raise self.error

    async def decide_async(self, document, decision_id):
        raise self.error

    def explain(self, document, rules=()):
        return ()


@pytest.fixture(scope="module")
def inner():
    return shipped().engine()


def test_it_decides_as_alone_and_tells_of_each_that_differs(inner) -> None:
    told = []
    candidate = shipped(STRICTER).engine()
    engine = CandidateEngine(
        inner, candidate, report=lambda found, counts: told.append((found, counts))
    )
    differs = set()
    for at, document in enumerate(inputs()):
        alone = inner.decide(document, f"d{at}")
        assert engine.decide(document, f"d{at}") == alone
        if replace(alone, revision="") != replace(
            candidate.decide(document, f"d{at}"), revision=""
        ):
            differs.add(f"d{at}")
    assert engine.revision == inner.revision
    assert engine.drain()
    assert {found.decision_id for found, _ in told} == differs != set()
    counts = engine.agreement()
    assert (counts.tried, counts.differed) == (len(inputs()), len(differs))
    assert counts.agreed + counts.differed == counts.tried
    assert {found.revision for found, _ in told} == {candidate.revision}
    engine.close()


@pytest.mark.parametrize(
    "error", [EvaluationError("x", "y"), PolicyUnavailable("away"), RuntimeError("broken")]
)
def test_a_candidate_that_fails_refuses_nothing(inner, error) -> None:
    ended: list[Agreement] = []
    engine = CandidateEngine(inner, Broken(error), end=ended.append)
    for document in inputs():
        assert engine.decide(document, "d") == inner.decide(document, "d")
    engine.drain()
    engine.close()
    assert ended[0].tried == len(inputs())
    assert ended[0].agreed == 0


def test_what_the_inner_engine_raises_passes(inner) -> None:
    engine = CandidateEngine(Broken(PolicyUnavailable("away")), inner)
    with pytest.raises(PolicyUnavailable):
        engine.decide(inputs()[0], "d")
    assert engine.agreement().tried == 0


def test_a_slow_candidate_holds_up_no_call_and_what_it_misses_is_counted(inner) -> None:
    gate = threading.Event()

    class Slow(Broken):
        def decide(self, document, decision_id):
            gate.wait(30)
            return inner.decide(document, decision_id)

    engine = CandidateEngine(inner, Slow(None), queue=2)
    for _ in range(20):
        engine.decide(inputs()[0], "d")
    gate.set()
    assert engine.drain()
    counts = engine.agreement()
    assert counts.agreed == counts.tried <= 4
    assert counts.tried + counts.dropped == 20


def test_it_sees_the_arguments_as_they_were_decided(inner) -> None:
    gate, seen = threading.Event(), []

    class Looking(Broken):
        def decide(self, document, decision_id):
            gate.wait(30)
            seen.append(document["args"])
            return inner.decide(document, decision_id)

    document = {**inputs()[0], "args": {"names": ["a"]}}
    engine = CandidateEngine(inner, Looking(None))
    engine.decide(document, "d")
    document["args"]["names"].append("b")
    gate.set()
    assert engine.drain()
    assert seen == [{"names": ["a"]}]
