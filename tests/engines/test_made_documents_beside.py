"""Engines that stand before another decide what enforcement has made as that does, and check it."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engines.test_made_documents import CALLS, LIMITS, PLAN, Delegating, Parts, make, seeing
from tests.replay.records import STRICTER, inputs, shipped

import guardrails as gr
from guardrails import testing
from guardrails.engines.beside import CandidateEngine
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.made_documents import decide_made_of
from guardrails.engines.source import Policies
from guardrails.engines.verified import Divergence, VerifiedEngine
from guardrails.errors import EvaluationError
from guardrails.model.decision import Decision, MalformedDecision

PICKY = """package guardrails

default decision := {"effect": "deny", "reasons": [{"rule": "r", "reason": "no"}],
	"approvals": [], "obligations": []}

decision := {"effect": "allow", "reasons": [{"rule": "r", "reason": input.tool.name}],
	"approvals": [], "obligations": []} {
	input.run.calls % 3 == 0
}

decision := {"effect": "no such effect"} {
	input.run.calls % 3 == 1
}
"""


class Given:
    def __init__(self, text: str) -> None:
        self.text = text

    def read(self, _: Any) -> Policies:
        return Policies({"p.rego": self.text}, {})


def engine_of(text: str) -> InProcessEngine:
    return InProcessEngine(Given(text), dict, cache=None)


class Remote:
    """An engine that waits: asked by a coroutine, it may not be asked the blocking way."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.revision = inner.revision
        self.seen: list[tuple[Any, str]] = []
        self.blocked = 0

    def decide(self, document: Any, decision_id: str) -> Decision:
        self.blocked += 1
        self.seen.append((copy.deepcopy(document), decision_id))
        found: Decision = self.inner.decide(document, decision_id)
        return found

    async def decide_async(self, document: Any, decision_id: str) -> Decision:
        await asyncio.sleep(0)
        self.seen.append((copy.deepcopy(document), decision_id))
        found: Decision = self.inner.decide(document, decision_id)
        return found

    def explain(self, document: Any, rules: Any = ()) -> Any:
        return self.inner.explain(document, rules)


@pytest.fixture(scope="module")
def inner() -> InProcessEngine:
    return engine_of(PICKY)


@pytest.fixture(scope="module")
def library() -> InProcessEngine:
    return shipped().engine()


def answer(ask: Any, *given_: Any) -> Any:
    try:
        found = ask(*given_)
    except (EvaluationError, MalformedDecision) as error:
        return type(error), str(error)
    return replace(found, decision_id="")


@given(st.lists(CALLS, max_size=8), LIMITS)
@settings(max_examples=50, deadline=None)
def test_each_engine_decides_the_same_either_way(inner, library, calls, limits):
    seen: list[dict[str, Any]] = []
    governor = testing.governor(seeing(seen), budgets=PLAN, register=Delegating())
    with governor.run("a", budget=limits, labels=["x"]):
        make(calls, governor)
    for base in (inner, library):
        other = Remote(base)
        told: list[Divergence] = []
        engines: list[Any] = [
            VerifiedEngine(base, other, share=1, refusals=True, report=told.append),
            CandidateEngine(base, library),
            CandidateEngine(VerifiedEngine(base, other, share=1, refusals=True), library),
        ]
        try:
            parts = [Parts() for _ in engines]
            for number, each in enumerate(seen):
                alone = answer(base.decide, each, "")
                for engine, its in zip(engines, parts, strict=True):
                    assert answer(engine.decide, each, f"d{number}") == alone
                    assert answer(engine.decide_made, each, its, f"d{number}") == alone
            assert all(engine.drain() for engine in engines)
            # The other engine has seen the very documents, under their ids, each time.
            checks = engines[0].status()
            assert checks.agreed == checks.sampled == 2 * len(seen)
            assert not told
            asked = [(each, f"d{number}") for number, each in enumerate(seen)]
            assert all(pair in other.seen for pair in asked)
            assert all(pair in asked for pair in other.seen)
        finally:
            for engine in engines:
                engine.close()


@gr.governed_tool(resource="orders")
def pay(amount: int) -> int:
    return amount


@gr.governed_tool(resource="orders")
async def pay_async(amount: int) -> int:
    return amount


ALLOW = """package guardrails

decision := {"effect": "allow", "reasons": [{"rule": "r", "reason": "fine"}],
	"approvals": [], "obligations": []}
"""
DENY = ALLOW.replace('"allow"', '"deny"').replace("fine", "not there")


