"""Policies and inputs at the edge of what can be: each with the value that would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.values import UNDEFINED, RegoSet, equal

if TYPE_CHECKING:
    from collections.abc import Callable


def told(value: Any, expected: Any) -> str:
    """What an evaluation gave: ``right``, ``undefined`` or ``wrong``."""
    if value is UNDEFINED:
        return "undefined"
    return "right" if expected is not UNDEFINED and equal(value, expected) else "wrong"


Case = tuple["Callable[[], tuple[str, Any]]", Any]
_HEAD: Final = "package p\n\nimport rego.v1\n\n"


def _loops(depth: int) -> tuple[str, Any]:
    lines = [f"\tsome v{n} in input.x" for n in range(depth)]
    last = " + ".join(f"v{n}" for n in range(depth))
    return _HEAD + "main := s if {\n" + "\n".join(lines) + f"\n\ts := {last}\n}}\n", {"x": [1]}


def _sets_in_loops(depth: int) -> tuple[str, Any]:
    inner = "1"
    for number in range(depth):
        inner = f"count([1 | some y{number} in input.x; y{number} > 0; {inner} > 0])"
    return _HEAD + f"main := {inner}\n", {"x": [1]}


def _chain(length: int, *, uses: int = 1) -> tuple[str, Any]:
    rules = ["r0 := input.x"]
    for number in range(1, length):
        before = " + ".join([f"r{number - 1}"] + ["0"] * (uses - 1))
        rules.append(f"r{number} := {before} + 1")
    return _HEAD + "\n\n".join([*rules, f"main := r{length - 1}"]) + "\n", {"x": 1}


def _diamonds(length: int) -> tuple[str, Any]:
    rules = ["r0 := input.x"]
    rules += [f"r{n} := r{n - 1} + (r{n - 1} - r{n - 1})" for n in range(1, length)]
    return _HEAD + "\n\n".join([*rules, f"main := r{length - 1}"]) + "\n", {"x": 1}


def _functions(length: int) -> tuple[str, Any]:
    rules = ["f0(x) := x"]
    rules += [f"f{n}(x) := f{n - 1}(x) + 1" for n in range(1, length)]
    return _HEAD + "\n\n".join([*rules, f"main := f{length - 1}(input.x)"]) + "\n", {"x": 1}


def _elses(length: int) -> tuple[str, Any]:
    parts = ["main := 0 if input.x == 0"]
    parts += [f"else := {n} if input.x == {n}" for n in range(1, length)]
    return _HEAD + "\n\n".join(parts) + "\n", {"x": length - 1}


def _conditions(length: int) -> tuple[str, Any]:
    lines = [f"\tinput.x != {n}" for n in range(1, length)]
    return _HEAD + "main if {\n" + "\n".join(lines) + "\n}\n", {"x": 0}


def _bodies(length: int) -> tuple[str, Any]:
    bodies = [f'main contains "m{n}" if input.x == {n}' for n in range(length)]
    return _HEAD + "\n\n".join(bodies) + "\n", {"x": length}


def _deep_array(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


def _deep(depth: int) -> tuple[str, Any]:
    source = "main if { input.x == input.y; is_array(input.x); {input.x}[input.y]; walked > 0 }\n"
    source += "\nwalked := count([1 | walk(input.x, [_, _])])\n"
    return _HEAD + source, {"x": _deep_array(depth), "y": _deep_array(depth)}


def _deep_result(depth: int) -> tuple[str, Any]:
    return _HEAD + 'main := {"x": input.x}\n', {"x": _deep_array(depth)}


def _deep_literal(depth: int) -> tuple[str, Any]:
    return _HEAD + f"main := count({'[' * depth}input.x{']' * depth})\n", {"x": 1}


def _long_text(size: int) -> tuple[str, Any]:
    source = (
        'main := count(concat(",", [lower(input.x), upper(input.x)])) if {'
        ' not contains(input.x, "b"); not regex.match("b$", input.x);'
        ' count(split(input.x, "b")) == 1; trim_space(input.x) == input.x;'
        ' replace(input.x, "b", "c") == input.x }\n'
    )
    return _HEAD + source, {"x": "a" * size}


def _pattern(pattern: str) -> tuple[str, Any]:
    return _HEAD + f"main if not regex.match(`{pattern}`, input.x)\n", {"x": "a" * 50_000 + "!"}


def _given_pattern(pattern: str) -> tuple[str, Any]:
    text = {"x": "a" * 50_000 + "!", "p": pattern}
    return _HEAD + "main if not regex.match(input.p, input.x)\n", text


def _rule(body: str, document: Any = None) -> Callable[[], tuple[str, Any]]:
    return lambda: (_HEAD + body + "\n", document or {"x": 1})


def _doubling(start: str, step: str, times: int) -> Callable[[], tuple[str, Any]]:
    rules = [f"r0 := {start}"] + [
        f"r{n} := {step.replace('R', f'r{n - 1}')}" for n in range(1, times)
    ]
    return lambda: (
        _HEAD + "\n\n".join([*rules, f"main := count(r{times - 1}) > 0"]) + "\n",
        {"x": ["a"]},
    )


CASES: Final[dict[str, Case]] = {
    "loops 12": (lambda: _loops(12), 12),
    "loops 19": (lambda: _loops(19), 19),
    "loops 50": (lambda: _loops(50), 50),
    "loops 150": (lambda: _loops(150), 150),
    "comprehensions 10": (lambda: _sets_in_loops(10), 1),
    "comprehensions 40": (lambda: _sets_in_loops(40), 1),
    "rule chain 1000": (lambda: _chain(1_000), 1_000),
    "rule chain 5000": (lambda: _chain(5_000), 5_000),
    "diamonds 60": (lambda: _diamonds(60), 1),
    "function chain 1000": (lambda: _functions(1_000), 1_000),
    "else chain 500": (lambda: _elses(500), 499),
    "else chain 3000": (lambda: _elses(3_000), 2_999),
    "conditions 500": (lambda: _conditions(500), True),
    "conditions 5000": (lambda: _conditions(5_000), True),
    "bodies 2000": (lambda: _bodies(2_000), RegoSet()),
    "input 200 deep": (lambda: _deep(200), True),
    "input 10000 deep": (lambda: _deep(10_000), True),
    "result 400 deep": (lambda: _deep_result(400), {"x": _deep_array(400)}),
    "result 10000 deep": (lambda: _deep_result(10_000), UNDEFINED),
    "literal 60 deep": (lambda: _deep_literal(60), 1),
    "literal 3000 deep": (lambda: _deep_literal(3_000), 1),
    "10 MB text": (lambda: _long_text(10_000_000), 20_000_001),
    "pattern (a+)+$": (lambda: _pattern("^(a+)+$"), True),
    "pattern (a|aa)+$": (lambda: _pattern("^(a|aa)+$"), True),
    "pattern a{1000}{1000}": (lambda: _pattern("(a{1000}){1000}"), True),
    "given pattern (a*)*b": (lambda: _given_pattern("^(a*)*b"), True),
    "given pattern .*.*.*=": (lambda: _given_pattern(".*.*.*.*.*="), True),
    "range": (_rule("main := count(numbers.range(1, 1000000000000)) > input.x"), True),
    "given range": (
        _rule("main := count(numbers.range(1, input.x))", {"x": 10**15}),
        10**15,
    ),
    "ranges in loops": (
        _rule(
            "main := count([1 | some a in numbers.range(1, 1000); some b in numbers.range(1, 1000);"
            " a * b == input.x])"
        ),
        1,
    ),
    "powers": (_rule("main := count(format_int(bits.lsh(1, 1000000000), 10)) > input.x"), True),
    "products": (
        _doubling("[1e3000]", "[p | p := product([x | some x in array.concat(R, R)])]", 12),
        True,
    ),
    "texts that double": (_doubling('"aaaaaaaaaa"', 'concat("", [R, R])', 40), True),
    "given texts that double": (_doubling("input.x[0]", 'concat("", [R, R])', 40), True),
    "arrays that double": (_doubling("[1]", "array.concat(R, R)", 40), True),
    "given arrays that double": (_doubling("input.x", "array.concat(R, R)", 40), True),
    "arrays of arrays": (_doubling("[1]", "[R, R]", 40), True),
    "arrays of arrays that are compared": (
        lambda: (
            _HEAD
            + "r0 := input.x\n\n"
            + "\n\n".join(f"r{n} := [r{n - 1}, r{n - 1}]" for n in range(1, 30))
            + "\n\nmain := json.marshal(r29) == json.marshal([r28, r28])\n",
            {"x": 1},
        ),
        True,
    ),
    "wide padding": (_rule('main := count(sprintf("%1000000000d", [input.x])) > 0'), True),
    "repeated replacement": (
        _doubling('"a"', 'replace(R, "a", "aaaaaaaaaa")', 12),
        True,
    ),
}
"""By name: what makes the module and the input, and what `main` should be."""

QUICK: Final = (
    *("loops 50", "loops 150", "rule chain 1000", "else chain 500", "conditions 500"),
    *("input 10000 deep", "result 400 deep", "10 MB text", "pattern (a+)+$", "given range"),
    *("given pattern (a*)*b", "arrays of arrays", "given texts that double", "products"),
)
"""The cases of a normal run."""

REFUSED: Final = frozenset({"loops 150"})
"""The cases that are refused at load; of no other case is that right."""
