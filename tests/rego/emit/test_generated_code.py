"""Generated code consists of little, carries no text of the policy, and is the same each time."""

from __future__ import annotations

import ast
import itertools
import os
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.rego.emit.both import FORMS, context, settings
from tests.rego.emit.hostile import NUMBERS, TEXTS
from tests.rego.emit.one_call import plan_of_call
from tests.rego.emit.plans import Maker
from tests.rego.emit.vocabulary import PARTS, SCHEMA, facts

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import decoder
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import EvaluationContext
from guardrails.rego.compiled import artefact_of, compile_policy
from guardrails.rego.emit.frames import CannotEmit
from guardrails.rego.emit.program import Settings
from guardrails.rego.emit.runtime import HELPERS
from guardrails.rego.evaluation import Limits
from guardrails.rego.interpreter import Interpreter
from guardrails.rego.numerals import parse_number
from guardrails.rego.values import UNDEFINED, equal

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"
ROOT = Path(__file__).resolve().parents[3]

STATEMENTS = {"Return", "Assign", "For", "While", "If", "Expr", "Pass", "Break", "Continue"}
EXPRESSIONS = {
    *("BoolOp", "UnaryOp", "BinOp", "Compare", "IfExp", "NamedExpr", "Call", "Attribute"),
    *("Subscript", "Slice", "List", "Tuple", "Dict", "Set", "Name", "Constant", "keyword"),
}
OPERATORS = {
    *(
        "And",
        "Or",
        "Not",
        "Sub",
        "Add",
        "Mult",
        "FloorDiv",
        "Is",
        "IsNot",
        "In",
        "NotIn",
        "Eq",
        "NotEq",
        "Lt",
        "LtE",
    ),
    *("Gt", "GtE", "Load", "Store"),
}
AROUND = {"Module", "FunctionDef", "arguments", "arg"}
METHODS = {
    *("get", "copy", "add", "append", "items", "values", "keys", "join", "split", "replace"),
    *("lower", "upper", "isascii", "startswith", "endswith", "setdefault", "__setitem__"),
}
PYTHON = {
    *("dict", "enumerate", "frozenset", "len", "list", "map", "set", "sorted", "str", "bool"),
    *("type", "tuple"),
}
LOCAL = re.compile(r"[a-z][0-9]+", re.ASCII)
GLOBAL = re.compile(r"[A-Z][0-9]+S?", re.ASCII)
WORDS = {*HELPERS, *PYTHON, "MEMO"}


def faults(text):
    """What in a source is more than generated code may hold.

    Written apart from the emitter's own list, so that each is held against the other.
    """
    tree = ast.parse(text)
    found = [] if text.isascii() else ["not ASCII"]
    if [type(node).__name__ for node in tree.body] != ["FunctionDef"]:
        found.append("not one function")
    return found + [ast.dump(node)[:80] for node in ast.walk(tree) if not fits(node)]


def fits(node):
    """Whether a node is one that generated code may hold."""
    kind = type(node).__name__
    if isinstance(node, ast.Name):
        free = GLOBAL.fullmatch(node.id) or node.id in WORDS
        return bool(LOCAL.fullmatch(node.id) or (free and isinstance(node.ctx, ast.Load)))
    if isinstance(node, ast.Constant):
        small = type(node.value) is int and 0 <= node.value <= 1_000_000
        return node.value is None or type(node.value) is bool or small
    named = {
        "arg": lambda: LOCAL.fullmatch(node.arg),
        "FunctionDef": lambda: GLOBAL.fullmatch(node.name),
        "Attribute": lambda: node.attr in METHODS,
        "keyword": lambda: node.arg == "key",
    }
    known = kind in STATEMENTS | EXPRESSIONS | OPERATORS | AROUND
    return known and (kind not in named or bool(named[kind]()))


def sources(policy, data, form):
    artefact = artefact_of(policy, data if form.bound else UNDEFINED, settings(form, SCHEMA, PARTS))
    artefact.check()
    return [function.text for function in artefact.functions]


@pytest.mark.soak
def test_generated_plans_become_allowed_code():
    written = 0
    for seed in range(3_000 if SOAK else 40):
        policy = decoder.decode(Maker(random.Random(seed)).document(), planner="opa")
        data = facts(random.Random(seed))
        for form in FORMS:
            try:
                texts = sources(policy, data, form)
            except CannotEmit:
                continue
            assert [fault for text in texts for fault in faults(text)] == []
            written += len(texts)
    assert written > 300


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "def F0():\n return 'x'",
        "def F0():\n return 1.5",
        "def F0():\n return -1",
        "def F0():\n return eval",
        "def F0():\n return i0.__class__",
        "def F0(self):\n return self",
        "def F0():\n return [t1 for t1 in i0]",
        "def F0():\n return lambda: U",
        "def F0():\n return f'{U}'",
        "def run():\n return U",
        "def F0():\n global t1",
        "def F0():\n U = t1",
        "def F0():\n return U\ndef F1():\n return U",
        "async def F0():\n return U",
        "def F0():\n return sorted(t1, reverse=True)",
    ],
)
def test_other_code_is_told(text):
    assert faults(text)


