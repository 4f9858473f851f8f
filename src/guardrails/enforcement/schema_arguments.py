"""The arguments of a tool that is known by a JSON schema alone, as one of another process.

A schema comes from whoever describes the tool, who may mean harm: no reference in it is
fetched, its patterns are matched by RE2 in linear time, and how often references are followed
has a limit. It can only narrow what is called: whatever it says, policy sees the very values
that are passed on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Self

import re2
from jsonschema.exceptions import SchemaError
from jsonschema.validators import Draft202012Validator, extend, validator_for
from referencing import Registry

from guardrails.enforcement.call_arguments import Arguments
from guardrails.enforcement.json_form import NoJsonForm, to_document
from guardrails.enforcement.parameter import plain
from guardrails.enforcement.problems import Problems
from guardrails.errors import ConfigError
from guardrails.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from guardrails.errors import Refusal

_SCHEMA_LIMITS: Final = Limits(depth=64, nodes=20_000, text=262_144)
_MOST_REFERENCES: Final = 10_000
_MOST_PROBLEMS: Final = 10
_LONGEST_WORDS: Final = 120
_OPEN: Final = frozenset(
    {"additionalProperties", "patternProperties", "unevaluatedProperties"}
    | {"$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "if"}
)
"""Where a schema says any of these, the names of its arguments are not just its properties."""


class SchemaArguments:
    """How the arguments of one tool are read by its JSON schema.

    Arguments are given by name. What is given by position is no argument: it is handed to the
    tool as it is, and neither policy nor record sees it. A name that the schema does not know is
    refused, where the schema does not say otherwise: it could mean something to the tool. A
    default that the schema states for an argument is filled in, so that policy sees it.

    Args:
        title: The tool's name, for errors.
        schema: The JSON schema of an object, draft 2020-12 where it does not say which.
        refuse: Gives the reason for which no call is made at present, if there is one.

    Raises:
        ConfigError: the schema is none, is too large, or is not one of an object.
    """

    hidden: tuple[str, ...] = ()
    skip_first = False

    def __init__(
        self,
        title: str,
        schema: Mapping[str, Any],
        *,
        refuse: Callable[[], Refusal | None] = lambda: None,
    ) -> None:
        self._title = title
        self._refuse = refuse
        try:
            self._schema: dict[str, Any] = plain(
                to_document(dict(schema), path="schema", limits=_SCHEMA_LIMITS)
            )
        except NoJsonForm as error:
            raise ConfigError(f"the schema of `{title}` cannot be used: {error}") from None
        if self._schema.get("type", "object") != "object":
            raise ConfigError(f"the schema of `{title}` is not one of an object")
        kind = validator_for(self._schema, default=Draft202012Validator)
        try:
            kind.check_schema(self._schema)
        except SchemaError as error:
            where = "/".join(map(str, error.absolute_path)) or "its root"
            raise ConfigError(f"the schema of `{title}` is none, at {where}") from None
        except RecursionError:
            raise ConfigError(f"the schema of `{title}` is nested too deeply") from None
        self._references = 0
        self._validator = _guarded(kind, self._follow)(self._schema, registry=_NOTHING)
        self._properties: dict[str, Any] = dict(self._schema.get("properties", {}))
        self._is_closed = not _OPEN & self._schema.keys()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the properties, in the schema's order."""
        return tuple(self._properties)

    def read(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Arguments:
        """The arguments of one call; what is given by position passes unseen.

        Raises:
            InvalidArguments: they do not fit the schema.
            Refusal: no call is made at present.
        """
        refusal = self._refuse()
        if refusal is not None:
            raise refusal
        given = dict(kwargs)
        for name, about in self._properties.items():
            if name not in given and isinstance(about, dict) and "default" in about:
                given[name] = about["default"]
        return self._arguments(args, given, limits)

    def read_named(
        self,
        values: Mapping[str, Any],
        limits: Limits = DEFAULT_LIMITS,
        *,
        as_json: bool = False,
    ) -> Arguments:
        """The arguments of a call that is only to be decided; as :meth:`read`."""
        return self.read((), plain(dict(values)) if as_json else values, limits)

    def read_stored(
        self,
        document: Mapping[str, Any],
        hidden: Mapping[str, Any],
        limits: Limits = DEFAULT_LIMITS,
    ) -> Arguments:
        """Nothing: of such a call only whoever received it can make it, so it is asked for again.

        Raises:
            InvalidArguments: always.
        """
        del document, hidden, limits
        problems = Problems(self._title)
        problems.add("only whoever received the call can make it; let it be called again")
        raise problems.error()

    def rewrite(self, arguments: Arguments, changes: Mapping[str, Any]) -> Arguments:
        """The arguments with some of them replaced by JSON values.

        Raises:
            InvalidArguments: they do not fit the schema, or there is no such argument.
        """
        problems = Problems(self._title)
        for name in changes:
            if name not in arguments.named and name not in self._properties:
                problems.add(f"args.{name[:60]}: there is no such argument to change")
        problems.raise_any()
        changed = {**arguments.named, **plain(dict(changes))}
        return self._arguments(arguments.args, changed, arguments.limits)

    def document_of(self, arguments: Arguments) -> dict[str, Any]:
        """The document made anew from what the tool would be called with now."""
        return self._document(arguments.kwargs, arguments.limits)

    def with_options(
        self,
        *,
        hide: Iterable[str] | None = None,
        validate: bool | None = None,
        skip_first: bool | None = None,
    ) -> Self:
        """Nothing: what a schema describes has no options.

        Raises:
            ConfigError: always.
        """
        del hide, validate, skip_first
        raise ConfigError(f"`{self._title}` is described by a schema; it is governed as it is")

    # ------------------------------------------------------------------------------- inside

    def _arguments(self, args: tuple[Any, ...], given: dict[str, Any], limits: Limits) -> Arguments:
        document = self._document(given, limits)
        # Made anew from what policy sees: nobody else holds a part of it.
        values: dict[str, Any] = plain(document)
        problems = Problems(self._title)
        if self._is_closed:
            for name in values:
                if name not in self._properties:
                    there = ", ".join(f"`{each}`" for each in self._properties) or "none"
                    problems.add(f"there is no argument `{name[:60]}`; there are {there}")
        problems.raise_any()
        self._references = 0
        try:
            for index, error in enumerate(self._validator.iter_errors(values)):
                if index == _MOST_PROBLEMS:
                    break
                problems.add(_words(error))
        except Exception as error:  # noqa: BLE001  # whatever the schema made it do, the call is refused
            problems.add(f"they cannot be checked by the tool's schema ({type(error).__name__})")
        problems.raise_any()
        return Arguments(args, values, values, document, limits, can_change=False)

    def _document(self, values: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
        try:
            return to_document(dict(values), limits=limits)  # type: ignore[no-any-return]  # of a dict, a dict
        except NoJsonForm as error:
            problems = Problems(self._title)
            problems.add(f"{error.path}: {error.problem}")
            raise problems.error() from None

    def _follow(self) -> None:
        self._references += 1
        if self._references > _MOST_REFERENCES:
            raise RecursionError("the schema follows too many references")


_NOTHING: Final[Registry[Any]] = Registry()
"""Where references to other documents are looked up: there are none, and none is fetched."""


def _guarded(kind: Any, follow: Callable[[], None]) -> Any:
    def counted(rule: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
        def follows(*given: Any) -> Iterator[Any]:
            follow()
            yield from rule(*given) or ()

        return follows

    own: dict[str, Any] = {"pattern": _pattern, "patternProperties": _pattern_properties}
    for word in ("$ref", "$dynamicRef", "$recursiveRef"):
        if word in kind.VALIDATORS:
            own[word] = counted(kind.VALIDATORS[word])
    return extend(kind, own)  # type: ignore[no-untyped-call]  # of types-jsonschema


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> Any:
    try:
        return re2.compile(pattern)
    except re2.error:
        return None


def _finds(pattern: str, text: str) -> bool:
    # What RE2 does not know, the tool itself has to check: it is the tool's own condition.
    compiled = _compiled(pattern)
    return compiled is None or compiled.search(text) is not None


def _pattern(validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
    if validator.is_type(instance, "string") and not _finds(pattern, instance):
        yield _error("it does not match the pattern")


def _pattern_properties(validator: Any, patterns: Any, instance: Any, _schema: Any) -> Any:
    if not validator.is_type(instance, "object"):
        return
    for pattern, schema in patterns.items():
        for name, value in instance.items():
            if _finds(pattern, name):
                yield from validator.descend(value, schema, path=name, schema_path=pattern)


def _error(message: str) -> Exception:
    from jsonschema.exceptions import ValidationError  # noqa: PLC0415  # its one use

    return ValidationError(message)


def _words(error: Any) -> str:
    """What is wrong, without the value: a model reads it, and so do logs."""
    path = "args"
    for step in error.absolute_path:
        path += f"[{step}]" if isinstance(step, int) else f".{str(step)[:60]}"
    kind = str(error.validator)
    if kind == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{path}: missing {', '.join(f'`{str(name)[:60]}`' for name in missing)}"
    if kind == "additionalProperties" and error.validator_value is False:
        return f"{path}: it has members that the tool does not know"
    wanted = str(error.validator_value)
    if len(wanted) > _LONGEST_WORDS:
        wanted = wanted[:_LONGEST_WORDS] + "…"
    return f"{path}: it does not fit `{kind}: {wanted}`, got {type(error.instance).__name__}"
