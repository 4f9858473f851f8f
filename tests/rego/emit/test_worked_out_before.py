"""What the compiler works out once, before or between decisions, is what each decision would."""

from __future__ import annotations

import os
import random
import threading
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.rego.emit.both import FORMS, Form, Question, answer, context, same
from tests.rego.emit.both import settings as settings_of

from guardrails.errors import EvaluationError
from guardrails.rego import decoder
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit.artefact import Artefact
from guardrails.rego.emit.keyed import Kept
from guardrails.rego.emit.linking import link
from guardrails.rego.emit.runtime import DAYS, arranged, members
from guardrails.rego.evaluation import Limits
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.planner import Plan, PlanRequest, plan_many, plan_modules
from guardrails.rego.values import compare, equal, from_json, sorted_values, to_key

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
SHAPED = [form for form in FORMS if form.shaped and form.bound]

# Rules that depend on one name, on none, on several; sets of objects; loops over few items.
SOURCE = """package p

import rego.v1
import future.keywords.not

entry := data.agents[input.agent.id]

folded contains lower(one) if {
	some one in data.agents[input.agent.id].contacts
	is_string(one)
	one != ""
}

named := owner if {
	owner := data.agents[input.agent.id].owner
	is_string(owner)
	trim_space(owner) != ""
}

# Where `due` is no number, it fails for that agent alone.
due := to_number(replace(data.agents[input.agent.id].due, "-", ""))

# By way of another rule, and as objects that are handed out.
grants contains {"to": one, "of": named, "parts": [one]} if some one in folded

table[one] := {"of": one, "all": [each | some each in folded]} if some one in folded

nobody if not data.agents[input.agent.id]

# By a tool's name, with what an unknown one gets.
limits := object.get(data.limits, input.tool, {"none": {"above": 0}})

sound if {
	every limit in limits {
		limit.above >= 0
	}
}

# On two names, so not kept.
both contains [a, b] if {
	some a in folded
	some b, _ in limits
}

# On nothing but data.
settled contains upper(name) if some name, _ in data.limits

first := [name | some name in ["b", "a"]; name in settled]

few := {key: value | some key, value in {"b": input.tool, "a": 1, "c": [2]}}

rounds := [out |
	some word in ["x", "y", "z"]
	not word in input.labels
	out := concat("-", [word, input.tool])
]

day := time.date(input.time)

later if ((day[0] * 10000) + (day[1] * 100)) + day[2] <= 20260615

late if input.time >= 9223372036854775807

whole if input.time == floor(input.time)

lifted if data.agents[input.agent.id].said == {"required": false}

given if input.args == {"required": false, "why": "x"}

main.the_folded := folded

main.the_grants := grants

main.the_sorted := sort(grants)

main.the_table := table

main.the_both := both

main.the_named := named

main.the_nobody := nobody

main.the_limits := limits

main.the_sound := sound

main.the_settled := settled

main.the_first := first

main.the_few := few

main.the_rounds := rounds

main.the_day := day

main.the_later := later

main.the_late := late

main.the_whole := whole

main.the_lifted := lifted

main.the_given := given

main.the_entry := entry

dated := due

questions contains object.union(demand, {"reason": sprintf("%s: ask", [concat(", ", together)])}) if {
	some demand in demands
	together := [one | some one in folded; demands[one] == demand]
}

demands[one] := {"who": object.get(limits, "who", ["ops"]), "many": object.get(limits, "many", 1)} if {
	some one in folded
}

asked contains {"rule": "p", "reason": substring(item.reason, 0, 9), "who": item.who, "many": item.many} if {
	some item in questions
	is_array(item.who)
	object.keys(item) == {"who", "many", "reason"}
}

asking := {"all": sort(asked), "many": count(questions)}
"""  # noqa: E501  # as one writes it
ENTRIES = ("p/main", "p/dated", "p/asking")

