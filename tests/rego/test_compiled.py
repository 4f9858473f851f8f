"""Compiled programs: their text, their errors, what they share, and when they are made."""

from __future__ import annotations

import gc
import json
import linecache
import threading
import traceback
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import UNDEFINED, Program, exact_json, lazy_code
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.compiled import Entrypoint, artefact_of, compile_policy
from guardrails.rego.emit import allowed
from guardrails.rego.emit.artefact import Artefact
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.linking import link
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.schemas import shape_of_schema
from guardrails.rego.evaluation import Limits
from guardrails.rego.program import Interpreted
from guardrails.rego.values import RegoSet, from_key, to_key

SOURCE = """package p

import rego.v1

greeting := sprintf("%v: %d", [input.name, half])

half := to_number(input.n) / 2

tier := "gold" if {
	input.n == "10"
}

tier := "silver" if {
	startswith(input.n, "1")
}

names := data.names

rates contains rate if {
	some rate in data.rates
	regex.match(`^[a-z]+$`, rate.name)
}

late := time.now_ns() > 0
"""
DATA = {"names": ["a", {"b": 1}], "rates": [{"name": "x", "per": Decimal("0.10")}]}
ENTRYPOINTS = ["p/greeting", "p/half", "p/tier", "p/names", "p/rates", "p/late", "p"]


@pytest.fixture(scope="module")
def program():
    return Program.from_modules({"p.rego": SOURCE}, ENTRYPOINTS, data=DATA)


@pytest.fixture(scope="module")
def artefact(program):
    return artefact_of(program.policy, program.data, Settings())


# Errors.


@pytest.mark.parametrize(
    ("entrypoint", "n", "rows", "code"),
    [
        ("p/half", "ten", [7], "eval_builtin_error"),
        ("p/greeting", "ten", [7], "eval_builtin_error"),
        ("p/tier", "10", [13, 14], "eval_conflict_error"),  # a line of the rule that contradicts
    ],
)
def test_an_error_names_its_line_of_rego(program, entrypoint, n, rows, code) -> None:
    with pytest.raises(EvaluationError) as found:
        program.evaluate(entrypoint, {"name": "x", "n": n}, strict_builtin_errors=True)
    assert program.code is not None
    assert (found.value.file, found.value.code) == ("p.rego", code)
    with pytest.raises(EvaluationError) as wanted:
        program.interpreter.run(
            program.policy.plans[entrypoint],
            {"name": "x", "n": n},
            program.data,
            EvaluationContext(),
            strict_builtin_errors=True,
        )
    assert found.value.row == wanted.value.row
    assert found.value.row in rows


def test_a_traceback_shows_the_lines_for_as_long_as_the_program_lives(program) -> None:
    own = Program.from_modules({"q.rego": SOURCE}, ["p/half"], data=DATA).compile("p/half")
    with pytest.raises(EvaluationError) as found:
        own.evaluate({"n": "ten"})
    shown = "".join(traceback.format_exception(found.value))
    (file,) = {name for name in own.compiled.linked.functions if name in shown}
    assert linecache.getline(file, 1).startswith("def ")
    del own, found
    gc.collect()
    assert linecache.getline(file, 1) == ""


# What is shared.


def test_results_share_nothing(program) -> None:
    held = json.dumps(DATA, default=str)
    for entrypoint in ("p/names", "p/rates", "p"):
        document = {"name": "x", "n": "3"}
        first = program.evaluate(entrypoint, document)
        want = exact_json.text(first)
        for spoilt in (first, *(first.values() if type(first) is dict else [])):
            if type(spoilt) is list:
                spoilt.append("spoilt")
                spoilt[1].clear()
            elif type(spoilt) is RegoSet:
                spoilt.keys.clear()
        assert exact_json.text(program.evaluate(entrypoint, document)) == want
        assert document == {"name": "x", "n": "3"}
    assert json.dumps(DATA, default=str) == held


# When it is made.


