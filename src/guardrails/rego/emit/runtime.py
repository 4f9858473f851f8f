"""What the compiled functions call: the operations that are too long to stand in them.

The names in :data:`HELPERS` are all that a compiled function may use besides its own
locals, the constants, functions and builtins of its program, and a few of Python's.
"""

from __future__ import annotations

import datetime as dt
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow, Underflow
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import EvaluationError
from guardrails.rego.builtins import BUILTINS
from guardrails.rego.builtins.base import BuiltinError
from guardrails.rego.builtins.operands import utf8
from guardrails.rego.operations import dot, merged, own
from guardrails.rego.values import (
    UNDEFINED,
    RegoSet,
    compare,
    equal,
    from_key,
    sorted_keys,
    sorted_values,
    to_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from guardrails.rego.values import Key, Value


minus: Final = BUILTINS["minus"]
multiply: Final = BUILTINS["mul"]
plus: Final = BUILTINS["plus"]
whole: Final = BUILTINS["floor"]
date_in: Final = BUILTINS["time.date"]
to_number: Final = BUILTINS["to_number"]
concat: Final = BUILTINS["concat"]
replace: Final = BUILTINS["replace"]
written: Final = BUILTINS["sprintf"]
trimmed: Final = BUILTINS["trim_space"]


def items(source: Value) -> list[tuple[Value, Value]] | None:
    """What a scan of `source` goes through, in order; None for what is no collection."""
    kind = type(source)
    if kind is list:
        return list(enumerate(source))
    if kind is dict:
        return [(from_key(key), source[key]) for key in sorted_keys(source)]
    if kind is RegoSet:
        return [(member, member) for member in source]
    return None


def fields(source: dict[Key, Value]) -> list[tuple[Value, Value]]:
    """The keys and values of an object, in order."""
    if not source:
        return []
    return [(from_key(key), source[key]) for key in sorted_keys(source)]


def in_order(keys: Iterable[Key]) -> list[Value]:
    """The members of a set that is given by its keys, in order."""
    return sorted_values(map(from_key, keys))


def members(held: dict[Key, Value]) -> list[Value]:
    """The members of a set that is given by its members by their keys, in order."""
    return list(held.values()) if len(held) == 1 else sorted_values(held.values())


def keys(source: dict[Key, Value]) -> dict[Key, Value]:
    """The keys of an object as a set."""
    return {key: from_key(key) for key in source}


def without(held: dict[Key, Value], others: Collection[Key]) -> dict[Key, Value]:
    """A set without those of its members that have these keys."""
    return {key: member for key, member in held.items() if key not in others}


def copies(objects: list[dict[Key, Value]]) -> list[dict[Key, Value]]:
    """A new list of copies of objects that hold nothing but scalars."""
    return [each.copy() for each in objects]


def copied(objects: list[dict[Key, Value]], names: Sequence[str]) -> list[dict[Key, Value]]:
    """The same where arrays of scalars stand under some names."""
    found = []
    for each in objects:
        copy = each.copy()
        for name in names:
            copy[name] = copy[name].copy()
        found.append(copy)
    return found


def arranged(held: dict[Key, Value], key: Callable[[Value], Any]) -> list[Value]:
    """The members of a set that Python orders by `key` as Rego does."""
    return list(held.values()) if len(held) == 1 else sorted(held.values(), key=key)


def as_set(held: Any) -> Value:
    """The set with these keys; UNDEFINED if there are none, not even no keys."""
    return UNDEFINED if held is UNDEFINED else RegoSet.of_keys(set(held))


def once(before: Value, value: Value) -> Value:
    """`value`, which must not contradict the one that is there.

    Raises:
        EvaluationError: it does.
    """
    if before is UNDEFINED or (value is not UNDEFINED and equal(before, value)):
        return value
    code, message = "eval_conflict_error", "complete rules must not produce multiple outputs"
    raise EvaluationError(code, message)


def put_once(mapping: dict[Key, Value], key: Key, value: Value) -> None:
    """Put `value` at `key`, where nothing else stands.

    Raises:
        EvaluationError: something else does.
    """
    before = mapping.setdefault(key, value)
    if before is not value and not equal(before, value):
        raise EvaluationError("eval_conflict_error", "object keys must be unique")


def replaced(document: Value, path: Sequence[str], value: Value) -> Value:
    """`document` with `value` at `path`; only the objects on the way are new."""
    root = here = document.copy() if type(document) is dict else {}
    for name in path[:-1]:
        below = here.get(name)
        here[name] = below.copy() if type(below) is dict else {}
        here = here[name]
    here[path[-1]] = value
    return root


def fresh(value: Value) -> Value:
    """A copy of `value` that shares nothing with it which can be changed."""
    kind = type(value)
    if kind is dict:
        found = value.copy()
        for key, item in value.items():
            if type(item) in _CHANGEABLE:
                found[key] = fresh(item)
        return found
    if kind is list:
        return [fresh(item) if type(item) in _CHANGEABLE else item for item in value]
    if kind is RegoSet:
        return RegoSet.of_keys(set(value.keys))
    return value


_CHANGEABLE: Final = frozenset((dict, list, RegoSet))


def is_member(value: Value, source: Value) -> bool:
    """Whether `value` is an item of `source`; False for what is no collection."""
    kind = type(source)
    if kind is RegoSet:
        return value in source
    if kind is dict:
        source = source.values()
    elif kind is not list:
        return False
    return any(equal(value, item) for item in source)


def difference(a: Value, b: Value) -> Value:
    """What ``a - b`` is, as the builtin says."""
    if type(a) is int and type(b) is int and _NEAR > a > -_NEAR and _NEAR > b > -_NEAR:
        return a - b
    return minus.call(a, b)


def gap(a: Value, b: Value) -> Value:
    """A number with the sign of ``a - b``.

    The builtin rounds fractions to 64 bits; where two numbers are further apart than that can
    hide, a ``float`` tells which is larger.
    """
    if type(a) is int and type(b) is int:
        if -_NEAR < a < _NEAR and -_NEAR < b < _NEAR:
            return a - b
        return minus.call(a, b)
    if (type(a) is Decimal or type(a) is int) and (type(b) is Decimal or type(b) is int):
        try:
            one, two = float(_exact(a)), float(_exact(b))
        except (ArithmeticError, ValueError):
            return minus.call(a, b)
        apart = one - two
        if abs(apart) > _FAR * (abs(one) + abs(two)) and abs(apart) > _TINY:
            return apart
    return minus.call(a, b)


def covers(a: Value, b: Value) -> bool:
    """Whether ``a - b`` is not negative, as the builtins say.

    Rounded as the builtin rounds them, numbers keep their order, so that what is at least as
    large is so still; what is less may turn out to be the same.
    """
    if type(a) is int and type(b) is int and -_NEAR < a < _NEAR and -_NEAR < b < _NEAR:
        return a >= b
    if (type(a) is Decimal or type(a) is int) and (type(b) is Decimal or type(b) is int):
        try:
            if _exact(a) >= _exact(b):
                return True
        except (ArithmeticError, ValueError):
            pass  # the builtin says what is wrong with them
    return compare(minus.call(a, b), 0) >= 0


_exact: Final = Context(
    prec=100, Emin=-999, Emax=999, traps=[Inexact, InvalidOperation, Overflow, Underflow]
).plus
"""A number as it is; an error of one that has more digits, or an exponent, than amounts have."""


def product(a: Value, b: Value) -> Value:
    """What ``a * b`` is, as the builtin says."""
    if type(a) is int and type(b) is int and _SHORT > a > -_SHORT and _SHORT > b > -_SHORT:
        return a * b
    return multiply.call(a, b)


def total(a: Value, b: Value) -> Value:
    """What ``a + b`` is, as the builtin says."""
    if type(a) is int and type(b) is int and _NEAR > a > -_NEAR and _NEAR > b > -_NEAR:
        return a + b
    return plus.call(a, b)


def floor(number: Value) -> Value:
    """The largest integer that is not above `number`, as the builtin says."""
    if type(number) is int and _NEAR > number > -_NEAR:
        return number
    return whole.call(number)


def date(now_ns: Value) -> Value:
    """The year, month and day of a time in UTC, as the builtin says."""
    if type(now_ns) is int and 0 <= now_ns < _NEAR:
        return list(DAYS[now_ns // _DAY_NS])
    return date_in.call(now_ns)


class Days(dict[int, tuple[int, int, int]]):
    """The year, month and day that lie some days after 1970 began; those last asked for."""

    __slots__ = ()

    def __missing__(self, days: int) -> tuple[int, int, int]:
        """Work one out."""
        found = dt.date(1970, 1, 1) + dt.timedelta(days=days)
        if len(self) >= _MOST_DAYS:
            self.clear()
        self[days] = found.year, found.month, found.day
        return found.year, found.month, found.day


_MOST_DAYS: Final = 64
DAYS: Final = Days()


_DAY_NS: Final = 86_400_000_000_000


def number_in(text: str) -> Value:
    """The number that a text writes, as the builtin says."""
    if len(text) < _FEW and text.isascii() and text.isdigit() and text[0] != "0":
        return int(text)
    return to_number.call(text)


_FEW: Final = 16


def concatenated(delimiter: str, parts: Sequence[str]) -> Value:
    """The texts in one, as the builtin ``concat`` says: it refuses what is too long."""
    if len(delimiter) < _FEW and len(parts) < _SHORT_TEXT:
        text = delimiter.join(parts)
        if len(text) < _SHORT_TEXT:
            return text
    return concat.call(delimiter, list(parts))


def joined(delimiter: str, parts: list[Value]) -> Value:
    """What `parts` are in one, as the builtin ``concat`` says: it refuses what is no text."""
    if set(map(type, parts)) <= _TEXT:
        return concatenated(delimiter, parts)
    return concat.call(delimiter, parts)


_TEXT: Final = frozenset((str,))


def substituted(text: str, old: str, new: str) -> Value:
    """`text` with `new` for `old`, as the builtin ``replace`` says: it refuses what is too long."""
    if len(text) < _SHORT_TEXT > len(new):
        return text.replace(old, new)
    return replace.call(text, old, new)


_SHORT_TEXT: Final = 2000


def shown(value: Value) -> str:
    """A value as ``%v`` writes it."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    text: str = written.call("%v", [value])
    return text


def trim_space(text: str) -> Value:
    """`text` without space around it, as the builtin says."""
    if text and text.isascii() and text[0] > " " and text[-1] > " ":
        return text
    return trimmed.call(text)


_SHORT: Final = 1 << 31
_NEAR: Final = 1 << 62
_FAR: Final = 1e-12
_TINY: Final = 1e-250


def lenient(call: Callable[..., Value]) -> Callable[..., Value]:
    """`call`, which is undefined where it refuses its arguments."""

    def run(*args: Any) -> Value:
        try:
            return call(*args)
        except BuiltinError:
            return UNDEFINED

    return run


HELPERS: Final = {
    "U": UNDEFINED,
    "N": object(),
    "arranged": arranged,
    "Set": RegoSet,
    "as_set": as_set,
    "compare": compare,
    "concatenated": concatenated,
    "copied": copied,
    "copies": copies,
    "covers": covers,
    "date": date,
    "DAYS": DAYS,
    "difference": difference,
    "dot": dot,
    "equal": equal,
    "fields": fields,
    "fresh": fresh,
    "from_key": from_key,
    "gap": gap,
    "is_member": is_member,
    "items": items,
    "in_order": in_order,
    "joined": joined,
    "keys": keys,
    "members": members,
    "merged": merged,
    "once": once,
    "own": own,
    "put_once": put_once,
    "replaced": replaced,
    "substituted": substituted,
    "to_key": to_key,
    "utf8": utf8,
    "without": without,
    "NUMBERS": frozenset((int, Decimal)),
    "SIZED": frozenset((str, list, dict, RegoSet)),
    "first": itemgetter(0),
    "floor": floor,
    "lower": BUILTINS["lower"].call,
    "number_in": number_in,
    "product": product,
    "shown": shown,
    "total": total,
    "trim_space": trim_space,
    "upper": BUILTINS["upper"].call,
}
"""The helpers by the names that compiled functions call them by."""
