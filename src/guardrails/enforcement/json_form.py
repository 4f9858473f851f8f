"""The JSON form of a tool's arguments: what policy sees is what the tool gets.

One documented form for each type; every value in the result is of exactly one
of the types ``None``, ``bool``, ``int``, :class:`~decimal.Decimal`, ``str``,
``list`` and ``dict`` with ``str`` keys, and nothing in it is shared with the
value it was made from.

| Python                          | JSON                                                      |
|---------------------------------|-----------------------------------------------------------|
| ``None``, ``bool``              | null, boolean; a boolean is never a number                |
| ``int``                         | number, within -2**63 .. 2**63-1                          |
| ``float``                       | the exact number that its shortest text names             |
| ``Decimal``                     | the exact number; an integral one as an integer           |
| ``str``                         | string without lone surrogates                            |
| ``bytes``, ``bytearray``        | string: base64 with padding (RFC 4648, section 4)         |
| ``datetime`` with a time zone   | string: RFC 3339, UTC written as ``Z``                    |
| ``datetime`` without one        | string: the same without an offset, so that no rule can   |
|                                 | take it for an instant                                    |
| ``date``, ``time``              | string: RFC 3339 full-date, partial-time                  |
| ``timedelta``                   | number: exact seconds                                     |
| ``UUID``, ``Path``              | string                                                    |
| ``Enum``                        | the form of its value                                     |
| dataclass, ``NamedTuple``       | object by field                                           |
| pydantic model                  | object by field (its Python names); a root model its root |
| ``list``, ``tuple``             | array                                                     |
| ``set``, ``frozenset``          | array in the order of the members' canonical text         |
| ``dict``                        | object; an ``int``, ``Enum`` or ``UUID`` key as its text  |

A subclass of one of these has the form of its base, read from what is stored in
it. A subclass that changes how its content is read is refused: the tool could
read something else than policy did. Iterators, callables and all other types are
refused; a parameter that is no data can be hidden.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import pathlib
import sys
import uuid
from collections import Counter, OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from guardrails.model.canonical import canonical
from guardrails.model.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_HIDE: Final = "hide the parameter if it is no data: hide=(...) or Annotated[..., Hidden]"


class NoJsonForm(ValueError):  # noqa: N818  # named for what the value has not, as InvalidArguments
    """A value has no JSON form, or one that passes a limit.

    Attributes:
        path: Where in the arguments, as ``args.items[3].price``.
        problem: What is wrong, without the value itself.
        hint: What the tool's developer can do about it, if anything.
    """

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        self.path = path
        self.problem = problem
        self.hint = hint
        super().__init__(f"{path}: {problem}; {hint}" if hint else f"{path}: {problem}")


def to_document(value: object, *, path: str = "args", limits: Limits = DEFAULT_LIMITS) -> Any:
    """The JSON form of `value`, fresh and of exact types.

    Args:
        value: Any Python value.
        path: Its name in errors.
        limits: How large it may be.

    Raises:
        NoJsonForm: it has none.
    """
    return _Conversion(limits).convert(value, path)


def number_form(value: float | Decimal, limits: Limits) -> int | Decimal:
    """The same of a number that is a plain ``Decimal`` or ``float``.

    Raises:
        NoJsonForm: it is not finite, or too long.
    """
    conversion = _Conversion(limits)
    if type(value) is float:
        return conversion.binary(value, "", 0)
    return conversion.decimal(value, "", 0)


def has_form(kind: type) -> bool:
    """Whether values of the class `kind` can have a JSON form, as far as the class tells."""
    if kind in _FORMS or issubclass(kind, enum.Enum) or dataclasses.is_dataclass(kind):
        return True
    if _is_model(kind):
        return True
    base = _base(kind)
    return base is not None and not _changed(kind, base)


class _Conversion:
    """One budget of nodes and text, spent over the values of one call."""

    __slots__ = ("_limits", "_nodes", "_text")

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._nodes = limits.nodes
        self._text = limits.text

    def convert(self, value: object, path: str) -> Any:
        """The JSON form of `value`, which errors call `path`.

        Raises:
            NoJsonForm: it has none, or the budget is used up.
        """
        return self._convert(value, path, 0)

    def _convert(self, value: object, path: str, depth: int) -> Any:
        self._nodes -= 1
        if self._nodes < 0:
            raise NoJsonForm(path, f"the arguments hold more than {self._limits.nodes} values")
        if depth > self._limits.depth:
            raise NoJsonForm(path, f"nested deeper than {self._limits.depth} levels")
        kind = type(value)
        form = _FORMS.get(kind)
        if form is None:
            form = _form_of(kind, path)
        return form(self, value, path, depth)

    # ------------------------------------------------------------------ scalars

    def same(self, value: Any, _path: str, _depth: int) -> Any:
        return value

    def string(self, value: Any, path: str, _depth: int = 0) -> str:
        text = str.__str__(value)
        size = len(text)
        if size <= self._text and not text.isascii():
            try:
                size = len(text.encode())
            except UnicodeEncodeError:
                raise NoJsonForm(path, "a string holds a lone surrogate") from None
        self._text -= size
        if self._text < 0:
            raise NoJsonForm(
                path, f"the arguments hold more than {self._limits.text} bytes of text"
            )
        return text

    def integer(self, value: Any, path: str, _depth: int) -> int:
        number = int.__int__(value)
        if not -(2**63) <= number < 2**63:
            raise NoJsonForm(path, "an integer does not fit into 64 bits")
        return number

    def binary(self, value: Any, path: str, depth: int) -> int | Decimal:
        # Made from text, which no decimal context rounds.
        return self.decimal(Decimal(float.__repr__(float.__float__(value))), path, depth)

    def decimal(self, value: Any, path: str, _depth: int) -> int | Decimal:
        sign, digits, exponent = Decimal.as_tuple(value)
        if not isinstance(exponent, int):
            raise NoJsonForm(path, "a number is not finite")
        if not any(digits):
            return 0
        first = places = len(digits)
        while digits[first - 1] == 0:
            first -= 1
        exponent += len(digits) - first
        digits = digits[:first]
        if len(digits) > self._limits.digits:
            raise NoJsonForm(path, f"a number has more than {self._limits.digits} digits")
        if abs(exponent) > self._limits.exponent or len(digits) + exponent > self._limits.exponent:
            raise NoJsonForm(path, f"a number's exponent passes {self._limits.exponent}")
        same = first == places and type(value) is Decimal
        exact = value if same else Decimal((sign, digits, exponent))
        # One form for one value: 20, 20.0 and 2E+1 are the same integer wherever it fits.
        if exponent >= 0 and -(2**63) <= exact < 2**63:
            return int(exact)
        return exact

    def base64(self, value: Any, path: str, _depth: int) -> str:
        data = bytes(memoryview(value))
        if len(data) > self._text:
            raise NoJsonForm(
                path, f"the arguments hold more than {self._limits.text} bytes of text"
            )
        return self.string(base64.b64encode(data).decode("ascii"), path)

    def instant(self, value: Any, path: str, _depth: int) -> str:
        offset = self._offset(lambda: dt.datetime.utcoffset(value), path)
        return self.string(
            dt.datetime.isoformat(dt.datetime.replace(value, tzinfo=None)) + offset, path
        )

    def day(self, value: Any, path: str, _depth: int) -> str:
        return self.string(dt.date.isoformat(value), path)

    def clock_time(self, value: Any, path: str, _depth: int) -> str:
        offset = self._offset(lambda: dt.time.utcoffset(value), path)
        return self.string(dt.time.isoformat(dt.time.replace(value, tzinfo=None)) + offset, path)

    def _offset(self, read: Callable[[], dt.timedelta | None], path: str) -> str:
        try:
            offset = read()
        except Exception:  # noqa: BLE001  # a time zone is foreign code; whatever it raises refuses
            raise NoJsonForm(path, "its time zone cannot be read") from None
        if offset is None:
            return ""
        minutes, rest = divmod(offset, dt.timedelta(minutes=1))
        if rest:
            raise NoJsonForm(path, "its offset from UTC is no whole number of minutes")
        if minutes == 0:
            return "Z"
        hours, minutes = divmod(abs(minutes), 60)
        return f"{'-' if offset < dt.timedelta(0) else '+'}{hours:02d}:{minutes:02d}"

    def seconds(self, value: Any, path: str, depth: int) -> int | Decimal:
        micros = dt.timedelta.__floordiv__(value, dt.timedelta(microseconds=1))
        # Made from text, which no decimal context rounds.
        return self.decimal(Decimal(f"{micros}E-6"), path, depth)

    def identifier(self, value: Any, path: str, _depth: int) -> str:
        return self.string(uuid.UUID.__str__(value), path)

    def file_path(self, value: Any, path: str, _depth: int) -> str:
        return self.string(pathlib.PurePath.__str__(value), path)

    def member(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        held = object.__getattribute__(value, "_value_")
        for name in ("value", "__class__", "__getattribute__"):
            if any(name in names for names in _namespaces(kind, until=enum.Enum)):
                raise NoJsonForm(path, f"`{kind.__name__}` changes how its value is read", _HIDE)
        form = self._convert(held, path, depth + 1)
        for base, read in ((str, str.__str__), (int, int.__int__), (float, float.__float__)):
            # A member that is itself a string or a number must be the one that its value is.
            if issubclass(kind, base) and read(value) != held:
                raise NoJsonForm(path, f"a member of `{kind.__name__}` is not its value", _HIDE)
        return form

    # --------------------------------------------------------------- collections

    def _array(self, items: Iterator[object], path: str, depth: int) -> list[Any]:
        try:
            return [
                self._convert(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(items)
            ]
        except RuntimeError:
            raise NoJsonForm(path, "it changed while it was read") from None

    def plain_list(self, value: Any, path: str, depth: int) -> list[Any]:
        return self._array(list.__iter__(value), path, depth)

    def plain_tuple(self, value: Any, path: str, depth: int) -> list[Any] | dict[str, Any]:
        names = _namedtuple_fields(type(value))
        if names is None:
            return self._array(tuple.__iter__(value), path, depth)
        if len(names) != tuple.__len__(value):
            raise NoJsonForm(path, f"`{type(value).__name__}` names other fields than it has")
        return self._object(zip(names, tuple.__iter__(value), strict=True), path, depth)

    def members(self, value: Any, path: str, depth: int) -> list[Any]:
        members = set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value)
        return sorted(self._array(members, path, depth), key=canonical)

    def mapping(self, value: Any, path: str, depth: int) -> dict[str, Any]:
        return self._object(dict.items(value), path, depth)

    def _object(
        self, items: Iterable[tuple[object, object]], path: str, depth: int
    ) -> dict[str, Any]:
        document: dict[str, Any] = {}
        try:
            for key, item in items:
                name = self._key(key, path)
                if name in document:
                    raise NoJsonForm(path, f"two keys become `{_shown(name)}`")
                document[name] = self._convert(item, _member(path, name), depth + 1)
        except RuntimeError:
            raise NoJsonForm(path, "it changed while it was read") from None
        return document

    def _key(self, key: object, path: str) -> str:
        kind = type(key)
        if kind is str:
            return self.string(key, path)
        if kind is not bool and issubclass(kind, str | int | uuid.UUID | enum.Enum):
            form = self._convert(key, f"a key of {path}", 0)
            if type(form) is str:
                return form
            if type(form) is int:
                return self.string(int.__repr__(form), path)
        raise NoJsonForm(path, f"a key of type `{kind.__name__}` has no JSON form")

    # ------------------------------------------------------------------- records

    def record(self, value: Any, path: str, depth: int) -> dict[str, Any]:
        kind = type(value)
        names = [field.name for field in dataclasses.fields(kind)]
        return self._object(_attributes(value, kind, names, path), path, depth)

    def model(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        names = list(kind.model_fields)
        fields = list(_attributes(value, kind, names, path))
        if _is_model(kind, "root_model", "RootModel"):
            return self._convert(fields[0][1], path, depth + 1)
        extra = object.__getattribute__(value, "__pydantic_extra__")
        if extra is not None:
            fields += dict.items(extra)
        return self._object(fields, path, depth)


_Form = Any
"""A method of ``_Conversion``, unbound: conversion, value, path, depth → JSON value."""

_FORMS: Final[dict[type, _Form]] = {
    type(None): _Conversion.same,
    bool: _Conversion.same,
    str: _Conversion.string,
    int: _Conversion.integer,
    float: _Conversion.binary,
    Decimal: _Conversion.decimal,
    list: _Conversion.plain_list,
    tuple: _Conversion.plain_tuple,
    dict: _Conversion.mapping,
    OrderedDict: _Conversion.mapping,
    defaultdict: _Conversion.mapping,
    Counter: _Conversion.mapping,
    set: _Conversion.members,
    frozenset: _Conversion.members,
    bytes: _Conversion.base64,
    bytearray: _Conversion.base64,
    dt.datetime: _Conversion.instant,
    dt.date: _Conversion.day,
    dt.time: _Conversion.clock_time,
    dt.timedelta: _Conversion.seconds,
    uuid.UUID: _Conversion.identifier,
    pathlib.PurePath: _Conversion.file_path,
    pathlib.PurePosixPath: _Conversion.file_path,
    pathlib.PureWindowsPath: _Conversion.file_path,
    pathlib.Path: _Conversion.file_path,
    pathlib.PosixPath: _Conversion.file_path,
    pathlib.WindowsPath: _Conversion.file_path,
}

# fmt: off
_MAY_CHANGE: Final = frozenset({
    "__new__", "__init__", "__init_subclass__", "__class_getitem__", "__doc__", "__module__",
    "__qualname__", "__slots__", "__dict__", "__weakref__", "__annotations__", "__repr__",
    "__dir__", "__sizeof__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__",
    "__getnewargs__", "__getnewargs_ex__", "__copy__", "__deepcopy__", "__setattr__",
    "__delattr__", "__setitem__", "__delitem__", "__match_args__", "__orig_bases__",
    "__firstlineno__", "__static_attributes__", "__type_params__", "__annotate__",
    "__annotate_func__", "__annotations_cache__", "__post_init__", "append", "clear", "extend",
    "insert", "remove", "add", "discard", "update", "setdefault",
})
# fmt: on
"""What a subclass may define and still be read as its base is: how it is made, shown, written."""

_Probe = namedtuple("_Probe", "field")  # noqa: PYI024  # its getter's type is wanted, nothing else
_GETTER: Final = type(_Probe.field)


def _namespaces(kind: type, *, until: type) -> Iterator[Mapping[str, object]]:
    """What `kind` and its bases define, down to the first that is `until` or has its own form."""
    # The descriptors of `type` cannot be shadowed by an attribute of the class or its metaclass.
    for candidate in _MRO(kind):
        if candidate is until or candidate in _FORMS:
            return
        yield _NAMES(candidate)


_MRO: Final[Callable[[type], tuple[type, ...]]] = type.__dict__["__mro__"].__get__
_NAMES: Final[Callable[[type], Mapping[str, object]]] = type.__dict__["__dict__"].__get__


def _base(kind: type) -> type | None:
    """The first class with a form of its own among the bases of `kind`."""
    return next((candidate for candidate in _MRO(kind) if candidate in _FORMS), None)


def _changed(kind: type, base: type) -> bool:
    """Whether a class between `kind` and its base defines anew how the base is read."""
    fields = _namedtuple_fields(kind) or ()
    for names in _namespaces(kind, until=base):
        for name, value in names.items():
            if name in fields:
                if type(value) is not _GETTER:
                    return True
            elif name in _LOOKUPS or (name not in _MAY_CHANGE and hasattr(base, name)):
                return True
    return False


_LOOKUPS: Final = frozenset({"__getattr__", "__missing__"})


def _is_model(kind: type, module: str = "main", name: str = "BaseModel") -> bool:
    """Whether `kind` is a class of pydantic's; where none is loaded, nobody has one of it."""
    loaded = sys.modules.get(f"pydantic.{module}")
    return loaded is not None and issubclass(kind, getattr(loaded, name))


