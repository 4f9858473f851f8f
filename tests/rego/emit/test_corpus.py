"""OPA's own cases: each compiled form does what the interpreter does, also where both are wrong.

All of them with ``GUARDRAILS_SOAK=1``, else a seeded part.
"""

from __future__ import annotations

import os
import random
from typing import Any, cast

import pytest
from tests.conformance import corpus
from tests.rego.emit.both import FORMS, Question
from tests.rego.emit.inferred import schema_of

from guardrails.errors import PolicyLoadError
from guardrails.rego import Program
from guardrails.rego.values import UNDEFINED, RegoSet, from_json

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PARTS = {"plan": 1 if SOAK else 16, "modules": 1 if SOAK else 40}
"""Of how many cases one is run."""


@pytest.fixture(scope="module")
def cases():
    folder = corpus.find_corpus()
    return corpus.read_cases(folder) if folder else []


def compared(source, case):
    """How many answers were compared; 0 for a case that is refused at load."""
    if source.refusal is not None:
        return 0
    data = case.body.get("data") or {}
    try:
        program = Program.from_plan(
            source.plan, planner=source.planner, data=data, checked=False, compiled=False
        )
    except PolicyLoadError:
        return 0
    document = case.document if case.document is UNDEFINED else from_json(case.document)
    parts = {}
    known = type(document) is dict and is_json(document)
    if known:
        fields = cast("dict[str, Any]", document)
        parts = {name: fields[name] for name in sorted(fields)[::2]}
    given = {form: [document] for form in FORMS if known or not form.shaped}
    schema = schema_of([document]) if known else True
    return Question(program.policy, program.data, given, schema, parts).check()


def is_json(value):
    if type(value) is dict:
        return all(map(is_json, value.values()))
    return type(value) is not RegoSet and (type(value) is not list or all(map(is_json, value)))


@pytest.mark.soak
@pytest.mark.parametrize("route", ["plan", "modules"])
def test_compiled_forms_do_what_the_interpreter_does(cases, route):
    if not cases:
        return
    chance = random.Random(0)
    chosen = [case for case in cases if chance.randrange(PARTS[route]) == 0]
    found = {}
    answers = 0
    for case, source in corpus.sources(route, chosen):
        try:
            answers += compared(source, case)
        except Exception as error:  # noqa: BLE001  # all that differ are told
            found[f"{case.category}/{case.name}"] = f"{type(error).__name__}: {error}"
    assert not found, "\n\n".join(f"{name}: {text[:600]}" for name, text in found.items())
    assert answers > len(chosen)
