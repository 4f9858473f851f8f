"""pydantic's validators of annotations; the one module of enforcement that loads pydantic."""

from __future__ import annotations

import collections.abc
import enum
import functools
import types
import typing
from decimal import Decimal
from typing import Annotated, Any, Final, Union, get_args, get_origin

import typing_extensions
from pydantic import BeforeValidator, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from guardrails.enforcement.annotations import Invalid, NoValidator


class Validator:
    """Checks values strictly, down to their last part.

    Args:
        annotation: What they have to fit.

    Raises:
        NoValidator: pydantic makes none of it.
    """

    __slots__ = ("_adapter",)

    def __init__(self, annotation: Any) -> None:
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(_prepared(annotation))
        except PydanticSchemaGenerationError as error:
            raise NoValidator(error.message, is_foreign=True) from None
        except PydanticUserError as error:
            raise NoValidator(error.message, is_foreign=False) from None

    def accept(self, value: object) -> Any:
        """`value`, or what it is widened to.

        Raises:
            Invalid: it does not fit.
        """
        try:
            return self._adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise Invalid(error.errors(include_url=False, include_context=False)) from None

    def from_json(self, text: bytes) -> Any:
        """What the JSON `text` stands for.

        Raises:
            Invalid: it stands for nothing that fits.
        """
        try:
            return self._adapter.validate_json(text, strict=True)
        except ValidationError as error:
            raise Invalid(error.errors(include_url=False, include_context=False)) from None


def _whole(value: object) -> object:
    return Decimal(value) if type(value) is int else value


def _literal(args: tuple[object, ...], value: object) -> object:
    # pydantic takes True for Literal[1], and 1 for Literal[True].
    kinds = {type(arg) for arg in args if not isinstance(arg, enum.Enum) and arg == value}
    if type(value) in (bool, int, float) and kinds and type(value) not in kinds:
        listed = ", ".join(map(repr, args))
        msg = f"a {type(value).__name__} is none of {listed}"
        raise ValueError(msg)
    return value


def _prepared(annotation: Any) -> Any:
    """`annotation` for pydantic: ``int`` widens to ``Decimal``, an ``Iterable`` is a collection."""
    if annotation is Decimal:
        return Annotated[Decimal, BeforeValidator(_whole)]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is typing.Literal:
        return Annotated[annotation, BeforeValidator(functools.partial(_literal, args))]
    if origin is Annotated:
        return Annotated[(_prepared(args[0]), *annotation.__metadata__)]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_prepared, args))]  # noqa: UP007  # made of a tuple
    if origin is collections.abc.Iterable:
        # pydantic would hand the tool a generator, which neither policy nor record could read.
        item = _prepared(args[0])
        return list[item] | tuple[item, ...] | set[item] | frozenset[item]  # type: ignore[valid-type]  # made at run time
    if origin in _GENERICS and args:
        return origin[tuple(arg if arg is ... else _prepared(arg) for arg in args)]
    if typing_extensions.is_typeddict(annotation):
        return _typed_dict(annotation)
    return annotation


_GENERICS: Final = frozenset(
    {list, tuple, dict, set, frozenset}
    | {collections.abc.Sequence, collections.abc.Mapping, collections.abc.Set}
)


_REQUIREMENTS: Final[tuple[object, ...]] = (typing.Required, typing.NotRequired)


def _typed_dict(annotation: Any) -> Any:
    # Made anew with prepared fields, and as the TypedDict of typing_extensions, since before
    # Python 3.12 pydantic takes no other.
    fields = {}
    for name, hint in typing_extensions.get_type_hints(annotation, include_extras=True).items():
        bare = hint
        while get_origin(bare) in _REQUIREMENTS:
            bare = get_args(bare)[0]
        required = name in annotation.__required_keys__
        mark = typing_extensions.Required if required else typing_extensions.NotRequired
        fields[name] = mark[_prepared(bare)]
    return typing_extensions.TypedDict(annotation.__name__, fields)  # type: ignore[operator]  # made at run time
