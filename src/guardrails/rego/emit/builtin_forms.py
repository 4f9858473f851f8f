"""Calls of builtins: worked out now, as an expression of Python, or as a call.

An expression stands only where the shapes of the arguments say that it does what the builtin
does; what it gives for other arguments, errors included, is the builtin's own affair.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.emit.abstract import (
    ArrayLiteral,
    Known,
    ObjectLiteral,
    SetLiteral,
    Test,
    Variable,
)
from guardrails.rego.emit.conditions import negated
from guardrails.rego.emit.equality import same
from guardrails.rego.emit.known import known_value
from guardrails.rego.emit.lookups import look_up
from guardrails.rego.emit.number_forms import (
    compared,
    date,
    difference,
    floor,
    helped,
    whole_number,
)
from guardrails.rego.emit.shapes import (
    ANYTHING,
    BOOLEAN,
    DEFINED,
    NUMBER,
    STRING,
    Kind,
    Shape,
    array_of,
    set_of,
    whole,
)
from guardrails.rego.emit.sorting import sort
from guardrails.rego.values import UNDEFINED, RegoSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.number_forms import Form
    from guardrails.rego.emit.walk import Walk


def call_builtin(walk: Walk, name: str, args: Sequence[Abstract]) -> Abstract | None:
    """The value of a builtin; None if the block is left for sure."""
    builtin = BUILTINS[name]
    args = [walk.settled(arg) for arg in args]
    if not builtin.needs_context and name not in _NEVER_NOW:
        values = [known_value(arg) for arg in args]
        if all(value is not UNDEFINED for value in values):
            try:
                now = builtin.call(*values)
            except BuiltinError:
                now = UNDEFINED  # it says so where it is run, too
            if now is not UNDEFINED and walk.unit.is_small(now):
                return Known(now)
    form = FORMS.get(name)
    value = form(walk, args) if form is not None else None
    if value is not None:
        return value
    texts = [walk.text(arg) for arg in args]
    if builtin.needs_context:
        texts.insert(0, walk.unit.context(walk))
    result = walk.unit.outcome(RESULTS.get(name, ANYTHING))
    found = walk.define(f"{walk.unit.builtin(name)}({', '.join(texts)})", result)
    if isinstance(found, Variable) and all(map(walk.is_fixed, args)):
        walk.fixed.add(found.name)
    return found


_NEVER_NOW: Final = frozenset({"numbers.range", "strings.repeat", "net.cidr_expand"})
"""What may make much of little is left to the evaluation."""

RESULTS: Final = {
    **dict.fromkeys(("plus", "mul", "abs", "ceil", "floor", "round", "to_number"), NUMBER),
    **dict.fromkeys(("count", "sum", "indexof"), NUMBER),
    **dict.fromkeys(("lower", "upper", "sprintf", "concat", "replace", "substring"), STRING),
    **dict.fromkeys(("trim", "trim_space", "trim_prefix", "trim_suffix"), STRING),
    **dict.fromkeys(("startswith", "endswith", "contains", "regex.match"), BOOLEAN),
    **dict.fromkeys(("gt", "gte", "lt", "lte", "equal", "neq"), BOOLEAN),
    **dict.fromkeys(("internal.member_2", "internal.member_3"), BOOLEAN),
    "split": array_of(STRING),
    "sort": Shape(Kind.ARRAY),
    "object.keys": Shape(Kind.SET),
    "object.union": Shape(Kind.OBJECT),
    "time.date": array_of(NUMBER),
    "time.parse_rfc3339_ns": NUMBER,
}
"""What these builtins give where they do not refuse their arguments."""


def _is_kind(kind: Kind, python: str) -> Form:
    """Of ``is_string`` and its like."""

    def form(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
        (value,) = args
        shape = walk.shape(value)
        if shape.is_only(kind):
            return Known(value=True)
        if not shape.may_be(kind):
            return Known(value=False)
        holds, fails = {}, {}
        if isinstance(value, Variable) and not value.changes:
            holds = {value.name: shape.within(kind)}
            fails = {value.name: shape.without(kind)}
        text = walk.text(value)
        if not shape.may_be(~(kind | Kind.NULL)):
            return Test(f"{text} is not None", holds, fails)
        return Test(python.format(text), holds, fails)

    return form


def _equal(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    return same(walk, *args)


def _differs(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    found = same(walk, *args)
    if isinstance(found, Known):
        return Known(not found.value)
    if isinstance(found, Test):
        return Test(negated(found.text), found.fails, found.holds)
    return None


def _count(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    (value,) = args
    if isinstance(value, ArrayLiteral):
        return Known(len(value.items))
    if isinstance(value, ObjectLiteral):
        return Known(len(value.fields))
    if isinstance(value, SetLiteral) and not value.members:
        return Known(0)
    if not walk.shape(value).is_only(Kind.ARRAY | Kind.OBJECT | Kind.SET | Kind.STRING):
        return None
    text = walk.raw_text(value) or walk.text(value)
    found = walk.bind(f"len({text})", whole(int(walk.shape(value).filled), _LONGEST))
    if isinstance(value, Variable) and not value.changes:
        walk.facts["count", found.name] = text  # whether there is anything is told without
    return found


_LONGEST: Final = 1 << 62
"""No text or collection is longer."""


def _member(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    value, source = args
    shape, sort = walk.shape(value), walk.shape(source)
    if not sort.may_be(Kind.ARRAY | Kind.OBJECT | Kind.SET):
        return Known(value=False)
    text = walk.text(value)
    if isinstance(source, Known):
        keys = walk.unit.constant_keys(source)
        if not source.value:
            return Known(value=False)
        if shape.is_only(Kind.PLAIN):
            return Test(f"{text} in {keys}")
        return Test(f"{walk.key_text(value)} in {keys}")
    if isinstance(source, ArrayLiteral | SetLiteral):
        return _member_of_literal(walk, value, source)
    raw = walk.raw_text(source)
    if raw is not None:
        return Test(f"{walk.key_text(value)} in {raw}")
    held = walk.text(source)
    if shape.is_only(Kind.STRING | Kind.NULL):
        if sort.is_only(Kind.ARRAY):
            return Test(f"{text} in {held}")
        if sort.is_only(Kind.OBJECT):
            return Test(f"{text} in {held}.values()")
        if sort.is_only(Kind.SET):
            return Test(f"{text} in {held}.keys")
    return Test(f"is_member({text}, {held})")


def _member_of_literal(
    walk: Walk, value: Abstract, source: ArrayLiteral | SetLiteral
) -> Abstract | None:
    listed = source.items if isinstance(source, ArrayLiteral) else source.members
    found = [same(walk, value, item) for item in listed]
    if any(isinstance(each, Known) and each.value is True for each in found):
        return Known(value=True)
    texts = [f"({walk.text(each)})" for each in found if not isinstance(each, Known)]
    return Test(" or ".join(texts)) if texts else Known(value=False)


def _affix(method: str) -> Form:
    """Of ``startswith`` and ``endswith``."""

    def form(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
        if not all(walk.shape(arg).is_only(Kind.STRING) for arg in args):
            return None
        text, affix = map(walk.text, args)
        return Test(f"{text}.{method}({affix})")

    return form


def _contains(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    if not all(walk.shape(arg).is_only(Kind.STRING) for arg in args):
        return None
    text, part = map(walk.text, args)
    return Test(f"{part} in {text}")


def _match(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    pattern, value = args
    if not isinstance(pattern, Known) or not walk.shape(value).is_only(Kind.STRING):
        return None
    search = walk.unit.search(pattern.value, walk.text(value))
    return None if search is None else Test(f"{search} is not None")


def _object_get(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    source, key, default = args
    path = known_value(key)
    whole = known_value(default)
    if whole is not UNDEFINED:
        default = Known(whole)
    if type(path) is list:
        return _get_along(walk, source, [Known(name) for name in path], default)
    if isinstance(key, ArrayLiteral):
        return _get_along(walk, source, key.items, default)
    shape = walk.shape(source)
    if not shape.is_only(Kind.OBJECT) or not walk.shape(key).is_only(Kind.PLAIN):
        return None
    if isinstance(source, ObjectLiteral):
        return source.fields.get(path, default) if path is not UNDEFINED else None
    if isinstance(source, Known):
        found = walk.unit.shape_of_items(source)
        if not source.value:
            return default
    elif isinstance(path, str):
        found = shape.at(path)
        if found.defined:
            return look_up(walk, source, key)
    else:
        found = shape.items()
    if found.kinds == Kind.UNDEFINED:
        return default
    result = walk.unit.either(found, walk.shape(default))
    fixed = walk.is_fixed(source) and walk.is_fixed(default)
    text = f"{walk.text(source)}.get({walk.text(key)}, {walk.text(default)})"
    value = walk.bind(text, result)
    if fixed:
        walk.fixed.add(value.name)
    return value


def _get_along(
    walk: Walk, source: Abstract, path: Sequence[Abstract], default: Abstract
) -> Abstract | None:
    """Along a path of names, all of which but the last are known to be there."""
    for place, name in enumerate(path):
        shape = walk.shape(source)
        if not shape.is_only(Kind.OBJECT) or not walk.shape(name).is_only(Kind.STRING):
            return None
        if place == len(path) - 1:
            return _object_get(walk, [source, name, default])
        if not isinstance(name, Known) or not shape.at(name.value).defined:
            return None
        below = look_up(walk, source, name)
        if below is None:
            return None
        source = below
    return None


def _type_name(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    kinds = walk.shape(args[0]).kinds
    for kind, name in _TYPE_NAMES.items():
        if not kinds & ~kind:
            return Known(name)
    return None


_TYPE_NAMES: Final = {
    Kind.NULL: "null",
    Kind.BOOLEAN: "boolean",
    Kind.NUMBER: "number",
    Kind.STRING: "string",
    Kind.ARRAY: "array",
    Kind.OBJECT: "object",
    Kind.SET: "set",
}


def _keys(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    (value,) = args
    if not walk.shape(value).is_only(Kind.OBJECT):
        return None
    if isinstance(value, ObjectLiteral):
        return None
    shape, text = walk.shape(value), walk.text(value)
    if shape.closed:
        return Known(RegoSet(shape.fields))
    named = shape.named or shape.json
    found = walk.bind(f"keys({text})", set_of(STRING if named else DEFINED), raw=True)
    walk.facts["keys", found.name] = f"{text}.keys()"
    return found


def _union(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    """Of an object whose names are known with one that is just made, which wins."""
    one, other = args
    shape = walk.shape(one)
    if not shape.is_only(Kind.OBJECT) or not isinstance(other, ObjectLiteral):
        return None
    if not shape.closed or any(
        walk.shape(each).may_be(Kind.OBJECT) for each in other.fields.values()
    ):
        return None
    fields: dict[object, Abstract] = {}
    for name in shape.fields:
        value = other.fields.get(name) or look_up(walk, one, Known(name))
        if value is None:
            return None
        fields[name] = value
    return ObjectLiteral({**fields, **other.fields})


def _minus(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    raws = [walk.raw_text(arg) for arg in args]
    a, b = args
    if isinstance(b, Known) and type(b.value) is RegoSet:
        raws[1] = walk.unit.constant_keys(b)
    if raws[0] is None or raws[1] is None:
        return difference(walk, a, b)
    found = walk.bind(f"without({raws[0]}, {raws[1]})", walk.shape(a), raw=True)
    keys = walk.facts.get(("keys", a.name)) if isinstance(a, Variable) else None
    if isinstance(keys, str) and isinstance(b, Known):
        walk.facts["empty", found.name] = f"{keys} <= {raws[1]}"
    return found


def _text_form(pattern: str, *, known: frozenset[int] = frozenset()) -> Form:
    """Of a builtin on texts that a method of Python does as well.

    Args:
        pattern: The expression.
        known: The arguments that must be known, and not empty.
    """

    def form(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
        if not all(walk.shape(arg).is_only(Kind.STRING) for arg in args):
            return None
        if not walk.unit.strict:
            return None  # what is too long is an error there, and undefined here
        for place in known:
            arg = args[place]
            if not isinstance(arg, Known) or not arg.value:
                return None
        shape = array_of(STRING) if ".split(" in pattern else STRING
        return walk.bind(pattern.format(*map(walk.text, args)), shape)

    return form


def _concat(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    delimiter, parts = args
    shape = walk.shape(parts)
    if not walk.shape(delimiter).is_only(Kind.STRING) or not shape.is_only(Kind.ARRAY):
        return None
    if not walk.unit.strict:
        return None
    if isinstance(parts, ArrayLiteral):
        texts = all(walk.shape(item).is_only(Kind.STRING) for item in parts.items)
    else:
        texts = shape.items().is_only(Kind.STRING)
    helper = "concatenated" if texts else "joined"
    return walk.bind(f"{helper}({walk.text(delimiter)}, {walk.text(parts)})", STRING)


def _sprintf(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    """Of a template that is known, with nothing but ``%s`` of texts and ``%v``."""
    template, values = args
    if not isinstance(template, Known) or not isinstance(values, ArrayLiteral):
        return None
    if type(template.value) is not str or not walk.unit.strict:
        return None
    pieces = re.split("(%[sv])", template.value)
    verbs = pieces[1::2]
    if len(verbs) != len(values.items) or any("%" in piece for piece in pieces[::2]):
        return None
    parts = []
    for piece, verb, value in zip(pieces[::2], verbs, values.items, strict=False):
        text = walk.shape(value).is_only(Kind.STRING)
        if verb == "%s" and not text:
            return None
        parts += [walk.text(Known(piece))] if piece else []
        parts.append(walk.text(value) if text else f"shown({walk.text(value)})")
    parts += [walk.text(Known(pieces[-1]))] if pieces[-1] else []
    return walk.bind(f"concatenated({walk.text(Known(''))}, [{', '.join(parts)}])", STRING)


def _substring(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    text, offset, length = args
    start = known_value(offset)
    if not walk.shape(text).is_only(Kind.STRING) or type(start) is not int or start:
        return None
    size = known_value(length)
    if type(size) is not int or size < 0:
        return None
    return walk.bind(f"{walk.text(text)}[:{walk.text(length)}]", STRING)


FORMS: Final[dict[str, Form]] = {
    "concat": _concat,
    "contains": _contains,
    "count": _count,
    "endswith": _affix("endswith"),
    "equal": _equal,
    "eq": _equal,
    "floor": floor,
    "gt": compared(">"),
    "gte": compared(">="),
    "internal.member_2": _member,
    "is_array": _is_kind(Kind.ARRAY, "type({}) is list"),
    "is_boolean": _is_kind(Kind.BOOLEAN, "type({}) is bool"),
    "is_null": _is_kind(Kind.NULL, "{} is None"),
    "is_number": _is_kind(Kind.NUMBER, "type({}) in NUMBERS"),
    "is_object": _is_kind(Kind.OBJECT, "type({}) is dict"),
    "is_set": _is_kind(Kind.SET, "type({}) is Set"),
    "is_string": _is_kind(Kind.STRING, "type({}) is str"),
    "lower": _text_form("({0}.lower() if {0}.isascii() else lower({0}))"),
    "lt": compared("<"),
    "lte": compared("<="),
    "minus": _minus,
    "mul": whole_number("*", "product"),
    "neq": _differs,
    "object.get": _object_get,
    "plus": whole_number("+", "total"),
    "object.keys": _keys,
    "object.union": _union,
    "regex.match": _match,
    "replace": _text_form("substituted({0}, {1}, {2})", known=frozenset({1})),
    "sort": sort,
    "sprintf": _sprintf,
    "split": _text_form("{0}.split({1})", known=frozenset({1})),
    "startswith": _affix("startswith"),
    "substring": _substring,
    "time.date": date,
    "to_number": helped("number_in", NUMBER),
    "trim_space": _text_form("trim_space({0})"),
    "type_name": _type_name,
    "upper": _text_form("({0}.upper() if {0}.isascii() else upper({0}))"),
}
"""The builtins that have a form in Python."""