def _form_of(kind: type, path: str) -> _Form:
    base = _base(kind)
    if issubclass(kind, enum.Enum):
        return _Conversion.member
    if _is_model(kind):
        return _Conversion.model
    if dataclasses.is_dataclass(kind):
        if base is None:
            return _Conversion.record
        raise NoJsonForm(path, f"`{kind.__name__}` is a dataclass and a `{base.__name__}` in one")
    if base is None:
        raise NoJsonForm(path, f"a value of type `{kind.__name__}` has no JSON form", _HIDE)
    if _changed(kind, base):
        raise NoJsonForm(
            path,
            f"`{kind.__name__}` changes how a `{base.__name__}` is read",
            f"pass a plain `{base.__name__}`, or {_HIDE}",
        )
    return _FORMS[base]


def _namedtuple_fields(kind: type) -> tuple[str, ...] | None:
    """The field names of a class made by ``namedtuple`` or ``NamedTuple`` (or a plain subclass)."""
    if kind is tuple:
        return None
    names = getattr(kind, "_fields", None)
    if type(names) is not tuple or not all(type(name) is str for name in names):
        return None
    return names


def _attributes(
    value: object, kind: type, names: Iterable[str], path: str
) -> Iterator[tuple[str, object]]:
    until = sys.modules["pydantic.main"].BaseModel if _is_model(kind) else object
    for defined in _namespaces(kind, until=until):
        if "__getattribute__" in defined or "__class__" in defined:
            raise NoJsonForm(path, f"`{kind.__name__}` changes how its fields are read", _HIDE)
    for name in names:
        try:
            yield name, object.__getattribute__(value, name)
        except Exception:  # noqa: BLE001  # a field may be a property, which is foreign code
            raise NoJsonForm(_member(path, name), "the field cannot be read") from None


_LONGEST_NAME: Final = 60


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "…"


def _member(path: str, name: str) -> str:
    if name.isidentifier() and len(name) <= _LONGEST_NAME:
        return f"{path}.{name}"
    return f"{path}[{_shown(name)!r}]"