SCHEMA = {
    "type": "object",
    "properties": {
        "agent": {
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "required": ["id"],
            "additionalProperties": False,
        },
        "tool": {"type": "string"},
        "labels": {"type": "array", "items": {"type": "string"}},
        "time": {"type": "integer", "minimum": 0, "maximum": 9223372036854775807},
        "args": True,
    },
    "required": ["agent", "tool", "labels", "time"],
    "additionalProperties": False,
}

NAMES = st.sampled_from(["a", "b", "c", ""])
TEXTS = st.sampled_from(["Ada", "ada", "B", "", " ", "Kelvin", "ß"])
SCALARS = st.sampled_from([None, True, False, 0, 1, Decimal("1.0"), Decimal("1.5"), "x", -3])
SAID = [{"required": False}, {"required": 0}, {"required": None}, {"required": False, "x": 1}]
JUNK = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(NAMES, SCALARS, max_size=2)
AGENTS = st.dictionaries(
    NAMES,
    st.fixed_dictionaries(
        {},
        optional={
            "contacts": st.lists(TEXTS, max_size=3) | st.lists(JUNK, max_size=2) | JUNK,
            "owner": TEXTS | JUNK,
            "due": st.sampled_from(["2026-06-15", "2026-13", "", "--"]),
            "said": st.sampled_from(SAID) | JUNK,
        },
    ),
    max_size=3,
)
LIMIT = st.fixed_dictionaries({"above": st.sampled_from([0, 1, -1, Decimal("1.5")])})
DATA = st.fixed_dictionaries(
    {
        "agents": AGENTS,
        "limits": st.dictionaries(
            NAMES, st.dictionaries(NAMES, LIMIT, max_size=2) | JUNK, max_size=2
        ),
    }
)
TIMES = st.sampled_from([0, 1, 86_399_999_999_999, 86_400_000_000_000, 2**62, 2**63 - 1])
INPUTS = st.fixed_dictionaries(
    {
        "agent": st.fixed_dictionaries({"id": NAMES | st.just("nobody")}),
        "tool": NAMES | st.just("none"),
        "labels": st.lists(st.sampled_from(["x", "y", "w"]), max_size=2),
        "time": TIMES | st.integers(0, 2**63 - 1),
    },
    optional={"args": JUNK | st.just({"required": False, "why": "x"})},
)


@pytest.fixture(scope="module")
def policy():
    plan = plan_modules({"p.rego": SOURCE}, ENTRIES)
    return decoder.decode(plan.document, planner=plan.planner)


@pytest.mark.soak
@given(data=DATA, documents=st.lists(INPUTS, min_size=1, max_size=4))
@settings(max_examples=60 if SOAK else 4)
def test_it_gives_what_the_interpreter_gives(policy, data, documents):
    data, documents = from_json(data), [from_json(each) for each in documents]
    parts = {"agent": documents[0]["agent"], "tool": documents[0]["tool"]}
    fitting = [each for each in documents if parts.items() <= each.items()]
    inputs = {form: fitting if form.parts else documents for form in SHAPED}
    assert Question(policy, data, inputs, SCHEMA, parts).check()


# Policies of any such rules.

STARTS = (
    "entry := data.agents[input.agent.id]",
    "some one in data.agents[input.agent.id].contacts",
    "one := data.agents[input.agent.id].owner",
    "some name, one in data.agents[input.agent.id]",
    "one := object.get(data.limits, input.tool, {input.agent.id})",
    "one := object.get(data.limits, input.tool, [])",
    "some one in data.limits[input.tool]",
    "some one, _ in data.limits",
    "some name, one in data.limits; name == input.tool",
    "one := input.tool",
    "one := input.agent.id",
)
STEPS = (
    "is_string(one)",
    'one != ""',
    'not one in [1, "x"]',
    "count(one) > 0",
    "some part in one",
    'one == {"required": false}',
    "not data.limits[input.tool]",
    "not data.agents[input.agent.id]",
    "input.tool in data.limits",
    "to_number(one) >= 0",
    'startswith(one, "A")',
    'every part in one { part != "" }',
)
HEADS = (
    "{name} contains one",
    "{name} contains [one, 1]",
    '{name} contains {{"of": one, "all": [one]}}',
    '{name}[one] := {{"of": one}}',
    "{name} := one",
    "{name} := [each | some each in data.agents[input.agent.id].contacts; each == one]",
    '{name} := {{"sorted": sort([one])}}',
    "{name}",
)


