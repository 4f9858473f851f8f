"""URIs and templates mean what they mean to OPA: made of the pieces of their grammars, and junk.

Texts go to OPA by the hundred, so that one process answers for many.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from decimal import Decimal

import pytest

from guardrails.errors import EvaluationError, PolicyLoadError
from guardrails.rego import Program
from guardrails.rego.builtins import BUILTINS, BuiltinError
from guardrails.rego.builtins.templates import UnsupportedTemplate
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.values import from_json

SOAK = os.environ.get("GUARDRAILS_SOAK") == "1"

BATCH = 400
"""Texts that one OPA process answers for."""

POLICY = """package t

parsed[i] := uri.parse(text) if some i, text in input.texts

valid[i] := uri.is_valid(text) if some i, text in input.texts

rendered[i] := strings.render_template(text, input.variables) if some i, text in input.texts
"""

SEEDS = range(40 if SOAK else 2)


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    opa = find_opa()
    if opa is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no OPA binary")
        pytest.skip("no OPA binary")
    folder = tmp_path_factory.mktemp("opa")
    (folder / "p.rego").write_text(POLICY, "utf-8")

    def answers(rule, texts, variables=None):
        given = {"texts": texts, "variables": variables or {}}
        (folder / "input.json").write_text(json.dumps(given), "utf-8")
        command = [opa, "eval", "-f", "raw", "-d", "p.rego", "-i", "input.json", f"data.t.{rule}"]
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        return [found.get(str(place)) for place in range(len(texts))]

    return answers


def ours(name, *args):
    try:
        return BUILTINS[name].call(*args)
    except BuiltinError:
        return None


HOSTS = [
    "a",
    "b.c",
    "é",
    "80",
    ":80",
    ":",
    "[",
    "]",
    "::1",
    "fe80::1",
    "%25en0",
    "1.2.3.4",
    "[::1]",
]
URI_PIECES = [
    "http",
    "https",
    "ftp",
    "HTTP",
    "://",
    ":",
    "/",
    "//",
    "?",
    "??",
    "#",
    "@",
    "u:p@",
    " ",
]
URI_PIECES += [
    "%",
    "%41",
    "%2f",
    "%zz",
    "%e4",
    "%20",
    "*",
    "..",
    "\t",
    "\x7f",
    "+",
    "-._~",
    "!$&'()",
]
URI_PIECES += [",;=", "<>", '"', "|", "^", "{}", "\\", "x:y", "mailto:", "::ffff:1.2.3.4", *HOSTS]

STARTS = ["", "http://", "ftp://", "//", "x:", "https://[::1]"]


def some_uri(chance):
    rest = [chance.choice(URI_PIECES) for _ in range(chance.randrange(7))]
    return chance.choice(STARTS) + "".join(rest)


@pytest.mark.opa
@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_uris_are_read_as_opa_reads_them(ask, seed):
    chance = random.Random(seed)
    texts = [some_uri(chance) for _ in range(BATCH)]
    for text, parsed, valid in zip(texts, ask("parsed", texts), ask("valid", texts), strict=True):
        assert ours("uri.parse", text) == parsed, text
        assert ours("uri.is_valid", text) is valid, text


def test_what_is_no_text_is_no_uri():
    assert BUILTINS["uri.is_valid"].call(1) is False
    assert BUILTINS["uri.is_valid"].call("") is False
    assert BUILTINS["uri.parse"].call("") == {}
    with pytest.raises(BuiltinError, match=r"uri\.parse: operand 1 must be string"):
        BUILTINS["uri.parse"].call(1)


VARIABLES = {
    "text": "x<&y",
    "zero": 0,
    "half": 1.5,
    "yes": True,
    "no": False,
    "null": None,
    "empty": "",
    "array": [1, "a", None, {"k": [2]}],
    "object": {"b": 1, "a": {"c": "d"}, "z": None},
    "nothing": [],
}
OPERANDS = [f".{name}" for name in [*VARIABLES, "missing", "object.a.c", "object.q", "missing.x"]]
OPERANDS += ["$", ".", "$x", "$.object.a", "$i", "3", "-1", "0", "true", '"q"', "`r`", "$x.a"]
OPERANDS += ["(.object).a", "(not .yes)", "not .empty", "and .yes .text", "or .no .null"]
OPERANDS += ["len .array", "len .text", ".array | len", ".text | not", "and .null 1", ".text.x"]
OPERANDS += ["(len .object)", ".object.a .text", "undefined", "and", "not", "or .missing .text"]

SETS = ["$x := ", "$x = ", "$i:="]
NAMES = ["", "$x := ", "$i, $x := ", "$i, $x = "]
COMMENTS = ["{{/* c */}}", "{{- /* c */ -}}", "{{- /* c */}}", "{{/* c}}", "{{ /* c */}}"]
JUMPS = ["", "{{if .}}{{break}}{{end}}b", "{{if $i}}{{continue}}{{end}}c"]
DEEPEST = 3


def action(chance, word=""):
    start, end = chance.choice(["{{", "{{- ", "{{ "]), chance.choice(["}}", " -}}", " }}"])
    return f"{start}{word}{chance.choice(OPERANDS)}{end}"


def some_template(chance, depth=0):
    made = [piece(chance, depth) for _ in range(chance.randint(1, 3))]
    return "".join(made)


def piece(chance, depth):
    kind = chance.randrange(8 if depth < DEEPEST else 4)
    if kind == 0:
        return chance.choice([" t ", "\n", "-", "é", "}}", "{", *COMMENTS])
    if kind <= 2:
        return action(chance)
    if kind == 3:
        return action(chance, chance.choice(SETS))
    return block(chance, depth + 1)


def block(chance, depth):
    word = chance.choice(["if ", "with ", "range "])
    names = {"if ": [""], "with ": ["", "$x := "], "range ": NAMES}[word]
    tails = ["", "{{else}}" + some_template(chance, depth)]
    if word == "if ":
        tails.append(f"{{{{else if {chance.choice(OPERANDS)}}}}}a{tails[1]}")
    jump = chance.choice(JUMPS) if word == "range " else ""
    head = action(chance, word + chance.choice(names))
    return head + some_template(chance, depth) + jump + chance.choice(tails) + "{{end}}"


BROKEN = [
    "{{",
    "{{}}",
    "}}",
    "{{.text",
    "{{end}}",
    "{{else}}",
    "{{if .text}}",
    "{{..text}}",
    "{{if}}{{end}}",
]
BROKEN += [
    "{{break}}",
    "{{1 | 2}}",
    "{{(.text}}",
    "{{.text)}}",
    "{{$q}}",
    '{{"a',
    "{{- 3}}",
    "{{3-}}",
]
BROKEN += ["{{range $i, $x, $y := .array}}{{end}}", "{{range 3}}{{.}}{{end}}", "{{\n.text\n}}"]


@pytest.mark.opa
@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
def test_templates_are_rendered_as_opa_renders_them(ask, seed):
    chance = random.Random(seed)
    heads = ["", "{{$x := 1}}", "{{$i := 0}}{{$x := .object}}"]
    texts = [chance.choice(heads) + some_template(chance) for _ in range(BATCH)] + BROKEN
    variables = from_json(json.loads(json.dumps(VARIABLES), parse_float=Decimal))
    rendered = refused = 0
    for text, theirs in zip(texts, ask("rendered", texts, VARIABLES), strict=True):
        try:
            mine = ours("strings.render_template", text, variables)
        except UnsupportedTemplate:
            refused += 1
            continue
        assert mine == theirs, text
        rendered += theirs is not None
    assert rendered > BATCH / 6
    assert refused < BATCH / 10


@pytest.mark.parametrize(
    "template",
    [
        '{{printf "%v" .a}}',
        "{{eq .a 1}}",
        "{{index .a 0}}",
        '{{define "x"}}{{end}}',
        "{{'a'}}",
        "{{1.5}}",
        "{{nil}}",
        r'{{"\x41"}}',
        "{{.é}}",
    ],
)
def test_what_only_go_can_render_is_an_error_and_never_undefined(template):
    with pytest.raises(UnsupportedTemplate):
        BUILTINS["strings.render_template"].call(template, {"a": 1})
    program = Program.from_modules(
        {"p.rego": "package p\n\nr if not strings.render_template(input.t, {})\n"}, ["p/r"]
    )
    with pytest.raises(EvaluationError, match="not supported"):
        program.evaluate("p/r", {"t": template})


@pytest.mark.parametrize(
    "template",
    [
        "{{range .a}}" * 4 + "x" + "{{end}}" * 4,
        "{{if .a}}" * 60 + "{{end}}" * 60,
        "{{" + "(" * 60 + ".a" + ")" * 60 + "}}",
        "{{range 1000000}}{{end}}",
    ],
)
def test_a_template_that_asks_for_too_much_is_refused(template):
    with pytest.raises(BuiltinError):
        BUILTINS["strings.render_template"].call(template, {"a": [{"a": 1}] * 1000})


def test_builtins_that_regopy_takes_for_functions_are_called_as_what_they_are():
    source = 'package p\n\nr := strings.split_n("a,b,c", ",", 2) if trace("note")\n'
    program = Program.from_modules({"p.rego": source}, ["p/r"])
    assert program.evaluate("p/r") == BUILTINS["strings.split_n"].call("a,b,c", ",", 2)


@pytest.mark.parametrize("call", ["rego.parse_module(input.a, input.b)", "http.send(input.a)"])
def test_what_is_not_supported_is_refused_at_load_with_its_place(call):
    with pytest.raises(PolicyLoadError, match=r"p\.rego:3.*is not supported"):
        Program.from_modules({"p.rego": f"package p\n\nr := {call}\n"}, ["p/r"])
