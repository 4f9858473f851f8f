"""Strings: searched, cut, replaced, in Go's terms (characters are code points)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.rego.builtins import bigfloat
from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import (
    bounded,
    bounded_text,
    int64,
    number,
    object_,
    string,
    strings,
    wrong_element,
    wrong_type,
)
from guardrails.rego.values import RegoSet, sorted_keys

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
"""Go's white space, which lacks the separators U+001C to U+001F that Python strips too."""

_BASES: Final = {2: "b", 8: "o", 10: "d", 16: "x"}


@builtin("concat", arity=2)
def concat(separator: Value, items: Value) -> Value:
    """The strings of an array or set, joined."""
    between = string(separator, 1)
    if type(items) is not list and type(items) is not RegoSet:
        raise wrong_type(2, items, "set", "array")
    parts: list[str] = []
    for item in items:
        if type(item) is not str:
            raise wrong_element(2, items, item, "string")
        parts.append(item)
    bounded_text(sum(map(len, parts)) + len(between) * len(parts))
    return between.join(parts)


@builtin("contains", arity=2)
def contains(text: Value, part: Value) -> Value:
    """Whether `part` stands in `text`."""
    whole = string(text, 1)
    return string(part, 2) in whole


@builtin("startswith", arity=2)
def startswith(text: Value, prefix: Value) -> Value:
    """Whether `text` begins with `prefix`."""
    return string(text, 1).startswith(string(prefix, 2))


@builtin("endswith", arity=2)
def endswith(text: Value, suffix: Value) -> Value:
    """Whether `text` ends with `suffix`."""
    return string(text, 1).endswith(string(suffix, 2))


def _one_or_more(value: Value, position: int) -> list[str]:
    if type(value) is str:
        return [value]
    if type(value) not in (list, RegoSet):
        raise wrong_type(position, value, "string", "set", "array")
    return strings(value, position)


@builtin("strings.any_prefix_match", arity=2)
def any_prefix_match(texts: Value, prefixes: Value) -> Value:
    """Whether some text begins with some prefix."""
    wholes = _one_or_more(texts, 1)
    starts = tuple(_one_or_more(prefixes, 2))
    return any(text.startswith(starts) for text in wholes)


@builtin("strings.any_suffix_match", arity=2)
def any_suffix_match(texts: Value, suffixes: Value) -> Value:
    """Whether some text ends with some suffix."""
    wholes = _one_or_more(texts, 1)
    ends = tuple(_one_or_more(suffixes, 2))
    return any(text.endswith(ends) for text in wholes)


def _search(text: Value, part: Value) -> tuple[str, str]:
    whole, wanted = string(text, 1), string(part, 2)
    if not wanted:
        message = "empty search character"
        raise BuiltinError(message)
    return whole, wanted


@builtin("indexof", arity=2)
def indexof(text: Value, part: Value) -> Value:
    """Where `part` first stands in `text`; -1 if nowhere."""
    whole, wanted = _search(text, part)
    return whole.find(wanted)


@builtin("indexof_n", arity=2)
def indexof_n(text: Value, part: Value) -> Value:
    """All places where `part` stands in `text`, overlapping ones too."""
    whole, wanted = _search(text, part)
    places: list[Value] = []
    place = whole.find(wanted)
    while place >= 0:
        places.append(place)
        place = whole.find(wanted, place + 1)
    return places


@builtin("strings.count", arity=2)
def count(text: Value, part: Value) -> Value:
    """How often `part` stands in `text`, without overlaps."""
    whole = string(text, 1)
    return whole.count(string(part, 2))


@builtin("substring", arity=3)
def substring(text: Value, start: Value, length: Value) -> Value:
    """`length` characters from `start` on; all of them if `length` is negative."""
    whole = string(text, 1)
    first = int64(start, 2)
    size = int64(length, 3)
    if first < 0:
        message = "negative offset"
        raise BuiltinError(message)
    return whole[first:] if size < 0 else whole[first : first + size]


def _each(text: str, change: str) -> str:
    """`text` changed character by character: Go knows no mapping to several characters."""
    changed: list[str] = []
    for char in text:
        made: str = getattr(char, change)()
        if len(made) != 1:
            made = char.title() if change == "upper" else made[:1]
        changed.append(made if len(made) == 1 else char)
    return "".join(changed)


@builtin("lower", arity=1)
def lower(text: Value) -> Value:
    """The text in lower case."""
    value = string(text, 1)
    return value.lower() if value.isascii() else _each(value, "lower")


