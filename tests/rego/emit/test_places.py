"""An error of compiled code names the line of Rego; a debugger sees the line of Python."""

from __future__ import annotations

import linecache
import traceback

import pytest
from tests.rego.emit.both import context

from guardrails.errors import EvaluationError
from guardrails.rego import decoder
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.compiled import compile_policy
from guardrails.rego.emit.program import Settings
from guardrails.rego.evaluation import Limits
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.planner import plan_modules

SOURCE = """package p

import rego.v1

main := [low, up] if {
	input.on
	low := lower(input.name)
	up := to_number(input.number)
	count(
		input.list,
	) > 0
}

twice := 1 if input.on

twice := 2 if input.list

keys[k] := v if {
	some v in input.list
	k := "same"
}

helper(x) := y if {
	z := x
	y := z / input.zero
}

calls := [y | some x in input.list; y := helper(x)]

deep := n if n := twice
"""
CASES = [
    ("p/main", {"on": True, "name": 1, "number": "1", "list": [1]}, 7),
    ("p/main", {"on": True, "name": "a", "number": "x", "list": [1]}, 8),
    ("p/main", {"on": True, "name": "a", "number": "1", "list": 7}, 9),
    ("p/twice", {"on": True, "list": []}, None),
    ("p/keys", {"list": [1, 2]}, None),
    ("p/calls", {"list": [1], "zero": 0}, 25),
    ("p/deep", {"on": True, "list": []}, None),
]
"""Entrypoint, input, and the row; None where planners choose among the rules' lines."""


def plans(planner, opa=None):
    names = sorted({name for name, _, _ in CASES})
    plan = plan_modules({"dir/p.rego": SOURCE}, names, planner=planner, opa=opa)
    return decoder.decode(plan.document, planner=plan.planner)


@pytest.mark.parametrize("planner", ["regopy", pytest.param("opa", marks=pytest.mark.opa)])
@pytest.mark.parametrize("optimised", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_error_names_the_line(planner, optimised, case, request):
    name, document, row = case
    policy = plans(planner, request.getfixturevalue("opa") if planner == "opa" else None)
    program = compile_policy(policy, {}, Settings(optimised=optimised))
    with pytest.raises(EvaluationError) as caught:
        program.evaluate(name, document, {}, context())
    reference = Interpreter(policy, BUILTINS, Limits())
    with pytest.raises(EvaluationError) as wanted:
        reference.run(policy.plans[name], document, {}, context(), strict_builtin_errors=True)
    found = caught.value
    assert (found.code, found.file, found.row) == (
        wanted.value.code,
        wanted.value.file,
        wanted.value.row,
    )
    assert found.file == "dir/p.rego"
    assert row in {None, found.row}


def test_tracebacks_show_the_generated_lines():
    program = compile_policy(plans("regopy"), {}, Settings())
    name, document, _ = CASES[0]
    with pytest.raises(EvaluationError) as caught:
        program.evaluate(name, document, {}, context())
    frames = traceback.extract_tb(caught.value.__cause__.__traceback__)
    ours = [frame for frame in frames if frame.filename in program.linked.functions]
    assert ours
    for frame in ours:
        text = program.linked.functions[frame.filename].text
        assert frame.line == text.splitlines()[frame.lineno - 1].strip()
        assert frame.line


def test_lines_are_there_as_long_as_their_program():
    program = compile_policy(plans("regopy"), {}, Settings())
    files = list(program.linked.functions)
    for file in files:
        assert "".join(linecache.getlines(file)) == program.linked.functions[file].text
    linecache.checkcache()
    assert all(linecache.getlines(file) for file in files)
