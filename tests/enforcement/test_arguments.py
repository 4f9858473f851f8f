"""Arguments: what is checked, what policy sees and what the tool gets are the same values."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import inspect
import re
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    NamedTuple,
    NotRequired,
    Protocol,
    TypedDict,
    TypeVar,
    Unpack,
)

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from guardrails.enforcement.annotations import Hidden as HiddenMark
from guardrails.enforcement.arguments import Arguments, Hidden, Parameters, bind_predicate
from guardrails.errors import ConfigError, InvalidArguments
from guardrails.model.canonical import digest

if TYPE_CHECKING:
    from decimal import Context as NotImported


T = TypeVar("T")


ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""What differs from run to run in an object's text, and so may stand in no test's name."""


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Item(BaseModel):
    price: Decimal
    when: dt.datetime | None = None


@dataclass
class Line:
    sku: str


class Point(NamedTuple):
    x: int


class Address(TypedDict):
    city: str
    fee: NotRequired[Decimal]


class Session:
    pass


class OrderId(str):
    __slots__ = ()


class Named(Protocol):
    name: str


def parameters(function, **options):
    return Parameters.of(function, **options).checked()


def echo(*args, **kwargs):
    return args, kwargs


def one(annotation):
    """The parameters of a function with one parameter `x` of this annotation."""

    def tool(x):
        return x

    tool.__annotations__ = {"x": annotation}
    return parameters(tool)


# ------------------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("annotation", "value", "gets"),
    [
        (int, 5, 5),
        (str, "a", "a"),
        (bool, True, True),
        (float, 1.5, 1.5),
        (None, None, None),
        (Any, 1, 1),
        (float, 2, 2.0),
        (float, Decimal("0.1"), 0.1),
        (Decimal, 2, Decimal(2)),
        (Decimal | None, 2, Decimal(2)),
        (list[Decimal], [2], [Decimal(2)]),
        (dict[str, Decimal], {"a": 2}, {"a": Decimal(2)}),
        (Annotated[Decimal, Field(gt=0)], 2, Decimal(2)),
        (int | str, "a", "a"),
        (int | None, None, None),
        (Literal["a", 1], 1, 1),
        (Colour, Colour.RED, Colour.RED),
        (int, Level.LOW, 1),
        (str, OrderId("a"), "a"),
        (OrderId, OrderId("a"), OrderId("a")),
        (Path, Path("a"), Path("a")),
        (Line, Line("s"), Line("s")),
        (Point, Point(1), Point(1)),
        (Address, {"city": "x", "fee": 1}, {"city": "x", "fee": Decimal(1)}),
        (Sequence[int], (1,), (1,)),
        (Mapping[str, int], {"a": 1}, {"a": 1}),
        (Iterable[int], [1], [1]),
        (set[int], {1}, {1}),
        (Annotated[int, Field(gt=0, le=10)], 10, 10),
        (tuple[int, ...], (1,), (1,)),
        (list, [1], [1]),
        (object, 1, 1),
        (dt.date, dt.date(2026, 1, 1), dt.date(2026, 1, 1)),
        (Named, "text", "text"),
    ],
    ids=repr,
)
def test_what_fits_is_what_the_tool_gets(annotation, value, gets):
    read = one(annotation)
    arguments = read.read((value,), {})
    assert arguments.args == (gets,)
    assert type(arguments.args[0]) is type(gets)
    assert digest(read.document_of(arguments)) == digest(arguments.document)
    assert arguments.named == {"x": gets}


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5000"),
        (int, None),
        (int, True),
        (int, 5.0),
        (int, Decimal(5)),
        (int, [5]),
        (str, 5),
        (str, None),
        (str, b"a"),
        (bool, 1),
        (bool, "true"),
        (float, "1"),
        (float, True),
        (float, 2**60 + 1),
        (float, 10**400),
        (float, Decimal("0.12345678901234567890")),
        (Decimal, "5000"),
        (Decimal, 1.5),
        (Decimal, True),
        (Decimal, None),
        (list[Decimal], [True]),
        (list[int], ["1"]),
        (list[int], (1,)),
        (list, (1,)),
        (dict[str, int], {"a": "1"}),
        (int | None, "1"),
        (Literal[1], True),
        (Literal["a"], "b"),
        (Literal[True], 1),
        (dt.date, dt.datetime(2026, 1, 1, tzinfo=dt.UTC)),
        (dt.datetime, "2026-01-01T00:00:00Z"),
        (Colour, "red"),
        (Annotated[int, Field(gt=0)], 0),
        (Annotated[int, Field(gt=0)], True),
        (Annotated[Decimal, Field(gt=0)], -1),
        (Address, {}),
        (Address, {"city": 5}),
        (Item, {"price": "x"}),
        (Line, "s"),
        (OrderId, "a"),
        (Path, "a"),
        (float, float("nan")),
        (float, float("inf")),
        (Decimal, Decimal("NaN")),
        (Any, object()),
        (object, iter([])),
        (Any, float("nan")),
        (Iterable[int], iter([1])),
        (Iterable[int], (i for i in [1])),
        (int, 2**63),
        (str, "\ud800"),
    ],
    ids=lambda value: ADDRESS.sub("", repr(value)),
)
def test_what_does_not_fit_is_refused(annotation, value):
    with pytest.raises(InvalidArguments) as caught:
        one(annotation).read((value,), {})
    assert caught.value.problems
    assert all(problem.startswith("args.x") for problem in caught.value.problems)