@builtin("upper", arity=1)
def upper(text: Value) -> Value:
    """The text in upper case."""
    value = string(text, 1)
    return value.upper() if value.isascii() else _each(value, "upper")


def _parts(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else list(text)


@builtin("split", arity=2)
def split(text: Value, separator: Value) -> Value:
    """The parts between the separators; every character, if the separator is empty."""
    whole = string(text, 1)
    return _parts(whole, string(separator, 2))


@builtin("strings.split_n", arity=3)
def split_n(text: Value, separator: Value, most: Value) -> Value:
    """The first `most` parts; the last ones, if it is negative."""
    whole = string(text, 1)
    between = string(separator, 2)
    limit = int64(most, 3)
    if limit < 0:
        return _parts(whole, between)[limit:]
    if between:
        return whole.split(between, limit)[:limit]
    return list(whole[:limit])


@builtin("replace", arity=3)
def replace(text: Value, old: Value, new: Value) -> Value:
    """The text with `new` for every `old`."""
    whole, before, after = string(text, 1), string(old, 2), string(new, 3)
    found = whole.count(before)
    bounded_text(len(whole) + found * (len(after) - len(before)))
    return whole.replace(before, after)


@builtin("strings.replace_n", arity=2)
def replace_n(patterns: Value, text: Value) -> Value:
    """The text with every key of `patterns` replaced by its value, in one pass."""
    pairs = object_(patterns, 1)
    whole = string(text, 2)
    table: list[tuple[str, str]] = []
    for key in sorted_keys(pairs):
        value = pairs[key]
        for item, name in ((key, "key"), (value, "value")):
            if type(item) is not str:
                message = f"operand 1 non-string {name} found in pattern object"
                raise BuiltinTypeError(message)
        table.append((key, value))
    return _replaced(whole, table)


def _replaced(text: str, table: list[tuple[str, str]]) -> str:
    olds: dict[str, list[tuple[str, str]]] = {}
    for old, new in table:
        olds.setdefault(old[:1], []).append((old, new))
    empty = olds.get("")
    if empty:
        # The empty string sorts first and stands everywhere, so that no other key is reached.
        bounded_text(len(text) + (len(text) + 1) * len(empty[0][1]))
        return text.replace("", empty[0][1])
    out: list[str] = []
    place = size = 0
    while place < len(text):
        for old, new in olds.get(text[place], ()):
            if text.startswith(old, place):
                out.append(new)
                place += len(old)
                break
        else:
            out.append(text[place])
            place += 1
        size += len(out[-1])
        bounded_text(size)
    return "".join(out)


@builtin("strings.reverse", arity=1)
def reverse(text: Value) -> Value:
    """The characters in opposite order."""
    return string(text, 1)[::-1]


@builtin("trim", arity=2)
def trim(text: Value, cutset: Value) -> Value:
    """The text without characters of `cutset` at either end."""
    return string(text, 1).strip(string(cutset, 2))


@builtin("trim_left", arity=2)
def trim_left(text: Value, cutset: Value) -> Value:
    """The text without characters of `cutset` at its start."""
    return string(text, 1).lstrip(string(cutset, 2))


@builtin("trim_right", arity=2)
def trim_right(text: Value, cutset: Value) -> Value:
    """The text without characters of `cutset` at its end."""
    return string(text, 1).rstrip(string(cutset, 2))


@builtin("trim_prefix", arity=2)
def trim_prefix(text: Value, prefix: Value) -> Value:
    """The text without `prefix`, once."""
    return string(text, 1).removeprefix(string(prefix, 2))


@builtin("trim_suffix", arity=2)
def trim_suffix(text: Value, suffix: Value) -> Value:
    """The text without `suffix`, once."""
    return string(text, 1).removesuffix(string(suffix, 2))


@builtin("trim_space", arity=1)
def trim_space(text: Value) -> Value:
    """The text without white space at either end."""
    return string(text, 1).strip(_SPACE)


@builtin("format_int", arity=2)
def format_int(value: Value, base: Value) -> Value:
    """The integer part of a number in base 2, 8, 10 or 16."""
    amount = number(value, 1)
    letter = _BASES.get(base) if type(number(base, 2)) is int else None
    if letter is None:
        message = "operand 2 must be one of {2, 8, 10, 16}"
        raise BuiltinTypeError(message)
    whole = amount
    if type(whole) is not int:
        # OPA reads the digits of an integer exactly, and all other forms as a float.
        whole = bigfloat.truncated(bigfloat.from_number(amount))
    return format(bounded(whole), letter)
