"""The decorator matrix: every kind of callable, every stacking, every misuse."""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import sys
import types
import typing
from decimal import Decimal

import pytest
from pydantic import TypeAdapter

import guardrails as gr
from guardrails import testing


def record_of(run):
    return run.governor.record


def called(run, name=None) -> list:
    """The documents of the calls that started, in order."""
    return [
        dict(event.input["args"])
        for event in record_of(run).events
        if event.kind == "call.started" and name in (None, event.tool)
    ]


# --- kinds of callables


def plain(order_id: str, amount: int = 1) -> str:
    """A plain function."""
    return f"{order_id}:{amount}"


async def coroutine(order_id: str, amount: int = 1) -> str:
    """A coroutine function."""
    await asyncio.sleep(0)
    return f"{order_id}:{amount}"


def generator(order_id: str, amount: int = 1):
    """A generator."""
    yield order_id
    yield amount


async def async_generator(order_id: str, amount: int = 1):
    """An async generator."""
    yield order_id
    yield amount


def result_of(function, *args, **kwargs):
    """What calling `function` gives in the end, whatever its kind."""
    if inspect.isasyncgenfunction(function):

        async def collect():
            return [item async for item in function(*args, **kwargs)]

        return asyncio.run(collect())
    if inspect.iscoroutinefunction(function):
        return asyncio.run(function(*args, **kwargs))
    if inspect.isgeneratorfunction(function):
        return list(function(*args, **kwargs))
    return function(*args, **kwargs)


KINDS = [plain, coroutine, generator, async_generator]
DECORATORS: dict[str, tuple[typing.Any, typing.Any]] = {
    "governed_tool": (gr.governed_tool, gr.governed_tool(resource="res", operation="write")),
    "requires_approval": (
        gr.requires_approval,
        gr.requires_approval(when=lambda amount: amount > 10),
    ),
    "budget": (gr.budget, gr.budget(cost="0.01", calls=5)),
}


@pytest.mark.parametrize("function", KINDS)
@pytest.mark.parametrize(
    "names", [p for n in (1, 2, 3) for p in itertools.permutations(DECORATORS, n)]
)
def test_any_stack_makes_one_wrapper_that_keeps_the_function_s_face(function, names) -> None:
    governed = function
    for name in names:
        governed = DECORATORS[name][1](governed)
    assert governed.__wrapped__ is function, "one wrapper, whatever the number of decorators"
    assert inspect.signature(governed) == inspect.signature(function)
    assert typing.get_type_hints(governed) == typing.get_type_hints(function)
    assert (governed.__name__, governed.__qualname__, governed.__doc__, governed.__module__) == (
        function.__name__,
        function.__qualname__,
        function.__doc__,
        function.__module__,
    )
    for predicate in (
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        asyncio.iscoroutinefunction,
    ):
        assert predicate(governed) == predicate(function), predicate.__name__
    with testing.run() as run:
        assert result_of(governed, "A", amount=2) == result_of(function, "A", amount=2)
    assert called(run) == [{"order_id": "A", "amount": 2}]


@pytest.mark.parametrize("function", KINDS)
@pytest.mark.parametrize("name", DECORATORS)
def test_each_decorator_works_bare_and_called(function, name) -> None:
    for decorate in (DECORATORS[name][0], DECORATORS[name][0]()):
        governed = decorate(function)
        tool = gr.tool_of(governed)
        assert tool is not None
        assert (tool.facts.name, tool.facts.resource, tool.facts.operation) == (
            function.__name__,
            function.__name__,
            "execute",
        )


def test_the_order_of_a_stack_does_not_matter() -> None:
    seen = set()
    for order in itertools.permutations(DECORATORS):
        governed = plain
        for name in order:
            governed = DECORATORS[name][1](governed)
        tool = gr.tool_of(governed)
        seen.add((tool.facts.resource, tool.facts.operation, tool.price.cost, len(tool.approvals)))
    assert seen == {("res", "write", 10_000, 1)}


@pytest.mark.parametrize("function", KINDS)
def test_the_schema_that_frameworks_read_survives(function: typing.Any) -> None:
    governed: typing.Any = gr.governed_tool(function)
    assert TypeAdapter(governed).core_schema["type"] == TypeAdapter(function).core_schema["type"]
    if function in {plain, coroutine}:
        assert TypeAdapter(governed).json_schema() == TypeAdapter(function).json_schema()


