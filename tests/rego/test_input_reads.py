"""What a plan cannot read of its input changes nothing; and much of the input is not read."""

import copy
from itertools import product
from typing import Any

import pytest
from benchmarks.policies.reference import flat, library
from benchmarks.workload import mixed

from guardrails.rego.compile_cache import CompileCache
from guardrails.rego.compile_request import CompileRequest
from guardrails.rego.loading import interpreted_program, load_entrypoint
from guardrails.rego.program import Interpreted, Program

ENTRYPOINT = "guardrails/decision"
OTHERS = ("[redacted]", 7, None, {"x": "[redacted]"}, ["[redacted]"])
GONE = object()

READERS = {
    "a copy of a copy": """
args := input.args
who := args.to
decision := who == "a"
""",
    "through a function": """
f(x) := x.to.deep
decision if f(input.args) == 1
""",
    "counted": "decision := count(input.args.to)",
    "whether it is there": "decision if input.args.to",
    "not there": "decision if not input.args.to",
    "what kind it is": "decision if is_string(input.args.to)",
    "in a loop": "decision if { some k, v in input.args; v == 1 }",
    "by a name that is computed": """
decision := input.args[concat("", ["t", "o"])]
""",
    "object.get": """
decision := object.get(input, ["args", "to", "deep"], "none")
""",
    "object.get by a name from the input": """
decision := object.get(input, ["args", input.args.from], "none")
""",
    "in a comprehension": "decision := [x | x := input.args.to]",
    "in the place of the input": """
inner := input.to
decision := x if { x := inner with input as input.args }
""",
    "in the place of data": """
inner := data.known.it
decision := x if { x := inner with data.known as {"it": input.args.to} }
""",
    "of another package": """
decision := data.guardrails[input.args.from]
one := input.args.to
""",
    "as a default": """
decision := object.get(input.args, "from", input.args.to)
""",
    "two values of one rule": """
decision := input.args.to
decision := input.args.from
""",
    "printed whole": """
decision := json.marshal(input)
""",
    "merged": """
decision := object.union(input.args, {"x": 1})
""",
}

INPUTS: tuple[dict[str, Any], ...] = (
    {"args": {"to": "a", "from": "one", "note": "n"}},
    {"args": {"to": {"deep": 1}, "from": "to", "note": [1, 2]}},
    {"args": {"to": ["a"], "from": {"deep": 2}}},
    {"args": {"from": 1}},
    {"args": {}},
)


def paths(value, path=()):
    if path:
        yield path
    if type(value) is dict:
        for name, item in value.items():
            yield from paths(item, (*path, name))
    if type(value) is list:
        for at, item in enumerate(value):
            yield from paths(item, (*path, str(at)))


def changed(document, path, value):
    made = copy.deepcopy(document)
    at = made
    for name in path[:-1]:
        at = at[int(name) if type(at) is list else name]
    last = int(path[-1]) if type(at) is list else path[-1]
    if value is GONE:
        del at[last]
    else:
        at[last] = value
    return made


def answer(program, document):
    try:
        return program.evaluate(ENTRYPOINT, document)
    except Exception as error:  # noqa: BLE001  # an error is an answer, too
        return type(error), getattr(error, "code", None)


def holds(program, documents) -> tuple[int, int]:
    """How many changes at places that are not read were tried, and how many places are."""
    reads = program.reads(ENTRYPOINT)
    tried = read = 0
    for document in documents:
        before = answer(program, document)
        for path in paths(document):
            if reads.touch(path):
                read += 1
                continue
            for value in (*OTHERS, GONE):
                tried += 1
                assert answer(program, changed(document, path, value)) == before, (path, value)
    return tried, read


@pytest.mark.parametrize("name", READERS)
def test_what_is_not_read_changes_nothing(name) -> None:
    text = "package guardrails\nimport rego.v1\n" + READERS[name]
    program = Program.from_modules({"p.rego": text}, (ENTRYPOINT,), checked=False)
    assert program.reads(ENTRYPOINT).touch(("args", "to"))
    _, read = holds(program, INPUTS)
    assert read


