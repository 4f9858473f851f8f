"""What enforcement keeps from call to call is looked at once; all else in every call."""

from __future__ import annotations

import asyncio
import copy
import json
from decimal import Decimal
from typing import Any

import pytest

import guardrails as gr
from guardrails import testing
from guardrails.enforcement.document import Constants
from guardrails.engines.in_process import KEPT, InProcessEngine
from guardrails.engines.input_shape import fits
from guardrails.engines.source import Policies
from guardrails.errors import Reason
from guardrails.model.call import Step
from guardrails.model.decision import Decision, Effect
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.resources import policies_directory

SCHEMA = json.loads((policies_directory() / "schemas/input/schema.json").read_text())
FITS = fits(shape_of_schema(SCHEMA))
FITS_AGAIN = fits(shape_of_schema(SCHEMA), but=KEPT)
WRONG = (None, True, 7, "text", 1.5, ["x", 1.5], {"a": 1.5}, (), b"", Decimal("NaN"), {1: 2})

POLICY = """package guardrails

decision := {"effect": "allow", "reasons": [{"rule": "r", "reason": input.agent.id}],
	"approvals": [], "obligations": []}
"""


class Given:
    def read(self, _: Any) -> Policies:
        return Policies({"p.rego": POLICY}, {})


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """Documents that enforcement has made, of runs and of a child's, with steps and without."""
    seen: list[dict[str, Any]] = []
    allow = testing.FunctionEngine()

    def decide(document: Any) -> Any:
        seen.append(copy.deepcopy(document))
        return allow.decide(document, "")

    @gr.governed_tool(resource="orders", operation="write", labels={"moves_money"})
    def pay(order: str, amount: Decimal) -> str:
        return f"{order}: {amount}"

    governor = testing.governor(decide)
    limits = gr.Budget(usd=5, calls=100, tokens=9, seconds=60)
    with governor.run("a", budget=limits, principal="p", labels=["b", "a"]):
        for _ in range(40):
            pay("A-17", Decimal("1.5"))
    assert len(seen[-1]["run"]["steps"]) == 32
    return seen


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items: Any = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        items = enumerate(value)
    return [path, *(place for key, each in items for place in places(each, (*path, key)))]


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = target = copy.deepcopy(document)
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return made


def test_what_enforcement_makes_fits(documents):
    assert all(FITS(each) and FITS_AGAIN(each) for each in documents)


def test_what_is_not_kept_is_looked_at_in_every_call(documents):
    document = documents[2]
    looked_at = 0
    for path in places(document)[1:]:
        kept = any(path[: len(each)] == each for each in KEPT)
        for value in WRONG:
            other = changed(document, path, value)
            if not kept:
                looked_at += not FITS(other)
                assert FITS_AGAIN(other) == FITS(other), (path, value)
            else:
                assert FITS_AGAIN(other), (path, value)
    assert looked_at > 100


def test_a_part_that_is_missing_is_missed(documents):
    for name in documents[0]:
        other = {key: value for key, value in documents[0].items() if key != name}
        assert not FITS_AGAIN(other)


class Parts:
    vouched: object = None


def test_constants_are_vouched_for_only_once_they_fit_what_decides_now(documents):
    engine = InProcessEngine(Given(), dict, cache=None)
    wrong, right = Parts(), Parts()
    odd = changed(documents[0], ("agent", "id"), ["no", "string"])
    with pytest.raises(Exception, match="not a string"):
        engine.decide_made(odd, "1", wrong)
    assert wrong.vouched is None
    assert engine.decide_made(documents[0], "2", right).reasons[0].reason == "a"
    assert right.vouched is engine.loaded
    engine.reload()
    assert right.vouched is not engine.loaded
    assert engine.decide_made(documents[1], "3", right).reasons[0].reason == "a"
    assert right.vouched is engine.loaded


def test_both_ways_of_asking_decide_the_same(documents):
    engine = InProcessEngine(Given(), dict, cache=None)
    for each in documents:
        assert engine.decide_made(each, "1", Parts()) == engine.decide(each, "1")


def test_nothing_changes_what_calls_share():
    engine = InProcessEngine(Given(), dict, cache=None)

    @gr.governed_tool(resource="orders")
    def pay(amount: int) -> int:
        return amount

    with testing.governor(engine=engine).run("a", labels=["x"]) as run:
        pay(1)
        (constants,) = run.constants[gr.tool_of(pay)]
        before = copy.deepcopy([getattr(constants, name) for name in Constants.__slots__[:-1]])
        for number in range(50):
            pay(number)
        assert [getattr(constants, name) for name in Constants.__slots__[:-1]] == before


@pytest.mark.parametrize("word", [None, 1, ["x"], type("S", (str,), {})("x")])
def test_a_step_of_anything_but_strings_has_no_document(word):
    with pytest.raises(TypeError, match="strings"):
        assert Step("pay", "write", word, "ok").document


class Stricter(InProcessEngine):
    """An engine of somebody who adds a rule of their own."""

    def decide(self, document: Any, decision_id: str) -> Any:
        return Decision(Effect.DENY, (Reason("own", "not here"),), decision_id=decision_id)


class Deny:
    decide = Stricter.decide


class Guarded(Deny, InProcessEngine):
    """The same by way of a mixin."""


class Before:
    """The same by way of what stands before an engine."""

    def __init__(self) -> None:
        self._inner = InProcessEngine(Given(), dict, cache=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    decide = Stricter.decide


class StricterAsync(InProcessEngine):
    async def decide_async(self, document: Any, decision_id: str) -> Any:
        return Stricter.decide(self, document, decision_id)  # type: ignore[arg-type]  # it needs none


def test_an_engine_that_decides_otherwise_is_asked_its_own_way():
    @gr.governed_tool(resource="orders")
    def pay(amount: int) -> int:
        return amount

    @gr.governed_tool(resource="orders")
    async def pay_async(amount: int) -> int:
        return amount

    for engine in (
        Stricter(Given(), dict, cache=None),
        Guarded(Given(), dict, cache=None),
        Before(),
    ):
        with (
            testing.governor(engine=engine).run("a"),
            pytest.raises(gr.CallDenied, match="not here"),
        ):
            pay(1)
    with testing.governor(engine=StricterAsync(Given(), dict, cache=None)).run("a"):
        assert pay(1) == 1
        with pytest.raises(gr.CallDenied, match="not here"):
            asyncio.run(pay_async(1))
