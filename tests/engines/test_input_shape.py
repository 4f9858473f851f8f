"""Enforcement keeps the shape that policies are compiled for, and what breaks it is told."""

from __future__ import annotations

import copy
import importlib
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.engines import shape_closures

import guardrails as gr
from guardrails import testing
from guardrails.engines.input_shape import fits, is_document
from guardrails.model.breakers import Breaker, Breakers
from guardrails.model.decision import Decision, Effect
from guardrails.rego.emit.schemas import shape_of_schema, with_parts
from guardrails.rego.emit.shapes import ANYTHING, Kind
from guardrails.rego.values import RegoSet, from_json
from guardrails.resources import policies_directory

SCHEMA = json.loads(
    (policies_directory() / "schemas" / "input" / "schema.json").read_text(encoding="utf-8")
)
FITS = fits(shape_of_schema(SCHEMA))
PARSED = fits(shape_of_schema(SCHEMA), parsed=True)

DOCUMENT: dict[str, Any] = {
    "agent": {"id": "a", "version": "3", "owner": "o", "environment": "prod", "labels": ["x"]},
    "principal": None,
    "tool": {"name": "t", "resource": "r", "operation": "read", "labels": [], "hidden": []},
    "args": {"amount": Decimal("1.50"), "to": ["a", {"b": None}]},
    "call": {"id": "c"},
    "run": {
        "id": "r",
        "ancestry": [{"run": "p", "agent": "b"}],
        "labels": [],
        "mode": "enforce",
        "calls": 0,
        "history": {"t": 1},
        "steps": [{"tool": "t", "operation": "read", "effect": "allow", "outcome": "ok"}],
        "signals": [],
        "spent": {"usd": Decimal("0.5"), "tokens": 0, "calls": 1},
        "reserved": {"usd": Decimal(0), "tokens": 0, "calls": 0},
        "remaining": {},
    },
    "time": 1,
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-1000, 1000, places=3)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)


def nested(inner: Any) -> Any:
    names = st.text("abc", max_size=3)
    return st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)


documents = st.recursive(scalars, nested, max_leaves=8)
values = documents | st.sets(st.integers(0, 9), max_size=3)


@gr.governed_tool(resource="r", operation="write", labels=("moves_money", "deletes_data"))
def write(anything: Any, hidden: Any = None) -> int:
    return 1


@gr.governed_tool(resource="r", operation="read", hide=("hidden",))
def read(anything: Any, hidden: Any = None) -> int:
    return 2


@given(
    st.lists(st.tuples(st.sampled_from([write, read]), values, values), min_size=1, max_size=5),
    st.sampled_from(["enforce", "shadow", "observe"]),
    st.fixed_dictionaries(
        {
            "principal": st.sampled_from([None, "customer:1"]),
            "budget": st.sampled_from(
                [gr.Budget(), gr.Budget(usd="1.25"), gr.Budget(tokens=9, calls=8, seconds=60)]
            ),
            "labels": st.lists(st.sampled_from(["night", "batch"]), unique=True),
        }
    ),
    st.booleans(),
)
def test_every_document_of_enforcement_has_the_shape(calls, mode, options, below) -> None:
    seen: list[Any] = []

    def decide(document: Any) -> Decision:
        assert FITS(document), document
        seen.append(document)
        return Decision(Effect.ALLOW if len(seen) % 3 else Effect.DENY, (gr.Reason("r", "why"),))

    noisy = Breakers(repeat=Breaker(warn=1, of=9), errors=Breaker(warn=1, of=1))
    its = testing.governor(decide, modes=("enforce", "shadow", "observe"), breakers=noisy)
    with testing.run(governor=its, mode=mode, **options):
        scope = its.run("test-agent") if below else None
        if scope is not None:
            scope.__enter__()
        for tool, value, other in calls:
            try:
                tool(value, hidden=other)
            except gr.Refusal:
                continue
        if scope is not None:
            scope.__exit__(None, None, None)
    assert seen or options["budget"] != gr.Budget()


def places(document: Any, path: tuple[Any, ...] = ()):
    """The paths of all that stands in `document`, itself last."""
    items = document.items() if type(document) is dict else enumerate(document)
    for name, item in items:
        if type(item) in (dict, list):
            yield from places(item, (*path, name))
        else:
            yield (*path, name)
    yield path