def test_without_validation_only_the_json_form_is_asked_for():
    def tool(x: int):
        return x

    read = parameters(tool, validate=False)
    assert read.read(("5000",), {}).document == {"x": "5000"}
    with pytest.raises(InvalidArguments, match="not finite"):
        read.read((float("nan"),), {})


class LyingItems(dict):
    def items(self):
        return [("amount", 1)]


def test_a_lying_mapping_never_gives_policy_something_else_than_the_tool():
    lying = LyingItems(amount=5000)
    with pytest.raises(InvalidArguments):
        one(Any).read((lying,), {})
    for annotation in (dict, dict[str, int], Mapping[str, int]):
        arguments = one(annotation).read((lying,), {})
        assert type(arguments.args[0]) is dict
        assert arguments.document == {"x": arguments.args[0]}


def test_a_refusal_tells_the_operator_the_value_and_the_model_only_its_type():
    def tool(amount: int, token: Annotated[str, Hidden]):
        return amount, token

    with pytest.raises(InvalidArguments) as caught:
        parameters(tool).read(("hunter1", 42), {})
    assert "hunter1" in str(caught.value)
    assert "hunter1" not in caught.value.model_message
    assert "42" not in str(caught.value)
    assert "args.amount: input should be a valid integer, got str" in caught.value.model_message


def test_a_refusal_names_the_nested_place():
    with pytest.raises(InvalidArguments, match=r"args\.x\[1\]\.price"):
        one(list[Item]).read(([Item(price=Decimal(1)), {"price": "no"}],), {})


def test_a_hostile_value_is_not_asked_for_its_text():
    class Hostile:
        def __repr__(self):
            raise RuntimeError

        __str__ = __repr__

    for annotation in (int, str, list[int], Any, Item):
        with pytest.raises(InvalidArguments):
            one(annotation).read((Hostile(),), {})


# ----------------------------------------------------------------------------------- binding


def full(a, /, b: int, c=3, *rest: int, d: str, e=None, **more: float):
    return a, b, c, rest, d, e, more


def plain(a, b=2):
    return a, b


def star(*rest, **more):
    return rest, more


values = st.integers(0, 9)
names = st.sampled_from(["a", "b", "c", "d", "e", "z"])


