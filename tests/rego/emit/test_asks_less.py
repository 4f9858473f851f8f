"""What the compiled form does not ask, because it is known or nobody looks, changes no answer."""

from __future__ import annotations

import functools
import itertools
import json
import os
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from benchmarks.policies.reference import ENTRYPOINT, library
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rego.emit.both import FORMS, Question

from guardrails.rego import Program, decoder
from guardrails.rego.emit.conditions import shorter
from guardrails.rego.emit.residual import names
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.rego.emit.shapes import Kind, Shapes, join, span_of
from guardrails.rego.planner import plan_modules
from guardrails.rego.values import UNDEFINED, equal, from_json
from guardrails.resources import policies_directory

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"

# Sets of which only the truth is asked; sets of objects with the same names; defaults of a
# chain; flags of `every` and `not`; sizes and numbers of data.
SOURCE = """package p

import rego.v1
import future.keywords.not

first contains "one" if data.flags[input.name]

second contains "two" if some word in first

third contains "three" if {
	count(second) == 0
	not input.args.quiet
}

said := found if {
	found := data.flags[input.name]
} else := found if {
	found := input.args.said
} else := {}

level := 1 if {
	input.args.level == 1
	not data.flags.level
} else := 2

rows contains {"of": item.of, "who": item.who} if some item in data.rows

rows contains {"who": item.who, "of": item.of} if {
	some item in data.more
	sound(item)
}

again contains {"kind": "a", "row": row.of} if some row in rows

again contains {"kind": "b", "row": row.of} if {
	some row in data.more
	not sound(row)
}

sound(item) if {
	item.many >= 1
	item.many == floor(item.many)
	count(item.who) > 0
	every one in item.who {
		one != ""
	}
}

alike contains a.name if {
	some a in data.more
	some b in data.more
	a.name != b.name
	{"of": a.of, "who": a.who} == {"of": b.of, "who": b.who}
}

solvent if {
	count(input.left) > 0
	every number in input.left {
		number >= 0
	}
}

reasons contains "insolvent" if not solvent

reasons contains "named" if count(first) > 0

reasons contains "unlimited" if {
	limit := object.get(data.limits, input.name, null)
	limit == null
}

reasons contains "over" if {
	limit := object.get(data.limits, input.name, null)
	is_number(limit)
	is_number(input.args.amount)
	input.args.amount >= limit
}

reasons contains "absent" if object.get(input, ["args", "to"], null) == null

reasons contains "text" if {
	is_string(input.args.to)
	startswith(input.args.to, "a")
}

odd contains name if {
	some name in ["quiet", "said", "to"]
	value := input.args[name]
	not is_string(value)
}

odd contains "amount" if not is_number(input.args.amount)

odd contains "row" if {
	value := data.rows[0].of
	not is_string(value)
}

main := {
	"odd": odd, "third": count(third), "said": said, "level": level, "reasons": sort(reasons),
	"rows": sort(rows), "again": sort(again), "alike": alike, "pairs": count(rows),
}
"""
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "args": {"type": "object"},
        "left": {"type": "object", "additionalProperties": {"type": "number"}},
    },
    "required": ["name", "args", "left"],
    "additionalProperties": False,
}
NAMES = st.sampled_from(["a", "b", "level", ""])
NUMBERS = st.sampled_from([0, 1, 2, -1, Decimal("1.5"), 2**62, 2**70])
SCALARS = st.sampled_from([None, True, False, 0, 1, Decimal("1.5"), "", "a"])
WHO = st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2)
LOOSE = st.lists(SCALARS, max_size=2)
ROW = st.fixed_dictionaries({"of": SCALARS, "who": WHO | LOOSE})
MORE = st.fixed_dictionaries({"name": NAMES, "of": NUMBERS | SCALARS, "who": WHO, "many": NUMBERS})
SOUND = st.fixed_dictionaries(
    {"name": NAMES, "of": st.sampled_from(["x", "y"]), "who": WHO, "many": st.integers(1, 3)}
)
DATA = st.fixed_dictionaries(
    {
        "flags": st.dictionaries(NAMES, SCALARS | st.just({}), max_size=3),
        "rows": st.lists(ROW, max_size=3),
        # More than some are looked at by their kinds alone.
        "more": st.lists(MORE, max_size=3) | st.lists(SOUND, max_size=20),
        "limits": st.dictionaries(NAMES, NUMBERS, max_size=2),
    }
)
ARGS = st.fixed_dictionaries(
    {},
    optional={
        "quiet": SCALARS,
        "said": SCALARS,
        "level": SCALARS,
        "amount": NUMBERS | SCALARS,
        "to": SCALARS,
    },
)
INPUTS = st.fixed_dictionaries(
    {"name": NAMES, "args": ARGS, "left": st.dictionaries(NAMES, NUMBERS, max_size=2)}
)


@functools.cache
def policy():
    plan = plan_modules({"p.rego": SOURCE}, ("p/main",))
    return decoder.decode(plan.document, planner=plan.planner)


