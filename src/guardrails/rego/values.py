"""Rego values as plain Python objects: one representation for every evaluator.

| Rego    | Python                                                                  |
|---------|-------------------------------------------------------------------------|
| null    | ``None``                                                                |
| boolean | ``bool`` (never a number: ``type(x) is bool`` is asked before ``int``)    |
| number  | ``int`` or :class:`~decimal.Decimal`, never ``float``                    |
| string  | ``str``                                                                 |
| array   | ``list``                                                                |
| object  | ``dict`` whose keys are in *key form*                                   |
| set     | :class:`RegoSet`                                                        |

An undefined value is the :data:`UNDEFINED` sentinel; it is never stored inside
a collection.

Python cannot hash lists, and takes ``True``, ``1`` and ``1.0`` for the same
dictionary key, while Rego allows keys of every type and tells booleans from
numbers. Keys of objects and members of sets are therefore kept in *key form*
(:func:`to_key`): strings, numbers and null stand for themselves, everything
else becomes a tagged tuple that hashes and compares as Rego demands. JSON
documents only have string keys, so they are Rego objects as they are.

The order of values is that of OPA: null < boolean < number < string < array <
object < set; strings by their UTF-8 bytes; objects by their sorted keys, then
by their values.
"""

from __future__ import annotations

import itertools
import operator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Value: TypeAlias = Any
"""A Rego value, or :data:`UNDEFINED` where a function says so."""

Key: TypeAlias = Any
"""A hashable stand-in for a Rego value; see :func:`to_key`."""


@final
class Undefined:
    """The type of :data:`UNDEFINED`; it has one instance and no truth value."""

    __slots__ = ()
    _instance: Undefined | None = None

    def __new__(cls) -> Undefined:
        """The one instance."""
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        msg = "an undefined Rego value is neither true nor false; compare with `is UNDEFINED`"
        raise TypeError(msg)

    def __copy__(self) -> Undefined:
        return self

    def __deepcopy__(self, _memo: object) -> Undefined:
        return self

    def __reduce__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()

_TAG_BOOLEAN: Final = 0
ARRAY_TAG: Final = 1
OBJECT_TAG: Final = 2
"""What begins the key form of an array or an object, see :func:`to_key`."""

_TAG_SET: Final = 3

_TRUE: Final = (_TAG_BOOLEAN, True)
_FALSE: Final = (_TAG_BOOLEAN, False)