@given(
    st.sampled_from([full, plain, star]),
    st.lists(values, max_size=6),
    st.dictionaries(names, values, max_size=4),
)
def test_binding_is_pythons_or_stricter(function, args, kwargs):
    kwargs = {name: str(value) if name == "d" else value for name, value in kwargs.items()}
    read = parameters(function)
    try:
        expected = function(*args, **kwargs)
    except TypeError:
        with pytest.raises(InvalidArguments):
            read.read(tuple(args), kwargs)
        return
    if function is full and "a" in kwargs:
        # The one place that is stricter: a name that **kwargs would take a second time.
        with pytest.raises(InvalidArguments, match="by position"):
            read.read(tuple(args), kwargs)
        return
    arguments = read.read(tuple(args), kwargs)
    assert function(*arguments.args, **arguments.kwargs) == expected
    assert digest(read.document_of(arguments)) == digest(arguments.document)
    assert list(arguments.document) == list(inspect.signature(function).parameters)


def test_star_arguments_stand_under_their_own_names():
    arguments = parameters(full).read((1, 2, 3, 4, 5), {"d": "x", "z": 6})
    assert arguments.document == {
        "a": 1,
        "b": 2,
        "c": 3,
        "rest": [4, 5],
        "d": "x",
        "e": None,
        "more": {"z": 6},
    }


def test_two_values_for_one_name_are_refused():
    with pytest.raises(InvalidArguments, match="by position"):
        parameters(full).read((1, 2), {"a": 2, "d": "x"})


def test_an_instance_is_passed_on_and_is_no_data():
    class Shop:
        def refund(self, order: str, /, self2: int = 1):
            return self, order, self2

    shop = Shop()
    read = parameters(Shop.refund, skip_first=True)
    arguments = read.read((shop, "A"), {})
    assert arguments.args == (shop, "A", 1)
    assert arguments.document == {"order": "A", "self2": 1}
    assert read.document_of(arguments) == arguments.document
    assert read.rewrite(arguments, {"order": "B"}).args == (shop, "B", 1)
    with pytest.raises(InvalidArguments, match="instance"):
        read.read((), {})


@pytest.mark.parametrize(
    ("bound", "args", "kwargs", "document"),
    [
        (functools.partial(plain, 1), (), {}, {"a": 1, "b": 2}),
        (functools.partial(plain, b=5), (1,), {}, {"a": 1, "b": 5}),
        (functools.partial(plain, b=5), (1,), {"b": 6}, {"a": 1, "b": 6}),
        (functools.partial(plain, a=5), (), {"b": 6}, {"a": 5, "b": 6}),
        (functools.partial(functools.partial(plain, 1), 7), (), {}, {"a": 1, "b": 7}),
        (
            functools.partial(star, 1, z=2),
            (3,),
            {"y": 4},
            {"rest": [1, 3], "more": {"z": 2, "y": 4}},
        ),
    ],
    ids=lambda value: ADDRESS.sub("", str(value)),
)
def test_what_a_partial_has_bound_is_data_too(bound, args, kwargs, document):
    read = parameters(bound)
    arguments = read.read(args, kwargs)
    assert arguments.document == document
    assert bound(*arguments.args, **arguments.kwargs) == bound(*args, **kwargs)
    assert read.document_of(arguments) == document


def test_what_a_partial_fixes_cannot_be_rewritten():
    read = parameters(functools.partial(plain, 1))
    with pytest.raises(InvalidArguments, match="partial"):
        read.rewrite(read.read((), {}), {"a": 2})


def test_unpacked_typed_dicts_describe_keywords():
    def tool(**fields: Unpack[Address]):
        return fields

    read = parameters(tool)
    assert read.read((), {"city": "x", "fee": 2}).kwargs == {"city": "x", "fee": Decimal(2)}
    for wrong in ({}, {"city": 5}):
        with pytest.raises(InvalidArguments):
            read.read((), wrong)


def test_calls_by_name_alone_are_read_the_same():
    read = parameters(full)
    given = {"a": 1, "b": 2, "rest": [4], "d": "x", "more": {"z": 6}}
    assert read.read_named(given).document == read.read((1, 2, 3, 4), {"d": "x", "z": 6}).document
    for wrong in ({"a": 1}, {**given, "unknown": 1}, {**given, "b": "2"}):
        with pytest.raises(InvalidArguments):
            read.read_named(wrong)


