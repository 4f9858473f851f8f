"""JSON text: written with exact numbers and sorted keys, read without losing a digit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.rego.builtins.base import BuiltinError, BuiltinTypeError, builtin
from guardrails.rego.builtins.operands import (
    bounded_text,
    object_,
    string,
    without_surrogates,
)
from guardrails.rego.numerals import parse_decimal
from guardrails.rego.values import RegoSet, dumps, key_text, sorted_keys, type_name

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_DEEPEST: Final = 500
"""Collections within one another that are read; deeper text is an error, not a crash."""

_MOST_DIGITS: Final = 4_299


@builtin("json.marshal", arity=1)
def marshal(value: Value) -> Value:
    """The value as JSON text."""
    return dumps(value)


@builtin("json.marshal_with_options", arity=2)
def marshal_with_options(value: Value, options: Value) -> Value:
    """The value as JSON text, over several lines if `options` ask for that."""
    chosen = object_(options, 2)
    settings: dict[str, Any] = {"prefix": "", "indent": "\t"}
    for place, key in enumerate(sorted_keys(chosen)):
        kind = bool if key == "pretty" else str
        if key not in ("pretty", "prefix", "indent"):
            message = f'operand 2 object contained unknown key "{key_text(key)}"'
            raise BuiltinTypeError(message)
        if type(chosen[key]) is not kind:
            message = f'operand 2 key "{key}" failed cast to bool'
            if kind is str:
                message = (
                    f'operand 2 key "{key}" failed cast to string: operand {place} '
                    f"must be string but got {type_name(chosen[key])}"
                )
            raise BuiltinTypeError(message)
        settings[key] = chosen[key]
    if not settings.get("pretty", bool(chosen)):
        return dumps(value)
    parts = [settings["prefix"]]
    _pretty(value, parts, "\n" + settings["prefix"], settings["indent"])
    bounded_text(sum(map(len, parts)))
    return "".join(parts)


def _pretty(value: Value, parts: list[str], line: str, indent: str) -> None:
    kind = type(value)
    if not value or kind not in (list, dict, RegoSet):
        parts.append(dumps(value))
        return
    opening, closing = ("{", "}") if kind is dict else ("[", "]")
    parts.append(opening)
    inner = line + indent
    bounded_text(len(inner) * len(value))
    for place, item in enumerate(sorted_keys(value) if kind is dict else value):
        parts.append("," if place else "")
        parts.append(inner)
        if kind is dict:
            parts.append(f"{dumps(key_text(item))}: ")
            _pretty(value[item], parts, inner, indent)
        else:
            _pretty(item, parts, inner, indent)
    parts.append(line)
    parts.append(closing)


def _refuse(constant: str) -> NoReturn:
    message = f"invalid character '{constant[:1]}' looking for beginning of value"
    raise BuiltinError(message)


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        message = f"a number has {len(digits)} digits; at most {_MOST_DIGITS} are read"
        raise BuiltinError(message)
    return int(digits)


_DECODER: Final = json.JSONDecoder(
    parse_float=parse_decimal, parse_int=_integer, parse_constant=_refuse
)

# Whether a text is JSON is no question of how large its numbers are.
_FORM: Final = json.JSONDecoder(parse_float=len, parse_int=len, parse_constant=_refuse)


def read_json(text: str) -> Value:
    """The value in JSON text: exact numbers, no NaN, lone surrogates replaced.

    Raises:
        BuiltinError: the text is not JSON, too deep, or has a number that cannot be worked with.
    """
    value = _decoded(text, _DECODER)
    return _cleaned(value) if "\\ud" in text.lower() or not text.isascii() else value


def _decoded(text: str, decoder: json.JSONDecoder) -> Any:
    if text.count("[") + text.count("{") > _DEEPEST and _nesting(text) > _DEEPEST:
        message = f"the document is nested more than {_DEEPEST} deep"
        raise BuiltinError(message)
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        message = f"{error.msg} at character {error.pos}"
        raise BuiltinError(message) from None
    except ValueError as error:
        raise BuiltinError(str(error)) from None


def _nesting(text: str) -> int:
    deepest = depth = 0
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _cleaned(value: Value) -> Value:
    kind = type(value)
    if kind is str:
        return without_surrogates(value)
    if kind is list:
        return [_cleaned(item) for item in value]
    if kind is dict:
        return {without_surrogates(key): _cleaned(item) for key, item in value.items()}
    return value


@builtin("json.unmarshal", arity=1)
def unmarshal(text: Value) -> Value:
    """The value that JSON text stands for."""
    return read_json(string(text, 1))


@builtin("json.is_valid", arity=1)
def is_valid(text: Value) -> Value:
    """Whether the value is JSON text."""
    if type(text) is not str:
        return False
    try:
        _decoded(text, _FORM)
    except BuiltinError:
        return False
    return True
