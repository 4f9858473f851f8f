"""The quick way to read arguments gives what the thorough one gives, or leaves it to that."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardrails.enforcement.arguments import Parameters
from guardrails.errors import InvalidArguments
from guardrails.model.limits import Limits


class Text(str):
    """No plain string."""

    __slots__ = ()


def plain(order: str, amount: int, price: Decimal = Decimal("1.50")) -> None: ...
def loose(first, second=None, *, third: bool = False) -> None: ...
def optional(name: str | None, ratio: float = 0.5, /, *, tags: list[str] = []) -> None: ...  # noqa: B006  # as people write
def collecting(*items: int, **others: str) -> None: ...


class Account:
    def pay(self, amount: int, *, note: str = "ä") -> None: ...


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.decimals(),
    st.text(max_size=6),
    st.text(max_size=6).map(Text),
    st.binary(max_size=3),
    st.lists(st.text(max_size=3), max_size=2),
    st.just(("a", 1)),
    st.builds(object),
)
NAMES = st.sampled_from(
    [
        "order",
        "amount",
        "price",
        "first",
        "second",
        "third",
        "name",
        "ratio",
        "tags",
        "text",
        "note",
    ]
)
SIZES = st.sampled_from([Limits(), Limits(text=20), Limits(nodes=2), Limits(depth=0)])


def read(parameters: Parameters, *call: Any) -> Any:
    try:
        found = parameters.read(*call)
    except InvalidArguments as error:
        return str(error), error.problems
    return (
        repr((found.args, found.kwargs, found.named, list(found.document.items()))),
        [*map(type, found.args), *map(type, found.document.values())],
        found.can_change,
        found.limits,
    )


@pytest.mark.parametrize("function", [plain, loose, optional, collecting, Account.pay])
@given(
    st.lists(VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=3), SIZES, st.booleans()
)
@settings(max_examples=300, deadline=None)
def test_both_ways_give_the_same(function, args, kwargs, limits, validate):
    method = function is Account.pay
    quick = Parameters.of(function, skip_first=method, validate=validate)
    thorough = Parameters.of(function, skip_first=method, validate=validate)
    thorough._plain = None
    given_args = (Account(), *args) if method and args != [None] else tuple(args)
    call = (given_args, kwargs, limits)
    assert read(quick, *call) == read(thorough, *call)


def test_plain_arguments_go_the_quick_way():
    found = Parameters.of(plain)._plain
    assert found is not None
    limits = Limits()
    assert found.read(("A-17", 3), {}, limits) is not None
    assert found.read(("A-17",), {"amount": 3, "price": Decimal(2)}, limits) is not None
    assert found.read(("A-17", True), {}, limits) is None
    assert found.read((Text("A-17"), 3), {}, limits) is None
    assert found.read(("A-17", 3), {Text("price"): Decimal(2)}, limits) is None


def test_a_hidden_parameter_is_passed_on_and_not_shown():
    def tool(session: object, text: str) -> None: ...

    parameters = Parameters.of(tool, hide=("session",))
    session = object()
    found = parameters.read((session, "hello"), {})
    assert found.args == (session, "hello")
    assert found.document == {"text": "hello"}
