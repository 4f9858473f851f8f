"""The words of the register, as types: what a value must look like, and what an error says.

Each type checks the exact kind first. Texts are one line of printable characters,
so that no entry can forge a line of a log or hide a part of itself on a screen.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from guardrails.model.money import dollars, micro_usd
from guardrails.register.source import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

GROUP_PARTS: Final = frozenset(
    {"all", "everyone", "group", "helpdesk", "noreply", "ops", "staff", "support", "team", "teams"}
)
"""Words that make an address a group's wherever they stand in it: ``billing-team@``."""

GROUP_NAMES: Final = frozenset(
    {"admin", "contact", "finance", "hello", "info", "list", "office", "root", "sales", "security"}
)
"""Words that make it a group's when they are the whole of it (they are also people's names)."""

_DOMAIN: Final = r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
_ADDRESS: Final = r"[A-Za-z0-9_+'-]+(?:\.[A-Za-z0-9_+'-]+)*" + _DOMAIN
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST: Final = 366 * 86_400
_LARGEST_COUNT: Final = 10**15
_NUMBER: Final = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?")
_TEXT_LIMIT: Final = 500
_ADDRESS_LIMIT: Final = 254


def _text(value: object) -> str:
    """`value` if it is one line of printable text."""
    if not isinstance(value, str):
        msg = f"a text is needed, not {shown(value)}; quote it where it is meant as text"
        raise ValueError(msg)  # noqa: TRY004  # pydantic collects ValueError alone
    if not value or value != value.strip() or len(value) > _TEXT_LIMIT:
        msg = f"a text of 1 to {_TEXT_LIMIT} characters without space around it is needed"
        raise ValueError(msg)
    if not value.isprintable():
        msg = f"a text on one line of printable characters is needed, not {shown(value)}"
        raise ValueError(msg)
    return value


def _matching(pattern: str, longest: int, needed: str) -> Callable[[object], str]:
    """A check that a text matches the whole of `pattern`; `needed` says so in words."""
    compiled = re.compile(pattern)

    def check(value: object) -> str:
        text = _text(value)
        if len(text) > longest or not compiled.fullmatch(text):
            msg = f"{needed} is needed, not {shown(text)}"
            raise ValueError(msg)
        return text

    return check


def _person(value: object) -> str:
    address = _address(value)
    local = address.partition("@")[0].partition("+")[0].lower()
    parts = {*re.split(r"[._'-]+", local), re.sub(r"[^a-z0-9]", "", local)}
    if GROUP_PARTS & parts or local in GROUP_NAMES:
        msg = f"a person's own address is needed, and {shown(address)} looks like a group's"
        raise ValueError(msg)
    return address


def _contact(value: object) -> str:
    contact = _text(value)
    # A wildcard would match nothing: policies compare whole addresses and whole domains.
    if len(contact) > _ADDRESS_LIMIT or "*" in contact or ("@" in contact and not _mail(contact)):
        msg = (
            "an address, `@domain` or another exact name (254 characters at most, no wildcards),"
            f" is needed, not {shown(contact)}"
        )
        raise ValueError(msg)
    return contact


def _mail(contact: str) -> bool:
    return re.fullmatch(f"{_ADDRESS}|{_DOMAIN}", contact) is not None


def _version(value: object) -> str:
    # `version: 3` and `version: 1.10` are what people write; Decimal keeps the last zero.
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = str(value)
    return _version_text(value)


def _day(value: object) -> date:
    # A date is taken, so that an entry can also be built in Python.
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    msg = f"a date such as `2027-01-31` is needed, not {shown(value)}"
    raise ValueError(msg)


def _exact(value: object) -> Decimal:
    """`value` as an exact number that is not negative."""
    text = value
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        text = format(value, "f")
    if isinstance(text, str) and _NUMBER.fullmatch(text):
        return Decimal(text)
    msg = f"a number that is not negative is needed, not {shown(value)}"
    raise ValueError(msg)


def _dollars(value: object) -> Decimal:
    return dollars(micro_usd(format(_exact(value), "f")))


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST_COUNT:
        msg = f"a whole number from 0 to {_LARGEST_COUNT} is needed, not {shown(value)}"
        raise ValueError(msg)
    return value


def _seconds(value: object) -> int:
    seconds = value
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,8}[smhd]", value):
        seconds = int(value[:-1]) * _UNITS[value[-1]]
    if type(seconds) is not int or not 1 <= seconds <= _LONGEST:
        msg = (
            f"a time is needed, at most 366 days, in whole seconds or as `90s`, `30m`, `4h`, `2d`,"
            f" not {shown(value)}"
        )
        raise ValueError(msg)
    return seconds


def _listed(value: object) -> object:
    """A list as the tuple that a frozen entry holds; each item once."""
    if not isinstance(value, list | tuple):
        msg = f"a list is needed, not {shown(value)}"
        raise ValueError(msg)  # noqa: TRY004  # pydantic collects ValueError alone
    seen = set()
    for item in value:
        if isinstance(item, Hashable):
            if item in seen:
                msg = f"{shown(item)} is given twice"
                raise ValueError(msg)
            seen.add(item)
    return tuple(value)