# ------------------------------------------------------------------------------------ hiding


def test_hidden_parameters_reach_the_tool_and_nobody_else():
    def tool(
        session: Annotated[Session, Hidden],
        order: str,
        log: Annotated[list[str], Hidden()],
        extra=None,
    ):
        return session, order, log, extra

    read = Parameters.of(tool).with_options(hide=("extra",))
    session = Session()
    arguments = read.read((session, "A", ["x"]), {"extra": print})
    assert read.hidden == ("extra", "log", "session")
    assert arguments.document == {"order": "A"}
    assert arguments.args == (session, "A", ["x"], print)
    assert arguments.named["session"] is session
    assert read.rewrite(arguments, {"order": "B"}).args == (session, "B", ["x"], print)
    with pytest.raises(InvalidArguments, match="no such argument"):
        read.rewrite(arguments, {"session": 1})
    assert read.read_named({"order": "A"}).document == {"order": "A"}


def test_hiding_what_is_not_there_is_an_error_that_lists_what_is():
    with pytest.raises(ConfigError, match=r"no parameter `sesion`; there are `a`, `b`"):
        Parameters.of(plain, hide=("sesion",))


def test_hidden_inside_an_annotation_is_an_error():
    def tool(token: Annotated[str, Hidden] | None):
        return token

    with pytest.raises(ConfigError, match="whole parameter"):
        Parameters.of(tool)


@pytest.mark.parametrize("annotation", [5, [int], "1 +"], ids=repr)
def test_what_is_no_annotation_is_an_error_at_decoration(annotation):
    with pytest.raises(ConfigError, match="`x`"):
        no_data(annotation)


class Box(Generic[T]):
    def __init__(self, item):
        self.item = item


def test_a_generic_class_is_checked_by_its_class():
    read = no_data(Box[int])
    given: tuple[Any, ...] = (Box(1), 5)
    for value in given:
        with pytest.raises(InvalidArguments):
            read.read((value,), {})


def test_the_model_is_not_told_how_to_write_the_tool():
    with pytest.raises(InvalidArguments) as caught:
        one(Any).read((object(),), {})
    assert "hide" in str(caught.value)
    assert "hide" not in caught.value.model_message


def no_data(annotation):
    def tool(x):
        return x

    tool.__annotations__ = {"x": annotation}
    return Parameters.of(tool)


@pytest.mark.parametrize(
    "annotation",
    [
        Session,
        Session | None,
        Callable[[int], int],
        Callable[..., Any] | None,
        Iterator[int],
        Generator[int, None, None],
        AsyncIterator[int],
        SecretStr,
        type[int],
        complex,
        Annotated[Session, "note"],
    ],
    ids=repr,
)
def test_a_type_without_a_form_is_an_error_at_decoration(annotation):
    with pytest.raises(ConfigError, match="hide"):
        no_data(annotation).checked()
    assert no_data(annotation).with_options(hide=("x",)).hidden == ("x",)


@pytest.mark.parametrize(
    "annotation",
    [
        Any,
        object,
        Named,
        Session | int,
        Sequence[Any],
        Mapping[str, Any],
        Iterable[int],
        OrderId,
        Point,
        Address,
        "Any",
    ],
    ids=repr,
)
def test_only_what_is_certain_is_an_error_at_decoration(annotation):
    assert no_data(annotation).checked().hidden == ()


def test_a_default_without_a_form_is_an_error_at_decoration():
    def tool(x=object()):  # noqa: B008  # a sentinel, as developers write it
        return x

    with pytest.raises(ConfigError, match="default"):
        Parameters.of(tool).checked()


# ---------------------------------------------------------------------------- forward references


def later(order: Later, note: str = "") -> None: ...


def guarded(session: Annotated[NotImported, Hidden], order: str) -> None: ...


def never(order: NotImported) -> None: ...


LATER = Parameters.of(later).checked()


class Later(BaseModel):
    id: int