class Shop:
    """Methods of every sort; the decorator above and below the descriptor."""

    def __init__(self, name: str) -> None:
        self.name = name

    @gr.governed_tool
    def method(self, x: int) -> str:
        return f"{self.name}{x}"

    @gr.governed_tool
    async def async_method(self, x: int) -> str:
        return f"{self.name}{x}"

    @gr.governed_tool
    @classmethod
    def class_above(cls, x: int) -> str:
        return f"{cls.__name__}{x}"

    @classmethod
    @gr.governed_tool
    def class_below(cls, x: int) -> str:
        return f"{cls.__name__}{x}"

    @gr.governed_tool
    @staticmethod
    def static_above(x: int) -> str:
        return f"static{x}"

    @staticmethod
    @gr.governed_tool
    def static_below(x: int) -> str:
        return f"static{x}"


def test_methods_never_show_their_instance() -> None:
    shop = Shop("s")
    with testing.run() as run:
        assert shop.method(1) == "s1"
        assert shop.method(x=2) == "s2"
        assert Shop.method(shop, 3) == "s3"
        assert asyncio.run(gr.bind(shop.async_method)(4)) == "s4"
        assert shop.class_above(5) == "Shop5"
        assert Shop.class_below(6) == "Shop6"
        assert shop.static_above(7) == Shop.static_above(7) == "static7"
        assert shop.static_below(8) == Shop.static_below(8) == "static8"
    assert called(run) == [{"x": n} for n in (1, 2, 3, 4, 5, 6, 7, 7, 8, 8)]
    assert {event.tool for event in record_of(run).events if event.tool} == {
        f"Shop.{name}"
        for name in (
            "method",
            "async_method",
            "class_above",
            "class_below",
            "static_above",
            "static_below",
        )
    }


def test_a_partial_shows_policy_what_it_fixes() -> None:
    by_name = gr.governed_tool(name="by_name")(functools.partial(plain, amount=5))
    by_place = gr.governed_tool(name="by_place")(functools.partial(plain, "A"))
    with testing.run() as run:
        assert by_name("B") == "B:5"
        assert by_place(amount=7) == "A:7"
    assert called(run) == [{"order_id": "B", "amount": 5}, {"order_id": "A", "amount": 7}]


def test_star_arguments_stand_under_their_parameter_s_name() -> None:
    @gr.governed_tool
    def tool(a: int, *rest: int, flag: bool = False, **more: str) -> tuple:
        return (a, rest, flag, more)

    with testing.run() as run:
        assert tool(1, 2, 3, flag=True, x="y") == (1, (2, 3), True, {"x": "y"})
    assert called(run) == [{"a": 1, "rest": [2, 3], "flag": True, "more": {"x": "y"}}]


# --- foreign decorators


