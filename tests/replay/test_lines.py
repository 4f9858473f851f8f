"""Lines are read alike by the fast reader and by Python's own, damaged ones included."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.replay.damage import BEYOND, DAMAGES, damaged
from tests.replay.records import STRICTER, event, inputs, shipped

from guardrails.audit.exact_json import exact_json
from guardrails.audit.lines import event_of_line
from guardrails.errors import EvaluationError
from guardrails.model.decision import MalformedDecision
from guardrails.rego.values import from_json
from guardrails.replay.recorded import DECIDED, STRICTNESS, Gap, Line, line_of
from guardrails.replay.replayer import Replayer
from guardrails.replay.tally import Tally

if TYPE_CHECKING:
    from guardrails.engines.in_process import InProcessEngine


def _refuse(word: str) -> float:
    raise ValueError(word)


def slowly(raw: bytes) -> dict[str, Any] | None:
    """The event of a line, by Python's decoder alone."""
    try:
        if not raw.endswith(b"\n"):
            return None
        found = json.loads(raw.decode(), parse_float=Decimal, parse_constant=_refuse)
        msgspec.convert(found, Line)
    except (ValueError, RecursionError, ArithmeticError):
        return None
    return found if found.get("kind") else None


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    engine = shipped().engine()
    found = [event(engine, document, at) for at, document in enumerate(inputs())]
    found[1]["input"] = {**found[1]["input"], "args": {"text": "\ud800 \x7f é", "n": 2**70}}
    found[2]["input"] = {**found[2]["input"], "more": [1]}
    found[3]["input"] = {**found[3]["input"], "args": "none"}
    found.append({"kind": "call.finished", "time": 1, "detail": {"outcome": "ok"}})
    return [exact_json(each).encode() + b"\n" for each in found]


@settings(max_examples=400, deadline=None)
@given(which=st.integers(0, 2**16), damages=DAMAGES)
def test_a_line_is_read_as_slowly(lines, which, damages) -> None:
    raw = damaged(lines[which % len(lines)], damages)
    fast, slow = line_of(raw), slowly(raw)
    if BEYOND in raw and slow is None:
        return  # it may stand in a part that nobody reads
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        assert fast == msgspec.convert(slow, Line)
        assert fast.input == slow.get("input")


@settings(max_examples=200, deadline=None)
@given(which=st.integers(0, 2**16), damages=DAMAGES)
def test_a_damaged_line_is_decided_as_the_engine_decides_it(
    lines, replayer, engine, which, damages
) -> None:
    """Whatever its shape: nothing is decided by code that expects another one."""
    raw = damaged(lines[which % len(lines)], damages)
    tally = Tally()
    replayer.note(raw, (0, 0), tally)
    line = line_of(raw)
    if line is None or line.kind not in DECIDED or tally.undecided:
        assert tally.decisions == tally.unreplayed == 0
        return
    assert tally.decisions + tally.unreplayed == 1
    if tally.decisions:
        assert set(tally.effects) == {(line.said.effect, effect_of(engine, line.input))}
    else:
        assert (
            line.said.effect not in STRICTNESS
            or type(line.input) is not dict
            or tally.gaps[Gap.HIDDEN] + tally.gaps[Gap.UNRECORDABLE] + tally.gaps[Gap.NARROWED]
        )


def effect_of(engine: InProcessEngine, document: Any) -> str:
    try:
        return engine.decide(from_json(document), "").effect.value
    except (EvaluationError, MalformedDecision, ValueError, TypeError, RecursionError):
        return "error"


@pytest.fixture(scope="module")
def replayer() -> Replayer:
    return Replayer(shipped(STRICTER).engine().loaded)


@pytest.fixture(scope="module")
def engine() -> InProcessEngine:
    return shipped(STRICTER).engine()


@pytest.mark.parametrize("number", [BEYOND, b"-" + BEYOND, b"1" * 5_000, b"NaN", b"-Infinity"])
def test_a_number_that_nothing_holds_makes_a_line_no_event(number, tmp_path) -> None:
    """It is counted as torn, wherever a record is read; nothing stops there."""
    line = b'{"kind":"call.started","effect":"allow","input":{"args":{"n":%b}}}\n' % number
    assert line_of(line) is None
    assert event_of_line(line) is None


def test_text_in_another_encoding_is_no_event() -> None:
    line = '{"kind":"call.started"}\n'.encode("utf-16-le")
    assert line_of(line) is None
    assert event_of_line(line) is None
    assert line_of(b'{"kind":"call.started","mode":"\xff"}\n') is None