@pytest.mark.soak
@pytest.mark.timeout(600)  # each example compiles nine forms
@given(data=DATA, documents=st.lists(INPUTS, min_size=1, max_size=4))
@settings(max_examples=400 if SOAK else 12, deadline=None)
def test_it_gives_what_the_interpreter_gives(data, documents):
    data, documents = from_json(data), [from_json(each) for each in documents]
    parts = {"name": documents[0]["name"]}
    fitting = [each for each in documents if parts.items() <= each.items()]
    inputs = {form: fitting if form.parts else documents for form in FORMS}
    assert Question(policy(), data, inputs, SCHEMA, parts).check()


SHARED = {
    "main.rego": """package p.main

below if {
	input.tags < (input.tags / (-1))
	ceil(data.p.other.limit(object.get(input, ["nested", "a"], 3))) == (data.p.other.limit(2) * 5)
}

main if {
	below
	some _ in input.items
}

main if some _, _ in input.amount
""",
    "other.rego": """package p.other

limit(one) := 0.1 if {
	other := data.limits.refund
}
""",
    "rules.rego": """package p.rules.one

deny contains "b" if data.p.main.main
""",
    "merge.rego": """package p.merge

reasons contains {"rule": name, "reason": reason} if {
	some reason in data.p.rules[name].deny
}
""",
}


def test_a_rule_that_a_plan_works_out_for_nobody_still_fails():
    """What may fail in it stood deeper than was looked."""
    plan = plan_modules(SHARED, ("p/main", "p/other", "p/merge"))
    policy = decoder.decode(plan.document, planner=plan.planner)
    documents = [{"tags": ["a"], "amount": 5}, {"tags": 1, "amount": [1]}]
    inputs = {form: documents for form in FORMS if not form.shaped}
    assert Question(policy, {"limits": {"users": 2}}, inputs, {}, {}).check()


def decided(data):
    """What the library, compiled for `data`, gives for a payment above every limit; its code."""
    path = policies_directory() / "schemas" / "input" / "schema.json"
    shape = shape_of_schema(json.loads(path.read_text(encoding="utf-8")))
    program = Program.from_modules(library().modules, [ENTRYPOINT], data=data)
    found = program.compile(ENTRYPOINT, shape=shape)
    (case,) = [each for each in library().cases if each.name == "payment above the limit"]
    document = from_json(case.input)
    value = found.evaluate(document)
    wanted = program.evaluate(ENTRYPOINT, document, strict_builtin_errors=True)
    assert equal(value, from_json(wanted))
    constants = found.compiled.linked.artefact.constants
    texts = {each.value["reason"] for each in constants if _is_denial(each.value)}
    return value["effect"], "malformed approval" in texts


def _is_denial(value):
    return isinstance(value, dict) and "reason" in value


@pytest.mark.parametrize(
    "change", [{"quorum": 0}, {"expires_in": 0}, {"approvers": [""]}, {"quorum": Decimal("1.5")}]
)
def test_what_data_makes_well_formed_is_not_checked_and_what_may_be_malformed_denies(change):
    data = from_json(library().data)
    assert decided(data) == ("require_approval", False)
    limits = data["guardrails_data"]["thresholds"]["pay_invoice"]
    changed = {"amount": {**limits["amount"], **change}}
    thresholds = {**data["guardrails_data"]["thresholds"], "pay_invoice": changed}
    settings = {**data["guardrails_data"], "thresholds": thresholds}
    assert decided({**data, "guardrails_data": settings}) == ("deny", True)


TWICE = (
    "t0.get(K0, None) is None or (t1 := t0.get(K0, U)) is not U and type(t1) is str and t1 == K1"
)
CONDITIONS = (
    "(t1 := t0.get(K0, U)) is not U and type(t1) in NUMBERS",
    "(t1 := t0.get(K0, U)) is not U and type(t1) is str and t1 == K1",
    "not (t2 is None or t2 is not None and type(t2) is str)",
    "t2 is not U and type(t2) in NUMBERS",
    "(t1 := t0.get(K0, U)) is not U and type(t1) is not str",
    "(t1 := t0.get(K0, U)) is not U and type(t1) not in NUMBERS",
    "(t1 := t0.get(K0, U)) is not U and (type(t1) is not str)",
    "not (t2 is not U and type(t2) is not dict)",
    "t2 is not U and not (type(t2) is dict)",
    "t2 is None or t2 is not None and type(t2) is not str or t0.get(K0, None) is None",
    "t0.get(K0, None) is None or (t1 := t0.get(K0, U)) is not U and type(t1) is not str",
    "t0.get(K0, None) is None or type((t1 := t0.get(K0, U))) is not str",
    TWICE,
    "t2 == K1 and (t1 := t0.get(K0, None)) is None or t2 is None",
    "t2 == K1 and ((t1 := t0.get(K0, None)) is None or type(t1) is str)",
    "(t1 := t0.get(K0, None)) is None or t1 == t2",
    "((t1 := t0.get(K0, None)) is None or t1 == t2) and type(t1) is not str",
    "not ((t1 := t0.get(K0, None)) is None or type(t1) is str and t1 == t2)",
    "t0.get(K0, None) is None or (t1 := t0.get(K2, U)) is not U and type(t1) is str",
)
VALUES: list[Any] = [UNDEFINED, None, True, 0, 1, Decimal("1.5"), "x", "", [], {}]


