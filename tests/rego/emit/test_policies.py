"""Policies that planners plan: their compiled forms do what the interpreter does.

Random ones by both planners, the shipped library with its preset, and the examples; over inputs
of which a schema is promised (the published one, or the narrowest that they obey) and over junk.
"""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from tests.rego.emit.both import FORMS, DifferenceError, Form, Question
from tests.rego.emit.inferred import schema_of
from tests.rego.fuzz.policies import batch, smallest
from tests.rego.fuzz.terms import Options

from guardrails.engines.layers import read_layers
from guardrails.rego import decoder
from guardrails.rego.agreement_inputs import Vocabulary, documents
from guardrails.rego.evaluation import Limits
from guardrails.rego.opa_binary import build_plan
from guardrails.rego.planner import Plan, PlanRequest, plan_many, plan_modules
from guardrails.rego.values import UNDEFINED, dumps, from_json

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[3]
SIZE = 8
BATCHES = range(100 if SOAK else 1)


def inputs_of(given, chance):
    """Inputs for each form, their schema, and the parts that are known in some."""
    given = [each if each is UNDEFINED else from_json(each) for each in given]
    there = [each for each in given if isinstance(each, dict)]
    one = chance.choice(there) if there else {}
    names = sorted(one)
    parts = {name: one[name] for name in names if chance.random() < 0.4}
    found = {}
    for form in FORMS:
        if form.parts:
            found[form] = [one]
        elif form.shaped:
            found[form] = there
        else:
            found[form] = given
    return found, schema_of(there or [{}]), parts


def compared(plan, planner, data, given, seed):
    policy = decoder.decode(plan, planner=planner)
    found, schema, parts = inputs_of(given, random.Random(f"{seed} parts"))
    return Question(policy, from_json(data), found, schema, parts).check()


def told(policy, error):
    sources = "\n".join(f"# {name}\n{text}" for name, text in policy.modules.items())
    return f"{error}\n{sources}\ndata: {dumps(from_json(policy.data))}"


def same_everywhere(policies, plan_of, planner, seed):
    """Compare each policy; a difference is told by the smallest part that shows it."""
    answers = 0
    for policy in policies:
        plan = plan_of(policy)
        if plan is None:
            continue

        def difference(part):
            try:
                compared(plan_of(part), planner, part.data, part.inputs, seed)
            except Exception as error:  # noqa: BLE001  # a crash is a difference, too
                return error
            return None

        try:
            answers += compared(plan, planner, policy.data, policy.inputs, seed)
        except Exception:  # noqa: BLE001  # told below
            small = smallest(policy, lambda part: isinstance(difference(part), DifferenceError))
            pytest.fail(told(small, difference(small)))
    return answers


def planned_by_regopy(policy):
    (plan,) = plan_many([PlanRequest(policy.modules, policy.entrypoints)])
    return plan.document if isinstance(plan, Plan) else None


@pytest.mark.soak
@pytest.mark.parametrize("seed", BATCHES)
def test_random_policies_that_regopy_plans(seed):
    policies = batch(f"emit {seed}", SIZE)
    plans = plan_many([PlanRequest(policy.modules, policy.entrypoints) for policy in policies])
    made = {
        id(policy): plan.document
        for policy, plan in zip(policies, plans, strict=True)
        if isinstance(plan, Plan)
    }
    assert len(made) > SIZE * 0.8

    def plan_of(policy):
        return made.get(id(policy)) or planned_by_regopy(policy)

    kept = [policy for policy in policies if id(policy) in made]
    assert same_everywhere(kept, plan_of, "regopy", seed) > SIZE


@pytest.mark.opa
@pytest.mark.soak
@pytest.mark.parametrize("kind", ["plain", "opa_only", "conflicts"])
@pytest.mark.parametrize("seed", BATCHES)
def test_random_policies_that_opa_plans(opa, seed, kind):
    options = Options(**({} if kind == "plain" else {kind: True}))
    policies = batch(f"emit {kind} {seed}", SIZE // 2, options)

    def plan_of(policy):
        return build_plan(opa, policy.modules, policy.entrypoints, timeout=60)

    assert same_everywhere(policies, plan_of, "opa", seed) > SIZE


PRESETS = sorted(path.name for path in (ROOT / "policies/presets").iterdir())
LAYERS = {
    "library": ["policies"],
    **{name: ["policies", f"policies/presets/{name}"] for name in PRESETS},
    "banking": ["policies", "policies/examples/banking"],
    "examples": ["policies", "examples/policies"],
    "everything": [
        *("policies", "policies/examples/banking", "examples/policies"),
        *(f"policies/presets/{name}" for name in PRESETS),
    ],
}
FEW = [("library", "regopy"), ("everything", "opa")]
SHIPPED = [(name, planner) for name in LAYERS for planner in ("regopy", "opa")] if SOAK else FEW
SCHEMA = json.loads((ROOT / "policies/schemas/input/schema.json").read_text("utf-8"))
WORDS = Vocabulary(
    strings=(
        *("payments", "pay", "refund", "invoice", "supplier", "acme", "ops", "support", "prod"),
        *("production", "staging", "read", "write", "delete", "execute", "transfer", "", "x"),
        *("a@example.com", "a@example.com\n", "https://example.com/", "EUR", "USD", "\uff58"),
    ),
    numbers=(0, 1, 100, 1000, 10_000),
    paths=(("args", "amount"), ("args", "recipient"), ("args", "to"), ("args", "url")),
)


def sources(name):
    return read_layers([ROOT / part for part in LAYERS[name]], {})


def texts_in(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


@pytest.mark.soak
@pytest.mark.parametrize(
    ("name", "planner"),
    [pytest.param(*each, marks=[pytest.mark.opa] if each[1] == "opa" else []) for each in SHIPPED],
)
def test_the_shipped_policies(name, planner, request):
    binary = request.getfixturevalue("opa") if planner == "opa" else None
    layers = sources(name)
    entrypoints = ["guardrails/decision"]
    plan = plan_modules(layers.modules, entrypoints, planner=planner, opa=binary)
    policy = decoder.decode(plan.document, planner=plan.planner)
    data = from_json(layers.data)
    words = Vocabulary((*WORDS.strings, *texts_in(data)), WORDS.numbers, WORDS.paths)
    chance = random.Random(name)
    many = 300 if SOAK else 6
    whole = SOAK or planner == "regopy"
    damaged = [from_json(each) for each in documents(SCHEMA, words, chance, many)]
    sound = [each for place, each in enumerate(damaged) if place % 3 == 0]
    # The published schema is promised of the sound ones alone, parts of one to that one.
    parts = {key: sound[0][key] for key in ("agent", "tool")}
    found: dict[Form, list[Any]] = {}
    for form in FORMS if whole else (Form(), Form(strict=False, shaped=True)):
        if form.parts:
            found[form] = [{**each, **parts} for each in sound]
        else:
            found[form] = sound if form.shaped else [*damaged, UNDEFINED, {}, []]
    question = Question(policy, data, found, SCHEMA, parts, Limits())
    assert question.check() > many