def posing(text: str, other: InProcessEngine) -> InProcessEngine:
    """An engine that says it decides by the other's revision."""
    engine = engine_of(text)
    revision = other.revision
    reader = type(engine.loaded.reader)(revision)
    engine._loaded = replace(engine.loaded, revision=revision, reader=reader)
    return engine


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Every engine that checks on a thread of its own is closed at the end."""
    made: list[Any] = []
    for kind in (VerifiedEngine, CandidateEngine):

        def init(self: Any, *given_: Any, _init: Any = kind.__init__, **named: Any) -> None:
            _init(self, *given_, **named)
            made.append(self)

        monkeypatch.setattr(kind, "__init__", init)
    yield
    for engine in made:
        engine.close()


def test_what_it_says_of_a_difference_bears_the_id_of_the_call():
    told: list[Any] = []
    inner = engine_of(ALLOW)
    verified = VerifiedEngine(inner, posing(DENY, inner), share=1, report=told.append)
    candidate = CandidateEngine(
        verified, engine_of(DENY), report=lambda found, _: told.append(found)
    )
    with testing.governor(engine=candidate).run("a"):
        pay(1)
        assert candidate.drain()
        assert verified.drain()
    assert len(told) == 2
    (decision_id,) = {each.document["call"]["id"] for each in told}
    assert {(each.decision_id, each.ours.decision_id) for each in told} == {(decision_id,) * 2}


@pytest.mark.parametrize("outer", [False, True])
def test_once_they_have_diverged_the_other_engine_decides_and_no_loop_is_held_up(outer):
    inner = engine_of(ALLOW)
    other = Remote(posing(DENY, inner))
    verified = VerifiedEngine(inner, other, share=1)
    engine = CandidateEngine(verified, engine_of(ALLOW)) if outer else verified
    with testing.governor(engine=engine).run("a"):
        assert pay(1) == 1
        assert verified.drain()
        assert verified.status().moved == inner.revision
        with pytest.raises(gr.CallDenied, match="not there"):
            pay(1)
        blocked = other.blocked
        with pytest.raises(gr.CallDenied, match="not there"):
            asyncio.run(pay_async(1))
        assert other.blocked == blocked


def test_an_engine_beside_one_that_waits_is_awaited():
    other = Remote(engine_of(DENY))
    engine = CandidateEngine(other, engine_of(ALLOW))
    with testing.governor(engine=engine).run("a"):
        with pytest.raises(gr.CallDenied, match="not there"):
            asyncio.run(pay_async(1))
        assert other.blocked == 0
        with pytest.raises(gr.CallDenied, match="not there"):
            pay(1)
        assert other.blocked == 1


class Stricter(VerifiedEngine):
    """An engine of somebody who adds a rule of their own."""

    def decide(self, document: Any, decision_id: str) -> Decision:
        return engine_of(DENY).decide(document, decision_id)


class StricterAsync(CandidateEngine):
    async def decide_async(self, document: Any, decision_id: str) -> Decision:
        return engine_of(DENY).decide(document, decision_id)


class OwnWay(InProcessEngine):
    """One that decides otherwise both ways."""

    def decide(self, document: Any, decision_id: str) -> Decision:
        return engine_of(DENY).decide(document, decision_id)

    def decide_made(self, document: Any, constants: Any, decision_id: str) -> Decision:
        del constants
        return self.decide(document, decision_id)


def test_who_decides_otherwise_is_asked_its_own_way():
    inner = engine_of(ALLOW)
    assert decide_made_of(inner) is InProcessEngine.decide_made
    assert decide_made_of(Stricter(inner, inner)) is None
    assert decide_made_of(StricterAsync(inner, inner)) is None
    assert decide_made_of(OwnWay(Given(ALLOW), dict, cache=None)) is OwnWay.decide_made
    # And whoever stands before such a one asks it that way.
    before = CandidateEngine(Stricter(inner, inner), inner)
    for engine in (Stricter(inner, inner), before, OwnWay(Given(ALLOW), dict, cache=None)):
        with (
            testing.governor(engine=engine).run("a"),
            pytest.raises(gr.CallDenied, match="not there"),
        ):
            pay(1)


def test_the_shape_is_looked_at_once_for_a_tool_in_a_run():
    inner = engine_of(ALLOW)
    looked: list[Any] = []
    fits = inner.loaded.fits

    def looking(document: Any) -> bool:
        looked.append(document)
        return fits(document)

    inner._loaded = replace(inner.loaded, fits=looking)
    for wrap in (VerifiedEngine, CandidateEngine):
        looked.clear()
        with testing.governor(engine=wrap(inner, engine_of(ALLOW), share=0)).run("a"):
            for _ in range(20):
                pay(1)
        assert len(looked) == 1, wrap


def test_a_candidate_that_is_stricter_is_still_told_of(library):
    told: list[Any] = []
    engine = CandidateEngine(
        library, shipped(STRICTER).engine(), report=lambda found, _: told.append(found)
    )
    parts = Parts()
    for number, document in enumerate(inputs()):
        answer(engine.decide_made, document, parts, f"d{number}")
    assert engine.drain()
    assert told
    for found in told:
        assert found.document["tool"]["name"] == "send_mail"
