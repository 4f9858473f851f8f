"""A file's values together with where each stands, so that an error can name its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

    KeyPath = tuple[str | int, ...]

MAX_BYTES: Final = 1 << 20
"""Largest file that is read, in bytes."""

_SHOWN: Final = 60
"""Characters of a wrong value that an error repeats."""


class Place(NamedTuple):
    """A line and a column, both counted from 1."""

    line: int
    col: int


class Problem(NamedTuple):
    """One thing that is wrong in a file, where, and how to mend it."""

    file: str
    line: int
    col: int
    path: str
    message: str

    def __str__(self) -> str:
        # What no file says, as an environment variable, has no line.
        where = f"{self.file}:{self.line}:{self.col}: " if self.line else f"{self.file}: "
        return printable(where + (f"{self.path}: {self.message}" if self.path else self.message))


class SourceError(ConfigError):
    """A file that cannot be used; the message has one line a problem.

    Attributes:
        problems: What is wrong, in the order of the file.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.col)))
        super().__init__("\n".join(map(str, self.problems)))


class Mapped(BaseModel):
    """The base of what a file may hold: frozen, exact types, and no key that is not known."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise PydanticCustomError(
                "not_a_mapping",
                "a mapping with the keys {keys} is needed, not {value}",
                {"keys": quoted(field_names(cls)), "value": shown(value)},
            )
        unknown = [key for key in value if key not in field_names(cls)]
        if unknown:
            raise PydanticCustomError(
                "unknown_keys", "unknown keys", {"unknown": unknown, "known": field_names(cls)}
            )
        return value


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Source:
    """What a file says, and where it says it.

    Attributes:
        file: The file's name, as errors show it.
        value: Its value: dict, list, str, int, Decimal, bool or None.
        keys: The place of each mapping key, by its path.
        values: The place of each value, by its path.
        origins: What else than the file says a value, by its path, as an environment variable.
    """

    file: str
    value: Any
    keys: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)
    values: Mapping[KeyPath, Place] = field(default_factory=dict, repr=False)
    origins: Mapping[KeyPath, str] = field(default_factory=dict, repr=False)

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """Where the value at `path` stands (or its key), or else the nearest thing around it."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place(1, 1))

    def problem(self, path: KeyPath, message: str, *, of_key: bool = False) -> Problem:
        """`message` about the value at `path` (or about its key), with the place."""
        if path in self.origins:
            return Problem(self.origins[path], 0, 0, dotted(path), message)
        line, col = self.place(path, of_key=of_key)
        return Problem(self.file, line, col, dotted(path), message)

    def validate(self, model: type[M]) -> M:
        """The value as a `model`.

        Raises:
            SourceError: it is none; every problem is named with its place.
        """
        try:
            return model.model_validate(self.value)
        except ValidationError as error:
            details = error.errors(include_url=False)
        problems = (found for detail in details for found in self._problems(detail))
        raise SourceError(problems) from None

    def _problems(self, detail: ErrorDetails) -> Iterator[Problem]:
        path: KeyPath = tuple(detail["loc"])
        context: dict[str, Any] = detail.get("ctx") or {}
        match detail["type"]:
            case "unknown_keys":
                known = context["known"]
                for key in context["unknown"]:
                    message = f"unknown key{nearest(key, known)}; there are {quoted(known)}"
                    yield self.problem((*path, key), message, of_key=True)
            case "missing":
                yield self.problem(path, "is missing", of_key=True)
            case "value_error":
                of_key = path[-1:] == ("[key]",)
                path = path[:-1] if of_key else path
                yield self.problem(path, str(context["error"]), of_key=of_key)
            case "not_a_mapping":
                yield self.problem(path, detail["msg"])
            case _:
                said = detail["msg"].removeprefix("Input ").lower()
                yield self.problem(path, f"{said}, not {shown(detail['input'])}")


def read_text(path: str | Path) -> str:
    """The text of the file at `path`.

    Raises:
        ConfigError: it cannot be read, is too large or is no UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(f"{path}: cannot be read: {reason}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = Problem(str(path), line, 1, "", "is no UTF-8 text; save it as UTF-8")
        raise SourceError([problem]) from None


def field_names(model: type[BaseModel]) -> list[str]:
    """The keys of `model` as they are written in a file."""
    return [entry.alias or name for name, entry in model.model_fields.items()]


def dotted(path: Sequence[str | int]) -> str:
    """`path` for people: ``billing.budget.prod.usd``, ``billing.contacts[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part != "[key]":
            text += f".{part}" if text else part
    return text


def quoted(names: Iterable[object]) -> str:
    """The names in backticks, with commas between them."""
    return ", ".join(f"`{name}`" for name in names)


def nearest(name: str, known: Sequence[str]) -> str:
    """A suggestion where one of the `known` names is close to `name`, else nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def printable(text: str) -> str:
    """`text` with what cannot be seen as escapes, so that it stays one line and steers nothing."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def shown(value: object) -> str:
    """`value` for an error: its kind where it is long or nested, else itself."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            text = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
            return f"`{printable(text)}`"
        case bool():
            return "`true`" if value else "`false`"
        case _:
            return f"`{value}`"
