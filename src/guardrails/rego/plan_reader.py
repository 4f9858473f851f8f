"""Typed access to a plan document, with errors that name the place in it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from guardrails.errors import PolicyLoadError
from guardrails.rego import ir

if TYPE_CHECKING:
    from collections.abc import Mapping

Raw: TypeAlias = "Mapping[str, Any]"
"""An object of the document, of which nothing is known yet."""

MAX_INTEGER: Final = 2**63
"""Bound for the integers in a plan, which OPA holds in 64 bits or less."""

_MAX_LOCAL: Final = 2**31


class PlanReader:
    """Reads one document; each reader checks what it gives, and says what was expected.

    Args:
        planner: ``opa`` or ``regopy``: whose dialect it is.
        origin: What errors call the document.

    Attributes:
        place: The path to where the reading stands.
        strings: The static strings, as the policy's author meant them.
        files: The names of the Rego files.
    """

    def __init__(self, planner: str, origin: str) -> None:
        self.planner = planner
        self.origin = origin
        self.place: list[str] = []
        self.strings: list[str] = []
        self.files: list[str] = []
        self._locations: dict[tuple[object, object, object], ir.Location] = {}

    def read_static(self, static: Raw) -> None:
        """Take the tables to which the rest of the document refers."""
        self.strings = [self.text(item) for item in self.table(static, "strings")]
        self.files = self.table(static, "files")
        self.place = []

    def text(self, raw: str) -> str:
        """A static string as the policy's author meant it."""
        if self.planner == "regopy":
            raw = _unescape(raw)
        # A lone surrogate is no text; OPA reads it as the replacement character.
        return raw.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def fail(self, message: str) -> NoReturn:
        """Refuse the document, at the place where the reading stands."""
        place = ".".join(self.place)
        raise PolicyLoadError(f"`{place}`: {message}" if place else message, file=self.origin)

    def need(self, raw: Raw, name: str) -> Any:
        """The field `name`, of whatever type."""
        if name not in raw:
            self.fail(f"`{name}` is missing")
        return raw[name]

    def mapping(self, raw: object, name: str = "") -> Raw:
        """`raw`, which must be an object; `name` is the field that held it."""
        if type(raw) is not dict:
            self.fail(f"{f'`{name}`' if name else 'this'} is {kind_of(raw)}; an object is needed")
        return raw

    def listing(self, raw: Raw, name: str) -> list[Any]:
        """The array at `name`; planners write null or nothing for an empty one."""
        value = raw.get(name)
        if value is None:
            return []
        if type(value) is not list:
            self.fail(f"`{name}` is {kind_of(value)}; an array is needed")
        return value

    def string(self, raw: Raw, name: str) -> str:
        """The string in the field `name`."""
        value = self.need(raw, name)
        if type(value) is not str:
            self.fail(f"`{name}` is {kind_of(value)}; a string is needed")
        return value

    def integer(self, value: object, name: str, below: int = MAX_INTEGER, least: int = 0) -> int:
        """`value`, which must be an integer from `least` up to, not including, `below`."""
        if type(value) is not int:
            self.fail(f"`{name}` is {kind_of(value)}; an integer is needed")
        if not least <= value < below:
            self.fail(f"`{name}` is {value}; it must be from {least} to {below - 1}")
        return value

    def local_number(self, value: object, name: str) -> int:
        """`value`, which must be the number of a local."""
        return self.integer(value, name, below=_MAX_LOCAL)

    def table(self, static: Raw, name: str) -> list[str]:
        """The values of the static table `name`."""
        found = []
        for number, item in enumerate(self.listing(static, name)):
            self.place = [f"static.{name}[{number}]"]
            found.append(self.string(self.mapping(item), "value"))
        return found

    def static_string(self, value: object, name: str) -> str:
        """The static string to which `value` points."""
        return self.strings[self.integer(value, name, below=len(self.strings))]

    def location(self, raw: Raw) -> ir.Location:
        """The place of a statement; equal places share one object."""
        key = (raw.get("file"), raw.get("row"), raw.get("col"))
        if key[0] is None and key[1] is None and key[2] is None:
            return ir.NOWHERE
        # OPA writes no table of files where no rule is planned, but still points into it.
        if not self.files and self.planner == "opa":
            return ir.NOWHERE
        # Only exact integers are looked up: True and 1 are one dictionary key.
        if all(type(part) is int for part in key):
            found = self._locations.get(key)
            if found is not None:
                return found
        first = 1 if self.planner == "regopy" else 0
        number = self.integer(self.need(raw, "file"), "file", below=len(self.files))
        row = self.integer(self.need(raw, "row"), "row") + first
        col = self.integer(self.need(raw, "col"), "col") + first
        found = self._locations[key] = ir.Location(self.files[number], row, col)
        return found


def _unescape(raw: str) -> str:
    """The text of a string that regopy wrote with its JSON escapes; as it is if it has none."""
    quoted = raw if raw[:1] == '"' else f'"{raw}"'
    try:
        return str(json.loads(quoted, strict=False))
    except ValueError:
        return raw


def kind_of(value: object) -> str:
    """What an error calls the type of `value`."""
    return _KINDS.get(type(value), f"a Python {type(value).__name__}")


_KINDS: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number with a fraction",
    str: "a string",
    list: "an array",
    dict: "an object",
}
