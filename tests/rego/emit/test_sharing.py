"""Results, inputs, data and constants share nothing; threads share a program."""

from __future__ import annotations

import copy
import functools
import itertools
import random
import sys
import threading
from pathlib import Path

import pytest
from tests.rego.emit.both import FORMS, answer, context, same, settings, spoil
from tests.rego.emit.inferred import schema_of
from tests.rego.emit.plans import Maker
from tests.rego.emit.vocabulary import PARTS, SCHEMA, facts, fitting

from guardrails.rego import decoder
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.program import Settings
from guardrails.rego.evaluation import Limits
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.planner import plan_modules
from guardrails.rego.values import UNDEFINED, RegoSet, equal, from_json

ROOT = Path(__file__).resolve().parents[3]

# Each rule gives back something that it did not make: a constant, data, the input, an item of
# one of them, what another rule gave, what a builtin gave.
SHARING = """package p

import rego.v1

table := {"a": [1, 2, {"b": {3, 4}}], "s": {"x", "y"}}

letters contains w if some w in ["a", "b"]

copied[k] := v if some k, v in table

main.constant := table

main.part := table.a[2]

main.whole := data.facts

main.below := data.facts.list

main.item := data.facts.list[0]

main.given := input

main.given_item := input.list[0]

main.letter := letters

main.again := [letters, letters, table.s, table.s]

main.kept := copied

main.got := object.get(data.facts, "list", [])

main.default := object.get(input, "none", {"d": [1]})

main.concat := array.concat(data.facts.list, table.a)

main.union := object.union(data.facts, {"more": table})

main.slice := array.slice(input.list, 0, 9)

main.sorted := sort(table.s)

main.keys := object.keys(table)

main.chosen := [data.facts.list, input.list][input.n]

main.loop := [x | some x in data.facts.list]

main.filtered := {k: v | some k, v in data.facts; k != "x"}

main.called := same(data.facts.list)

main.nested := {"a": {"b": [table, data.facts, input]}}

main.mocked := x if x := mocked with input as {"list": [[1]]}

main.or_else := e

same(x) := x

mocked := input

e := x if x := data.facts.none

else := x if x := input.none

else := table
"""
DATA = {"facts": {"list": [[1, {"a": [2]}], {"b": {}}], "x": {"y": [1]}}}
GIVEN = {"list": [[1, {"a": [2]}], {"b": {}}], "n": 1}


@pytest.fixture(scope="module")
def policy():
    plan = plan_modules({"p.rego": SHARING}, ["p/main"])
    return decoder.decode(plan.document, planner=plan.planner)


@pytest.mark.parametrize("form", FORMS)
def test_a_result_may_be_changed(policy, form):
    data, given = copy.deepcopy(DATA), copy.deepcopy(GIVEN)
    parts = {"n": 1} if form.parts else {}
    told = settings(form, schema_of([given]), parts)
    program = compile_policy(policy, data if form.bound else UNDEFINED, told)
    wanted = program.evaluate("p/main", given, data, context())
    assert len(wanted) == SHARING.count("main.")
    first = copy.deepcopy(wanted)
    for _ in range(3):
        spoil(wanted)
        assert given == GIVEN
        assert data == DATA
        wanted = program.evaluate("p/main", given, data, context())
        assert equal(wanted, first)


def parts_of(value):
    """All collections in a value, by their identity."""
    if type(value) is RegoSet:
        return {id(value), id(value.keys)}
    if type(value) not in (dict, list):
        return set()
    below = value.values() if type(value) is dict else value
    return {id(value)}.union(*map(parts_of, below))


def places_of(value):
    """How many collections stand in a value, each place counted."""
    if type(value) not in (dict, list):
        return 1 if type(value) is RegoSet else 0
    below = value.values() if type(value) is dict else value
    return 1 + sum(map(places_of, below))


def sets_in(value):
    if type(value) is RegoSet:
        return 1
    if type(value) not in (dict, list):
        return 0
    return sum(map(sets_in, value.values() if type(value) is dict else value))