def drawn(chance):
    """A policy of rules like these, of which some ask for earlier ones."""
    names: list[str] = []
    lines = ["package p", "import rego.v1", "import future.keywords.not"]
    for number in range(chance.randint(3, 6)):
        name, head = f"r{number}", chance.choice(HEADS)
        # Two values of one rule would be a conflict, which has tests of its own.
        bodies = chance.randint(1, 2) if "contains" in head else 1
        for _ in range(bodies):
            starts = [f"some one in {names[-1]}", f"one := {chance.choice(names)}"] if names else []
            start = chance.choice(starts if starts and chance.random() < 0.4 else STARTS)
            body = [start, *chance.sample(STEPS, chance.randint(0, 2))]
            if "one" not in start:
                body.append("one := entry")
            lines.append(f"{head.format(name=name)} if {{\n\t" + "\n\t".join(body) + "\n}")
        names.append(name)
    return "\n\n".join([*lines, *(f"main.m_{name} := {name}" for name in names)])


@pytest.mark.soak
def test_policies_of_such_rules_give_what_the_interpreter_gives():
    answers = kept = planned = 0
    for batch in range(20 if SOAK else 1):
        sources = [drawn(random.Random(f"{batch} {number}")) for number in range(16)]
        plans = plan_many([PlanRequest({"p.rego": each}, ("p/main",)) for each in sources])
        for number, plan in enumerate(plans):
            if not isinstance(plan, Plan):
                continue
            planned += 1
            one = decoder.decode(plan.document, planner="regopy")
            chance = random.Random(f"{batch} {number} inputs")
            documents = [
                document(chance.choice(["a", "b", "c"]), tool) for tool in ("pay", "x", "")
            ]
            documents += [document(chance.choice(["a", "b"]), tool) for tool in ("pay", "x")]
            asked = {form: documents for form in SHAPED if not form.parts}
            answers += Question(one, FULL, asked, SCHEMA, {}).check()
            artefact = compile_policy(one, FULL, settings_of(Form(shaped=True), SCHEMA, {}))
            kept += len(artefact.linked.artefact.lookups)
    assert planned > 8
    assert answers > planned
    assert kept > planned / 2


FULL = {
    "agents": {
        "a": {"contacts": ["Ada", "B", "Ada"], "owner": "Ada", "due": "2026-01-01"},
        "b": {"contacts": ["C", 1, {"x": []}], "owner": " ", "due": "never"},
    },
    "limits": {"pay": {"amount": {"above": 1}}},
}


def document(agent="a", tool="pay"):
    return {"agent": {"id": agent}, "tool": tool, "labels": ["x"], "time": 86_400_000_000_000}


def compiled(policy, data=FULL):
    return compile_policy(policy, data, settings_of(Form(shaped=True), SCHEMA, {}))


def test_rules_are_kept_by_one_name(policy):
    lookups = compiled(policy).linked.artefact.lookups.values()
    assert {each.path for each in lookups} == {("agent", "id"), ("tool",)}


def test_nothing_is_kept_without_a_promise_of_the_shape(policy):
    for form in (Form(), Form(bound=False), Form(optimised=False)):
        told = settings_of(form, SCHEMA, {})
        assert not compile_policy(policy, FULL, told).linked.artefact.lookups


def test_what_depends_on_data_alone_is_settled(policy):
    """It is no function any more, so that it takes no time."""
    artefact = compiled(policy).linked.artefact
    values = [constant.value for constant in artefact.constants]
    assert ["PAY"] in [list(value) for value in values if type(value).__name__ == "RegoSet"]


def test_an_error_stays_where_it_is_and_is_told_each_time(policy):
    program = compiled(policy)
    reference = Interpreter(policy, BUILTINS, Limits())
    for agent in ("b", "a", "b", "nobody", "b"):
        asked = (document(agent), FULL, context())
        plan = policy.plans["p/dated"]
        wanted = answer(partial(reference.run, plan, *asked, strict_builtin_errors=True))
        found = answer(partial(program.run, "p/dated", *asked))
        assert same(wanted, found)
        assert (wanted[0] == "failed") == (agent == "b")