def test_it_is_compiled_once_and_not_before_it_is_asked_for(monkeypatch) -> None:
    made = []

    def counted(policy, data, settings):
        made.append((settings.strict, data is not UNDEFINED))
        return compile_policy(policy, data, settings)

    monkeypatch.setattr(lazy_code, "compile_policy", counted)
    program = Program.from_modules({"p.rego": SOURCE}, ENTRYPOINTS, data=DATA)
    assert made == []
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(program.evaluate("p/half", {"n": "3"})))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [Decimal("1.5")] * 8
    assert made == [(False, True)]
    program.run("p/half", {"n": "3"}, strict_builtin_errors=True)
    assert program.evaluate("p/names", {}, {"names": 7, "rates": []}) == 7
    assert program.evaluate("p/names", {}, {"names": 8, "rates": []}) == 8
    program.explain("p/half", {"n": "3"})
    assert sorted(made) == [(False, False), (False, True), (True, True)]


def test_limits_choose_the_checked_mode() -> None:
    program = Program.from_modules(
        {"p.rego": SOURCE}, ["p/rates"], data=DATA, limits=Limits(steps=2)
    )
    assert program.code is None
    with pytest.raises(EvaluationError, match="more than 2 steps"):
        program.evaluate("p/rates", {})
    assert isinstance(program.compile("p/rates"), Interpreted)


@pytest.mark.parametrize("fault", [CannotEmit("no form"), RecursionError(), KeyError("bug")])
def test_what_cannot_be_compiled_is_interpreted(fault, monkeypatch) -> None:
    def fail(*_):
        raise fault

    monkeypatch.setattr(lazy_code, "compile_policy", fail)
    program = Program.from_modules({"p.rego": SOURCE}, ENTRYPOINTS, data=DATA)
    assert program.evaluate("p/half", {"n": "3"}) == Decimal("1.5")
    assert program.run("p/half", {"n": "x"}) == []
    one = program.compile("p/half")
    assert isinstance(one, Interpreted)
    assert one.evaluate({"n": "4"}) == 2
    assert one.evaluate({}) is UNDEFINED


def test_one_entrypoint_for_a_shape_and_known_parts(program) -> None:
    shape = shape_of_schema({"type": "object", "properties": {"n": {"type": "string"}}})
    for one in (
        program.compile("p/half"),
        program.compile("p/half", shape=shape),
        program.compile("p/half", shape=shape, known={"n": "6"}),
        program.compile("p/half", known={"n": "6"}, strict=False),
    ):
        assert isinstance(one, Entrypoint)
        assert one.evaluate({"n": "6"}) == 3
    assert program.compile("p/late").evaluate({}) is True
    with pytest.raises(EvaluationError, match="unknown_entrypoint"):
        program.compile("p/none")
    with pytest.raises(EvaluationError, match="known part"):
        program.compile("p/half", known={"n": {1}})


# The text.

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(["", "\ud800", "number", "set", Decimal(5), Decimal("5.0"), Decimal("-0.0")])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(RegoSet)
        | st.lists(st.tuples(inner, inner), max_size=3).map(
            lambda pairs: {to_key(key): value for key, value in pairs}
        )
    ),
    max_leaves=8,
)


def digits(value):
    """A value with the types and digits of all that is in it, so that equality is exact."""
    if type(value) is dict:
        pairs = [(digits(from_key(key)), digits(item)) for key, item in value.items()]
        return ("object", sorted(pairs, key=repr))
    if type(value) is list:
        return ("array", [digits(item) for item in value])
    if type(value) is RegoSet:
        return ("set", sorted(map(digits, value), key=repr))
    return (type(value).__name__, str(value))


@given(values)
def test_values_come_back_exactly(value) -> None:
    text = exact_json.text(value)
    assert "\n" not in text
    assert text.isascii()
    assert exact_json.read(text) == value
    assert digits(exact_json.read(text)) == digits(value)
    assert exact_json.text(exact_json.read(text)) == text


@given(values, values)
def test_different_values_have_different_texts(one, two) -> None:
    if exact_json.text(one) == exact_json.text(two):
        assert one == two
        assert type(one) is type(two)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "NaN",
        "Infinity",
        "1e",
        '{"":1}',
        '{"":["set",1]}',
        '{"":["object",[1]]}',
        '{"":["number","1.5x"]}',
        '{"":["x",[]]}',
        '{"":["set",[]],"a":1}',
        "[1] 2",
    ],
)
def test_what_is_no_text_of_a_value_is_refused(text) -> None:
    with pytest.raises(ValueError):
        exact_json.read(text)