def transparent(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def opaque(function):
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def test_a_foreign_decorator_in_between_does_not_make_a_second_wrapper() -> None:
    governed = gr.governed_tool(resource="res")(transparent(gr.budget(cost="0.01")(plain)))
    with testing.run() as run:
        assert governed("A") == "A:1"
        assert run.spent.usd == Decimal("0.01")
    assert len(called(run)) == 1
    assert gr.tool_of(governed).facts.resource == "res"


def test_a_foreign_decorator_that_hides_the_function_is_an_error_that_says_how_to_order() -> None:
    with pytest.raises(gr.ConfigError, match=r"next to each other|functools\.wraps"):
        gr.governed_tool(opaque(gr.budget(cost="0.01")(plain)))


def test_a_foreign_decorator_that_calls_twice_is_decided_twice() -> None:
    def twice(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            function(*args, **kwargs)
            return function(*args, **kwargs)

        return wrapper

    governed = gr.governed_tool(twice(gr.budget(calls=1)(plain)))
    with testing.run(), pytest.raises(gr.BudgetExceeded):
        governed("A")


# --- misuse, at import


class FrameworkTool:
    """What a framework makes of a function."""

    def __init__(self, function) -> None:
        self.function = function

    def __call__(self, *args):
        return self.function(*args)


@pytest.mark.parametrize(
    ("misuse", "says"),
    [
        (lambda: gr.governed_tool(Shop), "class"),
        (lambda: gr.governed_tool(FrameworkTool(plain)), "below the framework's"),
        (lambda: gr.governed_tool(gr.governed_tool(plain)), "governed already"),
        (lambda: gr.budget(gr.budget(plain)), "two @budget"),
        (lambda: gr.governed_tool(typing.cast("typing.Any", "refund")), "no function"),
        (lambda: gr.governed_tool(labels="moves_money")(plain), "collection of words"),
        (lambda: gr.governed_tool(labels={"Moves Money"})(plain), "no word"),
        (lambda: gr.governed_tool(labels={"move_money"})(plain), "`moves_money`"),
        (lambda: gr.governed_tool(labels={"customer-facing"})(plain), "`customer_facing`"),
        (lambda: gr.governed_tool(hide="order_id")(plain), "collection of names"),
        (lambda: gr.governed_tool(hide=("ordr",))(plain), "there are `order_id`, `amount`"),
        (lambda: gr.governed_tool(name="a b")(plain), "no name"),
        (lambda: gr.governed_tool(operation="")(plain), "no name"),
        (lambda: gr.governed_tool(shadow=lambda nope: nope)(plain), "`nope`"),
        (
            lambda: gr.requires_approval(when=lambda amunt: True)(plain),
            "there are `order_id`, `amount`",
        ),
        (lambda: gr.requires_approval(when=typing.cast("typing.Any", 7))(plain), "no function"),
        (lambda: gr.requires_approval(approvers=())(plain), "nobody"),
        (lambda: gr.requires_approval(expires_in="soon")(plain), '"4h"'),
        (lambda: gr.requires_approval(expires_in=0)(plain), "duration"),
        (lambda: gr.requires_approval(quorum=0)(plain), "quorum"),
        (lambda: gr.requires_approval(quorum=True)(plain), "quorum"),
        (lambda: gr.budget(cost=-1)(plain), "never negative"),
        (lambda: gr.budget(cost=0.1234567)(plain), "fraction of a micro-dollar"),
        (lambda: gr.budget(cost=float("nan"))(plain), "no amount"),
        (lambda: gr.budget(cost=lambda price: price)(plain), "`price`"),
        (lambda: gr.budget(calls=typing.cast("typing.Any", 1.5))(plain), "whole number"),
        (lambda: gr.budget(usd="five")(plain), "no amount"),
    ],
)
def test_a_wrong_decorator_raises_at_import_and_says_what_to_do(misuse, says) -> None:
    with pytest.raises(gr.ConfigError) as caught:
        misuse()
    assert says in str(caught.value)


def test_two_tools_of_one_name_are_an_error_and_one_defined_anew_is_not() -> None:
    def one(x: int) -> int:
        return x

    def other(x: int) -> int:
        return x

    def define():
        @gr.governed_tool
        def tool(x: int) -> int:
            return x

        return tool

    governor = testing.governor()
    with testing.run(governor=governor):
        gr.governed_tool(name="tool")(one)(1)
        with pytest.raises(gr.Refusal, match="two tools are called `tool`"):
            gr.governed_tool(name="tool")(other)(1)
        assert define()(1) == define()(2) - 1, "a function that is made again is the same tool"


def test_hidden_parameters_reach_the_tool_and_nobody_else() -> None:
    class Session:
        pass

    session = Session()

    @gr.governed_tool(hide=("session",))
    @gr.budget(cost="0.01")
    def by_option(session: Session, x: int) -> object:
        return session

    @gr.governed_tool
    def by_annotation(session: typing.Annotated[Session, gr.Hidden], x: int) -> object:
        return session

    with testing.run() as run:
        assert by_option(session, 1) is session
        assert by_annotation(session, x=2) is session
    assert called(run) == [{"x": 1}, {"x": 2}]
    assert gr.tool_of(by_option).facts.hidden == ("session",)


def test_a_parameter_that_has_no_json_form_is_an_error_at_import() -> None:
    with pytest.raises(gr.ConfigError, match="hide"):

        @gr.governed_tool
        def tool(callback: typing.Callable[[], None]) -> None: ...


# --- govern in place


def test_govern_replaces_functions_and_methods_in_place_also_before_import(monkeypatch) -> None:
    module = types.ModuleType("bank_double")
    source = """
def pay(amount: int) -> str:
    return f"paid {amount}"
class Bank:
    def move(self, amount: int) -> str:
        return f"moved {amount}"
    @staticmethod
    def rate(x: int) -> int:
        return x
"""
    exec(compile(source, "bank_double.py", "exec"), module.__dict__)  # noqa: S102  # the test's own text
    monkeypatch.setitem(sys.modules, "bank_double", module)
    gr.govern("bank_double", "pay", resource="payments", operation="write")
    gr.govern("bank_double", "Bank.move", operation="write")
    gr.govern("bank_double", "Bank.rate", operation="read")
    with testing.run() as run:
        assert module.pay(3) == "paid 3"
        assert module.Bank().move(4) == "moved 4"
        assert module.Bank.rate(5) == module.Bank().rate(5) == 5
    assert called(run) == [{"amount": 3}, {"amount": 4}, {"x": 5}, {"x": 5}]
    with pytest.raises(gr.NoActiveRun):
        module.pay(3)
    with pytest.raises(gr.ConfigError, match="no `nothing`"):
        gr.govern("bank_double", "nothing")
    with pytest.raises(gr.ConfigError, match="governed already"):
        gr.govern("bank_double", "pay")
