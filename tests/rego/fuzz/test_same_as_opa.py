"""Random policies mean the same to the interpreter, over either planner's plan, and to OPA.

- Where builtin errors are undefined, all answers are alike, without exception.
- Where they are strict, and of rules with two values, an evaluator may come to an error or pass it
  over: OPA by its index and where it stops at the first value, in an order of its own; we where we
  stop at the first value. Without those shortcuts all answers are alike, with the codes of the
  errors (flags of ``opa eval``). With them, nobody has an error that is not there without them,
  and who has none gives the value that there is with errors as undefined.
- regopy orders the conditions of a body in its own way: of two that are undefined and an error
  another one may come first.

A sample each time; with ``GUARDRAILS_SOAK=1`` many policies. A difference is told by the smallest
policy that shows it.
"""

from __future__ import annotations

import json
import os
import subprocess
from decimal import Decimal

import pytest
from tests.rego.fuzz.opa_peer import alike, answer, planned, serving, without_shortcuts
from tests.rego.fuzz.policies import batch, smallest
from tests.rego.fuzz.terms import Options

from guardrails.errors import PolicyLoadError
from guardrails.rego import UNDEFINED, Program
from guardrails.rego.planner import Plan, PlanRequest, plan_many
from guardrails.rego.values import dumps, from_json

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
SIZE = 40 if SOAK else 20
"""Policies of one batch: what one OPA process takes at once."""

BATCHES = range(150 if SOAK else 1)
KINDS = ["plain", "opa_only", "conflicts"]

pytestmark = [pytest.mark.opa, pytest.mark.soak]


def some_policies(kind, seed, size=SIZE):
    options = Options(**({} if kind == "plain" else {kind: True}))
    return batch(f"{kind} {seed}", size, options)


def served(opa, folder, policies):
    """The answers that break the law, each with what it is an answer to."""
    modules = {name: text for policy in policies for name, text in policy.modules.items()}
    data = {name: value for policy in policies for name, value in policy.data.items()}
    entrypoints = [name for policy in policies for name in policy.entrypoints]
    program = planned(opa, modules, entrypoints, data)
    whole = without_shortcuts(program)
    with serving(opa, modules, data, folder) as server:
        for policy in policies:
            for entrypoint in policy.entrypoints:
                for document in policy.inputs:
                    lenient = answer(whole, entrypoint, document, strict=False)
                    for strict in (False, True):
                        theirs = server.ask(entrypoint, document, strict=strict)
                        ours = answer(program, entrypoint, document, strict=strict)
                        full = answer(whole, entrypoint, document, strict=strict)
                        if not lawful(theirs, ours, full, lenient):
                            yield policy, entrypoint, document, strict, theirs, ours


def lawful(theirs, ours, full, lenient):
    """Whether OPA's answer and ours fit the one without shortcuts."""
    if full[0] != "error":
        return alike(theirs, full) and alike(ours, full)
    if lenient[0] == "error":
        # A conflict: who passes it over gives one of the values.
        return "error" in {theirs[0], ours[0]} or alike(theirs, ours)
    return all(each[0] == "error" or alike(each, lenient) for each in (theirs, ours))


def told(policy, *difference):
    sources = "\n".join(f"# {name}\n{text}" for name, text in policy.modules.items())
    return f"{difference}\n{sources}\ndata: {dumps(from_json(policy.data))}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", BATCHES)
def test_the_server_answers_as_the_interpreter(opa, tmp_path, kind, seed):
    def differences(policies):
        return list(served(opa, tmp_path, policies))

    def fails(policy):
        try:
            return bool(differences([policy]))
        except Exception:  # noqa: BLE001  # a part that OPA refuses is no smaller case
            return False

    found = differences(some_policies(kind, seed))
    if found:
        small = smallest(found[0][0], fails)
        pytest.fail(
            f"{len(found)} answers differ; the smallest policy:\n" + told(*differences([small])[0])
        )