def test_a_compiled_policy_comes_back_as_it_was(program, artefact) -> None:
    text = artefact.dumps()
    assert Artefact.loads(text) == artefact
    assert Artefact.loads(text).dumps() == text
    again = artefact_of(program.policy, program.data, Settings())
    assert again.dumps() == text, "the same policy is the same text"
    entry = link(Artefact.loads(text), program.data, strict=True).entries["p/half"]
    assert entry({"n": "3"}) == Decimal("1.5")


def test_no_text_of_the_policy_stands_in_the_code(artefact) -> None:
    code = "".join(function.text for function in artefact.functions)
    for word in ("greeting", "gold", "names", "rate", "p.rego", "%v"):
        assert word not in code


def test_large_data_are_named_by_their_path(program, artefact) -> None:
    data = {**DATA, "rates": [{"name": "x", "per": number} for number in range(5_000)]}
    large = artefact_of(program.policy, data, Settings())
    assert len(large.dumps()) < 2 * len(artefact.dumps())


def test_whatever_is_torn_is_refused(artefact) -> None:
    text = artefact.dumps()
    lines = text.split(b"\n")
    for number in range(len(lines)):
        with pytest.raises(PolicyLoadError, match="cannot be used"):
            Artefact.loads(b"\n".join(lines[:number] + lines[number + 1 :]), vouched=True)
    for size in range(0, len(text), 101):
        with pytest.raises(PolicyLoadError, match="cannot be used"):
            Artefact.loads(text[:size], vouched=True)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 0},
        {"kind": "another"},
        {"memo": -1},
        {"memo": 10**12},
        {"memo": True},
        {"entries": {"p/half": "F999"}},
        {"entries": []},
        {"builtins": {"B0": "os.system"}},
        {"builtins": {"open": "minus"}},
        {"builtins": {"__builtins__": "minus"}},
        {"tables": {"T0": {"K0": "F999"}}},
        {"tables": {"T0": {"__import__": "F0"}}},
        {"files": [1]},
        {"functions": 99},
    ],
    ids=str,
)
def test_a_head_that_does_not_fit_is_refused(change, artefact) -> None:
    head, _, rest = artefact.dumps().partition(b"\n")
    changed = json.dumps({**json.loads(head), **change}).encode()
    with pytest.raises(PolicyLoadError, match="cannot be used"):
        Artefact.loads(changed + b"\n" + rest)


@pytest.mark.parametrize(
    "body",
    [
        "return __import__",
        "return open",
        "return K99",
        "return i0.__class__",
        "return i0.format(i0)",
        "return 'text'",
        'return f"{i0}"',
        "return 1.5",
        "return -1",
        "return 1000001",
        "return type(i0, i0, i0)",
        "t1 = type\n return t1",
        "import os",
        "global F1\n F1 = i0",
        "F1 = i0",
        "K0[0] = i0",
        "i0.get = i0",
        "del i0",
        "return lambda: i0",
        "return [x1 for x1 in i0]",
        "return (yield)",
        "return i0(*i0)",
        "return i0(**i0)",
        "return sorted(i0, reverse=True)",
        "return i0 @ i0",
        "return i0 ** i0",
        "return i0 * i0",
        "try:\n  return i0\n except:\n  pass",
        "with i0:\n  pass",
        "assert i0",
        "raise i0",
        "def F2():\n  return i0",
        "class F2:\n  pass",
        "return\nopen",
        "return eval",
        "return print",
        "while True: pass\nimport os",
        "é = i0",
        "\x00",
    ],
)
def test_what_no_compiler_writes_is_not_allowed(body) -> None:
    with pytest.raises(allowed.NotAllowed):
        allowed.check("F0", f"def F0(i0):\n {body}\n", {"F0", "F1", "K0"})


@pytest.mark.parametrize(
    "head",
    [
        "def F0(i0=K0):",
        "def F0(*i0):",
        "def F0(**i0):",
        "def F0(*, i0):",
        "def F0(i0: K0):",
        "def F0() -> K0:",
        "@K0\ndef F0():",
        "async def F0():",
        "def F1():",
        "def F0(open):",
    ],
)
def test_only_a_plain_function_is_allowed(head) -> None:
    with pytest.raises(allowed.NotAllowed):
        allowed.check("F0", f"{head}\n return U\n", {"F0", "F1", "K0"})


def test_what_the_compiler_writes_is_allowed(artefact) -> None:
    artefact.check()