def test_names_that_data_does_not_have_take_no_more_room_than_some(policy):
    calls = []

    def call(given_):
        calls.append(given_)
        return "other"

    kept = Kept(call, ("agent", "id"), [{"a": 1}])
    for number in range(5_000):
        assert kept[f"nobody {number}"] == "other"
        assert kept["x" * 100_000 + str(number)] == "other"
    assert len(calls) == 1
    assert sum(len(str(name)) for name in kept) < 100_000
    program = compiled(policy)
    wanted = program.evaluate("p/main", document("nobody"), FULL, context())
    for number in range(1_500):
        found = program.evaluate("p/main", document(f"nobody {number}"), FULL, context())
        assert number % 100 or equal(wanted, found)


def test_what_cannot_be_worked_out_is_not_kept():
    given_ = []

    def call(document):
        given_.append(document)
        raise EvaluationError("eval_builtin_error", "no")

    kept = Kept(call, ("a",), [{"x": 1}])
    for name in ("x", "y", "x", "y"):
        with pytest.raises(EvaluationError):
            kept[name]
    assert given_ == [{"a": "x"}, {"a": "y"}] * 2
    assert not kept


def test_threads_that_ask_first_at_once_are_told_the_same(policy):
    wanted = compiled(policy).evaluate("p/main", document(), FULL, context())
    for _ in range(5):
        program = compiled(policy)
        together = threading.Barrier(4)
        found: list[Any] = []

        def ask(program=program, together=together, found=found):
            together.wait()
            for agent in ("a", "b", "nobody", "a"):
                found.append((agent, program.evaluate("p/main", document(agent), FULL, context())))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 16
        assert all(equal(value, wanted) for agent, value in found if agent == "a")


def test_look_ups_go_through_the_text(policy):
    artefact = compiled(policy).linked.artefact
    again = Artefact.loads(artefact.dumps())
    assert again == artefact
    entry = link(again, FULL, strict=True).entries["p/main"]
    wanted = compiled(policy).evaluate("p/main", document(), FULL, context())
    assert equal(entry(document()), wanted)


# Parts of it.


MIDNIGHTS = st.integers(0, 106_751).map(lambda day: day * 86_400_000_000_000)


@given(st.integers(0, 2**63 - 1) | MIDNIGHTS | MIDNIGHTS.map(lambda now: max(now - 1, 0)))
def test_the_day_of_a_time_is_the_builtins(now):
    found = DAYS[now // (1 << 16) // 5**11 // 27]
    assert list(found) == BUILTINS["time.date"].call(now)


ROW = st.fixed_dictionaries(
    {
        "a": st.sampled_from(["x", "y", "é", "\U0001f600", "\uffff"]),
        "b": st.sampled_from([0, 1, Decimal("1.0"), Decimal("0.5"), -1]),
        "c": st.lists(st.sampled_from(["x", "y", ""]), max_size=2),
    }
)
MIXED = st.fixed_dictionaries({"a": JUNK}, optional={"b": JUNK, "c": JUNK})


@given(st.lists(ROW, max_size=5))
def test_members_in_columns_are_in_order(rows):
    held = {to_key(row): row for row in rows}
    wanted = in_order(held.values())
    assert arranged(held, lambda row: (row["a"], row["b"], row["c"])) == wanted
    assert members(held) == wanted


@given(st.lists(ROW, max_size=5) | st.lists(MIXED | ROW, max_size=5) | st.lists(JUNK, max_size=5))
def test_sorting_is_by_comparing(values):
    values = from_json(values)
    found = sorted_values(values)
    assert [to_key(each) for each in found] == [to_key(each) for each in in_order(values)]


def in_order(values):
    """By comparing each with each, as slow as it is plain."""
    found: list[Any] = []
    for value in values:
        place = sum(compare(other, value) <= 0 for other in found)
        found.insert(place, value)
    return found
