"""YAML text, with the meaning it has in OPA: YAML 1.1 as Go's ``yaml`` package reads it.

``yes``, ``on`` and ``y`` are booleans, ``017`` is octal, a date stays a
string, a key becomes a string, and a float becomes what JSON makes of it.
"""

from __future__ import annotations

import base64
import binascii
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import yaml

from guardrails.rego.builtins.base import BuiltinError, builtin
from guardrails.rego.builtins.floattext import format_float
from guardrails.rego.builtins.jsontext import read_json
from guardrails.rego.builtins.operands import from_utf8, string, without_surrogates
from guardrails.rego.values import dumps

if TYPE_CHECKING:
    from guardrails.rego.values import Value

_PLAIN: Final = "plain"
_DECIDED: Final = frozenset(
    {_PLAIN, *(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))}
)

_MOST_NODES: Final = 200_000
"""Nodes of the largest document, each alias counted with all that it stands for."""

_DEEPEST: Final = 200
_TOO_LARGE: Final = (
    f"yaml: the document has more than {_MOST_NODES} nodes, or is nested more than {_DEEPEST} deep"
)
_TRUE: Final = frozenset({"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
_FALSE: Final = frozenset(
    {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
)
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INFINITE: Final = frozenset({".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN"})
# These patterns have one quantifier per character class and no nesting: they cannot backtrack.
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INTEGER: Final = re.compile(
    r"(?P<sign>[-+]?)(?:0b(?P<two>[01]+)|0o(?P<eight>[0-7]+)|0x(?P<sixteen>[0-9a-fA-F]+)"
    r"|0(?P<old>[0-7]+)|(?P<ten>[0-9]+))\Z"
)
_BASES: Final = {"two": 2, "eight": 8, "sixteen": 16, "old": 8, "ten": 10}
_UINT64_END: Final = 2**64
_INT64_START: Final = -(2**63)
_MOST_DIGITS: Final = 400
_JSON_FIXED: Final = (1e-6, 1e21)


class _Loader(yaml.SafeLoader):
    """Composes nodes and marks plain scalars without a tag; what they mean is decided below."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node, with all that is in it."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise BuiltinError(_TOO_LARGE)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node: :data:`_PLAIN` for a plain scalar that has none."""
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML


def read_yaml(text: str) -> Value:
    """The value that the first YAML document in `text` stands for.

    Raises:
        BuiltinError: the text is no YAML, has no JSON form, or is too large.
    """
    loader = _Loader(without_surrogates(text))
    try:
        node = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as error:
        raise BuiltinError(_reason(error)) from None
    finally:
        loader.dispose()
    return None if node is None else _Reader().value(node, 0)


def _reason(error: yaml.YAMLError) -> str:
    """Go's words for a syntax error, which name the line and the problem."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "the text is not YAML"
    problem = problem.replace("expected", "did not find expected", 1)
    return f"yaml: line {mark.line + 1}: {problem}" if mark else f"yaml: {problem}"


class _Reader:
    """Turns nodes into values, counting them so that aliases cannot blow up."""

    def __init__(self) -> None:
        self._nodes = 0

    def value(self, node: Any, depth: int) -> Value:
        self._nodes += 1
        if self._nodes > _MOST_NODES or depth > _DEEPEST:
            raise BuiltinError(_TOO_LARGE)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return self._mapping(node, depth)

    def _mapping(self, node: Any, depth: int) -> dict[str, Value]:
        result: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                sources = (
                    value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                )
                for source in reversed(sources):
                    if not isinstance(source, yaml.MappingNode):
                        message = "yaml: map merge requires map or sequence of maps as the value"
                        raise BuiltinError(message)
                    merged |= self._mapping(source, depth + 1)
                continue
            key = _key(self.value(key_node, depth + 1))
            result[key] = self.value(value_node, depth + 1)
        return {**merged, **result}


def _is_merge(node: Any) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.style is None


def _key(value: Value) -> str:
    if type(value) is str:
        return value
    if value is None or type(value) in (list, dict):
        message = "json: unsupported key in a YAML map"
        raise BuiltinError(message)
    return dumps(value)


def _scalar(node: Any) -> Value:
    text: str = node.value
    tag: str = node.tag
    if tag == "tag:yaml.org,2002:binary":
        try:
            return from_utf8(base64.b64decode(text, validate=False))
        except binascii.Error:
            message = "yaml: !!binary value contains invalid base64 data"
            raise BuiltinError(message) from None
    return _plain(text) if tag in _DECIDED else text


def _plain(text: str) -> Value:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text in _NULL:
        return None
    if text.lstrip("+-") in _INFINITE:
        message = f"json: unsupported value: {text}"
        raise BuiltinError(message)
    digits = text.replace("_", "")
    if len(digits) > _MOST_DIGITS or text[0] not in "+-.0123456789":
        return text
    return _number(text, digits)


def _number(text: str, digits: str) -> Value:
    integer = _INTEGER.match(digits)
    if integer:
        for name, base in _BASES.items():
            if integer[name] is not None:
                value = int(integer["sign"] + integer[name], base)
                if _INT64_START <= value < _UINT64_END:
                    return value
    if _FLOAT.match(digits):
        fraction = float(digits)
        return text if abs(fraction) == float("inf") else _json_float(fraction)
    return text


def _json_float(value: float) -> Value:
    """A float64 as the number that Go's JSON encoder writes for it."""
    exact = Decimal(repr(value))
    if exact == exact.to_integral_value() and abs(value) < _JSON_FIXED[1]:
        return int(exact)
    if _JSON_FIXED[0] <= abs(value) < _JSON_FIXED[1]:
        return Decimal(format(exact, "f"))
    return Decimal(format_float(value, "g", None))


@builtin("yaml.unmarshal", arity=1)
def unmarshal(text: Value) -> Value:
    """The value that YAML text stands for."""
    return read_yaml(string(text, 1))


@builtin("yaml.is_valid", arity=1)
def is_valid(text: Value) -> Value:
    """Whether the value is YAML text."""
    if type(text) is not str:
        return False
    try:
        read_yaml(text)
    except BuiltinError:
        return False
    return True


class _Dumper(yaml.SafeDumper):
    """Writes block style as Go's package does, and no tags: the text alone says what it is."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """One tag for all scalars, so that none is ever written."""
        if kind is yaml.ScalarNode:
            return _PLAIN
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML

    def ignore_aliases(self, _data: Any) -> bool:
        """Repeat what occurs twice."""
        return True


def _write_string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if style is None and (not text or type(_safe_plain(text)) is not str):
        style = '"'
    return dumper.represent_scalar(_PLAIN, text, style=style)


def _safe_plain(text: str) -> Value:
    try:
        return _plain(text)
    except BuiltinError:
        return None


def _write_scalar(dumper: _Dumper, value: Value) -> yaml.ScalarNode:
    if type(value) is Decimal:
        return dumper.represent_scalar(_PLAIN, format_float(float(value), "g", None))
    return dumper.represent_scalar(_PLAIN, dumps(value))


_Dumper.add_representer(str, _write_string)
for _kind in (Decimal, int, bool, type(None)):
    _Dumper.add_representer(_kind, _write_scalar)


@builtin("yaml.marshal", arity=1)
def marshal(value: Value) -> Value:
    """The value as YAML text."""
    document = read_json(dumps(value))
    text: str = yaml.dump(
        document, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=2**20
    )
    return text.removesuffix("...\n")