# Hostile policies: plans that hold a text or a number everywhere where one may stand.


def renamed(document, names):
    """The plan with its texts, rules, plans and files renamed, one for each of `names` in turn."""
    taken = itertools.cycle(names)
    fresh: dict[str, str] = {}

    def name(old):
        return fresh.setdefault(old, f"{next(taken)}{len(fresh)}" if fresh else next(taken))

    def change(node):
        if isinstance(node, list):
            return [change(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {
            key: name(item)
            if (key in {"name", "func"} and item in functions) or (key == "file" and item != 0)
            else change(item)
            for key, item in node.items()
        }

    functions = {each["name"] for each in document["funcs"]["funcs"]}
    functions |= {each["name"] for each in document["plans"]["plans"]}
    changed = change(document)
    for each in changed["static"]["strings"]:
        each["value"] = next(taken)
    changed["static"]["files"] = [{"value": next(taken)}]
    for number, each in enumerate(changed["funcs"]["funcs"]):
        each["path"] = ["g0", next(taken), f"{next(taken)}{number}"]
    return changed


@pytest.mark.parametrize("start", range(0, len(TEXTS), 6))
def test_no_text_of_a_policy_stands_in_its_code(start):
    names = TEXTS[start : start + 6]
    made = 0
    for seed in range(12):
        document = Maker(random.Random(seed)).document()
        try:
            policy = decoder.decode(renamed(document, names), planner="opa")
        except PolicyLoadError:
            continue  # a name for a number
        data = {name: dict.fromkeys(names, name) for name in names}
        for form in FORMS[:2]:
            try:
                texts = sources(policy, data, form)
            except CannotEmit:
                continue
            assert [fault for text in texts for fault in faults(text)] == []
            program = compile_policy(policy, data, settings(form, SCHEMA, PARTS))
            for function in program.linked.functions:
                assert re.fullmatch(r"<rego [0-9a-f]+ [A-Z][0-9]+S?>", function)
            made += 1
    assert made


PLAIN = st.text(max_size=20)


@given(name=PLAIN | st.sampled_from(TEXTS), key=PLAIN | st.sampled_from(TEXTS), held=PLAIN)
def test_whatever_a_rule_is_called_and_holds_it_comes_back_whole(name, key, held):
    policy = decoder.decode(echo(name, key, held), planner="opa")
    program = compile_policy(policy, {}, Settings())
    texts = [function.text for function in program.linked.artefact.functions]
    assert [fault for text in texts for fault in faults(text)] == []
    sound = [
        each.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for each in (key, held)
    ]
    wanted = {sound[0]: sound[1], "input": 1} if sound[0] != "input" else {"input": 1}
    assert program.evaluate(name, 1, {}, EvaluationContext()) == wanted


def echo(name, key, held):
    """The plan `name` of ``{key: held, "input": input}``, by a function of the same name."""
    strings = ["result", key, held, "input"]

    def statement(kind, **fields):
        return {"type": kind, "stmt": {**fields, "file": 0, "row": 1, "col": 1}}

    def text(index):
        return {"type": "string_index", "value": index}

    local = {"type": "local", "value": 0}
    body = [
        statement("MakeObjectStmt", target=2),
        statement("ObjectInsertStmt", key=text(1), value=text(2), object=2),
        statement("ObjectInsertStmt", key=text(3), value=local, object=2),
        statement("ReturnLocalStmt", source=2),
    ]
    call = [
        statement("CallStmt", func=name, args=[local, {"type": "local", "value": 1}], result=2),
        statement("MakeObjectStmt", target=3),
        statement("ObjectInsertStmt", key=text(0), value={"type": "local", "value": 2}, object=3),
        statement("ResultSetAddStmt", value=3),
    ]
    function = {"name": name, "path": ["g0", name], "params": [0, 1], "return": 2}
    return {
        "static": {
            "strings": [{"value": each} for each in strings],
            "files": [{"value": name}],
        },
        "plans": {"plans": [{"name": name, "blocks": [{"stmts": call}]}]},
        "funcs": {"funcs": [{**function, "blocks": [{"stmts": body}]}]},
    }


ARITY = {
    **dict.fromkeys(("floor", "round", "abs"), 1),
    **dict.fromkeys(("plus", "mul", "minus", "div", "gt", "equal", "sprintf"), 2),
}


@pytest.mark.parametrize("text", NUMBERS)
@pytest.mark.parametrize("name", ARITY)
def test_hostile_numbers(text, name):
    """A number stands in the table of constants, and computing with it is done or refused."""
    number = parse_number(text)
    policy = plan_of_call(name, ARITY[name], dict.fromkeys(range(ARITY[name]), number))
    program = compile_policy(policy, {}, Settings())
    for function in program.linked.artefact.functions:
        assert faults(function.text) == []
    reference = Interpreter(policy, BUILTINS, Limits())
    plan = policy.plans["p/main"]
    found = caught(lambda: program.run("p/main", {}, {}, context()))
    wanted = caught(lambda: reference.run(plan, {}, {}, context(), strict_builtin_errors=True))
    assert equal(found, wanted)


def caught(run):
    try:
        return run()
    except EvaluationError as error:
        return error.code
