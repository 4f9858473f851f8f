"""The quick way to read arguments: plain values of the very types that a function asks for.

Most calls have no others. Whatever is not plain, or wrong in any way, is read from the start by
:class:`~guardrails.enforcement.arguments.Parameters`, which knows every case and says what is
wrong; here nothing is refused, and what is given is what is given there.
"""

from __future__ import annotations

import inspect
from decimal import Decimal
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from guardrails.enforcement.call_arguments import Arguments
from guardrails.enforcement.json_form import NoJsonForm, number_form
from guardrails.enforcement.parameter import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from guardrails.enforcement.parameter import Parameter
    from guardrails.model.limits import Limits

_KEYWORD_ONLY: Final = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL_ONLY: Final = inspect.Parameter.POSITIONAL_ONLY
_LEAST: Final = -(2**63)
_MOST: Final = 2**63


_Check: TypeAlias = "tuple[str, frozenset[type] | None, bool]"
"""Of one argument: its name, the types that it may have, if not any, and whether it is hidden."""


class PlainParameters:
    """How plain arguments are read.

    Args:
        parameters: Those of the function, of which none collects others.
        skip_first: Whether an instance comes first, which is passed on.
        validate: Whether values have to be of the types that the annotations name.
    """

    __slots__ = ("_by_name", "_checks", "_each", "_many", "_names", "_positional", "_skip", "_text")

    def __init__(
        self, parameters: Iterable[Parameter], *, skip_first: bool, validate: bool
    ) -> None:
        self._each = each = tuple(parameters)
        self._many = len(each)
        self._names = names = tuple(parameter.name for parameter in each)
        self._checks: tuple[_Check, ...] = tuple(
            (
                parameter.name,
                parameter.check.exact if validate and parameter.check is not None else None,
                parameter.hidden,
            )
            for parameter in each
        )
        # Those that come by name alone are the last ones of every signature.
        self._positional = sum(parameter.kind is not _KEYWORD_ONLY for parameter in each)
        # Takes all of them out of what is given by name, as most calls of agents are.
        self._by_name: Callable[[Mapping[str, Any]], Any] | None = None
        if each and all(parameter.kind is not _POSITIONAL_ONLY for parameter in each):
            self._by_name = itemgetter(*names)
        # A name is text of the document, too.
        self._text = sum(len(name.encode()) for name in names)
        self._skip = int(skip_first)

    def read(  # noqa: C901, PLR0912  # one loop over the values: calls in it would cost most
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits
    ) -> Arguments | None:
        """The arguments; None where one of them is not plain, or something is wrong."""
        skip, many = self._skip, self._many
        checks: Sequence[_Check] = self._checks
        if skip > len(args) or many >= limits.nodes or limits.depth < 1:
            return None
        if len(kwargs) == many and len(args) == skip and self._by_name is not None:
            try:
                values = self._by_name(kwargs)
            except KeyError:
                return None
            if many == 1:
                values = (values,)
        elif not kwargs and len(args) - skip == many == self._positional:
            values = args[skip:]
        else:
            bound = self._bound(args[skip:], kwargs)
            if bound is None:
                return None
            values, checks = bound
        left = limits.text - self._text
        named = dict(zip(self._names, values, strict=True))
        document = named.copy()
        for value, (name, exact, hidden) in zip(values, checks, strict=True):
            form = type(value)
            if exact is not None and form not in exact:
                return None
            if hidden:
                del document[name]
            elif form is str:
                left -= len(value)
                if not value.isascii():
                    return None
            elif form is int:
                if not _LEAST <= value < _MOST:
                    return None
            elif form is Decimal or form is float:
                try:
                    document[name] = number_form(value, limits)
                except NoJsonForm:
                    return None
            elif form is not bool and value is not None:
                return None
        if left < 0:
            return None
        by_name: dict[str, Any] = {}
        if self._positional != many:
            by_name = {name: named[name] for name in self._names[self._positional :]}
            values = values[: self._positional]
        if skip:
            values = args[:skip] + values
        return Arguments(values, by_name, named, document, limits, False)  # noqa: FBT003  # by name it would take longer

    def _bound(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[tuple[Any, ...], Sequence[_Check]] | None:
        """The value of each parameter, and its check; None where one is missing or too many."""
        for key in kwargs:
            if type(key) is not str:
                return None
        place, count, taken = 0, len(args), 0
        values: list[Any] = []
        checks: list[_Check] = []
        for parameter, check in zip(self._each, self._checks, strict=True):
            name, kind = parameter.name, parameter.kind
            if place < count and kind is not _KEYWORD_ONLY:
                values.append(args[place])
                checks.append(check)
                place += 1
            elif name in kwargs and kind is not _POSITIONAL_ONLY:
                values.append(kwargs[name])
                checks.append(check)
                taken += 1
            elif parameter.default is EMPTY:
                return None
            else:  # a default may be of any type
                values.append(parameter.default)
                checks.append((name, None, parameter.hidden))
        # What is left over was given twice, or has no parameter.
        if place < count or taken < len(kwargs):
            return None
        return tuple(values), checks