@pytest.mark.parametrize(
    ("rule", "untouched"),
    [
        ("a copy of a copy", ("args", "note")),
        ("through a function", ("args", "note")),
        ("object.get", ("args", "to", "other")),
        ("object.get", ("args", "from")),
        ("as a default", ("args", "note")),
    ],
)
def test_it_is_told_apart_what_is_beside(rule, untouched) -> None:
    text = "package guardrails\nimport rego.v1\n" + READERS[rule]
    program = Program.from_modules({"p.rego": text}, (ENTRYPOINT,), checked=False)
    assert not program.reads(ENTRYPOINT).touch(untouched)


@pytest.mark.parametrize("policy", [flat(), library()], ids=["flat", "library"])
def test_reference_policies_do_not_read_the_whole_input(policy) -> None:
    program = Program.from_modules(policy.modules, (ENTRYPOINT,), data=policy.data)
    documents = [case for case, _ in zip(mixed(policy.cases), range(6), strict=False)]
    tried, read = holds(program, documents)
    assert tried > read > 0


def test_roots_and_what_is_above_are_read() -> None:
    text = "package guardrails\nimport rego.v1\ndecision := input.args.to"
    reads = Program.from_modules({"p.rego": text}, (ENTRYPOINT,), checked=False).reads(ENTRYPOINT)
    found = {path: reads.touch(path) for path in product(("args", "run"), ("to", "of"))}
    assert found == {
        ("args", "to"): True,
        ("args", "of"): False,
        ("run", "to"): False,
        ("run", "of"): False,
    }
    assert reads.touch(())
    assert reads.touch(("args",))
    assert reads.touch(("args", "to", "deep"))


@pytest.mark.parametrize("policy", [flat(), library()], ids=["flat", "library"])
def test_what_is_compiled_says_what_it_reads(policy, tmp_path) -> None:
    """Whoever asks need not plan it again, also where it comes from the cache."""
    request = CompileRequest(policy.modules, (ENTRYPOINT,), policy.data)
    expected = interpreted_program(request).reads(ENTRYPOINT)
    cache = CompileCache(tmp_path / "cache")
    for _ in range(2):
        found = load_entrypoint(request, cache)
        assert not isinstance(found, Interpreted)
        assert found.reads == expected
    interpreted = interpreted_program(request).compile(ENTRYPOINT)
    assert isinstance(interpreted, Interpreted)
    assert interpreted.reads == expected


def test_a_local_that_is_any_of_a_great_many_parts_takes_no_time_without_end() -> None:
    """No planner writes such a plan, but a bundle may hold it: names that may follow each other."""
    names = [f"n{at}" for at in range(20)]
    place = {"file": 0, "row": 1, "col": 1}

    def local(number: int) -> dict[str, Any]:
        return {"type": "local", "value": number}

    def statement(kind: str, **parts: Any) -> dict[str, Any]:
        return {"type": kind, "stmt": {**parts, **place}}

    first = statement(
        "DotStmt", source=local(0), key={"type": "string_index", "value": 0}, target=4
    )
    steps = [
        statement("DotStmt", source=local(4), key={"type": "string_index", "value": at}, target=4)
        for at in range(len(names))
    ]
    known = statement(
        "DotStmt", source=local(0), key={"type": "string_index", "value": 1}, target=5
    )
    plan = {
        "static": {
            "strings": [{"value": name} for name in names],
            "files": [{"value": "p.rego"}],
        },
        "plans": {
            "plans": [{"name": ENTRYPOINT, "blocks": [{"stmts": [first, known, *steps]}]}],
        },
        "funcs": {"funcs": []},
    }
    reads = Program.from_plan(plan, planner="opa").reads(ENTRYPOINT)
    assert reads.touch(("n0", "n7", "n3", "n19", "n1", "other"))
    assert reads.touch(("n1",))
    assert not reads.touch(("n1", "n0"))
    assert not reads.touch(("n2",))