def test_a_name_that_is_defined_later_is_resolved_at_the_first_call():
    assert LATER.read((Later(id=1),), {}).document == {"order": {"id": 1}, "note": ""}
    with pytest.raises(InvalidArguments):
        LATER.read((5,), {})


def test_a_name_that_is_never_defined_is_an_error_at_the_first_call():
    read = Parameters.of(never)
    for _ in range(2):
        with pytest.raises(ConfigError, match="NotImported"):
            read.read((1,), {})
    assert Parameters.of(never, validate=False).read((1,), {}).document == {"order": 1}


def test_hidden_is_seen_though_the_type_is_not_imported():
    read = Parameters.of(guarded).checked()
    assert read.hidden == ("session",)
    assert read.read((Session(), "A"), {}).document == {"order": "A"}


def test_local_names_can_be_handed_in():
    class Local(BaseModel):
        n: int

    def tool(x: Local):
        return x

    read = Parameters.of(tool, namespace=locals())
    assert read.read((Local(n=1),), {}).document == {"x": {"n": 1}}


# -------------------------------------------------------------------------------- transforms


@pytest.mark.parametrize(
    ("annotation", "start", "new", "gets"),
    [
        (int, 1, 5, 5),
        (int, 1, Decimal(5), 5),
        (str, "a", "b", "b"),
        (float, 1.5, Decimal("2.5"), 2.5),
        (float, 1.5, 2, 2.0),
        (
            Decimal,
            Decimal(1),
            Decimal("0.1234567890123456789012345"),
            Decimal("0.1234567890123456789012345"),
        ),
        (Decimal, Decimal(1), 7, Decimal(7)),
        (Decimal | None, None, Decimal("0.5"), Decimal("0.5")),
        (dt.date, dt.date(2026, 1, 1), "2026-02-03", dt.date(2026, 2, 3)),
        (Colour, Colour.RED, "red", Colour.RED),
        (bytes, b"a", "AP8=", b"\x00\xff"),
        (tuple[int, ...], (1,), [2, 3], (2, 3)),
        (set[int], {1}, [2], {2}),
        (Path, Path("a"), "b", Path("b")),
        (Line, Line("a"), {"sku": "b"}, Line("b")),
        (Point, Point(1), {"x": 2}, Point(2)),
        (Item, Item(price=Decimal(1)), {"price": 2, "when": None}, Item(price=Decimal(2))),
        (list[int], [1], [2], [2]),
        (Any, 1, {"a": [Decimal("0.5")]}, {"a": [0.5]}),
        (dict, {}, {"a": 1}, {"a": 1}),
        (dt.timedelta, dt.timedelta(1), Decimal("1.5"), dt.timedelta(seconds=1.5)),
    ],
    ids=repr,
)
def test_a_transform_sets_what_the_json_value_stands_for(annotation, start, new, gets):
    read = one(annotation)
    arguments = read.rewrite(read.read((start,), {}), {"x": new})
    assert arguments.args == (gets,)
    assert type(arguments.args[0]) is type(gets)
    assert digest(read.document_of(arguments)) == digest(arguments.document)


@pytest.mark.parametrize(
    ("annotation", "start", "new"),
    [
        (int, 1, "5000"),
        (int, 1, True),
        (int, 1, None),
        (int, 1, Decimal("1.5")),
        (str, "a", 5),
        (Decimal, Decimal(1), True),
        (Colour, Colour.RED, "blue"),
        (bytes, b"a", "%%%"),
        (Annotated[int, Field(le=10)], 1, 11),
        (dt.date, dt.date(2026, 1, 1), "x"),
        (OrderId, OrderId("a"), "b"),
        (dt.timedelta, dt.timedelta(1), 10**18),
        (list[int], [1], ["2"]),
    ],
    ids=repr,
)
def test_a_transform_to_what_does_not_fit_is_refused(annotation, start, new):
    read = one(annotation)
    with pytest.raises(InvalidArguments):
        read.rewrite(read.read((start,), {}), {"x": new})