@pytest.mark.parametrize("form", FORMS)
def test_no_part_of_a_result_is_in_another_place(policy, form):
    """Neither twice in one result, nor in the input, the data or the next result."""
    data, given = copy.deepcopy(DATA), copy.deepcopy(GIVEN)
    told = settings(form, schema_of([given]), {"n": 1} if form.parts else {})
    program = compile_policy(policy, data if form.bound else UNDEFINED, told)
    one = program.evaluate("p/main", given, data, context())
    two = program.evaluate("p/main", given, data, context())
    assert len(parts_of(one)) == places_of(one) + sets_in(one)
    for value in (given, data, two):
        assert not parts_of(one) & parts_of(value)


GROWING = """package p

import rego.v1

base := {"a": 1}

main := [x, base, y] if {
	x := {k: v | some k, v in object.union(base, {input.key: 2})}
	y := object.keys(base) | {input.key}
}
"""


def test_what_is_built_upon_a_constant_leaves_it_as_it_was():
    plan = plan_modules({"p.rego": GROWING}, ["p/main"])
    policy = decoder.decode(plan.document, planner=plan.planner)
    program = compile_policy(policy, {}, Settings())
    for key in ("b", "c", "a"):
        found = program.evaluate("p/main", {"key": key}, {}, context())
        assert equal(found, [{"a": 1, key: 2}, {"a": 1}, RegoSet(["a", key])])


def test_evaluations_of_generated_plans_leave_nothing_behind():
    """Any order of evaluations gives what each gives in a program of its own."""
    compared = 0
    for seed in range(60):
        policy = decoder.decode(Maker(random.Random(seed)).document(), planner="opa")
        data = facts(random.Random(seed))
        inputs = [fitting(random.Random(f"{seed} {number}"), PARTS) for number in range(3)]
        for form in (FORMS[0], FORMS[7]):
            try:
                programs = [
                    compile_policy(policy, copy.deepcopy(data), settings(form, SCHEMA, PARTS))
                    for _ in range(4)
                ]
            except CannotEmit:
                continue
            for name in policy.plans:
                alone = [
                    answer(functools.partial(p.run, name, g, data, context()))
                    for p, g in zip(programs, inputs, strict=False)
                ]
                for place in itertools.chain(*itertools.permutations(range(3))):
                    given = inputs[place]
                    found = answer(functools.partial(programs[3].run, name, given, data, context()))
                    assert same(alone[place], found)
                    compared += 1
    assert compared > 500


def test_threads_share_a_program():
    """Each of eight threads gets the answers to its own inputs."""
    policy, inputs, wanted = _shared()
    program = compile_policy(policy, from_json(DATA), Settings())
    wrong = []
    ready = threading.Barrier(8)

    def work(number):
        chance = random.Random(number)
        ready.wait()
        for _ in range(400):
            place = chance.randrange(len(inputs))
            found = program.evaluate("p/main", inputs[place], {}, context())
            if not equal(found, wanted[place]):
                wrong.append((place, found))
            spoil(found)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong


THREADED = """package p

import rego.v1

total := sum([x | some x in input.list])

seen contains [x, total] if some x in input.list

odd contains x if { some x in input.list; x % 2 == 1 }

main := {"total": total, "seen": seen, "odd": odd, "again": count(seen) + count(odd), "mock": mock}

mock := x if x := total with input as {"list": [input.list[0]]}
"""


def _shared():
    plan = plan_modules({"p.rego": THREADED}, ["p/main"])
    policy = decoder.decode(plan.document, planner=plan.planner)
    inputs = [{"list": list(range(n, n + 12))} for n in range(16)]
    reference = Interpreter(policy, BUILTINS, Limits())
    entry = policy.plans["p/main"]
    wanted = [
        reference.run(entry, each, from_json(DATA), context())[0]["result"] for each in inputs
    ]
    return policy, inputs, wanted
