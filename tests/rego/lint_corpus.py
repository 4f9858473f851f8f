"""Small modules that OPA's compiler refuses, each with the finding it must give, and mended.

Each stands below the head of a rule package. OPA's ``check --strict`` must refuse the first
text and take the second; so must the checks, without OPA.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    """One mistake: its source, the id of the finding that it gives, and the source mended."""

    bad: str
    rule_id: str
    good: str


REFUSED = [
    # Unsafe variables.
    Case("a if input.x == y", "unsafe-variable", "a if input.x == input.y"),
    Case("a if inpt.x == 1", "unsafe-variable", "a if input.x == 1"),
    Case("a := y if input.x", "unsafe-variable", "a := y if y := input.x"),
    Case("a contains y if input.x", "unsafe-variable", "a contains y if some y in input.x"),
    Case("a[k] := 1 if input.x", "unsafe-variable", "a[k] := 1 if some k in input.x"),
    Case("f(x) := y if x", "unsafe-variable", "f(x) := x if x"),
    Case("a := [x | input.y]", "unsafe-variable", "a := [x | some x in input.y]"),
    Case("a := {k: v | input.x[k]}", "unsafe-variable", "a := {k: v | v := input.x[k]}"),
    Case("a if count([z | input.q]) > 0", "unsafe-variable", "a if count([z | z := input.q]) > 0"),
    Case("a if not f(z)\n\nf(x) := x", "unsafe-variable", "a if not f(input.z)\n\nf(x) := x"),
    Case(
        "a if not input.a[i]", "unsafe-variable", "a if {\n\tsome i in input.b\n\tnot input.a[i]\n}"
    ),
    Case(
        "a if {\n\tsome i\n\tnot input.a[i]\n}",
        "unsafe-variable",
        "a if {\n\tsome i\n\tinput.b[i]\n\tnot input.a[i]\n}",
    ),
    Case(
        "a if {\n\tsome i, j\n\tinput.a[i]\n\tj\n}",
        "unsafe-variable",
        "a if {\n\tsome i, j\n\tinput.a[i]\n\tinput.b[j]\n}",
    ),
    Case(
        "a if {\n\tevery x in y {\n\t\tx\n\t}\n}",
        "unsafe-variable",
        "a if {\n\tevery x in input.y {\n\t\tx\n\t}\n}",
    ),
    Case(
        "a if {\n\tevery x in input.y {\n\t\tx == z\n\t}\n}",
        "unsafe-variable",
        "a if {\n\tz := input.z\n\tevery x in input.y {\n\t\tx == z\n\t}\n}",
    ),
    Case("a if input.x with input.y as q", "unsafe-variable", "a if input.x with input.y as 1"),
    Case("a if {\n\tx = x + 1\n}", "unsafe-variable", "a if {\n\tx = input.x + 1\n\tx > 2\n}"),
    Case("a if {\n\t{x} = input.z\n}", "unsafe-variable", "a if {\n\t[x] = input.z\n\tx\n}"),
    Case("a if input.x == _", "unsafe-variable", "a if input.x == input.a[_]"),
    Case("a if f(_)\n\nf(x) := x", "unsafe-variable", "a if f(input.x)\n\nf(x) := x"),
    Case(
        "a := x if {\n\tx = input.a\n} else := x if {\n\tinput.b\n}",
        "unsafe-variable",
        "a := x if {\n\tx = input.a\n} else := x if {\n\tx = input.b\n}",
    ),
    # Locals.
    Case(
        "a if {\n\tx := 1\n\tx := 2\n\tinput.y == x\n}",
        "reassigned-variable",
        "a if {\n\tx := 1\n\tinput.y == x\n}",
    ),
    Case(
        "a if {\n\tx == 1\n\tx := 1\n}",
        "reassigned-variable",
        "a if {\n\tx := input.y\n\tx == 1\n}",
    ),
    Case(
        "a if {\n\tsome x\n\tx := input.y\n\tx\n}",
        "reassigned-variable",
        "a if {\n\tsome x\n\tx = input.y\n\tx\n}",
    ),
    Case(
        "a if {\n\tx := y\n\ty := input.x\n\tx\n}",
        "reassigned-variable",
        "a if {\n\ty := input.x\n\tx := y\n\tx\n}",
    ),
    Case("a if {\n\tx := x\n}", "reassigned-variable", "a if {\n\tx := input.x\n\tx\n}"),
    Case("f(x) if {\n\tx := 1\n}", "reassigned-variable", "f(x) if {\n\tx == 1\n}"),
    Case("a if not x := 1", "reassigned-variable", "a if not input.x == 1"),
    Case("a if {\n\tinput.x := 1\n}", "assigned-term", "a if {\n\tinput.x == 1\n}"),
    Case("a if {\n\t1 := input.x\n}", "assigned-term", "a if {\n\t1 == input.x\n}"),
    Case(
        "a if {\n\tf(1) := 2\n}\n\nf(x) := x",
        "assigned-term",
        "a if {\n\tf(1) == 2\n}\n\nf(x) := x",
    ),
    Case(
        "a if {\n\tx := 1\n\tinput.y\n}", "unused-variable", "a if {\n\tx := 1\n\tinput.y == x\n}"
    ),
    Case("a if {\n\tsome x\n\tinput.y\n}", "unused-variable", "a if {\n\tsome x\n\tinput.y[x]\n}"),
    Case(
        "a if {\n\t[p, q] := input.x\n\tp\n}",
        "unused-variable",
        "a if {\n\t[p, _] := input.x\n\tp\n}",
    ),
    Case(
        "a if {\n\tx := 1\n\ty := [x | x := input.z[_]]\n\ty\n}",
        "unused-variable",
        "a if {\n\ty := [x | x := input.z[_]]\n\ty\n}",
    ),
    Case(
        "a if {\n\tevery x in input.y {\n\t\tinput.z\n\t}\n}",
        "unused-variable",
        "a if {\n\tevery x in input.y {\n\t\tx\n\t}\n}",
    ),
    Case(
        "a if {\n\tevery k, v in input.y {\n\t\tv\n\t}\n}",
        "unused-variable",
        "a if {\n\tevery _, v in input.y {\n\t\tv\n\t}\n}",
    ),
    Case("f(x) := 1", "unused-variable", "f(_) := 1"),
    Case("f([x, y]) := x", "unused-variable", "f([x, _]) := x"),
    Case(
        "f(x) if {\n\ty := [x | x := input.z[_]]\n\ty\n}",
        "unused-variable",
        "f(x) if {\n\ty := [z | z := input.z[_]]\n\ty[x]\n}",
    ),
    # Names that are taken.
    Case(
        "a if {\n\tinput := 1\n\tinput == 1\n}",
        "shadowed-name",
        "a if {\n\tgiven := 1\n\tgiven == 1\n}",
    ),
    Case(
        "a if {\n\tdata := input.x\n\tdata\n}",
        "shadowed-name",
        "a if {\n\tfound := input.x\n\tfound\n}",
    ),
    Case("f(input) := input", "shadowed-name", "f(given) := given"),
    Case("input := 1", "shadowed-name", "given := 1"),
    Case("data := 1", "shadowed-name", "found := 1"),
    # Imports.
    Case("import data.foo\n\na := 1", "import", "import data.foo\n\na := foo"),
    Case("import data.foo\nimport data.foo\n\na := foo", "import", "import data.foo\n\na := foo"),
    Case(
        "import data.foo\nimport data.bar.foo\n\na := foo",
        "import",
        "import data.foo\nimport data.bar.foo as bar\n\na := foo\n\nb := bar",
    ),
    Case("import rego.v1\nimport rego.v1\n\na := 1", "import", "import rego.v1\n\na := 1"),
    Case(
        "import data.foo.bar\n\na if {\n\tbar := input.x\n\tbar\n}",
        "import",
        "import data.foo.bar\n\na if {\n\tbar := input.x\n\tbar\n}\n\nb := bar",
    ),
    Case("import data.foo as a\n\na := 1", "import", "import data.foo as b\n\na := b"),
    Case("import foo.bar\n\na := 1", "import", "a := 1"),
    # Rules that do not go together.
    Case("default a := 1\n\ndefault a := 2", "conflicting-rules", "default a := 1"),
    Case("default a := 1\n\na contains 1", "conflicting-rules", "default a := 1\n\na := 2"),
    Case("a := 1\n\na contains 1", "conflicting-rules", "a contains 2\n\na contains 1"),
    Case(
        "a contains x if x := input.x\n\na[x] := 1 if x := input.y",
        "conflicting-rules",
        "a contains x if x := input.x",
    ),
    Case("f(x) := x\n\nf(x, y) := x + y", "conflicting-rules", "f(x) := x\n\ng(x, y) := x + y"),
    Case("f(x) := x\n\nf := 1", "conflicting-rules", "f(x) := x\n\ng := 1"),
    Case(
        "package guardrails.probe\n\na.b := 1\n\na := 2",
        "conflicting-rules",
        "package guardrails.probe\n\na.b := 1\n\na.c := 2",
    ),
    Case(
        "package guardrails.probe\n\na.b := 1\n\na contains 1",
        "conflicting-rules",
        "package guardrails.probe\n\na.b := 1\n\nc contains 1",
    ),
    Case(
        "package guardrails.probe\n\na.b.c := 1\n\na.b := 2",
        "conflicting-rules",
        "package guardrails.probe\n\na.b.c := 1\n\na.b.d := 2",
    ),
    Case("default a := input.x", "rule-form", "default a := {1}"),
    Case("a contains 1 if input.x else := 2", "rule-form", "a contains 1 if input.x"),
    Case("a := 1 { input.x }", "v0-syntax", "a := 1 if input.x"),
    Case("a { input.x }", "v0-syntax", "a if input.x"),
    # Calls.
    Case('a := lowr("A")', "unknown-builtin", 'a := lower("A")'),
    Case("a := data.foo.f(1)", "unknown-builtin", "a := data.foo.f"),
    Case("f(x) := x\n\na := f(1, 2, 3)", "call", "f(x) := x\n\na := f(1)"),
    Case("f(x) := x\n\na := f", "call", "f(x) := x\n\na := f(1)"),
    Case('a := lower("A", "B", "C")', "call", 'a := lower("A")'),
    Case("a if startswith(input.x)", "call", 'a if startswith(input.x, "a")'),
    Case("a if any([true])", "deprecated-builtin", "a if true in [true]"),
    Case('a if re_match("a", input.x)', "deprecated-builtin", 'a if regex.match("^a$", input.x)'),
    # Recursion.
    Case("a := b\n\nb := a", "recursion", "a := b\n\nb := 1"),
    Case("f(x) := f(x)", "recursion", "f(x) := x"),
    # Types.
    Case('a if lower(5) == "x"', "type-error", 'a if lower("X") == "x"'),
    Case('a if lower(count(input.x)) == "5"', "type-error", "a if count(input.x) == 5"),
    Case('a if 1 == "a"', "type-error", "a if input.x == 1"),
    Case('a if count(input.x) == "a"', "type-error", "a if count(input.x) == 2"),
    Case('b := "x"\n\na if b == 1', "type-error", 'b := "x"\n\na if b == "y"'),
    Case('a if split(input.x, ",") == "a"', "type-error", 'a if split(input.x, ",") == ["a"]'),
    Case('a if input.x + "a" == 2', "type-error", "a if input.x + 1 == 2"),
    Case("a := 1 + true", "type-error", "a := 1 + 2"),
    Case("a if [1, 2] == [1]", "type-error", "a if [1, 2] == [1, 3]"),
    Case('a if {"a": 1} == {"b": 1}', "type-error", 'a if {"a": 1} == {"a": 2}'),
    Case("a if {1} == [1]", "type-error", "a if {1} == {2}"),
    Case("a if set() == {}", "type-error", "a if set() == {1}"),
    Case("a if {\n\tsome x in 5\n\tx\n}", "type-error", "a if {\n\tsome x in [5]\n\tx\n}"),
    Case(
        'a if {\n\tsome x in [1, 2]\n\tx == "a"\n}',
        "type-error",
        "a if {\n\tsome x in [1, 2]\n\tx == 3\n}",
    ),
    Case(
        'a contains "x" if input.x\n\nb if a == "x"',
        "type-error",
        'a contains "x" if input.x\n\nb if a == {"x"}',
    ),
    Case('a if concat(",", [1])', "type-error", 'a if concat(",", ["1"])'),
    Case('a if sprintf("%v", 5) == "5"', "type-error", 'a if sprintf("%v", [5]) == "5"'),
    Case('a if object.get([1], "a", 1)', "type-error", 'a if object.get(input, "a", 1)'),
    Case('a if sum(["a"])', "type-error", "a if sum([1])"),
    Case('a if {"a"} | ["a"]', "type-error", 'a if {"a"} | {"b"}'),
    Case("a if to_number({})", "type-error", 'a if to_number("1")'),
    Case(
        'a if {\n\tx := {"a": 1}\n\tx.b == 1\n}',
        "undefined-reference",
        'a if {\n\tx := {"a": 1}\n\tx.a == 1\n}',
    ),
    Case('b := "s"\n\na if b.c', "undefined-reference", 'b := {"c": 1}\n\na if b.c'),
    Case("a if {\n\tx := 5\n\tx[0]\n}", "undefined-reference", "a if {\n\tx := [5]\n\tx[0]\n}"),
]