@pytest.mark.parametrize("text", CONDITIONS)
def test_a_shorter_condition_is_the_same(text):
    uses = {name: names(text).count(name) for name in names(text)}
    given = shorter(text, uses)
    known = {"U": UNDEFINED, "NUMBERS": {int, Decimal}, "K0": "k", "K1": "x", "K2": "other"}
    for one, other in itertools.product(VALUES, VALUES):
        held = {} if one is UNDEFINED else {"k": one}
        space = {**known, "t0": held, "t2": other}
        answers = [bool(eval(each, {}, dict(space))) for each in (text, given)]  # noqa: S307  # texts from above
        assert answers[0] is answers[1], (given, one, other)


def test_what_is_read_elsewhere_keeps_its_own_look_up():
    text = TWICE
    uses = {name: names(text).count(name) + 1 for name in names(text)}
    assert shorter(text, uses).count(".get(") == 2
    alone = shorter(text, {name: names(text).count(name) for name in names(text)})
    assert (alone.count(".get("), alone.count("t0[K0]")) == (0, 1)


LISTED = """package p

import rego.v1
import future.keywords.not

main := {"effect": "deny", "why": sort(why)} if {
	count(why) > 0
} else := {"effect": "allow", "why": ["nothing"]}

why contains "one" if input.a
why contains "two" if not input.b
why contains "three" if {
	some left in input.left
	left < 0
}
why contains "six" if input.c == 3
why contains "four" if not every_one

every_one if {
	count(input.left) > 0
	every left in input.left {
		left <= 7
	}
}
"""
TWICE_ADDED = (
    LISTED
    + """
why contains "one" if input.c == 3
why contains "two" if {
	some left in input.left
	left == 5
}
why contains "five" if {
	some left in input.left
	some right in input.left
	left > right
}
"""
)


@functools.cache
def _listed(source):
    plan = plan_modules({"p.rego": source}, ["p/main"])
    whole = {"a": {"type": "boolean"}, "b": {"type": "boolean"}, "c": {"type": "number"}}
    left = {"type": "object", "additionalProperties": {"type": "number"}}
    schema = {"type": "object", "properties": {**whole, "left": left}, "required": ["left", "c"]}
    programs = [
        Program.from_plan(plan.document, planner=plan.planner, data={}, compiled=compiled)
        for compiled in (True, False)
    ]
    shaped = programs[0].compile("p/main", shape=shape_of_schema(schema))
    return shaped, *(partial(each.evaluate, "p/main") for each in programs)


@given(
    st.fixed_dictionaries(
        {"c": st.integers(0, 4), "left": st.dictionaries(NAMES, NUMBERS, max_size=4)},
        optional={"a": st.booleans(), "b": st.booleans()},
    )
)
@pytest.mark.parametrize("source", [LISTED, TWICE_ADDED], ids=["once", "twice"])
def test_texts_that_are_kept_in_a_tuple_are_those_of_the_set(source, document):
    document = from_json(document)
    shaped, *others = _listed(source)
    answers = [evaluate(document) for evaluate in (shaped.evaluate, *others)]
    assert answers[0] == answers[1] == answers[2]
    answers[0]["why"].append("mine")  # nobody else's list
    assert shaped.evaluate(document) == answers[1]


def test_a_set_of_reasons_is_a_tuple_where_each_can_be_added_once():
    texts = [
        "".join(each.text for each in _listed(source)[0].compiled.linked.artefact.functions)
        for source in (LISTED, TWICE_ADDED)
    ]
    assert [" = ()" in text for text in texts] == [True, False]


DOCUMENTS = st.recursive(
    SCALARS | NUMBERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(DOCUMENTS, min_size=1, max_size=20))
def test_a_shape_of_several_promises_nothing_that_one_of_them_breaks(values):
    values = [from_json(each) for each in values]
    shapes = Shapes()
    shape = shapes.of(values[0])
    for each in values[1:]:
        shape = join(shape, shapes.of(each))
    for found in (shape, shapes.of_items(values)):
        for each in values:
            holds(found, each)


def holds(shape, value):
    if type(value) in (str, list, dict):
        assert value or not shape.filled
    if type(value) is int and shape.span is not None:
        assert shape.span[0] <= value <= shape.span[1]
    if shape.kinds == Kind.NUMBER and span_of(shape) is not None:
        assert type(value) is int
    if type(value) is list and value and shape.item is not None:
        for each in value:
            holds(shape.items(), each)
    if type(value) is dict:
        for name, each in value.items():
            holds(shape.at(name) if shape.is_only(Kind.OBJECT) else shape.items(), each)
