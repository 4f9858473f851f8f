"""The JSON form of arguments: one form each, and never another value than the tool gets."""

from __future__ import annotations

import base64
import datetime as dt
import enum
import json
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from decimal import Decimal, localcontext
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr

from guardrails.enforcement.json_form import NoJsonForm, has_form, to_document
from guardrails.model.canonical import canonical, digest
from guardrails.model.limits import Limits

EXACT = (type(None), bool, int, Decimal, str, list, dict)


class Word(str):
    __slots__ = ()


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.StrEnum):
    RED = "red"


class OldColour(str, enum.Enum):  # noqa: UP042  # written before StrEnum, and different
    RED = "red"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Pair(enum.Enum):
    BOTH = (1, "two")


class Point(NamedTuple):
    x: int
    y: Decimal = Decimal("0.5")


@dataclass
class Line:
    sku: str
    price: float


@dataclass(frozen=True, slots=True)
class Slotted:
    name: str


class Inner(BaseModel):
    amount: Decimal = Field(alias="Amount")


class Order(BaseModel):
    model_config = ConfigDict(extra="allow")
    items: list[Inner]
    when: dt.date


class Tags(RootModel[list[str]]):
    pass


NAIVE = dt.datetime(2026, 1, 2, 3, 4)  # noqa: DTZ001  # such values come, too
UTC = dt.UTC
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
WEST = dt.timezone(-dt.timedelta(hours=3, minutes=30))


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (0, 0),
        (-(2**63), -(2**63)),
        (2**63 - 1, 2**63 - 1),
        ("é", "é"),
        (Word("a"), "a"),
        (Level.LOW, 1),
        (Colour.RED, "red"),
        (OldColour.RED, "red"),
        (Pair.BOTH, [1, "two"]),
        (Rights.READ | Rights.WRITE, 3),
        (1.0, 1),
        (0.1, Decimal("0.1")),
        (-0.0, 0),
        (1e-5, Decimal("0.00001")),
        (5e-324, Decimal("5E-324")),
        (Decimal("20.00"), 20),
        (Decimal("20.50"), Decimal("20.5")),
        (Decimal("2E+3"), 2000),
        (Decimal("-0"), 0),
        (b"\x00\xff", "AP8="),
        (bytearray(b"ab"), "YWI="),
        (dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "2026-01-02T03:04:05Z"),
        (dt.datetime(2026, 1, 2, 3, 4, 5, 600, tzinfo=EAST), "2026-01-02T03:04:05.000600+05:30"),
        (dt.datetime(2026, 1, 2, tzinfo=WEST), "2026-01-02T00:00:00-03:30"),
        (NAIVE, "2026-01-02T03:04:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4, 5), "03:04:05"),
        (dt.time(3, tzinfo=UTC), "03:00:00Z"),
        (dt.timedelta(hours=1, milliseconds=-1), Decimal("3599.999")),
        (dt.timedelta(seconds=-2), -2),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/a/b"), "/a/b"),
        (PurePosixPath("x"), "x"),
        ((1, (2,)), [1, [2]]),
        ({3, "a", 1}, ["a", 1, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (Point(1), {"x": 1, "y": Decimal("0.5")}),
        (Line("s", 0.5), {"sku": "s", "price": Decimal("0.5")}),
        (Slotted("n"), {"name": "n"}),
        (
            Order.model_validate(
                {"items": [{"Amount": Decimal(3)}], "when": dt.date(2026, 1, 2), "more": (1,)}
            ),
            {"items": [{"amount": 3}], "when": "2026-01-02", "more": [1]},
        ),
        (Tags(["a"]), ["a"]),
        ({2: "a"}, {"2": "a"}),
        ({Colour.RED: 1}, {"red": 1}),
        ({uuid.UUID(int=0): 1}, {"00000000-0000-0000-0000-000000000000": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(int, a=1), {"a": 1}),
        (Counter("aab"), {"a": 2, "b": 1}),
    ],
    ids=lambda value: (
        type(value).__name__ if isinstance(value, set | frozenset) else repr(value)[:40]
    ),
)
def test_each_type_has_its_one_form(value, form):
    made = to_document(value)
    assert made == form
    assert canonical(made) == canonical(form)
    with localcontext(prec=2):
        assert to_document(value) == form


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=4)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4
        )
    ),
    max_leaves=10,
)