def evaluated(opa, policy, entrypoint, document, folder):
    """OPA's answer with strict builtin errors, without its index and early exit."""
    names = [f"m{number}.rego" for number in range(len(policy.modules))]
    for name, text in zip(names, policy.modules.values(), strict=True):
        (folder / name).write_text(text, "utf-8", newline="")
    (folder / "data.json").write_text(dumps(from_json(policy.data)), "utf-8")
    flags = ["--disable-indexing", "--disable-early-exit", "--strict-builtin-errors"]
    command = [opa, "eval", "--format=json", *flags]
    command += [part for name in [*names, "data.json"] for part in ("-d", name)]
    if document is not UNDEFINED:
        (folder / "input.json").write_text(dumps(from_json(document)), "utf-8")
        command += ["-i", "input.json"]
    query = "data." + entrypoint.replace("/", ".")
    done = subprocess.run([*command, query], cwd=folder, capture_output=True, check=False)
    said = json.loads(done.stdout, parse_float=Decimal)
    if "errors" in said:
        return "error", said["errors"][0]["code"]
    if not said.get("result"):
        return "undefined", None
    return "value", said["result"][0]["expressions"][0]["value"]


@pytest.mark.parametrize("kind", KINDS)
def test_strict_errors_are_the_same_without_shortcuts(opa, tmp_path, kind):
    errors = 0
    for policy in some_policies(kind, "strict", 1000 if SOAK else 8):
        entrypoint = policy.entrypoints[0]
        program = without_shortcuts(planned(opa, policy.modules, policy.entrypoints, policy.data))
        for document in policy.inputs[:4]:
            theirs = evaluated(opa, policy, entrypoint, document, tmp_path)
            ours = answer(program, entrypoint, document, strict=True)
            assert alike(theirs, ours), told(policy, document, theirs, ours)
            errors += ours[0] == "error"
    assert errors > 1


@pytest.mark.parametrize("seed", BATCHES)
def test_both_plans_mean_the_same(opa, seed):
    policies = some_policies("plain", seed)
    crashed = 0
    plans = plan_many([PlanRequest(policy.modules, policy.entrypoints) for policy in policies])
    for policy, plan in zip(policies, plans, strict=True):
        if isinstance(plan, PolicyLoadError) and "was ended by SIG" in str(plan):
            crashed += 1  # regopy reads memory that it has freed: over what, nobody can say
            continue
        assert isinstance(plan, Plan), told(policy, plan)
        one = planned(opa, policy.modules, policy.entrypoints, policy.data)
        two = Program.from_plan(plan.document, planner="regopy", data=policy.data, compiled=False)
        for entrypoint in policy.entrypoints:
            for document in policy.inputs:
                for strict in (False, True):
                    first = answer(one, entrypoint, document, strict=strict)
                    second = answer(two, entrypoint, document, strict=strict)
                    failed = strict and "error" in {first[0], second[0]}
                    same = failed or alike(first, second)
                    assert same, told(policy, entrypoint, document, first, second)
    assert crashed <= SIZE / 10


def test_the_policies_are_what_they_should_be(opa):
    """They reach most of what a policy may hold, and their answers are many."""
    policies = some_policies("opa_only", "variety", 60)
    sources = "\n".join(text for policy in policies for text in policy.modules.values())
    words = ["default ", "else := ", " contains ", "every ", "some ", "not ", " with input", "in "]
    words += ["sprintf(", "regex.match(", "object.get(", "| some", '$"', ".sub.", ".rules", ":= {"]
    assert not [word for word in words if word not in sources]
    answers = []
    for policy in policies:
        program = planned(opa, policy.modules, policy.entrypoints, policy.data)
        name = policy.entrypoints[0]
        answers += [answer(program, name, document, strict=False) for document in policy.inputs]
    assert len({dumps(from_json(value)) for kind, value in answers if kind == "value"}) > 100


def test_the_smallest_failing_part_is_found():
    (policy,) = batch(5, 1)

    def holds(part):
        return any("some" in text for text in part.modules.values())

    assert holds(policy)
    small = smallest(policy, holds)
    assert holds(small)
    assert sum(len(part.rules) for part in small.parts.values()) == 1
    assert len(small.inputs) == 1
