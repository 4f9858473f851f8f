"""Whatever plan the decoder takes, its compiled forms do what the interpreter does."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest
from tests.rego.emit.both import FORMS, Question
from tests.rego.emit.plans import Maker
from tests.rego.emit.smaller import smallest
from tests.rego.emit.vocabulary import PARTS, SCHEMA, facts, fitting, loose

from guardrails.errors import PolicyLoadError
from guardrails.rego import decoder

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PLANS = 80
BATCHES = 600 if SOAK else 2


def documents(seed):
    """Inputs for each form, of the shape that it was promised."""
    found = {}
    for form in FORMS:
        chance = random.Random(f"{seed} {form.shaped} {form.parts}")
        parts = PARTS if form.parts else None
        found[form] = [fitting(chance, parts) if form.shaped else loose(chance) for _ in range(3)]
    return found


def compared(document, seed):
    policy = decoder.decode(document, planner="opa")
    data = facts(random.Random(f"{seed} data"))
    return Question(policy, data, documents(seed), SCHEMA, PARTS).check()


def told(document, seed, kind):
    """The difference, an exception of `kind`, that the smallest part of a plan shows."""

    def differs(part):
        try:
            compared(part, seed)
        except PolicyLoadError:
            return False
        except Exception as error:  # noqa: BLE001  # a smaller plan shows it better
            return type(error) is kind
        return False

    small = smallest(document, differs)
    try:
        compared(small, seed)
    except Exception as error:  # noqa: BLE001  # the one to tell
        return f"seed {seed}: {error!r}\n{small}"
    return "nothing"


@pytest.mark.soak
@pytest.mark.parametrize("tame", [False, True])
@pytest.mark.parametrize("batch", range(BATCHES))
def test_compiled_forms_do_what_the_interpreter_does(batch, tame):
    answers = 0
    for number in range(PLANS):
        seed = batch * PLANS + number
        document = Maker(random.Random(seed), tame=tame).document()
        try:
            answers += compared(document, seed)
        except Exception as error:  # noqa: BLE001  # a crash of the compiler is told, too
            pytest.fail(told(document, seed, type(error)))
    assert answers > PLANS * len(FORMS)


FOUND = json.loads((Path(__file__).parent / "found_plans.json").read_text("utf-8"))
"""The smallest parts of plans that once made a difference, each with its seed."""


@pytest.mark.parametrize("found", FOUND, ids=[found["name"] for found in FOUND])
def test_what_was_found(found):
    assert compared(found["plan"], found["seed"]) > 0


def test_the_plans_reach_every_statement():
    """Each kind of statement is drawn, and their results are many."""
    seen = set()
    for seed in range(200):
        text = str(Maker(random.Random(seed)).document())
        seen |= {name for name in _STATEMENTS if f"'{name}'" in text}
    assert seen == _STATEMENTS


_STATEMENTS = {
    *("ArrayAppendStmt", "AssignVarOnceStmt", "AssignVarStmt", "BlockStmt", "BreakStmt"),
    *("CallDynamicStmt", "CallStmt", "DotStmt", "EqualStmt", "IsArrayStmt", "IsDefinedStmt"),
    *("IsObjectStmt", "IsSetStmt", "IsUndefinedStmt", "LenStmt", "MakeArrayStmt", "MakeNullStmt"),
    *("MakeNumberIntStmt", "MakeNumberRefStmt", "MakeObjectStmt", "MakeSetStmt", "NotEqualStmt"),
    *("NotStmt", "ObjectInsertOnceStmt", "ObjectInsertStmt", "ObjectMergeStmt", "ResetLocalStmt"),
    *("ResultSetAddStmt", "ReturnLocalStmt", "ScanStmt", "SetAddStmt", "WithStmt"),
}