def exact(value):
    return type(value) in EXACT and (
        (type(value) is list and all(map(exact, value)))
        or (type(value) is dict and all(type(key) is str and exact(value[key]) for key in value))
        or type(value) not in (list, dict)
    )


@given(json_values)
def test_the_form_is_the_value_in_exact_types(value):
    made = to_document(value)
    assert exact(made)
    # What a JSON encoder that keeps decimals would send is read back as the same document.
    text = json.dumps(value, default=lambda number: {"decimal": str(number)})
    sent = json.loads(
        text,
        parse_float=Decimal,
        object_hook=lambda obj: Decimal(obj["decimal"]) if obj.keys() == {"decimal"} else obj,
    )
    assert digest(to_document(sent)) == digest(made)


@given(json_values)
def test_the_form_of_a_form_is_itself_and_nothing_is_shared(value):
    made = to_document(value)
    again = to_document(made)
    assert canonical(again) == canonical(made)
    if isinstance(made, list | dict):
        assert again is not made
        before = canonical(again)
        made.clear()
        assert canonical(again) == before


@given(st.binary(max_size=20))
def test_bytes_can_be_read_back(data):
    assert base64.b64decode(to_document(data), validate=True) == data


@given(st.sets(st.integers(-99, 99) | st.text("abc", max_size=3)))
def test_a_set_has_one_form_whatever_its_order(members):
    assert to_document(members) == to_document({*sorted(members, key=repr)})


# --------------------------------------------------------------------------- what is refused


class LyingItems(dict):
    def items(self):
        return [("amount", 1)]


class LyingGet(dict):
    def __getitem__(self, key):
        return 1


class Missing(dict):
    def __missing__(self, key):
        return 10**6


class LyingClass(dict):
    __class__ = property(lambda self: str)


class LyingText(str):
    __slots__ = ()

    def __str__(self):
        return "harmless"


class LyingNumber(int):
    def __int__(self):
        return 1


class LyingDecimal(Decimal):
    def as_tuple(self):
        return Decimal(1).as_tuple()


class LyingList(list):
    def __iter__(self):
        return iter(())


class Huge(list):
    def __len__(self):
        return 2**62