def changed(path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(DOCUMENT)
    if not path:
        return value
    here = made
    for name in path[:-1]:
        here = here[name]
    here[path[-1]] = value
    return made


class Text(str):
    """Text that could compare as it likes."""

    __slots__ = ()


WRONG = [
    Text("x"),
    0.5,
    Decimal("NaN"),
    ("x",),
    {"x"},
    RegoSet(["x"]),
    {1: "x"},
    {Text("x"): 1},
    object(),
    b"x",
]


@pytest.mark.parametrize("path", list(places(DOCUMENT)), ids=str)
def test_what_is_no_exact_json_is_told_at_every_place(path) -> None:
    assert FITS(DOCUMENT)
    for value in WRONG:
        assert not FITS(changed(path, value)), value


# A shape takes whole numbers and fractions for one kind, so there is no fraction here.
ANY = [None, True, 7, "text", [], ["x"], [1], {}, {"x": 1}, {"x": "y"}]


@pytest.mark.parametrize("path", list(places(DOCUMENT)), ids=str)
def test_it_is_told_wherever_the_schema_tells_it(path) -> None:
    validator = importlib.import_module("jsonschema").Draft7Validator(SCHEMA)
    for value in ANY:
        document = changed(path, value)
        if FITS(document):
            # Of what the schema says, a shape keeps the types and the names.
            said = {error.validator for error in validator.iter_errors(document)}
            assert not said & {"type", "required", "additionalProperties"}, (path, value)
        else:
            assert not validator.is_valid(document), (path, value)


@pytest.mark.parametrize("path", [path for path in places(DOCUMENT) if path], ids=str)
def test_what_is_needed_may_not_be_missing(path) -> None:
    document = copy.deepcopy(DOCUMENT)
    here: Any = document
    for name in path[:-1]:
        here = here[name]
    del here[path[-1]]
    assert FITS(document) == importlib.import_module("jsonschema").Draft7Validator(SCHEMA).is_valid(
        document
    )


def test_a_name_too_many_is_told_where_names_are_listed() -> None:
    for part in ("agent", "tool", "run", "call"):
        assert not FITS({**DOCUMENT, part: {**DOCUMENT[part], "more": "x"}})
    assert not FITS({**DOCUMENT, "more": "x"})
    assert FITS({**DOCUMENT, "args": {"any": "name"}})


@given(documents)
def test_what_a_json_decoder_gives_fits_once_it_is_exact(value) -> None:
    assert is_document(from_json(value))
    assert fits(ANYTHING)(from_json(value))


# A schema of any form, and documents that nearly fit it.

NAMES = st.sampled_from(["a", "b", "c", "when"])
KINDS = ["null", "boolean", "number", "integer", "string", "array", "object"]
spans = st.tuples(st.integers(-9, 9), st.integers(0, 2**63)).map(
    lambda ends: {"minimum": ends[0], "maximum": ends[0] + ends[1]}
)


def around(inner: Any) -> Any:
    parts = st.fixed_dictionaries(
        {"type": st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True)},
        optional={
            "items": inner,
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, unique=True),
            "additionalProperties": st.booleans() | inner,
        },
    )
    one = st.sampled_from(["array", "object"])
    return st.builds(lambda schema, kind: {**schema, "type": kind}, parts, one) | parts


leaves = st.sampled_from([True, {}, *({"type": kind} for kind in KINDS)]) | st.builds(
    lambda ends, kinds: {"type": kinds, **ends},
    spans,
    st.sampled_from(["integer", ["integer", "null"], ["integer", "number"], ["string", "integer"]]),
)
schemas = st.recursive(leaves, around, max_leaves=6)


def fitting(schema: Any, draw: Any) -> Any:
    """A value that fits `schema`, but for the one place in some."""
    if not isinstance(schema, dict) or "type" not in schema or draw(st.integers(0, 30)) == 0:
        return draw(documents.map(from_json) | st.sampled_from([*WRONG, *range(-10, 10)]))
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kind = draw(st.sampled_from(kinds))
    if kind == "array":
        return [fitting(schema.get("items"), draw) for _ in range(draw(st.integers(0, 2)))]
    if kind == "object":
        given = schema.get("properties", {})
        names = {*schema.get("required", ()), *draw(st.sets(NAMES, max_size=2))}
        other = schema.get("additionalProperties", True)
        return {name: fitting(given.get(name, other), draw) for name in sorted(names)}
    if kind in {"integer", "number"}:
        ends = st.sampled_from([0, 1, Decimal("0.5"), *(schema[n] for n in _ENDS if n in schema)])
        return draw(ends) + draw(st.sampled_from([0, 0, 1, -1]))
    return {"null": None, "boolean": draw(st.booleans()), "string": "x"}[kind]


_ENDS = ("minimum", "maximum")


@given(schemas, st.data())
def test_it_tells_what_its_closures_tell(schema, data) -> None:
    shape = shape_of_schema(schema)
    value = fitting(schema, data.draw)
    assert fits(shape)(value) == shape_closures.fits(shape)(value)


@given(schemas, st.data())
def test_of_what_a_parser_made_it_tells_the_same_without_looking_through_it(schema, data) -> None:
    shape = shape_of_schema(schema)
    value = data.draw(documents.map(from_json)) if data.draw(st.booleans()) else None
    value = fitting(schema, data.draw) if value is None else value
    if is_document(value):  # which is all that a parser makes
        assert fits(shape, parsed=True)(value) == fits(shape)(value)


@pytest.mark.parametrize("path", [(), *places(DOCUMENT)], ids=str)
def test_of_the_published_schema_it_tells_the_same(path) -> None:
    closures = shape_closures.fits(shape_of_schema(SCHEMA))
    for value in [*WRONG, *ANY, -1, 2**63 - 1, 2**63, Decimal(1), Decimal("Infinity")]:
        document = changed(path, value)
        assert FITS(document) == closures(document)
        if is_document(document):
            assert PARSED(document) == closures(document)


def test_what_is_nested_deeper_than_loops_may_be_is_tested_too() -> None:
    schema: Any = {"type": "string"}
    value: Any = "x"
    wrong: Any = 1
    for _ in range(40):
        schema, value, wrong = {"type": "array", "items": schema}, [value], [wrong]
    for parsed in (False, True):
        test = fits(shape_of_schema(schema), parsed=parsed)
        assert test(value)
        assert not test(wrong)


def test_no_name_of_a_schema_stands_in_its_test() -> None:
    """Nor anything else of it: a property may be called as it likes."""
    name = '"]: import os #'
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    test = fits(shape_of_schema(schema))
    assert test({name: "x"})
    assert not test({name: 1})
    assert not test({"other": "x"})


def test_a_document_beyond_the_stack_does_not_fit() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert not FITS({**DOCUMENT, "args": {"deep": deep}})


def test_a_promise_of_single_values_is_not_tested() -> None:
    with pytest.raises(ValueError, match="single values"):
        fits(with_parts(shape_of_schema(SCHEMA), {"principal": "x"}))
    only_null = shape_of_schema({"type": "null"})
    assert fits(only_null)(None)
    assert not fits(only_null)(0)
    assert not fits(only_null.within(Kind.NULL))(False)
