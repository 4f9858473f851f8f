"""The planner: what it plans, what it refuses and where, and that it survives regopy."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from guardrails.errors import PolicyLoadError
from guardrails.rego import planner_process
from guardrails.rego.opa_binary import excerpt
from guardrails.rego.planner import (
    Plan,
    PlanRequest,
    find_opa,
    known_builtins,
    parse_modules,
    plan_many,
    plan_modules,
)
from guardrails.rego.planner_process import PlannerCrash, PlannerProcess
from guardrails.rego.program import Program

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "package a\n\nimport future.keywords.not\n\n"
CRASH = {"crash.rego": "package a\nx if data[_].foo\n"}
GOOD = {"good.rego": "package a\nx := 1\n"}


def plan_error(source: str, *, entrypoint: str = "a/x") -> PolicyLoadError:
    with pytest.raises(PolicyLoadError) as caught:
        plan_modules({"dir/p.rego": source}, [entrypoint])
    return caught.value


def evaluated(source: str, input: object = None, data: object = None) -> Any:  # Rego's word
    program = Program.from_modules({"p.rego": source}, ["a/x"], data=data)
    return program.evaluate("a/x", {} if input is None else input)


def test_a_plan_names_the_files_as_the_caller_does() -> None:
    plan = plan_modules({"../x/../p.rego": "package a\nx := 1\n"}, ["a/x"])
    assert plan.planner == "regopy"
    assert plan.document["static"]["files"] == [{"value": "../x/../p.rego"}]


def test_a_module_name_never_becomes_a_path(tmp_path: Path) -> None:
    name = str(tmp_path / "written.rego")
    plan_modules({name: "package a\nx := 1\n"}, ["a/x"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("source", "row", "col", "words"),
    [
        ("package a\nx if {\n  y := \n}\n", 3, 5, "assignment"),
        ("package a\nx := (1\n", 2, 6, "not closed"),
        ("package a\n# é\nx := 1 +\n", 3, 8, "arithmetic"),
        ("package a\nx if every y in input.a { y == 1 }\n", 2, 3, "give its body braces"),
        ("package a\nimport future.keywords.nope\nx := 1\n", 2, 1, "import"),
        ("package a\nimport inptu.x\nx := 1\n", 3, 1, "conflicting definitions of `x`"),
        ("x := 1\n", 1, 1, "begins with `package`"),
        ("# only a comment\n", 2, 1, "begins with `package`"),
        ("package a\nx := 1\x00\ny := 2\n", 2, 7, "NUL"),
    ],
)
def test_a_refusal_has_its_place(source: str, row: int, col: int, words: str) -> None:
    error = plan_error(source)
    assert (error.file, error.row, error.col) == ("dir/p.rego", row, col)
    assert words in str(error)


def test_a_refusal_shows_the_line() -> None:
    assert "3 |   y :=" in str(plan_error("package a\nx if {\n  y := \n}\n"))


def test_an_excerpt_of_no_line_is_empty() -> None:
    assert excerpt("a\nb", 3, 1) == ""
    assert excerpt("a\nb", None, None) == ""
    assert excerpt("a\nb", 2, 1) == "\n  2 | b\n    | ^"


def test_a_byte_order_mark_is_no_name() -> None:
    assert evaluated("\ufeffpackage a\nx := 1\n") == 1


def test_an_entry_point_without_a_rule_is_refused() -> None:
    error = plan_error("package a\ny := 1\n")
    assert "`a/x` names no rule" in str(error)
    assert "`a/y`" in str(error)


@pytest.mark.parametrize("entrypoint", ["", "a//x", "/a", "a/x\x00", "a b"])
def test_a_malformed_entry_point_is_refused(entrypoint: str) -> None:
    assert "no entry point" in str(plan_error("package a\nx := 1\n", entrypoint=entrypoint))


def test_no_entry_point_is_refused() -> None:
    with pytest.raises(PolicyLoadError, match="no entry point"):
        plan_modules(GOOD, [])


def test_an_unknown_planner_is_refused() -> None:
    with pytest.raises(PolicyLoadError, match="available: `regopy`, `opa`"):
        plan_modules(GOOD, ["a/x"], planner="wasm")  # type: ignore[arg-type]  # that is the point


def test_a_crash_costs_only_its_own_request() -> None:
    requests = [PlanRequest(modules, ("a/x",)) for modules in (GOOD, CRASH, GOOD, CRASH, GOOD)]
    answers = plan_many(requests)
    assert [isinstance(answer, Plan) for answer in answers] == [True, False, True, False, True]


def test_a_crash_names_the_place_that_is_known_to_cause_it() -> None:
    (answer,) = plan_many([PlanRequest(CRASH, ("a/x",))])
    assert isinstance(answer, PolicyLoadError)
    assert (answer.file, answer.row, answer.col) == ("crash.rego", 2, 6)
    assert "all of `data`" in answer.message


def test_a_query_is_planned_with_its_modules() -> None:
    (answer,) = plan_many([PlanRequest(GOOD, query="data.a.x = y")])
    assert isinstance(answer, Plan)
    program = Program.from_plan(answer.document, planner="regopy")
    (result,) = program.run(program.entrypoints[0])
    assert result["result"]["bindings"] == {"y": 1}


def test_a_request_that_takes_too_long_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    child = tmp_path / "child.py"
    child.write_text("import sys, time\nsys.stdin.readline()\ntime.sleep(60)\n", "utf-8")
    monkeypatch.setattr(planner_process, "_CHILD", child)
    (answer,) = plan_many([PlanRequest(GOOD, ("a/x",))], timeout=0.5)
    assert isinstance(answer, PolicyLoadError)
    assert "longer than 0.5 s" in str(answer)


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\n",
        b"[]\n",
        b"{}\n",
        b'{"body": -1}\n',
        b'{"body": true}\n',
        b'{"body": 99}\n{}',
        b'{"body": 2}\n[]',
        b'{"body": 2}\n{}',
        b'{"body": 3}\n{]}',
        b"\xff\n",
        b"",
    ],
)
def test_garbage_from_the_child_is_a_load_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: bytes
) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        f"import sys\nsys.stdin.readline()\nsys.stdout.buffer.write({answer!r})\n", "utf-8"
    )
    monkeypatch.setattr(planner_process, "_CHILD", child)
    (planned,) = plan_many([PlanRequest(GOOD, ("a/x",))], timeout=10)
    assert isinstance(planned, PolicyLoadError)


@pytest.mark.skipif(sys.platform != "linux", reason="the cap on memory counts from /proc")
def test_memory_is_capped() -> None:
    rules = "".join(f"r{number} := [{number}, {number}]\n" for number in range(1_500))
    request = PlanRequest({"big.rego": f"package a\nx := 1\n{rules}"}, ("a/x",))
    (answer,) = plan_many([request], memory=4 << 20, timeout=60)
    assert isinstance(answer, PolicyLoadError)
    assert "longer" not in str(answer)
    (answer,) = plan_many([request], timeout=60)
    assert isinstance(answer, Plan)


def test_the_child_dies_with_its_process() -> None:
    with PlannerProcess() as process:
        process.ask({"work": "builtins", "names": ["count"]})
        child = process._process
        assert child is not None
    assert child.poll() is not None


def test_an_unknown_request_ends_the_child_and_the_next_one_works() -> None:
    with PlannerProcess() as process:
        with pytest.raises(PlannerCrash):
            process.ask({"work": "no such work"})
        _, body = process.ask({"work": "builtins", "names": ["count", "nope"]})
    assert body == b'["count"]'


def test_builtins_are_known_by_name() -> None:
    assert known_builtins(["count", "lower", "foo.bar"]) == {"count", "lower"}


def test_trees_have_packages_rules_imports_and_comments() -> None:
    source = (
        "package a.b\n# one\nimport data.q.z as w\nimport future.keywords.not\n"
        'x := "# none" # two\n'
    )
    parsed, errors = parse_modules({"p.rego": source, "broken.rego": "package a\nx := (\n"})
    module = parsed["p.rego"]
    assert module.package == ("a", "b")
    assert module.imports == ("data.q.z", "future.keywords.not")
    assert module.aliases == {"w": ["data", "q", "z"]}
    assert [(comment.row, comment.col, comment.text) for comment in module.comments] == [
        (2, 1, " one"),
        (5, 15, " two"),
    ]
    assert [(error.file, error.row) for error in errors] == [("broken.rego", 2)]


# What regopy gets wrong, and the planner puts right.

LIBRARY = """
limit := 5
good if input.n < 5
base := {"n": 1}
low := 3
mine := input
"""


@pytest.mark.parametrize(
    "body",
    [
        'x if good with input as {"n": 1}',
        'x if { not good with input as {"n": 7} }',
        "x if good with input as base",
        "x if good with input.n as low",
        "x if good with input as data.a.base",
        'x if { k := base\n good with input as k\n not good with input as {"n": 9} }',
        (
            "f(n) := r if { r := mine with input.n as n\n with input.m as low }\n"
            'x if f(1) == {"n": 1, "m": 3}'
        ),
        "x if { every n in [1, 2] { good with input.n as n } }",
        "x if { every n in [5, 6] { not good with input.n as n } }",
        'x if { every n in [5, 6] { not n == "a"\n not small(n) } }\nsmall(n) if n < 5',
        "x if { every n in [1, 2] { every m in [3, 4] { n < m } } }",
        "x if { every n in [1] { every m in [3, 4] { not m < n } } }",
        "x if { r := data.q.v with data.q.v as 7\n r == 7 }",
        (
            'x if { r := [data.q.v, input.s] with data.q.v as "}" with input.s as "with # {" # }\n'
            ' r[1] != "" }'
        ),
        'x if {\n good with input as {\n  # a brace: {\n  "n": 1, # with\n }\n}',
    ],
)
def test_with_and_every_mean_what_they_mean_in_opa(body: str) -> None:
    assert evaluated(f"{HEAD}{LIBRARY}{body}\n") is True


def test_a_false_with_stays_false() -> None:
    source = f'{HEAD}{LIBRARY}default x := "no"\nx := "yes" if good with input as {{"n": 9}}\n'
    assert evaluated(source) == "no"


def test_with_holds_only_where_it_stands() -> None:
    source = f"{HEAD}{LIBRARY}x := [a, b] if {{\n a := mine.n with input.n as 1\n b := mine.n\n}}\n"
    assert evaluated(source, {"n": 2}) == [1, 2]


def test_a_with_over_a_rule_is_refused_unless_regopy_can_do_it() -> None:
    error = plan_error(f"{HEAD}{LIBRARY}x if good with data as {{}}\n")
    assert error.row is not None
    assert "`with data as …` replaces the rule" in str(error)


def test_rows_stay_where_they_were() -> None:
    source = f'{HEAD}{LIBRARY}x if {{\n good with input as {{\n  "n": 1\n }}\n nope.y == 1\n}}\n'
    program_error = None
    try:
        Program.from_modules({"p.rego": source}, ["a/x"])
    except PolicyLoadError as error:
        program_error = error
    assert program_error is not None
    assert program_error.row == source.split("\n").index(" nope.y == 1") + 1


# The OPA binary.


def test_the_binary_is_looked_for_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def program(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n", "utf-8")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    below = tmp_path / "p" / "q"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("OPA", raising=False)
    assert find_opa() is None
    on_path = program(tmp_path / "bin" / "opa")
    assert find_opa() == on_path
    tools = program(tmp_path / ".tools" / "opa")
    assert find_opa() == tools
    named = program(tmp_path / "named")
    monkeypatch.setenv("OPA", named)
    assert find_opa() == named
    explicit = program(tmp_path / "explicit")
    assert find_opa(explicit) == explicit


def test_a_named_binary_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PolicyLoadError, match="setting `opa`"):
        find_opa("/no/such/opa")
    monkeypatch.setenv("OPA", "/no/such/opa")
    with pytest.raises(PolicyLoadError, match="variable `OPA`"):
        find_opa()


@pytest.fixture(scope="module")
def opa() -> str:
    binary = find_opa()
    if binary is None:
        assert os.environ.get("CI") != "true", "no OPA binary; `make opa` gets one"
        pytest.skip("no OPA binary here")
    return binary


def test_both_planners_give_the_same_decision(opa: str) -> None:
    modules = {"p.rego": f"{HEAD}{LIBRARY}x := [good, limit] if good\n"}
    ours, theirs = (
        Program.from_modules(modules, ["a/x"], planner=planner, opa=opa)
        for planner in ("regopy", "opa")
    )
    for document in ({"n": 1}, {"n": 9}, {}):
        assert ours.evaluate("a/x", document) == theirs.evaluate("a/x", document)


@pytest.mark.parametrize(
    ("source", "row", "col", "words"),
    [
        ("package a\nx if inpt.y == 1\n", 2, 6, "unsafe"),
        ("package a\nx := foo.bar(1)\n", 2, 6, "undefined function foo.bar"),
        ("package a\nx := 1 +\n", 3, None, "unexpected"),
        ("package a\ny := 1\n", None, None, "a/x"),
    ],
)
def test_opa_refuses_with_the_place(opa: str, source: str, row: int, col: int, words: str) -> None:
    with pytest.raises(PolicyLoadError) as caught:
        plan_modules({"dir/p.rego": source}, ["a/x"], planner="opa", opa=opa)
    assert words in str(caught.value)
    assert caught.value.row == row
    assert caught.value.file == ("dir/p.rego" if row else None)
    assert col is None or caught.value.col == col


def test_a_missing_binary_is_a_load_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.delenv("OPA", raising=False)
    with pytest.raises(PolicyLoadError, match="no OPA binary"):
        plan_modules(GOOD, ["a/x"], planner="opa")


def test_a_binary_that_is_no_opa_is_a_load_error() -> None:
    with pytest.raises(PolicyLoadError):
        plan_modules(GOOD, ["a/x"], planner="opa", opa=sys.executable)
