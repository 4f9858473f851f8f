"""The arguments of a governed call: bound to names, checked, and turned into exact JSON.

:class:`Parameters` is made once from a function; :meth:`Parameters.read` then
gives, for each call, what the function will be called with and what policy sees
of it. Both come from the same values: what the check returns is what is
converted, and what the tool gets.

These are more than 500 lines, so that what binds, reads and rewrites arguments is read together.
"""

from __future__ import annotations

import functools
import inspect
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement.annotations import ANY, Hidden, is_formless, shown
from guardrails.enforcement.call_arguments import Arguments
from guardrails.enforcement.json_form import NoJsonForm, to_document
from guardrails.enforcement.parameter import EMPTY, Parameter, innermost, scope_of
from guardrails.enforcement.plain_arguments import PlainParameters
from guardrails.enforcement.predicates import bind_predicate
from guardrails.enforcement.problems import Problems
from guardrails.errors import ConfigError
from guardrails.model.canonical import digest
from guardrails.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_PLAIN: Final = frozenset({str, int, bool, float, bytes, Decimal, type(None)})
_POSITIONAL: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


class Parameters:
    """How the arguments of one function are read. Made by :meth:`of`.

    Attributes:
        skip_first: Whether the first argument is an instance or a class, which is passed on
            and is no data.
        hidden: Sorted names of the parameters that policy does not see.
    """

    __slots__ = (
        "_by_name",
        "_fixed",
        "_from_keyword",
        "_function",
        "_keywords",
        "_list",
        "_mapping",
        "_options",
        "_pending",
        "_plain",
        "_positional",
        "_scope",
        "_title",
        "_validate",
        "hidden",
        "skip_first",
    )

    def __init__(  # noqa: PLR0913  # made by `of`; each is one option
        self,
        function: Callable[..., Any],
        *,
        skip_first: bool,
        hide: tuple[str, ...],
        validate: bool,
        prefix_args: tuple[Any, ...],
        prefix_keywords: Mapping[str, Any],
        namespace: Mapping[str, Any],
    ) -> None:
        self._function = function
        self._options = {
            "prefix_args": prefix_args,
            "prefix_keywords": prefix_keywords,
            "namespace": namespace,
        }
        while isinstance(function, functools.partial):
            prefix_args = (*function.args, *prefix_args)
            prefix_keywords = {**function.keywords, **prefix_keywords}
            function = function.func
        self._title = getattr(function, "__qualname__", None) or type(function).__name__
        self._validate = validate
        self._fixed = prefix_args
        self._keywords = dict(prefix_keywords)
        self.skip_first = skip_first
        self._scope = {**scope_of(function), **namespace}

        parameters = self._signature(function)
        self._by_name = {parameter.name: parameter for parameter in parameters}
        self._positional = [each for each in parameters if each.kind in _POSITIONAL]
        self._list = _only(parameters, inspect.Parameter.VAR_POSITIONAL)
        self._mapping = _only(parameters, inspect.Parameter.VAR_KEYWORD)
        # What stands after a parameter that a partial gives by name can only be given by name.
        named = [i for i, each in enumerate(self._positional) if each.name in self._keywords]
        self._from_keyword = min(named, default=len(self._positional))

        for name in hide:
            if name not in self._by_name:
                there = _listed(self._by_name)
                msg = f"`{self._title}`: hide: there is no parameter `{name}`; there are {there}"
                raise ConfigError(msg)
            self._by_name[name].hidden = True
        for parameter in parameters:
            self._settle(parameter, last=False)
        self.hidden = tuple(sorted(each.name for each in parameters if each.hidden))
        self._pending = any(each.pending for each in parameters)
        self._plain = self._plainly()

    @classmethod
    def of(  # noqa: PLR0913  # each is one option, by name
        cls,
        function: Callable[..., Any],
        *,
        skip_first: bool = False,
        hide: Iterable[str] = (),
        validate: bool = True,
        prefix_args: tuple[Any, ...] = (),
        prefix_keywords: Mapping[str, Any] | None = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> Parameters:
        """The parameters of `function`, with a check for each annotation.

        A type without a JSON form is not refused here but by :meth:`with_options` or
        :meth:`checked`, since a decorator further up may still hide it.

        Args:
            function: The function, or a partial of one. A partial's arguments are data, too.
            skip_first: Its first argument is an instance or a class.
            hide: Names of parameters that are no data.
            validate: Check arguments against the annotations.
            prefix_args: What was bound by position already, as by ``functools.partial``.
            prefix_keywords: What was bound by name already.
            namespace: Names that annotations may use beside the function's own scope.

        Raises:
            ConfigError: there is no signature to read, a name in `hide` is unknown, or an
                annotation cannot be used.
        """
        return cls(
            function,
            skip_first=skip_first,
            hide=(hide,) if isinstance(hide, str) else tuple(hide),
            validate=validate,
            prefix_args=tuple(prefix_args),
            prefix_keywords=dict(prefix_keywords or {}),
            namespace=dict(namespace or {}),
        )

    def with_options(
        self,
        *,
        hide: Iterable[str] | None = None,
        validate: bool | None = None,
        skip_first: bool | None = None,
    ) -> Parameters:
        """The parameters of the same function with other options; None keeps what there is.

        Raises:
            ConfigError: as :meth:`of`; and with `hide` as :meth:`checked`.
        """
        names = (hide,) if isinstance(hide, str) else hide
        made = Parameters(
            self._function,
            skip_first=self.skip_first if skip_first is None else skip_first,
            hide=self.hidden if names is None else tuple(names),
            validate=self._validate if validate is None else validate,
            **self._options,  # type: ignore[arg-type]  # as they came
        )
        return made if hide is None else made.checked()

    def checked(self) -> Parameters:
        """These parameters, once it is certain that each shown one can have a JSON form.

        Raises:
            ConfigError: one cannot, or its default has none.
        """
        for parameter in self._by_name.values():
            if parameter.hidden or parameter.pending:
                continue
            advice = (
                f"if it is no data, hide it: hide=({parameter.name!r},) or Annotated[..., Hidden]"
            )
            if parameter.annotation is not ANY and is_formless(parameter.annotation):
                msg = (
                    f"`{self._title}`: `{parameter.name}: {shown(parameter.annotation)}` "
                    f"has no JSON form that policy could read; {advice}"
                )
                raise ConfigError(msg)
            if parameter.default is not EMPTY and parameter.name not in self._keywords:
                try:
                    to_document(parameter.default, path=parameter.name)
                except NoJsonForm as error:
                    msg = (
                        f"`{self._title}`: the default of `{error.path}`: {error.problem}; {advice}"
                    )
                    raise ConfigError(msg) from None
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' names in their order, hidden ones included."""
        return tuple(self._by_name)

    def read(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Arguments:
        """The arguments of one call.

        Args:
            args: What the caller gave by position, the instance included where there is one.
            kwargs: What the caller gave by name.
            limits: How large they may be.

        Raises:
            InvalidArguments: they do not fit the signature or the annotations, or have no
                exact JSON form.
            ConfigError: an annotation names what is still not defined.
        """
        if self._pending:
            self._settle_pending()
        plain = None if self._plain is None else self._plain.read(args, kwargs, limits)
        if plain is not None:
            return plain
        problems = Problems(self._title)
        instance, given = args[: self.skip_first], args[self.skip_first :]
        if self.skip_first and not instance:
            problems.add("it is a method and was called without its instance")
        values = self._bind((*self._fixed, *given), {**self._keywords, **kwargs}, problems)
        problems.raise_any()
        fixed = {each.name for each in self._positional[: len(self._fixed)]}
        if self._validate:
            for name in [name for name in values if name not in fixed]:
                values[name] = self._by_name[name].accept(values[name], problems)
            problems.raise_any()
        for parameter in self._by_name.values():
            if parameter.name not in values:
                values[parameter.name] = parameter.default
        return self._arguments(instance, values, limits)

    def read_named(
        self,
        values: Mapping[str, Any],
        limits: Limits = DEFAULT_LIMITS,
        *,
        as_json: bool = False,
    ) -> Arguments:
        """The arguments of a call that is only to be decided, each by its parameter's name.

        Args:
            values: The value of each parameter; one named by ``*args`` is a sequence, by
                ``**kwargs`` a mapping. A hidden parameter may be left out: policy does not
                see it, and it is None then.
            limits: How large they may be.
            as_json: Whether the values are JSON that stands for the arguments, as a date's text.

        Raises:
            InvalidArguments: as :meth:`read`.
            ConfigError: as :meth:`read`.
        """
        if self._pending:
            self._settle_pending()
        problems = Problems(self._title)
        for name in values:
            if name not in self._by_name:
                problems.add(f"there is no parameter `{name[:60]}`; there are {self._names()}")
        read: dict[str, Any] = dict(self._keywords)
        read.update(zip((each.name for each in self._positional), self._fixed, strict=False))
        for parameter in self._by_name.values():
            if parameter.name in values:
                read[parameter.name] = values[parameter.name]
                if as_json and not parameter.hidden:
                    read[parameter.name] = parameter.from_json(read[parameter.name], problems)
                elif self._validate:
                    read[parameter.name] = parameter.accept(read[parameter.name], problems)
            elif parameter is self._list or parameter is self._mapping:
                read[parameter.name] = () if parameter is self._list else {}
            elif parameter.name not in read and parameter.default is not EMPTY:
                read[parameter.name] = parameter.default
            elif parameter.name not in read and parameter.hidden:
                read[parameter.name] = None
            elif parameter.name not in read:
                problems.add(f"args.{parameter.name}: missing")
        problems.raise_any()
        return self._arguments((None,) * self.skip_first, read, limits)

    def read_stored(
        self,
        document: Mapping[str, Any],
        hidden: Mapping[str, Any],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Arguments:
        """The arguments of a call of which only the document was kept.

        Args:
            document: The JSON value of every parameter that policy saw.
            hidden: The values of hidden parameters, for those without a default.
            limits: How large they may be.

        Raises:
            InvalidArguments: by the annotations as they are now it is no such call, or reads as
                another one; or a hidden parameter has no value.
        """
        if self._pending:
            self._settle_pending()
        problems = Problems(self._title)
        fixed = {
            each.name: value for each, value in zip(self._positional, self._fixed, strict=False)
        }
        named: dict[str, Any] = dict.fromkeys(self._by_name)
        for name, parameter in self._by_name.items():
            if not parameter.hidden:
                if name not in document:
                    problems.add(f"args.{name}: missing from what was kept of the call")
                named[name] = fixed.get(name)
            elif name in hidden:
                named[name] = hidden[name]
                if self._validate:
                    named[name] = parameter.accept(hidden[name], problems)
            elif name in fixed or name in self._keywords or parameter.default is not EMPTY:
                named[name] = fixed.get(name, self._keywords.get(name, parameter.default))
            elif parameter is self._list or parameter is self._mapping:
                named[name] = () if parameter is self._list else {}
            else:
                problems.add(f"args.{name}: hidden, so it was not kept; give it as hidden={{…}}")
        problems.raise_any()
        blank = Arguments((), {}, named, {}, limits)
        changes = {name: value for name, value in document.items() if name not in fixed}
        arguments = self.rewrite(blank, changes)
        if digest(arguments.document) != digest(dict(document)):
            problems.add("by its definition as it is now, they read as another call than was kept")
        problems.raise_any()
        return arguments

    def rewrite(self, arguments: Arguments, changes: Mapping[str, Any]) -> Arguments:
        """The arguments with some of them replaced by what JSON values stand for.

        Args:
            arguments: What :meth:`read` gave.
            changes: The new JSON value of each parameter that changes, as
                ``{"amount": 20}``; one named by ``*args`` is an array, by ``**kwargs`` an object.

        Raises:
            InvalidArguments: a value does not fit its parameter, or there is no such
                parameter that policy sees.
        """
        if self._pending:
            self._settle_pending()
        problems = Problems(self._title)
        values = {name: arguments.named[name] for name in self._by_name}
        fixed = {each.name for each in self._positional[: len(self._fixed)]}
        for name, value in changes.items():
            parameter = self._by_name.get(name)
            if parameter is None or parameter.hidden:
                problems.add(f"args.{name}: there is no such argument to change")
            elif name in fixed:
                problems.add(f"args.{name}: a partial fixes it; it cannot be changed")
            else:
                values[name] = parameter.from_json(value, problems)
        problems.raise_any()
        return self._arguments(arguments.args[: self.skip_first], values, arguments.limits)

    def document_of(self, arguments: Arguments) -> dict[str, Any]:
        """The document made anew from what the function would be called with now.

        It differs from ``arguments.document`` where somebody changed a list, a mapping or an
        object in place. Compare digests: Python's ``==`` takes ``True`` for ``1``.

        Raises:
            InvalidArguments: it has no JSON form any more.
        """
        rest = list(arguments.args[self.skip_first :])
        values: dict[str, Any] = {}
        for index, parameter in enumerate(self._positional):
            if index < len(self._fixed):
                values[parameter.name] = self._fixed[index]
            elif index < self._from_keyword:
                values[parameter.name] = rest.pop(0)
        by_name = dict(arguments.kwargs)
        for parameter in self._by_name.values():
            if parameter.name not in values and parameter.name in by_name:
                values[parameter.name] = by_name.pop(parameter.name)
        if self._list is not None:
            values[self._list.name] = (*self._fixed[len(self._positional) :], *rest)
        if self._mapping is not None:
            values[self._mapping.name] = by_name
        return self._document({name: values[name] for name in self._by_name}, arguments.limits)

    # ------------------------------------------------------------------- inside

    def _signature(self, function: Callable[..., Any]) -> list[Parameter]:
        try:
            found = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            msg = f"`{self._title}` has no signature that can be read; wrap it in a function"
            raise ConfigError(msg) from None
        if self.skip_first:
            if not found or found[0].kind not in _POSITIONAL:
                msg = f"`{self._title}` takes no instance as its first parameter"
                raise ConfigError(msg)
            found = found[1:]
        return [Parameter(parameter) for parameter in found]

    def _settle(self, parameter: Parameter, *, last: bool) -> None:
        try:
            parameter.settle(self._scope, last=last)
        except ConfigError as error:
            msg = f"`{self._title}`: {error}"
            raise ConfigError(msg) from None

    def _settle_pending(self) -> None:
        scope = {**self._scope, **scope_of(inspect.unwrap(innermost(self._function)))}
        self._scope = scope
        for parameter in self._by_name.values():
            if parameter.pending:
                self._settle(parameter, last=self._validate)
        self.hidden = tuple(sorted(each.name for each in self._by_name.values() if each.hidden))
        self._pending = False
        self._plain = self._plainly()

    def _plainly(self) -> PlainParameters | None:
        if self._pending or self._list or self._mapping or self._fixed or self._keywords:
            return None
        each = self._by_name.values()
        return PlainParameters(each, skip_first=self.skip_first, validate=self._validate)

    def _names(self) -> str:
        # A model reads them.
        return _listed(each.name for each in self._by_name.values() if not each.hidden)

    def _bind(
        self, given: tuple[Any, ...], by_name: dict[str, Any], problems: Problems
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for parameter, value in zip(self._positional, given, strict=False):
            values[parameter.name] = value
        surplus = given[len(self._positional) :]
        if self._list is not None:
            values[self._list.name] = surplus
        elif surplus:
            problems.add(
                f"it takes {len(self._positional)} arguments by position, not {len(given)}"
            )
        others: dict[str, Any] = {}
        for name, value in by_name.items():
            self._bind_name(name, value, values, others, problems)
        if self._mapping is not None:
            values[self._mapping.name] = others
        for parameter in self._by_name.values():
            if parameter.name not in values and parameter.default is EMPTY:
                problems.add(f"args.{parameter.name}: missing")
        return values

    def _bind_name(
        self,
        name: str,
        value: object,
        values: dict[str, Any],
        others: dict[str, Any],
        problems: Problems,
    ) -> None:
        parameter = self._by_name.get(name) if type(name) is str else None
        if type(name) is not str:
            problems.add("a keyword is no plain string")
        elif parameter is None or parameter in (self._list, self._mapping):
            if self._mapping is None:
                problems.add(f"there is no parameter `{name[:60]}`; there are {self._names()}")
            else:
                others[name] = value
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            # With `**kw` Python allows it: two values for one name, which nobody can tell apart.
            problems.add(f"args.{name}: it can only be given by position")
        elif name in values:
            problems.add(f"args.{name}: it was given twice, by position and by name")
        else:
            values[name] = value

    def _arguments(
        self, instance: tuple[Any, ...], values: dict[str, Any], limits: Limits
    ) -> Arguments:
        named = {name: values[name] for name in self._by_name}
        document = self._document(named, limits)
        args = list(instance)
        kwargs: dict[str, Any] = {}
        for index, parameter in enumerate(self._positional):
            if index >= self._from_keyword:
                kwargs[parameter.name] = named[parameter.name]
            elif index >= len(self._fixed):
                args.append(named[parameter.name])
        if self._list is not None:
            args += named[self._list.name][max(0, len(self._fixed) - len(self._positional)) :]
        for parameter in self._by_name.values():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                kwargs[parameter.name] = named[parameter.name]
        if self._mapping is not None:
            kwargs.update(named[self._mapping.name])
        can_change = any(
            not self._by_name[name].hidden
            and type(value) not in _PLAIN
            and not (type(value) is tuple and not value)  # no `*args` were given
            for name, value in named.items()
        )
        return Arguments(tuple(args), kwargs, named, document, limits, can_change)

    def _document(self, named: dict[str, Any], limits: Limits) -> dict[str, Any]:
        seen = {name: value for name, value in named.items() if not self._by_name[name].hidden}
        try:
            return to_document(seen, limits=limits)  # type: ignore[no-any-return]  # a dict gives a dict
        except NoJsonForm as error:
            problems = Problems(self._title)
            hint = f"; {error.hint}" if error.hint else ""
            problems.add(f"{error.path}: {error.problem}", hint)
            raise problems.error() from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _only(parameters: list[Parameter], kind: object) -> Parameter | None:
    return next((parameter for parameter in parameters if parameter.kind is kind), None)


__all__ = ["Arguments", "Hidden", "Parameters", "bind_predicate"]
