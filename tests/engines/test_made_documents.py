"""What enforcement keeps from call to call is looked at once; all else it makes of exact types."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import guardrails as gr
from guardrails import testing
from guardrails.enforcement.document import Constants
from guardrails.engines.decision_reader import DecisionReader
from guardrails.engines.in_process import InProcessEngine
from guardrails.engines.input_shape import fits
from guardrails.engines.source import Policies
from guardrails.errors import Reason
from guardrails.model.account import Allowance, Window
from guardrails.model.breakers import Breaker, Breakers
from guardrails.model.budget_plan import BudgetPlan
from guardrails.model.call import Step
from guardrails.model.decision import Decision, Effect, MalformedDecision
from guardrails.model.registered import RegisteredAgent
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.resources import policies_directory
from guardrails.runs.ledgers.memory import MemoryLedger

SCHEMA = json.loads((policies_directory() / "schemas/input/schema.json").read_text())
FITS = fits(shape_of_schema(SCHEMA))

POLICY = """package guardrails

decision := {"effect": "allow", "reasons": [{"rule": "r", "reason": input.agent.id}],
	"approvals": [], "obligations": []}
"""


class Given:
    def read(self, _: Any) -> Policies:
        return Policies({"p.rego": POLICY}, {})


@pytest.fixture(scope="module")
def engine() -> InProcessEngine:
    return InProcessEngine(Given(), dict, cache=None)


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    """Documents that enforcement has made."""
    seen: list[dict[str, Any]] = []
    with testing.governor(seeing(seen)).run("a", labels=["b", "a"]):
        for _ in range(3):
            pay("A-17", Decimal("1.5"))
    return seen


def seeing(seen: list[dict[str, Any]]) -> Any:
    """A policy that allows everything, and keeps what it was asked about as it was then."""
    allow = testing.FunctionEngine()

    def decide(document: Any) -> Any:
        assert FITS(document), document
        seen.append(copy.deepcopy(document))
        return allow.decide(document, "")

    return decide


@gr.governed_tool(resource="orders", operation="write", labels={"moves_money"})
def pay(order: str, amount: Decimal) -> str:
    return f"{order}: {amount}"


@dataclass
class Place:
    street: str
    when: datetime


@gr.governed_tool(name="take", resource="orders", hide=("hidden",))
def take(value: Any, *rest: Any, hidden: Any = None, **named: Any) -> None:
    del value, rest, hidden, named


@gr.governed_tool(name="spend", resource="orders")
@gr.budget(cost=lambda usd: usd, usd=4)
def spend(usd: Decimal, tokens: int) -> None:
    gr.charge(usd=usd * 2, tokens=tokens)


@gr.governed_tool(name="fail", resource="orders", operation="read")
def fail() -> None:
    raise OSError


ODD = st.sampled_from([Place("A", datetime(2026, 1, 1, tzinfo=UTC)), Window.DAY, b"x", 2**90, -0.0])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | ODD
    | st.floats(allow_nan=True) | st.decimals(allow_nan=True, places=2),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
CALLS = st.one_of(
    st.tuples(st.just("take"), VALUES, st.lists(VALUES, max_size=2)),
    st.tuples(st.just("spend"), st.integers(0, 300), st.integers(0, 9)),
    st.tuples(st.just("fail"), st.none(), st.none()),
    st.tuples(st.just("child"), st.none(), st.none()),
)
LIMITS = st.builds(
    gr.Budget,
    usd=st.none() | st.integers(0, 5),
    tokens=st.none() | st.integers(0, 30),
    calls=st.none() | st.integers(0, 50),
    seconds=st.none() | st.integers(1, 9),
)
PLENTY = gr.Budget(usd=50, calls=1000, tokens=10_000)
BREAKERS = Breakers(repeat=Breaker(warn=1, ask=3), errors=Breaker(warn=1, of=2))
PLAN = BudgetPlan(agents={"a": Allowance({Window.DAY: PLENTY})})


class Delegating(testing.OpenRegister):
    """A register of agents that may have `b` do something, within what they may do themselves."""

    def agent(self, agent_id: str) -> RegisteredAgent:
        budgets = {"test": PLENTY}
        return RegisteredAgent(agent_id, "1", "o@x.example", budgets=budgets, delegates={"b": True})


def make(calls: list[Any], governor: Any) -> None:
    for kind, one, two in calls:
        try:
            if kind == "take":
                take(one, *two, hidden=object(), key=one)
            elif kind == "spend":
                spend(Decimal(one) / 100, two)
            elif kind == "fail":
                fail()
            else:
                with governor.run("b", labels=["c"], budget=gr.Budget(calls=3)):
                    make([("take", 1, []), ("fail", None, None)], governor)
        except (gr.Refusal, OSError):
            continue


@given(st.lists(CALLS, max_size=12), LIMITS, st.none() | st.text(max_size=5), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_document_that_enforcement_makes_fits(engine, calls, limits, principal, loops):
    seen: list[dict[str, Any]] = []
    breakers = BREAKERS if loops else None
    governor = testing.governor(
        seeing(seen), budgets=PLAN, register=Delegating(), breakers=breakers
    )
    try:
        scope = governor.run("a", budget=limits, principal=principal, labels=["x"])
    except gr.ConfigError:
        return  # such a principal there is not
    with scope:
        make(calls, governor)
    parts = Parts()
    for each in seen:
        assert engine.decide_made(each, parts, "") == engine.decide(each, "")


def test_a_long_run_fits(documents):
    seen: list[dict[str, Any]] = []
    with testing.governor(seeing(seen)).run("a", budget=PLENTY):
        for _ in range(100):
            pay("A-17", Decimal("1.5"))
    assert len(seen[-1]["run"]["steps"]) == 32
    assert seen[-1]["run"]["calls"] == 99


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = target = copy.deepcopy(document)
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return made


class Parts:
    vouched: object = None


def test_constants_are_vouched_for_only_once_they_fit_what_decides_now(documents):
    engine = InProcessEngine(Given(), dict, cache=None)
    wrong, right = Parts(), Parts()
    odd = changed(documents[0], ("agent", "id"), ["no", "string"])
    with pytest.raises(Exception, match="not a string"):
        engine.decide_made(odd, wrong, "")
    assert wrong.vouched is None
    assert engine.decide_made(documents[0], right, "").reasons[0].reason == "a"
    assert right.vouched is engine.loaded
    engine.reload()
    assert right.vouched is not engine.loaded
    assert engine.decide_made(documents[1], right, "").reasons[0].reason == "a"
    assert right.vouched is engine.loaded


def test_both_ways_of_asking_decide_the_same(documents):
    engine = InProcessEngine(Given(), dict, cache=None)
    for each in documents:
        assert engine.decide_made(each, Parts(), "") == engine.decide(each, "")


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


class Loose:
    """A ledger of somebody's own, which counts in numbers of its own."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Late(testing.FakeClock):
    def now_ns(self) -> int:
        return 2**63


