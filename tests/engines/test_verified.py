"""The verified engine: it answers here, checks elsewhere, never waits, and trusts OPA in a quarrel.

With real engines at both ends; the one against a real OPA server is in test_verified_opa.py.
"""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from guardrails.audit.memory import MemoryRecord
from guardrails.divergences import recorder
from guardrails.engines.verified import REMEMBERED, VerifiedEngine
from guardrails.errors import EvaluationError, PolicyUnavailable, Reason
from guardrails.model.decision import Decision, Effect, MalformedDecision, Obligation
from guardrails.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT: dict[str, Any] = {
    "agent": {"id": "billing"},
    "tool": {"name": "refund"},
    "args": {"amount": 20, "note": ["a"], "password": "s3cret"},
    "run": {"id": "r1", "mode": "enforce"},
}
ALLOW = Decision(Effect.ALLOW, (Reason("access", "granted"),))
DENY = Decision(Effect.DENY, (Reason("limits", "too much"),))


class Engine:
    """An engine whose answer is a function of the document; an exception is raised."""

    def __init__(self, answer: Callable[[Any], Any] | Any, revision: str = "1") -> None:
        self.answer = answer if callable(answer) else lambda _: answer
        self.revision = revision
        self.seen: list[Any] = []

    def decide(self, document, decision_id) -> Decision:
        self.seen.append(copy.deepcopy(document))
        found = self.answer(document)
        if isinstance(found, Exception):
            raise found
        return replace(found, revision=self.revision, decision_id=decision_id)

    async def decide_async(self, document, decision_id) -> Decision:
        return self.decide(document, decision_id)

    def explain(self, document, rules=()):
        return ()


def verified(inner, other, **settings) -> VerifiedEngine:
    return VerifiedEngine(inner, other, **{"share": 1, **settings})


def test_the_answer_is_this_process_s_and_the_other_is_asked_the_same() -> None:
    inner, other = Engine(ALLOW), Engine(ALLOW)
    engine = verified(inner, other)
    assert engine.decide(DOCUMENT, "d1").effect is Effect.ALLOW
    assert asyncio.run(engine.decide_async(DOCUMENT, "d2")).decision_id == "d2"
    assert engine.drain()
    assert other.seen == [DOCUMENT, DOCUMENT]
    assert (engine.status().sampled, engine.status().agreed) == (2, 2)
    engine.close()


def test_refusals_are_checked_only_when_asked_for() -> None:
    for answer in (DENY, EvaluationError("eval_type_error", "x"), MalformedDecision("x")):
        for refusals, expected in ((False, 0), (True, 1)):
            inner, other = Engine(answer), Engine(answer)
            engine = verified(inner, other, refusals=refusals)
            if isinstance(answer, Decision):
                engine.decide(DOCUMENT, "d")
            else:
                with pytest.raises(type(answer)):
                    engine.decide(DOCUMENT, "d")
            assert engine.drain()
            assert len(other.seen) == expected
            assert engine.status().agreed == expected
            engine.close()


def test_what_the_tool_does_to_its_arguments_later_is_not_what_is_checked() -> None:
    gate = threading.Event()
    other = Engine(lambda document: gate.wait(10) and ALLOW)
    engine = verified(Engine(ALLOW), other)
    document = copy.deepcopy(DOCUMENT)
    engine.decide(document, "d1")  # the worker is busy with this one
    engine.decide(document, "d2")
    document["args"]["note"].append("b")
    document["args"]["amount"] = 10**6
    gate.set()
    assert engine.drain()
    assert other.seen == [DOCUMENT, DOCUMENT]
    engine.close()


def test_an_engine_that_hangs_holds_nothing_up_and_the_queue_is_bounded() -> None:
    gate = threading.Event()
    other = Engine(lambda document: gate.wait(30) and ALLOW)
    engine = verified(Engine(ALLOW), other, queue=8)
    for number in range(500):
        assert engine.decide(DOCUMENT, f"d{number}").effect is Effect.ALLOW
    found = engine.status()
    assert found.sampled == 500
    # Eight wait, and one is with the worker if that has begun.
    assert found.dropped in {491, 492}
    gate.set()
    assert engine.drain()
    assert engine.status().agreed == 500 - found.dropped
    engine.close()


def test_closing_ends_the_thread_and_drops_what_waits() -> None:
    engine = verified(Engine(ALLOW), Engine(ALLOW))
    engine.decide(DOCUMENT, "d1")
    engine.drain()
    names = [each.name for each in threading.enumerate()]
    assert "guardrails-verified" in names
    engine.close()
    assert "guardrails-verified" not in [each.name for each in threading.enumerate()]
    assert engine.decide(DOCUMENT, "d2").effect is Effect.ALLOW, "decisions go on"
    assert engine.status().dropped == 1


def test_a_divergence_is_recorded_and_moves_decisions_until_the_policies_change() -> None:
    record, clock = MemoryRecord(), FakeClock()
    inner, other = Engine(ALLOW), Engine(DENY)
    other.revision = "unversioned"
    engine = verified(inner, other, report=recorder(record, clock))
    assert engine.decide(DOCUMENT, "d1").effect is Effect.ALLOW
    assert engine.drain()
    status = engine.status()
    assert (status.diverged, status.moved) == (1, "1")
    # From now on the other one decides, also for coroutines.
    assert engine.decide(DOCUMENT, "d2").effect is Effect.DENY
    assert asyncio.run(engine.decide_async(DOCUMENT, "d3")).effect is Effect.DENY
    assert engine.revision == "unversioned"
    other.answer = lambda _: PolicyUnavailable("gone")
    with pytest.raises(PolicyUnavailable):
        engine.decide(DOCUMENT, "d4")
    # The next revision decides here again, and is checked anew.
    inner.revision, inner.answer = "2", lambda _: DENY
    assert engine.decide(DOCUMENT, "d5").revision == "2"
    assert engine.status().moved is None
    engine.close()

    divergence, alert = record.events
    assert (divergence.kind, alert.kind) == ("divergence", "alert")
    assert (divergence.decision_id, divergence.tool, divergence.agent) == (
        "d1",
        "refund",
        "billing",
    )
    assert divergence.detail["ours"]["effect"] == "allow"
    assert divergence.detail["theirs"]["effect"] == "deny"
    assert divergence.detail["differs"] == ["effect", "reasons"]
    assert divergence.input == DOCUMENT


