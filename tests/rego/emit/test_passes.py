"""Each pass before the compiler leaves the meaning of a plan as it is; liveness forgets nothing."""

from __future__ import annotations

import copy
import os
import random
from dataclasses import replace

import pytest
from tests.rego.emit.both import LIMITS, answer, context, same
from tests.rego.emit.plans import Maker
from tests.rego.emit.vocabulary import facts, loose
from tests.rego.fuzz.policies import batch

from guardrails.rego import decoder, ir
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.emit.plain import plain
from guardrails.rego.evaluation import Evaluation
from guardrails.rego.exits import with_exits
from guardrails.rego.extents import shared
from guardrails.rego.interpreter import BUILDERS
from guardrails.rego.linking import link
from guardrails.rego.liveness import Liveness
from guardrails.rego.planner import Plan, PlanRequest, plan_many
from guardrails.rego.unrolling import unrolled
from guardrails.rego.values import from_json

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PLANS = 4_000 if SOAK else 250
POLICIES = 400 if SOAK else 16


class Runner:
    """Runs a policy as it stands: no pass is run over it."""

    def __init__(self, policy):
        self.linked = link(policy, BUILTINS, BUILDERS)

    def answer(self, name, document, data, *, strict=False):
        evaluation = Evaluation(context(), LIMITS, strict_builtin_errors=strict)
        return answer(lambda: evaluation.run(self.linked.plans[name], document, data))


def with_all(policy):
    return plain(with_exits(unrolled(shared(policy))))


PASSES = {
    "shared": shared,
    "unrolled": lambda policy: unrolled(shared(policy)),
    "with_exits": with_exits,
    "plain": plain,
    "all": with_all,
}
LEAVE_EARLY = {"with_exits", "all"}
"""After these what would come behind the only value that there can be is not worked out."""


def means_the_same(policy, changed, data, documents, *, strict):
    one, two = Runner(policy), Runner(changed)
    for document in documents:
        for name in policy.plans:
            wanted = one.answer(name, document, data, strict=strict)
            if wanted[1] == "eval_limit_error":
                continue
            found = two.answer(name, document, data, strict=strict)
            assert same(wanted, found), (name, document, data, wanted, found)


def generated():
    for seed in range(PLANS):
        chance = random.Random(f"passes {seed}")
        document = Maker(chance, tame=seed % 2 == 0).document()
        policy = decoder.decode(document, planner="opa")
        yield policy, facts(chance), [loose(chance) for _ in range(2)]


@pytest.fixture(scope="module")
def planned():
    policies = batch("passes", POLICIES)
    plans = plan_many([PlanRequest(each.modules, each.entrypoints) for each in policies])
    return [
        (
            decoder.decode(plan.document, planner="regopy"),
            from_json(policy.data),
            [from_json(each) if type(each) in (dict, list) else each for each in policy.inputs],
        )
        for policy, plan in zip(policies, plans, strict=True)
        if isinstance(plan, Plan)
    ]


@pytest.mark.soak
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_over_generated_plans(name):
    for policy, data, documents in generated():
        changed = PASSES[name](policy)
        means_the_same(policy, changed, data, documents, strict=name not in LEAVE_EARLY)
        means_the_same(policy, changed, data, documents, strict=False)


@pytest.mark.soak
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_over_planned_policies(name, planned):
    touched = 0
    for policy, data, documents in planned:
        changed = PASSES[name](policy)
        touched += changed != policy
        means_the_same(policy, changed, data, documents, strict=name not in LEAVE_EARLY)
    assert touched


JUNK = ir.Constant("nobody reads this")


class Scrambler:
    """Overwrites what liveness says nobody reads, wherever a block begins or was left."""

    def __init__(self, blocks, locals_):
        self.live = Liveness(blocks)
        self.locals = range(2, locals_)

    def scrambled(self, blocks):
        found = []
        left = ()
        for body in blocks:
            found.append((*left, *self.body(body)))
            left = self.junk(self.live.behind[id(body)])
        return tuple(found)

    def junk(self, needed):
        return tuple(
            ir.AssignVar(ir.NOWHERE, JUNK, local) for local in self.locals if local not in needed
        )

    def body(self, body):
        found = list(self.junk(self.live.before[id(body)]))
        for statement in body:
            inner = ir.bodies(statement)
            if isinstance(statement, ir.Block):
                found.append(replace(statement, blocks=self.scrambled(inner)))
            elif inner:
                found.append(replace(statement, body=self.body(inner[0])))
            else:
                found.append(statement)
            if inner and not isinstance(statement, ir.Scan):
                found += self.junk(self.live.behind[id(inner[-1])])
        return tuple(found)


def changed_functions(policy, change):
    """`policy` with the blocks of each function and plan changed."""
    functions = {name: change(each) for name, each in policy.functions.items()}
    plans = {name: change(each) for name, each in policy.plans.items()}
    by_path = {path: functions[each.name] for path, each in policy.by_path.items()}
    return replace(policy, functions=functions, plans=plans, by_path=by_path)


def test_nobody_reads_what_is_not_live():
    def change(each):
        scrambler = Scrambler(each.blocks, each.locals)
        return replace(each, blocks=scrambler.scrambled(each.blocks))

    for policy, data, documents in generated():
        means_the_same(policy, changed_functions(policy, change), data, documents, strict=True)


def test_a_copy_that_is_not_needed_is_not_missed():
    """Without it nothing that something else holds is changed in place."""
    dropped = 0

    def without(body, live):
        nonlocal dropped
        found = []
        for statement in body:
            if isinstance(statement, ir.Own) and not live.needs(statement):
                dropped += 1
                continue
            inner = tuple(without(each, live) for each in ir.bodies(statement))
            if isinstance(statement, ir.Block):
                found.append(replace(statement, blocks=inner))
            elif inner:
                found.append(replace(statement, body=inner[0]))
            else:
                found.append(statement)
        return tuple(found)

    def change(each):
        live = Liveness(each.blocks)
        return replace(each, blocks=tuple(without(body, live) for body in each.blocks))

    for policy, data, documents in generated():
        held = copy.deepcopy((data, documents))
        means_the_same(policy, changed_functions(policy, change), data, documents, strict=True)
        assert (data, documents) == held
    assert dropped > 100


def test_scrambling_is_seen():
    """What is read is missed if it is overwritten: the law above could fail."""

    class Blind(Scrambler):
        def junk(self, needed):  # on purpose
            return super().junk(frozenset())

    def change(each):
        return replace(each, blocks=Blind(each.blocks, each.locals).scrambled(each.blocks))

    def run_all():
        for policy, data, documents in generated():
            means_the_same(policy, changed_functions(policy, change), data, documents, strict=True)

    with pytest.raises(AssertionError):
        run_all()
