"""Builtins on numbers and times, where the shapes say that Python does what they do.

Rego's numbers have no bounds, and what its builtins round, they round as OPA does. Of whole
numbers whose span is known Python's own operators give the same; else helpers see to it that
what is easy takes little time, and the builtin does the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.rego.emit.abstract import ArrayLiteral, Known, Test, Variable
from guardrails.rego.emit.shapes import (
    ANYTHING,
    NUMBER,
    Kind,
    Shape,
    array_of,
    span_of,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from guardrails.rego.emit.abstract import Abstract
    from guardrails.rego.emit.walk import Walk

Form: TypeAlias = "Callable[[Walk, Sequence[Abstract]], Abstract | None]"
"""Gives the value of a call with these arguments; None where it has no form for them."""


def compared(operator: str) -> Form:
    """Of ``gt`` and its like."""

    def form(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
        a, b = args
        told = _told(operator, span_of(walk.shape(a)), span_of(walk.shape(b)))
        if told is not None:
            return Known(told)
        if isinstance(b, Known) and b.value == 0 and isinstance(a, Variable):
            weighed = walk.facts.get(("difference", a.name))
            if isinstance(weighed, tuple):
                return _weighed(walk, operator, *weighed)
            counted = walk.facts.get(("count", a.name))
            if isinstance(counted, str) and operator == ">":
                return Test(f"not not {counted}")
        texts = f"{walk.text(a)} {operator} {walk.text(b)}"
        for kind in (Kind.NUMBER, Kind.STRING):
            # Python orders texts by their code points, which is the order of their UTF-8.
            if all(walk.shape(arg).is_only(kind) for arg in args):
                return Test(texts)
        return Test(f"compare({walk.text(a)}, {walk.text(b)}) {operator} 0")

    return form


def _told(operator: str, one: tuple[int, int] | None, other: tuple[int, int] | None) -> bool | None:
    """How whole numbers of two spans compare, where it is the same for all of them."""
    if one is None or other is None:
        return None
    if operator in (">", "<="):
        below = True if one[1] <= other[0] else False if one[0] > other[1] else None
        return below if operator == "<=" or below is None else not below
    above = True if one[0] >= other[1] else False if one[1] < other[0] else None
    return above if operator == ">=" or above is None else not above


def helped(helper: str, shape: Shape) -> Form:
    """Of a builtin on numbers or texts that a helper does in less time where it is easy."""

    def form(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
        if not walk.unit.strict:
            return None
        kinds = Kind.STRING if helper == "number_in" else Kind.NUMBER
        if not all(walk.shape(arg).is_only(kinds) for arg in args):
            return None
        return walk.bind(f"{helper}({', '.join(map(walk.text, args))})", shape)

    return form


def whole_number(operator: str, helper: str) -> Form:
    """Of a sum or a product: of whole numbers that stay small, as Python does it."""
    otherwise = helped(helper, NUMBER)

    def form(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
        spans = [span_of(walk.shape(arg)) for arg in args]
        one, other = spans
        if one is None or other is None:
            return otherwise(walk, args)
        if operator == "+":
            ends = [one[0] + other[0], one[1] + other[1]]
        elif not isinstance(args[0], Variable) or not isinstance(args[1], Known):
            return otherwise(walk, args)
        else:
            ends = [a * b for a in one for b in other]
        if not -_NEAR < min(ends) <= max(ends) < _NEAR:
            return otherwise(walk, args)
        texts = f" {operator} ".join(map(walk.text, args))
        return walk.bind(f"({texts})", whole(min(ends), max(ends)))

    return form


_NEAR: Final = 1 << 62
"""Below this, numbers are whole in every step of the builtins."""


def floor(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    """Of ``floor``: a whole number is its own."""
    span = span_of(walk.shape(args[0]))
    if span is not None and -_LAST_NS <= span[0] <= span[1] <= _LAST_NS:
        return args[0]
    return helped("floor", NUMBER)(walk, args)


_LAST_NS: Final = (1 << 63) - 1


def date(walk: Walk, args: Sequence[Abstract]) -> Abstract | None:
    """Of a time in UTC after 1970, in nanoseconds: the day is looked up."""
    span = span_of(walk.shape(args[0]))
    if span is None or not 0 <= span[0] <= span[1] <= _LAST_NS:
        return helped("date", array_of(NUMBER))(walk, args)
    # Python divides a large number by some small ones in less time than by their product.
    steps = "".join(f" // {walk.text(Known(each))}" for each in _DAY_NS)
    found = walk.bind(f"DAYS[{walk.text(args[0])}{steps}]", ANYTHING).name
    parts = enumerate(((1970, 2262), (1, 12), (1, 31)))
    return ArrayLiteral(
        tuple(walk.bind(f"{found}[{place}]", whole(*span)) for place, span in parts)
    )


_DAY_NS: Final = (1 << 16, 5**11, 27)
"""The nanoseconds of a day are their product."""


def difference(walk: Walk, a: Abstract, b: Abstract) -> Abstract | None:
    """Of two numbers, at least one of which is known to be one."""
    numbers = any(walk.shape(each).is_only(Kind.NUMBER) for each in (a, b))
    if not numbers or not walk.unit.strict:
        return None
    one, two = walk.text(a), walk.text(b)
    found = walk.define(f"difference({one}, {two})", NUMBER)
    if isinstance(found, Variable):
        # Whether one is larger is told without working out by how much.
        walk.facts["difference", found.name] = (a, b)
    return found


def _weighed(walk: Walk, operator: str, a: Abstract, b: Abstract) -> Test:
    """How ``a - b`` compares with zero."""
    one, two = walk.text(a), walk.text(b)
    if operator not in (">=", "<"):
        return Test(f"gap({one}, {two}) {operator} 0")
    text = f"covers({one}, {two})"
    if isinstance(b, Variable):
        # Of whole numbers that are not large, and of amounts most are, Python tells it at once.
        if isinstance(a, Known) and type(a.value) is int and 0 < a.value < _NEAR:
            text = f"(type({two}) is int and 0 < {two} <= {one} or {text})"
        elif isinstance(a, Variable):
            near = walk.text(Known(_NEAR))
            kinds = f"type({two}) is int and type({one}) is int"
            text = f"({kinds} and 0 < {two} <= {one} < {near} or {text})"
    return Test(text if operator == ">=" else f"not {text}")
