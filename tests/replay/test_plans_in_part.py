"""Whatever a plan does, it does it with a part of its input as with the whole of it."""

from __future__ import annotations

import os
import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tests.rego.emit.both import LIMITS, answer, context, same
from tests.rego.emit.plans import Maker
from tests.rego.emit.vocabulary import SCHEMA, facts, fitting

from guardrails.audit.exact_json import exact_json
from guardrails.rego import decoder
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.rego.input_reads import input_reads
from guardrails.rego.interpreter import Interpreter
from guardrails.replay.reading import PartOfLine, reader_of
from guardrails.replay.recorded import line_of

if TYPE_CHECKING:
    from tests.rego.emit.both import Answer

    from guardrails.rego import ir
    from guardrails.rego.compiled import Compiled

SHAPE = shape_of_schema(SCHEMA)
SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
PLANS = 60
BATCHES = 200 if SOAK else 2


def ran(compiled: Compiled, name: str, data: Any, given: Any) -> Answer:
    return answer(lambda: compiled.run(name, given, data, context()))


def interpreted(interpreter: Interpreter, plan: ir.Plan, data: Any, given: Any) -> Answer:
    return answer(lambda: interpreter.run(plan, given, data, context(), strict_builtin_errors=True))


def compared(seed: int, *, tame: bool) -> int:
    """How many parts of inputs were compared with the whole."""
    policy = decoder.decode(Maker(random.Random(seed), tame=tame).document(), planner="opa")
    chance = random.Random(f"{seed} in part")
    data = facts(chance)
    try:
        compiled = compile_policy(policy, data, Settings(input=SHAPE))
    except CannotEmit:
        return 0
    interpreter = Interpreter(policy, BUILTINS, LIMITS)
    parts = 0
    for plan in policy.plans.values():
        read = reader_of(SHAPE, input_reads(policy, plan))
        for _ in range(4):
            event = {"kind": "call.started", "input": fitting(chance)}
            raw = exact_json(event).encode() + b"\n"
            line, whole = read(raw), line_of(raw)
            assert line is not None
            assert whole is not None
            if not isinstance(line, PartOfLine):
                continue
            by_steps = partial(interpreted, interpreter, plan, data)
            if by_steps(whole.input)[1] == "eval_limit_error":  # it may take without end
                continue
            parts += line.input != whole.input
            for run in (by_steps, partial(ran, compiled, plan.name, data)):
                assert same(run(line.input), run(whole.input)), (seed, plan.name, raw)
    return parts


@pytest.mark.soak
@pytest.mark.parametrize("tame", [False, True])
@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_part_of_the_input_is_enough(batch, tame) -> None:
    parts = sum(compared(batch * PLANS + number, tame=tame) for number in range(PLANS))
    assert parts > PLANS