def test_a_transform_keeps_the_other_arguments_and_the_old_ones():
    read = parameters(full)
    before = read.read((1, 2, 3, 4), {"d": "x", "z": 6})
    after = read.rewrite(before, {"rest": [9], "more": {"y": 1}, "a": "new"})
    assert full(*after.args, **after.kwargs) == ("new", 2, 3, (9,), "x", None, {"y": 1.0})
    assert full(*before.args, **before.kwargs) == (1, 2, 3, (4,), "x", None, {"z": 6.0})
    for wrong in ({"rest": 1}, {"more": [1]}, {"rest": ["x"]}, {"unknown": 1}):
        with pytest.raises(InvalidArguments):
            read.rewrite(before, wrong)


def test_a_change_in_place_shows_in_the_live_document():
    read = one(Any)
    items: list[object] = [1]
    arguments = read.read((items,), {})
    items[0] = True
    assert arguments.document == {"x": [1]}
    assert digest(read.document_of(arguments)) != digest(arguments.document)
    items[0] = object()
    with pytest.raises(InvalidArguments):
        read.document_of(arguments)


@given(
    st.recursive(
        st.integers(0, 3) | st.text("ab", max_size=2),
        lambda v: st.lists(v, max_size=3),
        max_leaves=5,
    )
)
def test_the_document_shares_nothing_with_the_arguments(value):
    read = one(Any)
    arguments = read.read(([value],), {})
    arguments.document["x"].append("changed")
    assert arguments.args == ([value],)


# -------------------------------------------------------------------------------- predicates


def test_a_predicate_gets_the_parameters_it_asks_for():
    read = parameters(full)
    arguments = read.read((1, 2, 3, 4), {"d": "x"})
    assert bind_predicate(lambda b, d: (b, d), read, what="when")(arguments) == (2, "x")
    assert bind_predicate(lambda rest, more: (rest, more), read, what="when")(arguments) == (
        (4,),
        {},
    )
    assert bind_predicate(lambda: 5, read, what="when")(arguments) == 5
    assert bind_predicate(lambda a, /, **kw: (a, sorted(kw)), read, what="when")(arguments) == (
        1,
        ["b", "c", "d", "e", "more", "rest"],
    )


def test_a_predicate_may_ask_for_what_is_hidden():
    def tool(token: Annotated[str, HiddenMark]):
        return token

    read = parameters(tool)
    assert bind_predicate(lambda token: token, read, what="when")(read.read(("t",), {})) == "t"


async def coroutine(a):
    return a


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (lambda amuont: amuont, r"requires_approval: when: asks for `amuont`.*`a`, `b`"),
        (lambda a, typo=1: typo, "`typo`"),
        (lambda *a: a, "`a`"),
        (coroutine, "async def"),
        (5, "no function"),
        ("a", "no function"),
    ],
)
def test_a_predicate_that_cannot_be_asked_is_an_error_at_decoration(predicate, text):
    with pytest.raises(ConfigError, match=text):
        bind_predicate(predicate, parameters(plain), what="requires_approval: when")


# ------------------------------------------------------------------------------- odd functions


def test_what_has_no_signature_is_an_error():
    with pytest.raises(ConfigError, match="signature"):
        Parameters.of(max)


def test_a_wrapped_function_is_read_through_its_wrapper():
    def tool(amount: Decimal):
        return amount

    @functools.wraps(tool)
    def wrapper(*args, **kwargs):
        return tool(*args, **kwargs)

    assert parameters(wrapper).read((5,), {}).args == (Decimal(5),)


def test_arguments_are_what_the_names_say():
    arguments = Arguments((1,), {"b": 2}, {"a": 1, "b": 2}, {"a": 1})
    assert (arguments.args, arguments.kwargs, arguments.document) == ((1,), {"b": 2}, {"a": 1})


@contextmanager
def managed():
    yield


def test_a_context_manager_is_no_argument():
    with pytest.raises(InvalidArguments, match="no JSON form"):
        one(Any).read((managed(),), {})
