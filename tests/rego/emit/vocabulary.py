"""The words of random plans, and documents for them: a schema, inputs that obey it, junk, data."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.rego.values import UNDEFINED

if TYPE_CHECKING:
    import random

NUMBERS: Final = (
    *("0", "1", "1.0", "2", "3", "-1", "0.5", "1.50", "10", "100", "1e2", "-0.0", "0.1", "0.3"),
    *("9007199254740992", "9007199254740993", "9007199254740993.0", "9223372036854775807"),
    *("9223372036854775808", "4611686018427387904", "18446744073709551616"),
    *("12345678901234567890.5", "1e-7", "1e300", "1700000000000000000"),
)
STRINGS: Final = (
    *("a", "b", "result", "", "A", "É", "İ", "ß", "😀", "x,y", " a ", "\u00a0", "\n", "r0", "r1"),
    *("1", "01", "1.0", "-0", "a.b", "%v", "{0}", "'", '"', "\\", "__import__('os')", "ﬁ"),
    *("amount", "name", "true", "^a", "(", "a\n"),
)
BUILTINS: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    **dict.fromkeys(("plus", "mul", "div", "rem"), (("num", "num"), "num")),
    **dict.fromkeys(("gt", "gte", "lt", "lte", "equal", "neq"), (("", ""), "bool")),
    **dict.fromkeys(("is_array", "is_boolean", "is_null", "is_number"), (("",), "bool")),
    **dict.fromkeys(("is_object", "is_set", "is_string"), (("",), "bool")),
    **dict.fromkeys(("startswith", "endswith", "contains"), (("str", "str"), "bool")),
    **dict.fromkeys(("lower", "upper", "trim_space"), (("str",), "str")),
    **dict.fromkeys(("and", "or"), (("set", "set"), "set")),
    "abs": (("num",), "num"),
    "array.concat": (("arr", "arr"), "arr"),
    "concat": (("str", "arr"), "str"),
    "count": (("",), "num"),
    "floor": (("num",), "num"),
    "internal.member_2": (("", ""), "bool"),
    "internal.member_3": (("", "", ""), "bool"),
    "json.marshal": (("",), "str"),
    "max": (("arr",), "any"),
    "minus": (("", ""), "any"),
    "object.get": (("obj", "", ""), "any"),
    "object.keys": (("obj",), "set"),
    "object.union": (("obj", "obj"), "obj"),
    "regex.match": (("str", "str"), "bool"),
    "replace": (("str", "str", "str"), "str"),
    "round": (("num",), "num"),
    "sort": (("set",), "arr"),
    "split": (("str", "str"), "arr"),
    "sprintf": (("str", "arr"), "str"),
    "substring": (("str", "num", "num"), "str"),
    "sum": (("arr",), "num"),
    "time.date": (("num",), "arr"),
    "time.now_ns": ((), "num"),
    "to_number": (("",), "num"),
    "type_name": (("",), "str"),
    "union": (("set",), "set"),
}
"""The builtins that plans call: the kinds of their arguments, and of what they give."""

ITEM: Final = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "kind": {"type": "string"}},
    "required": ["id", "kind"],
    "additionalProperties": False,
}
SCHEMA: Final = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "flags": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "items": {"type": "array", "items": ITEM},
        "nested": {
            "type": "object",
            "properties": {"a": {"type": ["string", "null"]}, "b": {"type": "object"}},
            "required": ["a"],
        },
        "any": True,
        "on": {"type": "boolean"},
        "at": {"type": "integer", "minimum": 0, "maximum": 9223372036854775807},
        "few": {"type": "integer", "minimum": -3, "maximum": 1000},
    },
    "required": ["amount", "name", "tags", "flags", "at"],
    "additionalProperties": False,
}
"""What inputs of :func:`fitting` obey."""

PARTS: Final = {"name": "a", "tags": ["a", "b"], "nested": {"a": "x", "b": {"a": 1}}}
"""Parts of the input that a program may be made for."""


def number(chance: random.Random) -> Any:
    """A number of Rego."""
    text = chance.choice(NUMBERS)
    return int(text) if text.lstrip("-").isdigit() else Decimal(text)


def scalar(chance: random.Random) -> Any:
    """A value without parts."""
    return chance.choice(
        [None, True, False, number(chance), number(chance), chance.choice(STRINGS)]
    )


def junk(chance: random.Random, depth: int = 3) -> Any:
    """Any JSON document."""
    kind = chance.randrange(5 if depth else 3)
    if kind == 3:
        return [junk(chance, depth - 1) for _ in range(chance.randint(0, 3))]
    if kind == 4:
        size = chance.randint(0, 3)
        return {chance.choice(STRINGS): junk(chance, depth - 1) for _ in range(size)}
    return scalar(chance)


def fitting(chance: random.Random, parts: Any = None) -> dict[str, Any]:
    """An input that obeys :data:`SCHEMA`, with `parts` in it."""

    def texts() -> list[str]:
        return [chance.choice(STRINGS) for _ in range(chance.randint(0, 3))]

    found: dict[str, Any] = {
        "amount": number(chance),
        "name": chance.choice(STRINGS),
        "tags": texts(),
        "flags": {text: chance.random() < 0.5 for text in texts()},
        "items": [
            {"id": chance.randint(-1, 3), "kind": chance.choice(STRINGS)}
            for _ in range(chance.randint(0, 3))
        ],
        "nested": {
            "a": chance.choice([None, *STRINGS]),
            "b": {text: junk(chance, 1) for text in texts()},
            "more": junk(chance, 1),
        },
        "any": junk(chance),
        "on": chance.random() < 0.5,
    }
    for name in ("items", "nested", "any", "on"):
        if chance.random() < 0.2:
            del found[name]
    if chance.random() < 0.3 and "nested" in found:
        del found["nested"]["b"]
    found["at"] = chance.choice(
        [0, 1, 86_400_000_000_000, 2**62, 2**63 - 1, chance.getrandbits(63)]
    )
    if chance.random() < 0.8:
        found["few"] = chance.choice([-3, -1, 0, 1, 2, 31, 1000])
    return found | (parts or {})


def loose(chance: random.Random) -> Any:
    """An input that nothing is promised of."""
    draw = chance.random()
    if draw < 0.1:
        return UNDEFINED
    if draw < 0.3:
        return junk(chance)
    found = fitting(chance)
    for name in list(found):
        if chance.random() < 0.2:
            found[name] = junk(chance)
    return found


def facts(chance: random.Random) -> dict[str, Any]:
    """Base data."""

    def texts() -> list[str]:
        return [chance.choice(STRINGS) for _ in range(chance.randint(0, 3))]

    return {
        "limits": {text: number(chance) for text in texts()},
        "owners": {text: texts() for text in texts()},
        "table": [{"id": scalar(chance), "a": number(chance)} for _ in range(chance.randint(0, 3))],
        "names": texts(),
        "deep": {"a": {"b": junk(chance, 2), "a": scalar(chance)}, "b": junk(chance)},
        "on": chance.random() < 0.5,
        "any": junk(chance),
    }
