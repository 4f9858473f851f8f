"""A plan that decodes is whole; every other one is refused with the place of its fault."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.errors import PolicyLoadError
from guardrails.rego import ir
from guardrails.rego.decoder import decode
from guardrails.rego.statements import MAX_DEPTH


def stmt(kind, **fields):
    return {"type": f"{kind}Stmt", "stmt": {"file": 0, "row": 7, "col": 3, **fields}}


def local(number):
    return {"type": "local", "value": number}


def text(number):
    return {"type": "string_index", "value": number}


def plan(*statements, function=(), strings=("result", "x"), params=(0, 1)):
    """A plan document with one function, and one plan that calls it and gives its value."""
    call = stmt("Call", func="g0.data.a.x", args=[local(n) for n in params], result=2)
    return {
        "static": {
            "strings": [{"value": item} for item in strings],
            "files": [{"value": "a.rego"}],
        },
        "plans": {
            "plans": [
                {
                    "name": "a/x",
                    "blocks": [
                        {
                            "stmts": [
                                *(statements or [call]),
                                stmt("MakeObject", target=3),
                                stmt("ObjectInsert", key=text(0), value=local(2), object=3),
                                stmt("ResultSetAdd", value=3),
                            ]
                        }
                    ],
                }
            ]
        },
        "funcs": {
            "funcs": [
                {
                    "name": "g0.data.a.x",
                    "path": ["g0", "a", "x"],
                    "params": list(params),
                    "return": 2,
                    "blocks": [{"stmts": [*function, stmt("ReturnLocal", source=2)]}],
                }
            ]
        },
    }


def first(policy):
    return policy.functions["g0.data.a.x"].blocks[0][0]


def test_a_decoded_plan_says_what_the_document_said():
    policy = decode(plan(function=[stmt("Dot", source=local(0), key=text(1), target=2)]))
    where = ir.Location("a.rego", 7, 3)
    assert first(policy) == ir.Dot(where, ir.Local(0), ir.Constant("x"), 2)
    assert policy.planner == "opa"
    assert policy.files == ("a.rego",)
    function = policy.by_path["g0", "a", "x"]
    assert (function.params, function.locals, str(function.where)) == ((0, 1), 3, "a.rego:7")
    assert list(policy.plans) == ["a/x"]


def test_locals_are_numbered_densely():
    moved = plan(function=[stmt("MakeNull", target=900_000), stmt("MakeNull", target=2)])
    function = decode(moved).functions["g0.data.a.x"]
    assert function.locals == 4


@pytest.mark.parametrize(
    ("written", "number"),
    [("3", 3), ("-0.50", Decimal("-0.50")), ("1e3", Decimal("1e3")), ("0", 0)],
)
@pytest.mark.parametrize("field", ["Index", "index"])
def test_a_number_stands_in_its_node(written, number, field):
    made = stmt("MakeNumberRef", target=2, **{field: 1})
    node = first(decode(plan(function=[made], strings=("result", written))))
    assert isinstance(node, ir.MakeNumber)
    assert node.value == number
    assert type(node.value) is type(number)


def regopy(document):
    """The same document as regopy would write it: no places in the plan, the rest from 0."""
    document = copy.deepcopy(document)
    for item in document["plans"]["plans"][0]["blocks"][0]["stmts"]:
        for name in ("file", "row", "col"):
            del item["stmt"][name]
    return document


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("plain", "plain"),
        ('"quoted"', "quoted"),
        ('"a\\nb"', "a\nb"),
        ("a\\nb", "a\nb"),
        ('\\"q\\"', '"q"'),
        ("\\\\d+", "\\d+"),
        ('"\\\\bfoo"', "\\bfoo"),
        ("\\u00e4", "ä"),
        ("broken\\q", "broken\\q"),
        ('"\\ud800"', "\ufffd"),
    ],
)
def test_regopys_strings_lose_their_escapes_and_opas_keep_theirs(written, meant):
    dot = stmt("Dot", source=local(0), key=text(1), target=2)
    document = plan(function=[dot], strings=("result", written))
    assert first(decode(regopy(document))).key == ir.Constant(meant)
    assert first(decode(document)).key == ir.Constant(written)
    assert first(decode(document, planner="regopy")).key == ir.Constant(meant)


def test_regopys_rows_are_counted_from_one():
    policy = decode(regopy(plan(function=[stmt("MakeNull", target=2)])))
    assert policy.planner == "regopy"
    assert first(policy).where == ir.Location("a.rego", 8, 4)
    assert policy.plans["a/x"].blocks[0][0].where is ir.NOWHERE


def test_bookkeeping_without_a_place_belongs_to_what_was_before_it():
    bare = {"type": "MakeNullStmt", "stmt": {"target": 2}}
    policy = decode(regopy(plan(function=[stmt("MakeNull", target=2), bare])))
    places = [node.where for node in policy.functions["g0.data.a.x"].blocks[0]]
    assert places == [ir.Location("a.rego", 8, 4)] * 3


def test_a_dynamic_call_is_a_reference_in_regopys_plans():
    dynamic = stmt("CallDynamic", path=[text(0), text(1)], args=[local(0), local(1)], result=2)
    document = plan(function=[dynamic], strings=("data", "x"))
    node = first(decode(regopy(document)))
    assert isinstance(node, ir.Reference)
    assert node.path == (ir.Constant("x"),)


def test_bare_locals_are_arguments_too():
    dynamic = stmt("CallDynamic", path=[text(0)], args=[0, 1], result=2)
    inner = stmt("Block", blocks=[{"stmts": [stmt("Block", blocks=[{"stmts": [dynamic]}])]}])
    nodes = list(ir.statements(decode(plan(function=[inner])).functions["g0.data.a.x"].blocks))
    (call,) = [node for node in nodes if isinstance(node, ir.CallDynamic)]
    assert call.args == (ir.Local(0), ir.Local(1))


def test_null_stands_for_an_empty_list():
    policy = decode(plan(function=[stmt("Block", blocks=None), stmt("Nop")]))
    assert first(policy) == ir.Block(ir.Location("a.rego", 7, 3), ())
    assert len(policy.functions["g0.data.a.x"].blocks[0]) == 2


def nested(depth):
    inner = stmt("MakeNull", target=2)
    for _ in range(depth):
        inner = stmt("Block", blocks=[{"stmts": [inner]}])
    return inner


REFUSED = {
    "no statement": (1, "this is an integer; an object is needed"),
    "unknown": (stmt("Evil"), "unknown statement `EvilStmt`"),
    "no target": (stmt("MakeNull"), "`target` is missing"),
    "target of true": (stmt("MakeNull", target=True), "`target` is a boolean"),
    "target of text": (stmt("MakeNull", target="2"), "`target` is a string"),
    "target of fraction": (stmt("MakeNull", target=2.0), "`target` is a number with a fraction"),
    "negative target": (stmt("MakeNull", target=-1), "`target` is -1"),
    "huge target": (stmt("MakeNull", target=10**30), "it must be from 0 to"),
    "target input": (stmt("MakeNull", target=0), "input and data are changed by WithStmt alone"),
    "target data": (stmt("MakeNull", target=1), "input and data are changed by WithStmt alone"),
    "string beyond": (stmt("Dot", source=local(0), key=text(9), target=2), "`key` is 9"),
    "string of true": (stmt("Dot", source=local(0), key=text(True), target=2), "a boolean"),
    "operand type": (
        stmt("Equal", a={"type": "code", "value": 1}, b=local(0)),
        "`a` has the type `code`",
    ),
    "bool of one": (
        stmt("Equal", a={"type": "bool", "value": 1}, b=local(0)),
        "`a` is an integer; a boolean is needed",
    ),
    "operand bare": (stmt("Equal", a=1, b=local(0)), "`a` is an integer; an object is needed"),
    "break beyond": (stmt("Break", index=1), "`index` is 1; it must be from 0 to 0"),
    "break of true": (stmt("Break", index=True), "`index` is a boolean"),
    "return below": (
        stmt("Block", blocks=[{"stmts": [stmt("ReturnLocal", source=2)]}]),
        "ReturnLocalStmt stands elsewhere than at the top",
    ),
    "result in function": (stmt("ResultSetAdd", value=2), "only plans have results"),
    "number of words": (stmt("MakeNumberRef", Index=1, target=2), "`x` is no number"),
    "int of fraction": (stmt("MakeNumberInt", value=1.5, target=2), "`value` is a number with"),
    "int too large": (stmt("AssignInt", value=2**63, target=2), "it must be from"),
    "few arguments": (
        stmt("Call", func="g0.data.a.x", args=[local(0)], result=2),
        "the first two arguments",
    ),
    "swapped arguments": (
        stmt("Call", func="g0.data.a.x", args=[local(1), local(0)], result=2),
        "the first two arguments",
    ),
    "many arguments": (
        stmt("Call", func="g0.data.a.x", args=[local(0), local(1), local(2)], result=2),
        "takes 2 arguments and is called with 3",
    ),
    "dynamic call at top": (
        stmt("CallDynamic", path=[text(0)], args=[0, 1], result=2),
        "needs three blocks around it",
    ),
    "append to input": (stmt("ArrayAppend", array=0, value=local(2)), "a parameter"),
    "insert into data": (stmt("ObjectInsert", object=1, key=text(0), value=local(2)), "parameter"),
    "with beyond": (stmt("With", local=0, path=[5], value=local(2), block={}), "`path` is 5"),
    "block missing": (stmt("Not"), "`block` is missing"),
    "blocks no list": (stmt("Block", blocks={}), "`blocks` is an object; an array is needed"),
    "file beyond": (stmt("MakeNull", target=2, file=4), "`file` is 4"),
    "row of true": (stmt("MakeNull", target=2, row=True), "`row` is a boolean"),
    "row alone": (
        {"type": "MakeNullStmt", "stmt": {"row": 1, "target": 2}},
        "`file` is missing",
    ),
    "deep": (nested(MAX_DEPTH), f"nested deeper than {MAX_DEPTH}"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_statement_is_refused_with_its_place(name):
    statement, message = REFUSED[name]
    with pytest.raises(PolicyLoadError) as caught:
        decode(plan(function=[stmt("MakeNull", target=2), statement]), planner="opa")
    assert message in str(caught.value)
    assert "funcs.funcs[0].blocks[0].stmts[1]" in str(caught.value)
    assert caught.value.file == "plan"


def without(name):
    document = plan()
    del document[name]
    return document


def changed(change):
    document = plan()
    change(document)
    return document


BAD_DOCUMENTS = {
    "nothing": (None, "this is null; an object is needed"),
    "array": ([], "this is an array"),
    "no static": (without("static"), "`static` is missing"),
    "no plans": (without("plans"), "`plans` is missing"),
    "static of text": (changed(lambda d: d.update(static="x")), "`static` is a string"),
    "string of number": (
        changed(lambda d: d["static"]["strings"].append({"value": 1})),
        "`static.strings[2]`: `value` is an integer",
    ),
    "two plans": (
        changed(lambda d: d["plans"]["plans"].append(d["plans"]["plans"][0])),
        "two plans `a/x`",
    ),
    "two functions": (
        changed(lambda d: d["funcs"]["funcs"].append(d["funcs"]["funcs"][0])),
        "two functions `g0.data.a.x`",
    ),
    "two at one path": (
        changed(lambda d: d["funcs"]["funcs"].append({**d["funcs"]["funcs"][0], "name": "b"})),
        "have the same path",
    ),
    "no path": (changed(lambda d: d["funcs"]["funcs"][0].update(path=[])), "`path` is empty"),
    "path of numbers": (changed(lambda d: d["funcs"]["funcs"][0].update(path=[1])), "a string"),
    "params": (changed(lambda d: d["funcs"]["funcs"][0].update(params=[1, 0])), "`params` must"),
    "params twice": (
        changed(lambda d: d["funcs"]["funcs"][0].update(params=[0, 1, 5, 5])),
        "`params` must",
    ),
    "result in plan": (
        changed(
            lambda d: d["plans"]["plans"][0]["blocks"][0]["stmts"].append(
                stmt("ReturnLocal", source=2)
            )
        ),
        "ReturnLocalStmt stands elsewhere",
    ),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_a_bad_document_is_refused(name):
    document, message = BAD_DOCUMENTS[name]
    with pytest.raises(PolicyLoadError) as caught:
        decode(document, origin="b.json")
    assert message in str(caught.value)
    assert caught.value.file == "b.json"


def test_an_unknown_planner_is_refused():
    with pytest.raises(PolicyLoadError, match="`regorus`; the planners are"):
        decode(plan(), planner="regorus")


def test_a_collection_from_elsewhere_is_copied_before_it_is_changed():
    policy = decode(
        plan(
            function=[
                stmt("Dot", source=local(1), key=text(1), target=5),
                stmt("ObjectInsert", key=text(0), value=local(0), object=5),
            ]
        )
    )
    kinds = [type(node).__name__ for node in policy.functions["g0.data.a.x"].blocks[0]]
    assert kinds == ["Dot", "Own", "ObjectInsert", "ReturnLocal"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3) | st.floats(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    st.data(),
)
def test_junk_anywhere_is_refused_or_decoded_never_a_crash(junk, data):
    document = plan(function=[stmt("Dot", source=local(0), key=text(1), target=2), nested(2)])
    places = []

    def collect(node):
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, item in items:
            places.append((node, key))
            if isinstance(item, dict | list):
                collect(item)

    collect(document)
    node, key = data.draw(st.sampled_from(range(len(places))).map(places.__getitem__))
    node[key] = junk
    try:
        policy = decode(document)
    except PolicyLoadError:
        return
    for function in policy.functions.values():
        for statement in ir.statements(function.blocks):
            assert all(0 <= number < function.locals for number in ir.reads(statement))
            assert all(0 <= number < function.locals for number in ir.writes(statement))