class LyingEqual(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return True


class Raising:
    def __str__(self):
        raise RuntimeError

    __repr__ = __str__

    def __getattribute__(self, name):
        raise RuntimeError


class LyingPoint(namedtuple("LyingPoint", "x")):  # noqa: PYI024  # the shape under test
    __slots__ = ()
    x = property(lambda self: 1)


class Misnamed(tuple):
    __slots__ = ()
    _fields = ("x",)


class Trusted(dict):
    __module__ = "collections"

    def __getitem__(self, key):
        return 1


@dataclass
class LyingRecord:
    amount: int

    def __getattribute__(self, name):
        return 1


class LyingModel(BaseModel):
    amount: int

    def __getattribute__(self, name):
        return 1 if name == "amount" else super().__getattribute__(name)


@dataclass
class Both(dict):
    amount: int = 0


class LyingEnum(enum.Enum):
    A = 1000

    @property
    def value(self):
        return 1


class Mixed(str, enum.Enum):  # noqa: UP042  # StrEnum would not allow it
    A = "harmless"

    def __new__(cls, value):
        member = str.__new__(cls, "harmful")
        member._value_ = value
        return member


class BadZone(dt.tzinfo):
    dst = tzname = None  # type: ignore[assignment]  # never asked

    def utcoffset(self, _when):
        raise RuntimeError


class LyingDate(dt.date):
    def isoformat(self):
        return "2000-01-01"


def deep(levels):
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


CYCLE: list[object] = []
CYCLE.append(CYCLE)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (Decimal("NaN"), "not finite"),
        (Decimal("sNaN"), "not finite"),
        (Decimal("-Infinity"), "not finite"),
        (2**63, "64 bits"),
        (-(2**63) - 1, "64 bits"),
        (Decimal("1E+999999"), "exponent"),
        (Decimal("1E-999999"), "exponent"),
        (Decimal("1." + "1" * 200), "digits"),
        ("\ud800", "surrogate"),
        (Path("\udc80"), "surrogate"),
        ({"\udfff": 1}, "surrogate"),
        ({1: "a", "1": "b"}, "two keys"),
        ({True: 1}, "key of type `bool`"),
        ({None: 1}, "key of type"),
        ({1.0: 1}, "key of type"),
        ({(1,): 1}, "key of type"),
        ({b"a": 1}, "key of type"),
        ({LyingText("a"): 1}, "changes how"),
        (deep(70), "deeper"),
        (CYCLE, "deeper"),
        ([0] * 10_001, "10000 values"),
        ("x" * 1_048_577, "bytes of text"),
        ("é" * 600_000, "bytes of text"),
        (b"x" * 900_000, "bytes of text"),
        ({"x" * 1_048_577: 1}, "bytes of text"),
        (iter([1]), "hide"),
        ((i for i in [1]), "hide"),
        (map(str, [1]), "hide"),
        (print, "hide"),
        (lambda: 1, "hide"),
        (object(), "hide"),
        (Raising(), "hide"),
        (1j, "hide"),
        (range(3), "hide"),
        (memoryview(b"x"), "hide"),
        (int, "hide"),
        (SecretStr("s"), "hide"),
        ({}.items(), "hide"),
        (NotImplemented, "hide"),
        (..., "hide"),
        (LyingItems(amount=5000), "changes how"),
        (LyingGet(amount=5000), "changes how"),
        (Missing(), "changes how"),
        (LyingClass(amount=1), "changes how"),
        (LyingText("harmful"), "changes how"),
        (LyingNumber(5000), "changes how"),
        (LyingDecimal(5000), "changes how"),
        (LyingList([1]), "changes how"),
        (Huge([1]), "changes how"),
        (LyingEqual("a"), "changes how"),
        (LyingPoint(5000), "changes how"),
        (Misnamed((1, 2)), "other fields"),
        (Trusted(a=5000), "changes how"),
        (LyingRecord(5000), "changes how"),
        (LyingModel(amount=5000), "changes how"),
        (Both(5), "in one"),
        (LyingEnum.A, "changes how"),
        (Mixed.A, "is not its value"),
        (LyingDate(2026, 1, 1), "changes how"),
        (dt.datetime(2026, 1, 1, tzinfo=BadZone()), "time zone"),
        (dt.datetime(2026, 1, 1, tzinfo=dt.timezone(dt.timedelta(seconds=30))), "minutes"),
        (
            Inner.model_construct(),  # type: ignore[call-arg]  # the field is missing on purpose
            "cannot be read",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_exact_form_is_refused(value, problem):
    with pytest.raises(NoJsonForm, match=problem):
        to_document(value)
    with pytest.raises(NoJsonForm, match=problem):
        to_document({"nested": [value]})


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"items": [1, 2, 3, {"price": float("nan")}]}, "args.items[3].price"),
        ({"odd key": [object()]}, "args['odd key'][0]"),
        ({"line": Line("s", float("inf"))}, "args.line.price"),
        (Point(1, Decimal("NaN")), "args.y"),
    ],
)
def test_a_refusal_says_where(value, path):
    with pytest.raises(NoJsonForm) as caught:
        to_document(value)
    assert caught.value.path == path


def test_a_refusal_does_not_hold_the_value():
    with pytest.raises(NoJsonForm) as caught:
        to_document({"secret": ["hunter2\ud800"]})
    assert "hunter2" not in str(caught.value)


def test_limits_are_counted_over_the_whole_value():
    limits = Limits(depth=2, nodes=4, text=6, digits=3)
    assert to_document({"ab": ["cd"]}, limits=limits) == {"ab": ["cd"]}
    for value in ([[[1]]], [1, 2, 3, 4], {"abcd": "efg"}, Decimal("1.234")):
        with pytest.raises(NoJsonForm):
            to_document(value, limits=limits)


def test_the_limits_themselves_are_within():
    assert to_document(deep(64)) is not None
    assert len(to_document([0] * 9_999)) == 9_999
    assert len(to_document("x" * 1_048_576)) == 1_048_576


def test_a_class_says_whether_it_has_a_form():
    assert all(map(has_form, (int, Word, Level, Line, Order, Point, Path, OrderedDict)))
    assert not any(map(has_form, (object, Raising, complex, LyingItems, SecretStr, type(print))))
