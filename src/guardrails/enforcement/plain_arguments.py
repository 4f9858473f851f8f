"""The quick way to read arguments: plain values of the very types that a function asks for.

Most calls have no others. Whatever is not plain, or wrong in any way, is read from the start by
:class:`~guardrails.enforcement.arguments.Parameters`, which knows every case and says what is
wrong; here nothing is refused, and what is given is what is given there.
"""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.enforcement.call_arguments import Arguments
from guardrails.enforcement.json_form import NoJsonForm, number_form
from guardrails.enforcement.parameter import EMPTY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.enforcement.parameter import Parameter
    from guardrails.model.limits import Limits

_KEYWORD_ONLY: Final = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL_ONLY: Final = inspect.Parameter.POSITIONAL_ONLY
_LEAST: Final = -(2**63)
_MOST: Final = 2**63


_new: Final = object.__new__

_Check: TypeAlias = "tuple[str, frozenset[type] | None, bool]"
"""Of one argument: its name, the types that it may have, if not any, and whether it is hidden."""


class PlainParameters:
    """How plain arguments are read.

    Args:
        parameters: Those of the function, of which none collects others.
        skip_first: Whether an instance comes first, which is passed on.
        validate: Whether values have to be of the types that the annotations name.
    """

    __slots__ = ("_checks", "_each", "_hidden", "_many", "_named", "_positional", "_skip", "_text")

    def __init__(
        self, parameters: Iterable[Parameter], *, skip_first: bool, validate: bool
    ) -> None:
        self._each = each = tuple(parameters)
        self._many = len(each)
        self._checks: tuple[_Check, ...] = tuple(
            (
                parameter.name,
                parameter.check.exact if validate and parameter.check is not None else None,
                parameter.hidden,
            )
            for parameter in each
        )
        self._hidden = tuple(parameter.name for parameter in each if parameter.hidden)
        # How many may come by position: those that come by name alone are the last ones.
        self._positional = sum(parameter.kind is not _KEYWORD_ONLY for parameter in each)
        # Whether all may come by name.
        self._named = all(parameter.kind is not _POSITIONAL_ONLY for parameter in each)
        # A name is text of the document, too.
        self._text = sum(len(parameter.name.encode()) for parameter in each)
        self._skip = int(skip_first)

    def read(  # noqa: C901, PLR0912  # one loop over the values: calls in it would cost most
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits
    ) -> Arguments | None:
        """The arguments; None where one of them is not plain, or something is wrong."""
        skip, many = self._skip, self._many
        given, checks = kwargs, self._checks
        if many >= limits.nodes or limits.depth < 1:
            return None
        # All by name, as agents call: what is given is as the loop needs it.
        if len(kwargs) != many or len(args) != skip or not self._named:
            bound = self._bound(args, kwargs)
            if bound is None:
                return None
            given, checks = bound
        left = limits.text - self._text
        named: dict[str, Any] = {}
        numbers: dict[str, Any] = {}
        try:
            for name, exact, hidden in checks:
                named[name] = value = given[name]
                form = type(value)
                if exact is not None and form not in exact:
                    return None
                if hidden:
                    continue
                if form is str:
                    left -= len(value)
                    if not value.isascii():
                        return None
                elif form is int:
                    if not _LEAST <= value < _MOST:
                        return None
                elif form is Decimal or form is float:
                    numbers[name] = number_form(value, limits)
                elif form is not bool and value is not None:
                    return None
        except (KeyError, NoJsonForm):
            return None
        if left < 0:
            return None
        document = named.copy()
        if numbers:
            document.update(numbers)
        for name in self._hidden:
            del document[name]
        by_position = tuple(named.values())
        by_name: dict[str, Any] = {}
        if self._positional != many:
            by_name = dict(list(named.items())[self._positional :])
            by_position = by_position[: self._positional]
        if skip:
            by_position = args[:skip] + by_position
        # As `Arguments(…)`, in a third of the time: Python enters no initializer.
        found = _new(Arguments)
        found.args, found.kwargs = by_position, by_name
        found.named, found.document = named, document
        found.limits, found.can_change = limits, False
        return found

    def _bound(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], tuple[_Check, ...]] | None:
        """Each parameter's value and its check; None where one is missing or too many."""
        place, count, taken = self._skip, len(args), 0
        if place > count:
            return None
        for key in kwargs:
            if type(key) is not str:
                return None
        values: dict[str, Any] = {}
        checks = self._checks
        for parameter in self._each:
            name, kind = parameter.name, parameter.kind
            if place < count and kind is not _KEYWORD_ONLY:
                values[name] = args[place]
                place += 1
            elif name in kwargs and kind is not _POSITIONAL_ONLY:
                values[name] = kwargs[name]
                taken += 1
            elif parameter.default is EMPTY:
                return None
            else:
                values[name] = parameter.default
                # It may be of any type.
                checks = tuple(
                    (each, None if each == name else exact, hidden)
                    for each, exact, hidden in checks
                )
        # What is left over was given twice, or has no parameter.
        if place < count or taken < len(kwargs):
            return None
        return values, checks