def _some(value: object) -> object:
    if value == ():
        msg = "at least one is needed"
        raise ValueError(msg)
    return value


def _keyed(value: object) -> object:
    if not isinstance(value, dict | MappingProxyType):
        msg = f"a mapping is needed, not {shown(value)}"
        raise ValueError(msg)  # noqa: TRY004  # pydantic collects ValueError alone
    return dict(value)


class JsonSchemaExtra:
    """Adds `words` to the JSON schema of the type that it annotates."""

    def __init__(self, words: dict[str, object]) -> None:
        self._words = words

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(schema) | self._words


class OneOrMany:
    """Says in the JSON schema of a list that one item may stand for itself."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        listed = handler(schema)
        return {"anyOf": [listed["items"], listed]}


def _patterned(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


_ID: Final = r"[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*"
_VERSION: Final = r"[0-9A-Za-z][0-9A-Za-z.+_-]*"
_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*"
_address = _matching(_ADDRESS, _ADDRESS_LIMIT, "an e-mail address")
_version_text = _matching(_VERSION, 32, "a version such as `3` or `1.4.0` (no `@`, no `/`)")

AgentId: TypeAlias = Annotated[
    str,
    BeforeValidator(
        _matching(_ID, 64, "an agent's id in lower case, such as `billing-agent`, 64 long at most,")
    ),
    _patterned(_ID),
]
"""Lower-case letters and digits in words joined by ``-``, ``_`` or ``.``; 64 characters at most."""

EnvironmentName: TypeAlias = Annotated[
    str,
    BeforeValidator(_matching(_ID, 32, "an environment's name in lower case, such as `prod`,")),
    _patterned(_ID),
]
"""As an agent's id; 32 characters at most."""

Name: TypeAlias = Annotated[
    str,
    BeforeValidator(
        _matching(
            _NAME,
            128,
            "a name of letters, digits and `_ . : / -` (there are no wildcards)",
        )
    ),
    _patterned(_NAME),
]
"""A tool, resource, operation, argument, label or group of approvers."""

Version: TypeAlias = Annotated[
    str,
    BeforeValidator(_version),
    WithJsonSchema({"type": ["string", "number"], "pattern": f"^{_VERSION}$"}),
]
"""A version, as text; ``@`` and ``/`` are left to targets such as ``agent/billing@3``."""

Person: TypeAlias = Annotated[str, BeforeValidator(_person), _patterned(_ADDRESS)]
"""A person's own e-mail address; one that looks like a group's is refused."""

Contact: TypeAlias = Annotated[
    str,
    BeforeValidator(_contact),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 254}),
]
"""An e-mail address, ``@domain`` for all of a domain, or another name without ``@``, as an IBAN."""

Text: TypeAlias = Annotated[
    str,
    BeforeValidator(_text),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": _TEXT_LIMIT}),
]
"""One line of printable text, at most 500 characters."""

Day: TypeAlias = Annotated[
    date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})
]
"""A date, as ``2027-01-31``."""

Dollars: TypeAlias = Annotated[
    Decimal, BeforeValidator(_dollars), WithJsonSchema({"type": ["number", "string"], "minimum": 0})
]
"""US dollars, exact in micro-dollars."""

Number: TypeAlias = Annotated[
    Decimal, BeforeValidator(_exact), WithJsonSchema({"type": ["number", "string"], "minimum": 0})
]
"""An exact number that is not negative."""

Count: TypeAlias = Annotated[
    int, BeforeValidator(_count), WithJsonSchema({"type": "integer", "minimum": 0})
]
"""A whole number that is not negative."""

Quorum: TypeAlias = Annotated[int, Field(ge=1, le=100)]
"""How many distinct people must agree."""

Seconds: TypeAlias = Annotated[
    int,
    BeforeValidator(_seconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _LONGEST},
                {"type": "string", "pattern": "^[1-9][0-9]{0,8}[smhd]$"},
            ]
        }
    ),
]
"""A length of time in seconds; also written ``90s``, ``30m``, ``4h``, ``2d``."""

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

Listed: TypeAlias = Annotated[
    tuple[T, ...], BeforeValidator(_listed), JsonSchemaExtra({"uniqueItems": True})
]
"""A list in which nothing stands twice."""

Some: TypeAlias = Annotated[
    tuple[T, ...],
    BeforeValidator(_some),
    BeforeValidator(_listed),
    JsonSchemaExtra({"minItems": 1, "uniqueItems": True}),
]
"""A list of at least one thing, in which nothing stands twice."""

_freeze: Callable[[Any], Any] = MappingProxyType
Keyed: TypeAlias = Annotated[
    dict[K, V],
    BeforeValidator(_keyed),
    AfterValidator(_freeze),
    JsonSchemaExtra({"additionalProperties": False}),
]
"""A mapping that cannot be changed once read."""

__all__ = [
    "AgentId",
    "Contact",
    "Count",
    "Day",
    "Dollars",
    "EnvironmentName",
    "JsonSchemaExtra",
    "Keyed",
    "Listed",
    "Name",
    "Number",
    "OneOrMany",
    "Person",
    "Quorum",
    "Seconds",
    "Some",
    "Text",
    "Version",
]
