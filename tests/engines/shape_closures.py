"""The same test as :mod:`guardrails.engines.input_shape`, as closures: what it is compared with."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.engines.input_shape import is_document
from guardrails.rego.emit.shapes import DOCUMENT, UNKNOWN, Kind, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

Test: TypeAlias = "Callable[[Any], bool]"

_MISSING: Final = object()


def fits(shape: Shape) -> Test:
    """A test whether a document is a JSON document of `shape`.

    Raises:
        ValueError: The shape promises single values, which this test does not ask for.
    """
    if shape.only is not UNKNOWN and not shape.is_only(_ALONE):
        msg = "a shape with single values cannot be tested"
        raise ValueError(msg)
    if not shape.fields and shape.item is None and not DOCUMENT.kinds & ~shape.kinds:
        return is_document
    tests = {kind: make(shape) for kind, (of, make) in _MAKERS.items() if shape.may_be(of)}
    if len(tests) == 1:
        ((kind, test),) = tests.items()
        if kind is str:
            return _is_text
        if kind in (dict, list):
            return test  # it asks for the type itself

    def run(value: Any) -> bool:
        test = tests.get(type(value))
        return test is not None and test(value)

    return run


_ALONE: Final = Kind.NULL | Kind.TRUE | Kind.FALSE | Kind.UNDEFINED
"""Kinds with one value each: what is said of the kind is said of the value."""


def _yes(_value: Any) -> bool:
    return True


def _no(_value: Any) -> bool:
    return False


def _within(shape: Shape) -> Test:
    if shape.span is None:
        return _yes
    least, most = shape.span
    return lambda value: least <= value <= most


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_finite(value: Any) -> bool:
    return bool(value.is_finite())


def _boolean(shape: Shape) -> Test:
    if shape.may_be(Kind.TRUE) and shape.may_be(Kind.FALSE):
        return _yes
    wanted = shape.may_be(Kind.TRUE)
    return lambda value: value is wanted


def _array(shape: Shape) -> Test:
    test = is_document if shape.item is None else fits(shape.item)

    def texts(value: Any) -> bool:
        if type(value) is not list:
            return False
        for item in value:  # noqa: SIM110  # as in is_document
            if type(item) is not str:
                return False
        return True

    def run(value: Any) -> bool:
        if type(value) is not list:
            return False
        for item in value:  # noqa: SIM110  # as in is_document
            if not test(item):
                return False
        return True

    return texts if test is _is_text else run


def _object(shape: Shape) -> Test:
    """Of an object: its fields, and what stands under other names, if that may be."""
    tests = {name: fits(each.without(Kind.UNDEFINED)) for name, each in shape.fields.items()}
    sure = [name for name, each in shape.fields.items() if each.defined]
    texts = [name for name in sure if tests[name] is _is_text]
    needed = [(name, tests[name]) for name in sure if tests[name] is not _is_text]
    optional = [(name, test) for name, test in tests.items() if name not in sure]
    others = _others(shape, frozenset(tests))

    def run(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name in texts:
            if type(value.get(name)) is not str:
                return False
        for name, test in needed:
            if not test(value.get(name, _MISSING)):
                return False
        listed = len(sure)
        for name, test in optional:
            item = value.get(name, _MISSING)
            if item is not _MISSING:
                if not test(item):
                    return False
                listed += 1
        # With as many keys as names, its keys are those names.
        return len(value) == listed or others(value)

    return run


def _others(shape: Shape, names: Collection[str]) -> Test:
    """Of an object that has other keys than `names`."""
    test = is_document if shape.item is None else fits(shape.item)
    if shape.item is not None and shape.item.is_only(Kind.UNDEFINED):
        return _no

    def run(value: Any) -> bool:
        return all(type(key) is str and (key in names or test(item)) for key, item in value.items())

    return run


_MAKERS: Final[dict[type, tuple[Kind, Callable[[Shape], Test]]]] = {
    str: (Kind.STRING, lambda _: _yes),
    int: (Kind.NUMBER, _within),
    Decimal: (Kind.NUMBER, lambda shape: _is_finite if shape.span is None else _no),
    type(None): (Kind.NULL, lambda _: _yes),
    bool: (Kind.BOOLEAN, _boolean),
    list: (Kind.ARRAY, _array),
    dict: (Kind.OBJECT, _object),
}
