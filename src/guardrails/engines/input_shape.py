"""Whether an input document has the shape that a policy was compiled for.

Compiled code looks up what the schema promises and does not ask again. A document that breaks
the promise could make it answer anything: text in place of a list would be searched for a part
of it. So each document is held against the very shape that the compiler relied on, down to the
exact types of its leaves, and one that has another goes to the program that expects nothing.

The test stands in every decision about a document that enforcement did not make of exact parts
alone, so it is written as one function for the whole shape, as policies are: names and constants
stand in a table, and what the text may hold is listed in :mod:`guardrails.rego.emit.allowed`.
"""

from __future__ import annotations

import builtins
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.rego.emit import allowed
from guardrails.rego.emit.shapes import DOCUMENT, UNKNOWN, Kind, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Test: TypeAlias = "Callable[[Any], bool]"


def is_document(value: Any) -> bool:
    """Whether `value` is a JSON document of the exact types that Rego values have."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str or not (type(item) is str or is_document(item)):
                return False
        return True
    if kind is list:
        for item in value:  # noqa: SIM110  # a generator costs more than the test
            if not (type(item) is str or is_document(item)):
                return False
        return True
    return kind is Decimal and bool(value.is_finite())


def _anything(_: Any) -> bool:
    return True


def fits(shape: Shape, *, parsed: bool = False) -> Test:
    """A test whether a document is a JSON document of `shape`.

    Args:
        shape: What holds of every document.
        parsed: Documents come straight from a parser of JSON text, which makes nothing else:
            what may be any JSON is not looked through.

    Raises:
        ValueError: The shape promises single values, which this test does not ask for.
    """
    if _is_any(shape):
        return _anything if parsed else is_document
    writer = _Writer(parsed=parsed)
    writer.value(shape, "v0", 1)
    text = "\n".join(["def F0(v0):", *writer.lines, " return True", ""])
    allowed.check("F0", text, writer.known.keys())
    # A name that is not there, or a document that is nested too deeply, is no fit, either.
    guarded = text.replace("\n", "\n ").replace("\n ", "\n try:\n ", 1).rstrip()
    space: dict[str, Any] = {**writer.known, "__builtins__": _PYTHON, "FAILED": _FAILED}
    source = f"{guarded}\n except FAILED:\n  return False\n"
    exec(compile(source, "<shape>", "exec", dont_inherit=True), space)  # noqa: S102  # held against the list above
    test: Test = space["F0"]
    return test


_FAILED: Final = (KeyError, RecursionError)
_PYTHON: Final = {name: getattr(builtins, name) for name in sorted(allowed.PYTHON_NAMES)}


_TYPES: Final[Mapping[str, Any]] = {
    "int": int,
    "Decimal": Decimal,
    "is_document": is_document,
    "is_finite": Decimal.is_finite,
}
"""What a test may use besides constants and what every generated function sees."""

_ALONE: Final = Kind.NULL | Kind.TRUE | Kind.FALSE | Kind.UNDEFINED
"""Kinds with one value each: what is said of the kind is said of the value."""

_DEEPEST: Final = 8
"""Loops within one another; a test of what stands deeper is a function of its own."""


def _is_any(shape: Shape) -> bool:
    """Whether every JSON document has `shape`."""
    return not shape.fields and shape.item is None and not DOCUMENT.kinds & ~shape.kinds


class _Writer:
    """Writes the lines of a test.

    Args:
        parsed: As :func:`fits` takes it.

    Attributes:
        lines: Those written.
        known: What stands under the names in them.
    """

    def __init__(self, *, parsed: bool) -> None:
        self._parsed = parsed
        self.lines: list[str] = []
        self.known: dict[str, Any] = dict(_TYPES)
        self._names = 0
        self._loops = 0

    def line(self, depth: int, text: str) -> None:
        self.lines.append(" " * depth + text)

    def name(self) -> str:
        """A new variable."""
        self._names += 1
        return f"v{self._names}"

    def constant(self, value: Any) -> str:
        """The name of a constant."""
        name = f"K{len(self.known)}"
        self.known[name] = value
        return name

    def need(self, depth: int, condition: str) -> None:
        self.line(depth, f"if not ({condition}):")
        self.line(depth + 1, "return False")

    def value(self, shape: Shape, name: str, depth: int) -> None:
        """Test that the value of the variable `name` has `shape`."""
        if shape.only is not UNKNOWN and not shape.is_only(_ALONE):
            msg = "a shape with single values cannot be tested"
            raise ValueError(msg)
        if _is_any(shape):
            if not self._parsed:
                self.need(depth, f"type({name}) is str or is_document({name})")
            return
        if self._loops >= _DEEPEST and shape.may_be(Kind.ARRAY | Kind.OBJECT):
            test = fits(shape, parsed=self._parsed)
            self.need(depth, f"{self.constant(test)}({name})")
            return
        plain = _scalars(self, shape, name)
        array, other = shape.may_be(Kind.ARRAY), shape.may_be(Kind.OBJECT)
        if not array and not other:
            self.need(depth, plain)
        elif (array and other) or plain != "False":
            self._either(shape, name, depth, plain)
        else:
            self.need(depth, f"type({name}) is {'list' if array else 'dict'}")
            (self.array if array else self.object)(shape, name, depth)

    def _either(self, shape: Shape, name: str, depth: int, plain: str) -> None:
        """Test a value that may be a collection or something else."""
        self.line(depth, f"if type({name}) is list:")
        if shape.may_be(Kind.ARRAY):
            self.line(depth + 1, "pass")  # there may be nothing to test
            self.array(shape, name, depth + 1)
        else:
            self.line(depth + 1, "return False")
        self.line(depth, "else:")
        self.line(depth + 1, f"if type({name}) is dict:")
        if shape.may_be(Kind.OBJECT):
            self.line(depth + 2, "pass")
            self.object(shape, name, depth + 2)
        else:
            self.line(depth + 2, "return False")
        self.line(depth + 1, "else:")
        self.need(depth + 2, plain)

    def array(self, shape: Shape, name: str, depth: int) -> None:
        """Test the items of the list `name`."""
        if self._needs_none(shape.item):
            return
        item = self.name()
        self.line(depth, f"for {item} in {name}:")
        self._inside(shape.item, item, depth + 1)

    def object(self, shape: Shape, name: str, depth: int) -> None:
        """Test the fields of the dict `name`, and what stands under other names."""
        sure = [field for field, each in shape.fields.items() if each.defined]
        closed = shape.item is not None and shape.item.is_only(Kind.UNDEFINED)
        if closed and len(sure) == len(shape.fields):
            self.need(depth, f"len({name}) == {len(sure)}")
        for field in sure:
            self._field(shape.fields[field], f"{name}[{self.constant(field)}]", depth)
        many = str(len(sure))
        if len(sure) < len(shape.fields):
            many = self.name()
            self.line(depth, f"{many} = {len(sure)}")
        for field, each in shape.fields.items():
            if field not in sure:
                key = self.constant(field)
                self.line(depth, f"if {key} in {name}:")
                self.line(depth + 1, f"{many} = {many} + 1")
                self._field(each.without(Kind.UNDEFINED), f"{name}[{key}]", depth + 1)
        if closed and len(sure) == len(shape.fields):
            return
        if not closed and self._needs_none(shape.item):
            return
        # With as many keys as names, its keys are those names.
        self.line(depth, f"if len({name}) != {many}:")
        if closed:
            self.line(depth + 1, "return False")
            return
        self._others(shape, name, depth + 1)

    def _others(self, shape: Shape, name: str, depth: int) -> None:
        """Test what stands under names that `shape` does not list."""
        key, item = self.name(), self.name()
        self.line(depth, f"for {key}, {item} in {name}.items():")
        if not self._parsed:
            self.need(depth + 1, f"type({key}) is str")
        depth += 1
        if shape.fields:
            self.line(depth, f"if {key} not in {self.constant(frozenset(shape.fields))}:")
            depth += 1
        self._inside(shape.item, item, depth)

    def _needs_none(self, item: Shape | None) -> bool:
        """Whether items, of which `item` holds, need no test."""
        return self._parsed and (item is None or _is_any(item))

    def _inside(self, shape: Shape | None, name: str, depth: int) -> None:
        self._loops += 1
        self.value(DOCUMENT if shape is None else shape, name, depth)
        self._loops -= 1

    def _field(self, shape: Shape, text: str, depth: int) -> None:
        if shape.kinds == Kind.STRING and shape.only is UNKNOWN:
            self.need(depth, f"type({text}) is str")
            return
        name = self.name()
        self.line(depth, f"{name} = {text}")
        self.value(shape, name, depth)


def _scalars(writer: _Writer, shape: Shape, name: str) -> str:
    """The condition that the value of `name` is one of the scalars of `shape`."""
    parts = []
    if shape.may_be(Kind.STRING):
        parts.append(f"type({name}) is str")
    if shape.may_be(Kind.NUMBER) and shape.span is not None:
        least, most = map(writer.constant, shape.span)
        parts.append(f"type({name}) is int and {least} <= {name} <= {most}")
    elif shape.may_be(Kind.NUMBER):
        parts.append(f"type({name}) is int or type({name}) is Decimal and is_finite({name})")
    if shape.may_be(Kind.NULL):
        parts.append(f"{name} is None")
    if shape.may_be(Kind.TRUE) and shape.may_be(Kind.FALSE):
        parts.append(f"type({name}) is bool")
    elif shape.may_be(Kind.BOOLEAN):
        parts.append(f"{name} is {shape.may_be(Kind.TRUE)}")
    return " or ".join(parts) or "False"