def test_a_revision_that_diverged_moves_decisions_again_when_it_comes_back(caplog) -> None:
    inner, other = Engine(ALLOW, "A"), Engine(DENY, "unversioned")
    engine = verified(inner, other)
    engine.decide(DOCUMENT, "d1")
    assert engine.drain()
    assert engine.decide(DOCUMENT, "d2").effect is Effect.DENY
    for _ in range(2):
        inner.revision, other.answer = "B", lambda _: ALLOW
        assert engine.decide(DOCUMENT, "d3").effect is Effect.ALLOW
        assert engine.drain()
        assert (engine.status().moved, engine.status().suspected) == (None, ("A",))
        inner.revision, other.answer = "A", lambda _: DENY
        assert engine.decide(DOCUMENT, "d4").effect is Effect.DENY, "the first call already"
        assert asyncio.run(engine.decide_async(DOCUMENT, "d5")).effect is Effect.DENY
        assert (engine.status().moved, engine.status().suspected) == ("A", ("A",))
    assert engine.status().diverged == 1
    assert caplog.text.count("by OPA again") == caplog.text.count("in this process again") == 2
    engine.close()


def test_what_is_remembered_of_divergences_is_bounded_and_the_oldest_goes_first() -> None:
    inner, other = Engine(ALLOW), Engine(DENY, "unversioned")
    engine = verified(inner, other)
    for number in range(REMEMBERED + 1):
        inner.revision = str(number)
        engine.decide(DOCUMENT, "d")
        assert engine.drain()
    assert engine.status().suspected == tuple(map(str, range(1, REMEMBERED + 1)))
    for revision, effect in (
        ("1", Effect.DENY),
        (str(REMEMBERED), Effect.DENY),
        ("0", ALLOW.effect),
    ):
        inner.revision = revision
        assert engine.decide(DOCUMENT, "d").effect is effect
    engine.close()


def test_what_either_answer_hides_is_hidden_in_the_record() -> None:
    record = MemoryRecord()
    hide = (Obligation("redact", "/args/password"),)
    for ours, theirs in (
        (replace(ALLOW, obligations=hide), DENY),
        (ALLOW, replace(DENY, obligations=hide)),
    ):
        engine = verified(Engine(ours), Engine(theirs), report=recorder(record, FakeClock()))
        engine.decide(DOCUMENT, "d1")
        assert engine.drain()
        engine.close()
    assert record.events
    assert "s3cret" not in repr(record.events)


def test_a_record_that_fails_does_not_keep_decisions_here() -> None:
    def report(found) -> None:
        raise OSError("the disk is full")

    engine = verified(Engine(ALLOW), Engine(DENY), report=report)
    engine.decide(DOCUMENT, "d1")
    assert engine.drain()
    assert engine.decide(DOCUMENT, "d2").effect is Effect.DENY
    engine.close()


def test_other_revisions_and_no_answer_are_no_divergence() -> None:
    inner = Engine(ALLOW, "authz=1 sha256:" + "0" * 64)
    for other, counted in (
        (Engine(DENY, "authz@2"), "not_comparable"),
        (Engine(PolicyUnavailable("gone"), "unknown"), "unreachable"),
    ):
        engine = verified(inner, other)
        engine.decide(DOCUMENT, "d1")
        assert engine.drain()
        status = engine.status()
        assert getattr(status, counted) == 1
        assert (status.diverged, status.moved) == (0, None)
        engine.close()


def test_a_sample_of_policies_that_are_gone_is_not_held_against_the_new_ones() -> None:
    gate = threading.Event()
    other = Engine(lambda document: gate.wait(10) and DENY, "unversioned")
    inner = Engine(ALLOW)
    engine = verified(inner, other)
    engine.decide(DOCUMENT, "d1")
    inner.revision, inner.answer = "2", lambda _: DENY
    gate.set()
    assert engine.drain()
    assert engine.status().not_comparable == 1
    assert engine.status().moved is None
    engine.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_child_of_a_fork_checks_on_a_thread_of_its_own() -> None:
    engine = verified(Engine(ALLOW), Engine(ALLOW))
    engine.decide(DOCUMENT, "d1")
    assert engine.drain()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            engine.decide(DOCUMENT, "d2")
            found = engine.drain(10), engine.status().sampled, engine.status().agreed
            code = 0 if found == (True, 1, 1) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert engine.status().sampled == 1
    engine.close()


def test_threads_and_samples_are_neither_lost_nor_crossed() -> None:
    inner = Engine(lambda document: replace(ALLOW, reasons=(Reason("n", document["n"]),)))
    other = Engine(inner.answer)
    engine = verified(inner, other, queue=10_000)

    def work(first: int) -> None:
        for number in range(first, first + 250):
            assert engine.decide({"n": str(number)}, str(number)).reasons[0].reason == str(number)

    threads = [threading.Thread(target=work, args=(each * 250,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.drain(30)
    assert engine.status().agreed == 2_000
    assert sorted(int(each["n"]) for each in other.seen) == list(range(2_000))
    engine.close()
