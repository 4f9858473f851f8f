"""One parameter of a governed function, and the names that its annotation can use."""

from __future__ import annotations

import functools
import inspect
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement.annotations import (
    ANY,
    Check,
    glimpse,
    is_hidden,
    resolve,
    shown,
    unpacked,
)
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.enforcement.problems import Problems

EMPTY: Final = inspect.Parameter.empty
"""Stands where a parameter has no default."""


class Parameter:
    """One parameter of a governed function.

    Attributes:
        name: Its name.
        kind: Whether it is given by position, by name, or collects the rest.
        default: Its default, or :data:`EMPTY`.
        annotation: Its annotation, resolved once it can be; or ``ANY``.
        hidden: Policy does not see it.
        pending: The annotation names what is not defined yet.
        check: What the annotation demands, if anything.
        describes_all: The check is for all that ``**kw: Unpack[T]`` collects, at once.
    """

    __slots__ = (
        "annotation",
        "check",
        "default",
        "describes_all",
        "hidden",
        "kind",
        "name",
        "pending",
    )

    def __init__(self, parameter: inspect.Parameter) -> None:
        self.name = parameter.name
        self.kind = parameter.kind
        self.default = parameter.default
        self.annotation = ANY if parameter.annotation is EMPTY else parameter.annotation
        self.hidden = False
        self.pending = False
        self.check: Check | None = None
        self.describes_all = False

    def settle(self, scope: Mapping[str, Any], *, last: bool) -> None:
        """Resolve the annotation and make its check; what cannot be resolved yet stays pending."""
        if self.annotation is ANY:
            return
        try:
            self.annotation = resolve(self.annotation, scope)
        except NameError as error:
            if last and not self.hidden:
                msg = (
                    f"`{self.name}`: its annotation `{shown(self.annotation)}` cannot be resolved: "
                    f"{error}; import it at run time, too, or give validate=False"
                )
                raise ConfigError(msg) from None
            self.hidden = self.hidden or is_hidden(glimpse(self.annotation, scope))
            self.pending = not self.hidden
            return
        except Exception as error:
            msg = f"`{self.name}`: `{shown(self.annotation)}` is no annotation: {error}"
            raise ConfigError(msg) from error
        self.pending = False
        self.hidden = self.hidden or is_hidden(self.annotation)
        typed = unpacked(self.annotation)
        self.describes_all = typed is not None
        try:
            self.check = Check(self.annotation if typed is None else typed)
        except ConfigError as error:
            if not self.hidden:
                msg = f"`{self.name}`: {error}"
                raise ConfigError(msg) from None

    def accept(self, value: Any, problems: Problems) -> Any:
        """What the tool gets for `value`; what does not fit is noted in `problems`."""
        return value if self.check is None else self._each(value, self.check.accept, problems)

    def from_json(self, value: Any, problems: Problems) -> Any:
        """The argument that a JSON value stands for; if it is none, that is noted in `problems`."""
        if self.kind is inspect.Parameter.VAR_POSITIONAL and type(value) is not list:
            problems.add(f"args.{self.name}: expected an array")
            return value
        if self.kind is inspect.Parameter.VAR_KEYWORD and type(value) is not dict:
            problems.add(f"args.{self.name}: expected an object")
            return value
        return self._each(value, plain if self.check is None else self.check.from_json, problems)

    def _each(self, value: Any, make: Callable[[Any], Any], problems: Problems) -> Any:
        path = f"args.{self.name}"
        if self.kind is inspect.Parameter.VAR_POSITIONAL:
            return tuple(
                problems.guard(f"{path}[{index}]", make, item, hidden=self.hidden)
                for index, item in enumerate(value)
            )
        if self.kind is inspect.Parameter.VAR_KEYWORD and not self.describes_all:
            return {
                name: problems.guard(f"{path}.{name}", make, item, hidden=self.hidden)
                for name, item in value.items()
            }
        return problems.guard(path, make, value, hidden=self.hidden)


def plain(value: Any) -> Any:
    """`value` as a JSON decoder gives it: a decimal is a float, where that is the same number."""
    kind = type(value)
    if kind is Decimal:
        number = float(value)
        return number if Decimal(repr(number)) == value else value
    if kind is list:
        return [plain(item) for item in value]
    if kind is dict:
        return {name: plain(item) for name, item in value.items()}
    return value


def innermost(function: Any) -> Any:
    """What a partial is a partial of; else `function` itself."""
    while isinstance(function, functools.partial):
        function = function.func
    return function


def scope_of(function: Any) -> dict[str, Any]:
    """The names that the annotations of `function` can use."""
    inner = inspect.unwrap(function)
    inner = getattr(inner, "__func__", inner)
    scope = dict(getattr(inner, "__globals__", {}))
    code = getattr(inner, "__code__", None)
    for name, cell in zip(
        getattr(code, "co_freevars", ()), getattr(inner, "__closure__", None) or (), strict=False
    ):
        try:
            scope[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return scope