@final
class RegoSet:
    """A Rego set: unordered for membership, iterated in the order of values.

    Args:
        members: Rego values; duplicates collapse.
    """

    __slots__ = ("keys",)

    keys: set[Key]
    """The members in key form."""

    def __init__(self, members: Iterable[Value] = ()) -> None:
        self.keys = {to_key(member) for member in members}

    @classmethod
    def of_keys(cls, keys: set[Key]) -> RegoSet:
        """A set that owns `keys`, which are already in key form."""
        made = cls.__new__(cls)
        made.keys = keys
        return made

    def __contains__(self, value: object) -> bool:
        return to_key(value) in self.keys

    def __len__(self) -> int:
        return len(self.keys)

    def __iter__(self) -> Iterator[Value]:
        return iter(sorted_values(map(from_key, self.keys)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RegoSet) and self.keys == other.keys

    __hash__ = None  # type: ignore[assignment]  # a set is mutable while it is built

    def __repr__(self) -> str:
        return f"RegoSet({list(self)!r})"

    def add(self, value: Value) -> None:
        """Put `value` into the set, in place."""
        self.keys.add(to_key(value))


def to_key(value: Value) -> Key:
    """The key form of a Rego value: equal values, and only those, give equal keys."""
    kind = type(value)
    if kind is str or kind is int or kind is Decimal or value is None:
        return value
    if kind is bool:
        return _TRUE if value else _FALSE
    if kind is list:
        return (ARRAY_TAG, tuple([to_key(item) for item in value]))
    if kind is dict:
        return (OBJECT_TAG, frozenset([(key, to_key(item)) for key, item in value.items()]))
    if kind is RegoSet:
        return (_TAG_SET, frozenset(value.keys))
    msg = f"{kind.__name__} is no Rego value"
    raise TypeError(msg)


def from_key(key: Key) -> Value:
    """The Rego value that `key` stands for; collections are new objects."""
    if type(key) is not tuple:
        return key
    tag, content = key
    if tag == _TAG_BOOLEAN:
        return content
    if tag == ARRAY_TAG:
        return [from_key(item) for item in content]
    if tag == OBJECT_TAG:
        return {name: from_key(item) for name, item in content}
    return RegoSet.of_keys(set(content))


_RANKS: Final[dict[type, int]] = {
    type(None): 0,
    bool: 1,
    int: 2,
    Decimal: 2,
    str: 3,
    list: 4,
    dict: 5,
    RegoSet: 6,
}

_TYPE_NAMES: Final = ("null", "boolean", "number", "string", "array", "object", "set")


def type_name(value: Value) -> str:
    """Rego's name for the type of `value`, as ``type_name`` gives it."""
    return _TYPE_NAMES[_RANKS[type(value)]]


def is_number(value: Value) -> bool:
    """Whether `value` is a Rego number; booleans are not."""
    kind = type(value)
    return kind is int or kind is Decimal


def equal(left: Value, right: Value) -> bool:
    """Rego's ``==``: by type and content; ``1`` equals ``1.0``, ``true`` never equals ``1``."""
    if left is right:
        return True
    kind = type(left)
    other = type(right)
    if kind is not other:
        return _RANKS[kind] == _RANKS[other] == _RANKS[int] and bool(left == right)
    if kind is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if kind is dict:
        if len(left) != len(right):
            return False
        missing = UNDEFINED
        for key, item in left.items():
            match = right.get(key, missing)
            if match is missing or not equal(item, match):
                return False
        return True
    return bool(left == right)


def compare(left: Value, right: Value) -> int:
    """-1, 0 or 1: the place of `left` relative to `right` in OPA's order of values."""
    rank = _RANKS[type(left)]
    other = _RANKS[type(right)]
    if rank != other:
        return -1 if rank < other else 1
    if rank == _RANKS[list]:
        return _compare_sequences(left, right)
    if rank == _RANKS[dict]:
        return _compare_objects(left, right)
    if rank == _RANKS[RegoSet]:
        return _compare_sequences(list(left), list(right))
    if rank == _RANKS[str]:
        left = _bytes(left)
        right = _bytes(right)
    if left == right:
        return 0
    return -1 if left < right else 1


def _bytes(text: str) -> bytes:
    # A lone surrogate has no UTF-8 form; it is ordered by the bytes it would have.
    return text.encode("utf-8", "surrogatepass")


def _compare_sequences(left: list[Value], right: list[Value]) -> int:
    for one, two in zip(left, right, strict=False):
        order = compare(one, two)
        if order:
            return order
    return (len(left) > len(right)) - (len(left) < len(right))


def _compare_objects(left: dict[Key, Value], right: dict[Key, Value]) -> int:
    left_keys = sorted_keys(left)
    right_keys = sorted_keys(right)
    for one, two in zip(left_keys, right_keys, strict=False):
        order = compare(from_key(one), from_key(two))
        if order:
            return order
        order = compare(left[one], right[two])
        if order:
            return order
    return (len(left) > len(right)) - (len(left) < len(right))


class _Ordered:
    """A sort key for the values that Python does not order as Rego does."""

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __lt__(self, other: _Ordered) -> bool:
        return compare(self.value, other.value) < 0


def sorted_values(values: Iterable[Value]) -> list[Value]:
    """`values` as a new list in OPA's order."""
    items = list(values)
    if len(items) <= 1:
        return items
    kinds = set(map(type, items))
    if kinds == {str}:
        # Code points and UTF-8 bytes give the same order.
        return sorted(items)
    if kinds <= {int, Decimal}:
        return sorted(items)
    names = _common_names(items) if kinds == {dict} else None
    if names is not None:
        return sorted(items, key=operator.itemgetter(*names))
    return sorted(items, key=_Ordered)


def _common_names(items: list[dict[Key, Value]]) -> list[str] | None:
    """The sorted keys of objects that have the same ones, if Python orders what they hold."""
    names = items[0].keys()
    if not names or set(map(type, names)) != {str}:
        return None
    for item in items:
        if item.keys() != names:
            return None
    for name in names:
        held = [item[name] for item in items]
        kinds = set(map(type, held))
        if kinds == {list}:
            kinds = set(map(type, itertools.chain.from_iterable(held)))
        if not (kinds <= {str} or kinds <= {int, Decimal}):
            return None
    return sorted(names)


def sorted_keys(mapping: dict[Key, Value]) -> list[Key]:
    """The keys of an object, still in key form, in OPA's order of the values they stand for."""
    if len(mapping) <= 1:
        return list(mapping)
    kinds = set(map(type, mapping))
    if kinds == {str}:
        return sorted(mapping)
    return sorted(mapping, key=lambda key: _Ordered(from_key(key)))


def from_json(document: object) -> Value:
    """A Rego value from what a JSON decoder gives: fresh collections, floats made exact.

    Sets are copied as they are, so that Rego values with text keys may pass, too.

    A float becomes the decimal number that its shortest text names, which is
    what the same number sent over HTTP would be.

    Raises:
        ValueError: a float is NaN or infinite.
        TypeError: something in the document has no JSON form.
    """
    given: Any = document  # what its type is asked for below, mypy cannot see
    kind = type(given)
    if kind is str or kind is int or kind is bool or given is None:
        return given
    if kind is dict:
        return {_text_key(key): from_json(item) for key, item in given.items()}
    if kind is list or kind is tuple:
        return [from_json(item) for item in given]
    if kind is RegoSet:
        return RegoSet.of_keys(set(given.keys))
    if kind is float:
        return _exact(Decimal(repr(given)))
    if kind is Decimal:
        return _exact(given)
    msg = f"{kind.__name__} has no JSON form"
    raise TypeError(msg)


def _exact(number: Decimal) -> Decimal:
    if not number.is_finite():
        msg = f"{number} has no JSON form"
        raise ValueError(msg)
    return number


def _text_key(key: object) -> str:
    if type(key) is not str:
        msg = f"an object key of type {type(key).__name__} has no JSON form"
        raise TypeError(msg)
    return key


def to_json(value: Value, *, exact: bool = True) -> Value:
    """`value` as JSON types: a set as a sorted array, a key that is no string as its JSON text.

    Args:
        value: A Rego value.
        exact: Keep a fraction as a :class:`~decimal.Decimal`; else give a ``float``,
            for encoders that know no other.
    """
    kind = type(value)
    if kind is list:
        return [to_json(item, exact=exact) for item in value]
    if kind is RegoSet:
        return [to_json(item, exact=exact) for item in value]
    if kind is dict:
        return {key_text(key): to_json(value[key], exact=exact) for key in sorted_keys(value)}
    if kind is Decimal and not exact:
        return float(value)
    return value


def key_text(key: Key) -> str:
    """The JSON object key that stands for `key`: a string as it is, else its JSON text."""
    if type(key) is str:
        return key
    return dumps(from_key(key))


def dumps(value: Value) -> str:
    """`value` as compact JSON text: keys sorted, numbers exact, as ``json.marshal`` gives it."""
    parts: list[str] = []
    _write(value, parts.append)
    return "".join(parts)


def _write(value: Value, put: Callable[[str], object]) -> None:
    kind = type(value)
    if kind is str:
        put(_quote(value))
    elif value is None:
        put("null")
    elif kind is bool:
        put("true" if value else "false")
    elif kind is int:
        put(int.__repr__(value))
    elif kind is Decimal:
        put(number_text(value))
    elif kind is dict:
        put("{")
        for place, key in enumerate(sorted_keys(value)):
            if place:
                put(",")
            put(_quote(key_text(key)))
            put(":")
            _write(value[key], put)
        put("}")
    elif kind is list or kind is RegoSet:
        put("[")
        for place, item in enumerate(value):
            if place:
                put(",")
            _write(item, put)
        put("]")
    else:
        msg = f"{kind.__name__} is no Rego value"
        raise TypeError(msg)


def number_text(number: int | Decimal) -> str:
    """A number's JSON text with its digits: ``5.0`` stays ``5.0``, ``1E+3`` becomes ``1e3``."""
    return str(number).replace("E+", "e").replace("E", "e")


_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\b": "\\b",
    "\f": "\\f",
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


def _quote(text: str) -> str:
    """A JSON string as Go's encoder writes it: HTML characters escaped, surrogates replaced."""
    out = ['"']
    for char in text:
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif char < " ":
            out.append(f"\\u{ord(char):04x}")
        elif "\ud800" <= char <= "\udfff":
            out.append("\ufffd")
        else:
            out.append(char)
    out.append('"')
    return "".join(out)
