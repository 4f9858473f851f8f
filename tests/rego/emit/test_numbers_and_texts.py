"""What compiled code does itself with numbers and texts is what the builtins do."""

from __future__ import annotations

import datetime as dt
import functools
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.rego.emit.both import answer
from tests.rego.emit.one_call import plan_of_call

from guardrails.errors import EvaluationError
from guardrails.rego import Program
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit import runtime
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.rego.planner import plan_modules
from guardrails.rego.values import UNDEFINED, compare

NEAR = st.sampled_from(
    [0, 1, -1, 2**31, -(2**31), 2**52, 2**53, -(2**53), 2**62, -(2**62), 2**63, 2**64, 10**30]
)
INTEGERS = st.builds(int.__add__, NEAR, st.integers(-3, 3)) | st.integers()
FRACTIONS = st.builds(
    lambda digits, places, sign: Decimal((sign, digits, -places)),
    st.lists(st.integers(0, 9), min_size=1, max_size=25).map(tuple),
    st.integers(-25, 25),
    st.sampled_from([0, 1]),
)
ZEROS = st.builds(
    lambda whole, places: Decimal(whole) + Decimal((0, (0,) * places, -places)),
    INTEGERS,
    st.integers(1, 4),
)
NUMBERS = INTEGERS | FRACTIONS | ZEROS
CLOSE = st.tuples(NUMBERS, st.sampled_from([0, 1, -1, Decimal("1e-9"), Decimal("-1e-17")])).map(
    lambda pair: (pair[0], pair[0] + pair[1])
)
PAIRS = st.tuples(NUMBERS, NUMBERS) | CLOSE | CLOSE.map(lambda pair: pair[::-1])
TEXTS = st.text(
    st.sampled_from(
        "aAzZ09 \t\n\r\x0b\x0c\x1c\x85\xa0\u1680\u2028\u3000.,-+eE_éÉİıßẞﬁǅΣς😀\ud800\u0300"
    )
    | st.characters(),
    max_size=8,
)


def outcome(call, *args):
    """What a call gives, digits included, or how it fails."""
    try:
        found = call(*args)
    except BuiltinError as error:
        return type(error), error.code
    return "gave", repr(found)


@given(pair=PAIRS)
@example(pair=(2**62 - 1, -(2**62) + 1))
@example(pair=(Decimal("9007199254740993.0"), 9007199254740992))
@example(pair=(Decimal("1e400"), Decimal("1e400")))
@example(pair=(True, 1))
@example(pair=("1", 1))
@pytest.mark.parametrize(
    ("helper", "name"), [("difference", "minus"), ("product", "mul"), ("total", "plus")]
)
def test_arithmetic(helper, name, pair):
    assert outcome(getattr(runtime, helper), *pair) == outcome(BUILTINS[name].call, *pair)


@given(pair=PAIRS)
@example(pair=(Decimal("1e-300"), Decimal("2e-300")))
@example(pair=(Decimal("1e400"), 1))
@example(pair=(Decimal("0.1"), Decimal("0.10")))
@example(pair=(9007199254740993, Decimal("9007199254740992.5")))
def test_the_gap_has_the_sign_of_the_difference(pair):
    try:
        wanted = BUILTINS["minus"].call(*pair)
    except BuiltinError as error:
        with pytest.raises(type(error)):
            runtime.gap(*pair)
        return
    found = runtime.gap(*pair)
    assert (found > 0, found < 0) == (wanted > 0, wanted < 0)


EXTREME = st.sampled_from(
    [
        *(10**4400, -(10**4400), Decimal("1e300"), Decimal("-1e3999"), Decimal("1e5000")),
        *(Decimal("1e-5000"), Decimal("-1e-5000"), Decimal("2." + "3" * 5000), Decimal("0e-6000")),
    ]
)


@given(pair=PAIRS | st.tuples(NUMBERS | EXTREME, NUMBERS | EXTREME))
def test_what_is_told_without_the_difference_is_what_it_would_tell(pair):
    try:
        wanted = compare(BUILTINS["minus"].call(*pair), 0)
    except BuiltinError as error:
        for helper in (runtime.gap, runtime.covers):
            with pytest.raises(type(error)):
                helper(*pair)
        return
    found = runtime.gap(*pair)
    assert (found > 0) - (found < 0) == wanted
    assert runtime.covers(*pair) is (wanted >= 0)


WEIGHED = """package p
import rego.v1
main contains "at least" if input.a - input.b >= 0
main contains "below" if input.a - input.b < 0
main contains "above" if input.a - input.b > 0
main contains "within" if data.limit - input.b >= 0
main contains "beyond" if data.limit - input.b < 0
main contains "negative" if input.a < 0
main contains "each" if {
	some each in input.all
	data.limit - each >= 0
}
main contains "beside" if {
	some each in input.all
	input.a - each >= 0
	input.a > each
}
main contains "some" if {
	some each in input.all
	each >= 0
}
"""


@functools.cache
def weighed(limit):
    number = {"type": "number"}
    properties = {"a": number, "b": number, "all": {"type": "array", "items": number}}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    plan = plan_modules({"p.rego": WEIGHED}, ["p/main"])
    programs = [
        Program.from_plan(plan.document, planner="regopy", data={"limit": limit}, compiled=each)
        for each in (True, False)
    ]
    shaped = programs[0].compile("p/main", shape=shape_of_schema(schema))
    return shaped.evaluate, *(
        partial(each.evaluate, "p/main", strict_builtin_errors=True) for each in programs
    )


