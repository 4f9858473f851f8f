"""A child process plans and compiles; whatever becomes of it, nothing is decided otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from functools import partial

import pytest

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program, compile_process, decoder, loading, planner
from guardrails.rego.compile_process import CompilerCrash, compile_apart
from guardrails.rego.compile_request import CompileRequest
from guardrails.rego.compiled import Entrypoint, artefact_of
from guardrails.rego.input_reads import input_reads
from guardrails.rego.loading import load_entrypoint
from guardrails.rego.program import Interpreted
from guardrails.rego.values import RegoSet

SOURCE = """package p

import rego.v1

total := sum([amount | some amount in data.amounts])

x := {"total": total, "to": to_number(input.n), "names": data.names} if input.go
"""
DATA = {"amounts": [1, Decimal("0.50")], "names": RegoSet(["ä", "\ud800", True]), "": None}
REQUEST = CompileRequest({"p.rego": SOURCE}, ("p/x",), DATA)


READ = "import sys; sys.stdin.readline(); sys.stdin.readline(); "
"""What a child does first: one that ends without leaves whoever asks it with a broken pipe."""


def test_it_gives_what_would_be_compiled_here() -> None:
    plan = planner.plan_modules(REQUEST.modules, REQUEST.entrypoints)
    policy = decoder.decode(plan.document, planner=plan.planner)
    here = artefact_of(policy, DATA, REQUEST.settings())
    reads = {name: input_reads(policy, each) for name, each in policy.plans.items()}
    assert compile_apart(REQUEST) == replace(here, reads=reads)


def test_what_it_gives_decides_as_the_interpreter() -> None:
    found = load_entrypoint(REQUEST)
    assert isinstance(found, Entrypoint)
    program = Program.from_modules(REQUEST.modules, REQUEST.entrypoints, data=DATA, compiled=False)
    for document in ({"go": True, "n": "7"}, {"go": False}, {}, None, {"go": True, "n": "1.50"}):
        wanted = program.run("p/x", document, strict_builtin_errors=True)
        value = found.evaluate(document)
        assert ([] if value is UNDEFINED else [{"result": value}]) == wanted
    with pytest.raises(EvaluationError, match=r"p\.rego:7: eval_builtin_error"):
        found.evaluate({"go": True, "n": "seven"})


def test_a_shape_and_known_parts_go_along() -> None:
    request = CompileRequest(
        REQUEST.modules,
        REQUEST.entrypoints,
        DATA,
        schema={"type": "object", "properties": {"n": {"type": "string"}}},
        known={"go": True, "n": "9"},
    )
    assert load_entrypoint(request).evaluate({"go": True, "n": "9"})["to"] == 9


@pytest.mark.parametrize(
    ("source", "data", "place"),
    [
        ("package p\n\nx := 1 if {\n", {}, "p.rego"),
        ("package p\n\nx := http.send({})\n", {}, "p.rego"),
        (SOURCE, {"p": {"x": 1}}, "p"),
    ],
)
def test_a_refusal_comes_back_as_it_is_raised_here(source, data, place) -> None:
    request = CompileRequest({"p.rego": source}, ("p/x",), data)
    with pytest.raises(PolicyLoadError) as here:
        Program.from_modules(request.modules, request.entrypoints, data=data)
    with pytest.raises(PolicyLoadError) as there:
        load_entrypoint(request)
    assert str(there.value) == str(here.value)
    assert place in str(there.value)
    assert (there.value.file, there.value.row) == (here.value.file, here.value.row)


def test_a_time_out_is_a_crash_with_a_cause() -> None:
    with pytest.raises(CompilerCrash, match=r"longer than 0\.001 s"):
        compile_apart(REQUEST, timeout=0.001)


def test_a_policy_without_a_compiled_form_is_interpreted(tmp_path, monkeypatch) -> None:
    plan = json.dumps(planner.plan_modules(REQUEST.modules, REQUEST.entrypoints).document)
    answer = json.dumps({"plan": "too many loops", "body": len(plan)})
    child = tmp_path / "child.py"
    child.write_text(f"{READ}print({answer!r}); print({plan!r}, end='', flush=True)")
    monkeypatch.setattr(compile_process, "_CHILD", child)
    found = load_entrypoint(CompileRequest(REQUEST.modules, REQUEST.entrypoints, {"amounts": [7]}))
    assert isinstance(found, Interpreted)
    assert found.evaluate({"go": False}) is UNDEFINED


HOSTILE = {
    "silence": "",
    "no json": "print('{', flush=True)",
    "no object": "print('[]', flush=True)",
    "no size": "print('{\"compiled\": true}', flush=True)",
    "a size that is none": "print('{\"body\": -1}', flush=True)",
    "too little": "print('{\"body\": 9}', flush=True)",
    "no policy": "print('{\"compiled\": true, \"body\": 2}\\n{}', end='', flush=True)",
    "a refusal without words": 'print(\'{"refused": {}, "body": 0}\', flush=True)',
    "its end": "import os; os.abort()",
    "a code": "raise SystemExit(3)",
    "no end": "import time; time.sleep(60)",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_whatever_the_child_does_the_interpreter_decides(what, tmp_path, monkeypatch) -> None:
    child = tmp_path / "child.py"
    child.write_text(HOSTILE[what])
    monkeypatch.setattr(compile_process, "_CHILD", child)
    monkeypatch.setattr(loading, "compile_apart", partial(compile_apart, timeout=2.0))
    found = load_entrypoint(CompileRequest(REQUEST.modules, REQUEST.entrypoints, {"amounts": []}))
    assert isinstance(found, Interpreted)
    assert found.evaluate({"go": False}) is UNDEFINED


def test_code_that_no_compiler_writes_is_not_run(tmp_path, monkeypatch) -> None:
    mark = tmp_path / "mark"
    lines = compile_apart(REQUEST).dumps().decode().split("\n")
    ((name, text, rows), *others) = json.loads(lines[1])
    for hostile in (
        f"def {name}(i0=open({str(mark)!r}, 'w')):\n return i0\n",
        f"def {name}(i0):\n return __import__('os')\n",
        f"def {name}(i0):\n return i0.__class__\n",
        text + "open\n",
    ):
        many = [0, 1] * hostile.count("\n")
        body = "\n".join([lines[0], json.dumps([[name, hostile, many], *others]), *lines[2:]])
        child = tmp_path / "child.py"
        answer = json.dumps({"compiled": True, "body": len(body)}) + "\n" + body
        child.write_text(f"{READ}print({answer!r}, end='', flush=True)")
        monkeypatch.setattr(compile_process, "_CHILD", child)
        with pytest.raises(CompilerCrash, match=r"holds|is not one plain function"):
            compile_apart(REQUEST)
    assert rows
    assert not mark.exists()