@pytest.mark.parametrize(
    "services", [{"ledger": lambda _: Loose(MemoryLedger())}, {"clock": Late()}]
)
def test_documents_with_parts_of_services_of_somebodys_own_are_looked_at_each_time(
    services, monkeypatch
):
    asked: list[str] = []
    engine = InProcessEngine(Given(), dict, cache=None)
    monkeypatch.setattr(
        InProcessEngine, "decide_made", lambda *_: pytest.fail("it was taken on trust")
    )

    def decide(_: Any, document: Any, call_id: str) -> Decision:
        asked.append(call_id)
        assert document["call"] == {"id": call_id}
        return ALLOWED

    monkeypatch.setattr(InProcessEngine, "decide", decide)
    with testing.governor(engine=engine, **services).run("a"):
        pay("A-17", Decimal(1))
    assert len(asked) == 1


ALLOWED = Decision(Effect.ALLOW, (Reason("r", "fine"),))
WORDS: Any = st.sampled_from(
    ["r", "s", "", " ", "long" * 200, "\x1b[0m", 1, None, [], Decimal(1), True]
)
REASONS = st.lists(
    st.fixed_dictionaries({"rule": WORDS, "reason": WORDS}, optional={"more": WORDS})
    | st.sampled_from([None, "r", ("r", "s")]),
    max_size=2,
)
ANSWERS = st.lists(
    st.fixed_dictionaries(
        {"effect": st.sampled_from(["allow", "deny", "shadow", "no", None, [], True])},
        optional={
            "reasons": REASONS | st.sampled_from([{}, "r", None]),
            "approvals": st.sampled_from([[], {}, "", None, [{}]]),
            "obligations": st.sampled_from(
                [
                    [],
                    {},
                    0,
                    [{"type": "label", "path": "x"}],
                    [{"type": "redact", "path": "/args/a"}],
                ]
            ),
            "would": st.sampled_from(["allow", "deny", None]),
        },
    ),
    min_size=1,
    max_size=12,
)


@given(ANSWERS)
@settings(max_examples=500, deadline=None)
def test_an_answer_that_was_read_before_is_read_the_same(answers):
    reader = DecisionReader("r1")
    for each in [*answers, *answers]:
        try:
            expected: Any = Decision.from_document(each, revision="r1")
        except MalformedDecision as error:
            expected = str(error)
        try:
            read: Any = reader.read(copy.deepcopy(each))
        except MalformedDecision as error:
            read = str(error)
        assert read == expected
        assert repr(read) == repr(expected)  # 1 is True, and text of that is not


def test_a_reader_keeps_few_answers():
    reader = DecisionReader("r1")
    for number in range(2000):
        made = {"effect": "deny", "approvals": [], "obligations": []}
        assert reader.read(
            {**made, "reasons": [{"rule": "r", "reason": f"no {number}"}]}
        ).reasons == (Reason("r", f"no {number}"),)
    assert len(reader._known) <= 256
