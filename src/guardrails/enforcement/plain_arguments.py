"""The quick way to read arguments: plain values of the very types that a function asks for.

Most calls have no others. Whatever is not plain, or wrong in any way, is read from the start by
:class:`~guardrails.enforcement.arguments.Parameters`, which knows every case and says what is
wrong; here nothing is refused, and what is given is what is given there.
"""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

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


class PlainParameters:
    """How plain arguments are read.

    Args:
        parameters: Those of the function, of which none collects others.
        skip_first: Whether an instance comes first, which is passed on.
        validate: Whether values have to be of the types that the annotations name.
    """

    __slots__ = ("_each", "_many", "_skip", "_text")

    def __init__(
        self, parameters: Iterable[Parameter], *, skip_first: bool, validate: bool
    ) -> None:
        self._each = tuple(
            (
                each.name,
                each.kind,
                each.check.exact if validate and each.check is not None else None,
                each.default,
                each.hidden,
            )
            for each in parameters
        )
        self._many = len(self._each)
        # A name is text of the document, too.
        self._text = sum(len(name.encode()) for name, *_ in self._each)
        self._skip = int(skip_first)

    def read(  # noqa: C901, PLR0912  # one loop over the parameters: calls in it would cost most
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limits: Limits
    ) -> Arguments | None:
        """The arguments; None where one of them is not plain, or something is wrong."""
        place, count = self._skip, len(args)
        if place > count or self._many >= limits.nodes or limits.depth < 1:
            return None
        for key in kwargs:
            if type(key) is not str:
                return None
        left = limits.text - self._text
        taken = 0
        by_position = list(args[:place])
        by_name: dict[str, Any] = {}
        named: dict[str, Any] = {}
        document: dict[str, Any] = {}
        for name, kind, exact, default, hidden in self._each:
            if place < count and kind is not _KEYWORD_ONLY:
                value = args[place]
                place += 1
                known = exact is None or type(value) in exact
            elif name in kwargs and kind is not _POSITIONAL_ONLY:
                value = kwargs[name]
                taken += 1
                known = exact is None or type(value) in exact
            else:
                value = default
                known = default is not EMPTY
            if not known:
                return None
            named[name] = value
            if kind is _KEYWORD_ONLY:
                by_name[name] = value
            else:
                by_position.append(value)
            if hidden:
                continue
            form = type(value)
            if form is str:
                left -= len(value)
                if left < 0 or not value.isascii():
                    return None
                document[name] = value
            elif form is int:
                if not _LEAST <= value < _MOST:
                    return None
                document[name] = value
            elif form is bool or value is None:
                document[name] = value
            elif form is Decimal or form is float:
                try:
                    document[name] = number_form(value, limits)
                except NoJsonForm:
                    return None
            else:
                return None
        # What is left over was given twice, or has no parameter.
        if place < count or taken < len(kwargs) or left < 0:
            return None
        return Arguments(tuple(by_position), by_name, named, document, limits, can_change=False)
