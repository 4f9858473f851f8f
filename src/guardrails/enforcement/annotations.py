"""What an annotation demands of an argument, worked out once, at decoration.

Checking is strict, because a language model chooses the arguments: ``"5000"`` is
no ``int``, ``True`` is no number, ``None`` is nothing but ``None``. Only what
loses nothing is widened: an ``int`` to ``float`` (where the float is exact) and
to ``Decimal``. A plain type is checked by its exact type; everything else is
pydantic's work (models, dataclasses, ``TypedDict``, ``Literal``, unions,
constraints), in its strict mode.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import collections.abc
import datetime as dt
import enum
import inspect
import pathlib
import types
import typing
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Final, Union, get_args, get_origin

import typing_extensions

from guardrails.enforcement.json_form import has_form
from guardrails.errors import ConfigError
from guardrails.model.canonical import canonical

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.enforcement.validators import Validator


class Hidden:
    """Marks a parameter that is no data: ``Annotated[Session, Hidden]``.

    It is left out of the policy's input, the digest and the record; its name
    stands in ``tool.hidden``.
    """


ANY: Final = object()
"""The annotation of a parameter that has none."""


class Mismatch(ValueError):  # noqa: N818  # named for what the value is, as InvalidArguments
    """A value does not fit its annotation.

    Attributes:
        problems: Where below the value (``[3].price``), what is wrong, and what is there.
    """

    def __init__(self, problems: list[tuple[str, str, object]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{path}: {text}" for path, text, _ in problems))


class Invalid(ValueError):  # noqa: N818  # named as the next
    """What a validator finds wrong with a value.

    Attributes:
        problems: Each with ``loc``, ``type``, ``msg`` and ``input``, as pydantic tells them.
    """

    def __init__(self, problems: list[Any]) -> None:
        self.problems = problems
        super().__init__(f"{len(problems)} problems")


class NoValidator(TypeError):  # noqa: N818  # named for what the annotation has not
    """There is no validator for an annotation.

    Attributes:
        is_foreign: Whether it is a class that pydantic does not know.
    """

    def __init__(self, message: str, *, is_foreign: bool) -> None:
        self.is_foreign = is_foreign
        super().__init__(message)


def load_validators() -> None:
    """Load what makes validators, so that no call has to wait for that."""
    from guardrails.enforcement import validators  # noqa: F401, PLC0415  # for its effect; as below


def _validator_of(annotation: Any) -> Validator:
    # `import guardrails` takes a third more with it; tools of plain types do without.
    from guardrails.enforcement.validators import Validator  # noqa: PLC0415  # for that

    return Validator(annotation)


class Check:
    """What one resolved annotation demands.

    Args:
        annotation: The annotation, without strings in it.

    Raises:
        ConfigError: pydantic cannot make a validator of it.
    """

    __slots__ = ("_annotation", "_class", "_exact", "_validator", "text")

    def __init__(self, annotation: Any) -> None:
        self.text = shown(_bare(annotation))
        self._annotation = annotation
        self._exact = _exact_types(annotation)
        self._validator: Validator | None = None
        self._class: type | None = None
        if self._exact and _is_plain(annotation):
            return  # pydantic's validator is made when the first value misses the fast path
        try:
            self._validator = _validator_of(annotation)
        except NoValidator as error:
            if not error.is_foreign:
                msg = f"the annotation `{self.text}` cannot be checked: {error}"
                raise ConfigError(msg) from None
            # A class that pydantic does not know: its instances are checked, not their content.
            bare = _bare(annotation)
            kind = get_origin(bare) or bare
            if not isinstance(kind, type):
                if isinstance(kind, collections.abc.Hashable) and kind in (_NEVER_DATA | {Union}):
                    return
                msg = f"the annotation `{self.text}` is no type that can be checked"
                raise ConfigError(msg) from None
            is_class = kind is not types.UnionType and not _is_protocol(kind)
            self._class = kind if is_class else None

    @property
    def exact(self) -> frozenset[type]:
        """The types whose values are accepted as they are."""
        return self._exact

    def accept(self, value: Any) -> Any:
        """`value`, or what it is widened to: this is what the tool gets.

        Raises:
            Mismatch: it does not fit.
        """
        kind = type(value)
        if kind in self._exact:
            return value
        if kind is int:
            if Decimal in self._exact:
                return Decimal(value)
            if float in self._exact:
                return self._exact_float(value)
        if kind is Decimal and float in self._exact:
            return self._exact_float(value)
        if self._class is not None:
            if issubclass(kind, self._class):
                return value
            raise Mismatch([("", f"expected {self.text}", value)])
        validator = self._made()
        if validator is None:
            return value
        try:
            return validator.accept(value)
        except Invalid as error:
            raise Mismatch(self._problems(error, value)) from None

    def from_json(self, value: Any) -> Any:
        """The argument that the JSON `value` stands for, as for a ``datetime`` its text.

        Raises:
            Mismatch: it stands for none.
        """
        kind = type(value)
        if kind in self._exact and kind is not dict and kind is not list:
            return value
        if kind in (int, Decimal):
            if Decimal in self._exact:
                return Decimal(value)
            if dt.timedelta in self._exact:
                return _duration(value)
        if kind is str and bytes in self._exact and str not in self._exact:
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise Mismatch([("", "expected base64", value)]) from None
        if self._class is not None:
            raise Mismatch([("", f"a {self.text} cannot be made from JSON", value)])
        validator = self._made()
        if validator is None:
            return value
        try:
            return validator.from_json(canonical(value))
        except Invalid as error:
            raise Mismatch(self._problems(error, value)) from None

    def _exact_float(self, value: int | Decimal) -> float:
        try:
            number = float(value)
            lost = Decimal(repr(number)) != value
        except (OverflowError, ValueError, ArithmeticError):
            number, lost = 0.0, True
        if lost:
            raise Mismatch([("", "expected a number that a float holds exactly", value)])
        return number

    def _made(self) -> Validator | None:
        if self._validator is None and self._exact:
            self._validator = _validator_of(self._annotation)
        return self._validator

    def _problems(self, error: Invalid, value: object) -> list[tuple[str, str, object]]:
        found: dict[str, tuple[list[str], object]] = {}
        for item in error.problems:
            path = _path(item["loc"], value, missing=item["type"] == "missing")
            texts, _ = found.setdefault(path, ([], item["input"]))
            texts.append(item["msg"][:_LONGEST_TEXT])
        problems = []
        for path, (texts, given) in found.items():
            text = " or ".join(dict.fromkeys(texts))
            if not path and len(texts) > 1:
                text = f"expected {self.text}"
            problems.append((path, text[:1].lower() + text[1:], given))
        return problems


def _duration(seconds: int | Decimal) -> dt.timedelta:
    try:
        # A fraction, since a decimal context may round.
        return dt.timedelta(microseconds=int(Fraction(seconds) * 1_000_000))
    except OverflowError:
        raise Mismatch([("", "expected a length of time", seconds)]) from None


def resolve(annotation: Any, scope: Mapping[str, Any]) -> Any:
    """`annotation` with every string in it evaluated.

    Raises:
        NameError: a name in it is not defined (yet).
    """

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    return typing.get_type_hints(holder, dict(scope), include_extras=True)["it"]


def glimpse(annotation: Any, scope: Mapping[str, Any]) -> Any:
    """What can be seen of an annotation that names what is not defined (yet).

    ``Annotated[Session, Hidden]`` hides also where `Session` is imported for type checkers only.
    """
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, {}, _Lenient(scope))  # noqa: S307  # the developer's own annotation, as typing does
    except Exception:  # noqa: BLE001  # what cannot be seen is looked at again at the first call
        return ANY


def is_hidden(annotation: Any) -> bool:
    """Whether `annotation` is ``Annotated[..., Hidden]``.

    Raises:
        ConfigError: the mark stands somewhere inside, where it would hide nothing.
    """
    if get_origin(annotation) is Annotated:
        base, *marks = get_args(annotation)
        if any(mark is Hidden or isinstance(mark, Hidden) for mark in marks):
            return True
        return is_hidden(base)
    if _holds_mark(annotation):
        msg = (
            f"`{shown(annotation)}`: Hidden hides a whole parameter; "
            "write Annotated[..., Hidden] around all of it"
        )
        raise ConfigError(msg)
    return False


def is_formless(annotation: Any) -> bool:
    """Whether it is certain that no value of this annotation has a JSON form, but ``None``."""
    bare = _bare(annotation)
    origin = get_origin(bare)
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(bare) if member is not type(None)]
        return bool(members) and all(is_formless(member) for member in members)
    kind = origin if origin is not None else bare
    if kind in _NEVER_DATA:
        return True
    if origin is not None or not isinstance(bare, type) or bare in (object, Any):
        return False
    if inspect.isabstract(bare) or _is_protocol(bare) or bare.__module__ == "collections.abc":
        return False
    return not (has_form(bare) or typing_extensions.is_typeddict(bare))


def unpacked(annotation: Any) -> Any:
    """`T` of ``**kw: Unpack[T]``, else None."""
    if get_origin(annotation) in (typing.Unpack, typing_extensions.Unpack):
        return get_args(annotation)[0]
    return None


def shown(annotation: Any) -> str:
    """`annotation` as its author wrote it, shortened."""
    if isinstance(annotation, str):
        text = annotation
    elif isinstance(annotation, type) and get_origin(annotation) is None:
        text = "None" if annotation is type(None) else annotation.__qualname__.rpartition(".")[2]
    else:
        text = repr(annotation).replace("typing.", "")
    return text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"


_LONGEST_TEXT: Final = 200

_SCALARS: Final = frozenset(
    {str, int, bool, float, bytes, Decimal, type(None)}
    | {dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID}
)
_PLAIN: Final = _SCALARS | {list, tuple, dict, set, frozenset}

_NEVER_DATA: Final = frozenset(
    {
        collections.abc.Callable,
        collections.abc.Iterator,
        collections.abc.Generator,
        collections.abc.AsyncIterator,
        collections.abc.AsyncIterable,
        collections.abc.AsyncGenerator,
        collections.abc.Awaitable,
        collections.abc.Coroutine,
        type,
        types.FunctionType,
        types.MethodType,
        types.ModuleType,
        typing.IO,
        typing.TextIO,
        typing.BinaryIO,
    }
)


def _is_plain(annotation: Any) -> bool:
    if get_origin(annotation) in (Union, types.UnionType):
        return all(_is_plain(member) for member in get_args(annotation))
    return annotation is None or (isinstance(annotation, type) and annotation in _PLAIN)


def _exact_types(annotation: Any) -> frozenset[type]:
    """The types whose instances fit as they are, whatever their content."""
    if annotation is None:
        return frozenset({type(None)})
    if get_origin(annotation) in (Union, types.UnionType):
        return frozenset().union(*map(_exact_types, get_args(annotation)))
    if isinstance(annotation, type) and get_origin(annotation) is None:
        if annotation in _PLAIN or issubclass(annotation, enum.Enum):
            return frozenset({annotation})
        if annotation in (pathlib.Path, pathlib.PurePath):
            return frozenset({type(pathlib.Path())})
    return frozenset()


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _holds_mark(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated and any(
        mark is Hidden or isinstance(mark, Hidden) for mark in annotation.__metadata__
    ):
        return True
    return any(_holds_mark(part) for part in get_args(annotation) if part is not annotation)


def _path(loc: tuple[int | str, ...], value: Any, *, missing: bool) -> str:
    """Where `loc` leads in `value`; pydantic's marks of union members are left out."""
    path = ""
    for position, step in enumerate(loc):
        if isinstance(step, int) and isinstance(value, list | tuple) and step < len(value):
            value = value[step]
            path += f"[{step}]"
        elif isinstance(value, dict) and step in value:
            value = value[step]
            path += f".{step}" if str(step).isidentifier() else f"[{step!r}]"
        elif missing and position == len(loc) - 1:
            path += f".{step}"
    return path


class _Unknown:
    """Stands for a name that is not defined (yet)."""

    def __getattr__(self, name: str) -> _Unknown:
        if name.startswith("__"):
            raise AttributeError(name)  # typing asks for marks of its own
        return self

    def __getitem__(self, _key: object) -> _Unknown:
        return self

    def __or__(self, _other: object) -> _Unknown:
        return self

    __ror__ = __or__

    def __call__(self, *_args: object, **_kwargs: object) -> _Unknown:
        return self


class _Lenient(dict[str, Any]):
    """A scope in which every name is defined."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name) if hasattr(builtins, name) else _Unknown()