@pytest.mark.parametrize(
    "limit", [1000, Decimal("250.5"), 0, -3, 2**62 - 1, 2**62, 10**30, Decimal("1e-9")]
)
@given(pair=PAIRS | st.tuples(NUMBERS | EXTREME, NUMBERS | EXTREME), more=st.lists(NUMBERS))
def test_numbers_are_weighed_as_the_interpreter_does(limit, pair, more):
    document = {"a": pair[0], "b": pair[1], "all": more}
    told = [answer(lambda: each(document)) for each in weighed(limit)]  # noqa: B023  # run at once
    assert told[0] == told[1] == told[2]


@given(number=NUMBERS)
@example(number=Decimal("-0.0"))
@example(number=2**62)
def test_floor(number):
    assert outcome(runtime.floor, number) == outcome(BUILTINS["floor"].call, number)


_YEAR = 31_557_600 * 10**9


@given(now=INTEGERS | st.integers(-300 * _YEAR, 300 * _YEAR) | NUMBERS)
@example(now=2**62 - 1)
@example(now=-1)
@example(now=int(dt.datetime(2024, 2, 29, tzinfo=dt.UTC).timestamp()) * 10**9)
def test_date(now):
    first = outcome(runtime.date, now)
    assert first == outcome(BUILTINS["time.date"].call, now)
    found = runtime.date(now) if first[0] == "gave" else None
    if found is not None:
        found.clear()  # the next one is not changed by that
        assert outcome(runtime.date, now) == first


NUMERALS = st.text(st.sampled_from("0123456789.-+eE _x٣²"), max_size=18) | NUMBERS.map(str)


@given(text=NUMERALS | TEXTS)
@example(text="")
@example(text="0")
@example(text="007")
@example(text="²")
@example(text="9" * 15)
@example(text="9" * 16)
@example(text="1_000")
def test_the_number_in_a_text(text):
    assert outcome(runtime.number_in, text) == outcome(BUILTINS["to_number"].call, text)


@given(text=TEXTS)
@example(text="\x1c")
@example(text="\x85a\x85")
@example(text="\x00a\x7f")
def test_trim_space(text):
    assert outcome(runtime.trim_space, text) == outcome(BUILTINS["trim_space"].call, text)


TEXT = {"type": "string"}
NUMBER = {"type": "number"}
KINDS = {"s": (TEXT, TEXTS), "n": (NUMBER, NUMBERS)}
SIGNATURES = {
    **dict.fromkeys(("lower", "upper", "trim_space", "to_number"), "s"),
    **dict.fromkeys(("split", "startswith", "endswith", "contains"), "ss"),
    **dict.fromkeys(("plus", "minus", "mul", "gt", "gte", "lt", "lte", "equal", "neq"), "nn"),
    **dict.fromkeys(("floor", "time.date"), "n"),
    "replace": "sss",
    "substring": "snn",
}


def compiled_call(name, known, *, strict):
    """The program of a call whose arguments are known (a dict) or fields of the input."""
    properties = {str(place): KINDS[kind][0] for place, kind in enumerate(SIGNATURES[name])}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    policy = plan_of_call(name, len(properties), known)
    settings = Settings(strict=strict, input=shape_of_schema(schema))
    return compile_policy(policy, {}, settings)


def test_an_offset_of_nought_in_another_form_is_what_the_builtin_says():
    for offset in (Decimal("0E+1"), Decimal("0.0"), Decimal("-0.0"), Decimal("0E-3")):
        program = compiled_call("substring", {1: offset, 2: 1}, strict=True)
        document = {"0": "abc", "1": offset, "2": 1}
        found = answer(lambda: program.run("p/main", document, {}, None))  # noqa: B023  # run at once
        wanted = outcome(BUILTINS["substring"].call, "abc", offset, 1)
        assert found[0] == ("gave" if wanted[0] == "gave" else "failed")


@pytest.mark.parametrize("name", SIGNATURES)
@given(draw=st.data())
def test_a_call_over_inputs_of_a_shape_is_the_builtin(name, draw):
    args = [draw.draw(KINDS[kind][1]) for kind in SIGNATURES[name]]
    named = draw.draw(st.sets(st.sampled_from(range(len(args)))))
    # What stands in a plan is what its reader takes: no lone surrogates.
    known = {
        place: args[place]
        for place in named
        if not isinstance(args[place], str) or args[place].isprintable()
    }
    strict = draw.draw(st.booleans())
    document = {str(place): arg for place, arg in enumerate(args)}
    program = compiled_call(name, known, strict=strict)
    try:
        wanted = "gave", repr(BUILTINS[name].call(*args))
    except BuiltinError as error:
        wanted = ("failed", error.code) if strict else ("gave", repr(UNDEFINED))
    try:
        found = "gave", repr(program.evaluate("p/main", document, {}, None))
    except EvaluationError as error:
        found = "failed", error.code
    assert found == wanted


OTHERS: list[Any] = [None, True, 1, Decimal("1.5"), [], {}]
PARTS = st.lists(TEXTS | st.sampled_from(OTHERS), max_size=4)
LONG = st.builds(str.__mul__, TEXTS, st.sampled_from([1, 15, 16, 17, 499, 500, 2_000]))


@given(LONG, st.lists(LONG, max_size=4))
def test_texts_in_one_are_the_builtins(delimiter, parts):
    wanted = outcome(BUILTINS["concat"].call, delimiter, parts)
    assert outcome(runtime.concatenated, delimiter, parts) == wanted
    assert outcome(runtime.joined, delimiter, parts) == wanted


@given(TEXTS, PARTS)
def test_what_is_no_text_is_refused_as_the_builtin_does(delimiter, parts):
    wanted = outcome(BUILTINS["concat"].call, delimiter, parts)
    assert outcome(runtime.joined, delimiter, parts) == wanted
