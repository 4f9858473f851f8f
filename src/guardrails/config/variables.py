"""Settings from environment variables: ``GUARDRAILS_SIDECAR__URL`` is ``sidecar: {url: …}``.

A variable says where things are in one deployment; it loosens nothing that the file says, since a
variable that somebody left behind is seen by nobody. So there are four kinds of keys:

* :data:`PLACES` say where something is. A variable takes the file's place, and that is logged.
  The one thing that it cannot take away is what protects the connection: an address that begins
  with ``http://`` replaces none that begins otherwise.
* :data:`CHOICES` are the file's to make: where a kill is looked up and calls are recorded must
  not be moved away from those who look there. A variable gives what the file leaves open; one
  that says otherwise than the file is an error.
* :data:`SOURCES` say where decisions come from. A variable gives one where the file has none of
  the :data:`STATEMENTS` about that. A bundle takes the shipped library's place, so the file must
  have given the library up: beside ``library: false`` a variable may name the bundle.
* All others stand in the file alone; a variable of that name is an error. ``token_env`` is one
  of them: it could name any other secret among the variables as the token.

A key that is there and null is the file's word, not left open; a variable for it is an error.

pydantic-settings finds the variables; what they hold is checked as the file is.
"""

from __future__ import annotations

import functools
import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.register.source import Problem, SourceError, dotted, nearest, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from guardrails.register.source import KeyPath, Source

PREFIX: Final = "GUARDRAILS_"
NESTING: Final = "__"

PLACES: Final[tuple[KeyPath, ...]] = (
    ("sidecar", "url"),
    ("sidecar", "deadline"),
    ("sidecar", "token_file"),
    ("sidecar", "ca"),
    ("sidecar", "cert"),
    ("sidecar", "key"),
    ("opa",),
)
"""Keys whose value in the file a variable may replace."""

CHOICES: Final[tuple[KeyPath, ...]] = (("environment",), ("record",), ("state",))
"""Keys that a variable may set where the file does not."""

SOURCES: Final[tuple[KeyPath, ...]] = (("engine",), ("bundle",), ("opa_config",))
"""Keys that a variable may set where the file does not say where decisions come from."""

SETTABLE: Final[tuple[KeyPath, ...]] = (*CHOICES, *SOURCES, *PLACES)
"""All keys that a variable may set."""

STATEMENTS: Final = ("engine", "bundle", "opa_config", "library", "presets", "policies")
"""Keys by which the file says where decisions come from."""

OTHERS: Final = frozenset(
    {
        "GUARDRAILS_CONFIG",
        "GUARDRAILS_RUN_TOKEN",  # lets a child process join a run
        "GUARDRAILS_SERVER",
        "GUARDRAILS_TOKEN",
        "GUARDRAILS_SOAK",
        "GUARDRAILS_OPA_TOKEN_SHA256",  # read by the shipped system.authz, in OPA's process
    }
)
"""Variables of guardrails that are no settings of the file."""

_NUMBERS: Final = frozenset({("sidecar", "deadline")})
# What Kubernetes sets in every pod for a service that is called `guardrails`.
_SERVICE_LINK: Final = re.compile(r"GUARDRAILS(?:_\w+)?_(?:SERVICE_(?:HOST|PORT\w*)|PORT(?:_\w+)?)")


class Setting(NamedTuple):
    """One setting that comes from a variable.

    Attributes:
        variable: Its name.
        path: The key in the file that it stands for.
        value: What it says.
        replaces: What the file says, if anything.
    """

    variable: str
    path: KeyPath
    value: str
    replaces: Any = None

    def __str__(self) -> str:
        said = f"{dotted(self.path)} is {shown(self.value)} by {self.variable}"
        return said if self.replaces is None else f"{said}, not {shown(self.replaces)}"


def variable_of(path: KeyPath) -> str:
    """The name of the variable that stands for the key at `path`."""
    return PREFIX + NESTING.join(str(part) for part in path).upper()


def overlaid(
    source: Source, known: Sequence[str], warn: Callable[[str], None]
) -> tuple[Source, tuple[Setting, ...]]:
    """`source` with what the environment says, and what that is.

    Args:
        source: The file.
        known: The keys of the file.
        warn: Told of each variable that looks like a setting and is none.

    Raises:
        SourceError: a variable sets what it may not set, or nothing that there is.
    """
    present = [name for name in os.environ if name.startswith(PREFIX) and name not in OTHERS]
    if not present:
        return source, ()
    problems = list(_unusable(present, known))
    for name in present:
        if _is_unknown(name, known):
            warn(f"{name} is set and no setting of guardrails{_hint(name)}; it has no effect")
    # A file that is no mapping is told of where it is validated.
    value = source.value if isinstance(source.value, dict) else {}
    settings = []
    for path, text in _found():
        setting = Setting(variable_of(path), path, text, _at(value, path))
        objection = _objection(setting, value)
        if objection:
            message = f"is {shown(text)}, and {objection}, or unset the variable"
            problems.append(_problem(setting.variable, path, message))
        settings.append(setting)
    if problems:
        raise SourceError(problems)
    if not settings or not isinstance(source.value, dict):
        return source, tuple(settings)
    for setting in settings:
        value = _with(value, setting.path, _read(setting))
    origins = {**source.origins, **{each.path: each.variable for each in settings}}
    return replace(source, value=value, origins=origins), tuple(settings)


def _objection(setting: Setting, value: Mapping[Any, Any]) -> str:
    """Why the file forbids what `setting` says, and how to mend it; empty if it does not."""
    path, written = setting.path, setting.replaces
    for depth in range(1, len(path) + 1):
        # Null is as explicit as a value; only a key that is not there is left open.
        if _is_null(value, path[:depth]):
            return _contradiction(path[:depth], None)
    if path == ("sidecar", "url"):
        if written is not None and _is_plain(setting.value) and not _is_plain(written):
            return (
                f"the file says {shown(written)}; a variable cannot take away what protects the"
                " connection: write the address into the file"
            )
        return ""
    if path in PLACES or written == setting.value:
        return ""
    if written is not None:
        return _contradiction(path, written)
    return _displacement(path, value) if path in SOURCES else ""


def _contradiction(path: KeyPath, written: Any) -> str:
    said = f"`{dotted(path)}: null`" if written is None else shown(written)
    return (
        f"the file says {said}; a variable cannot change that: leave `{dotted(path)}` out of"
        " the file"
    )


def _displacement(path: KeyPath, value: Mapping[Any, Any]) -> str:
    """What of the file would no longer decide if a variable gave the source at `path`."""
    said = [key for key in STATEMENTS if key in value]
    gives_up = path == ("bundle",) and value.get("library") is False
    if gives_up:
        said.remove("library")
    if said:
        return (
            f"the file says where decisions come from, by {quoted(said)}; a variable cannot change"
            f" that: write `{dotted(path)}` into the file"
        )
    if path == ("bundle",) and not gives_up:
        return (
            "it would take the place of the shipped library, which only the file can give up:"
            " write `library: false` or `bundle` into the file"
        )
    return ""


def _is_plain(url: Any) -> bool:
    """Whether what is sent to `url` is neither encrypted nor bound to a socket's permissions."""
    return isinstance(url, str) and url.lower().startswith("http://")


def _is_null(value: Mapping[Any, Any], path: KeyPath) -> bool:
    *outer, last = path
    section = _at(value, tuple(outer))
    return isinstance(section, dict) and last in section and section[last] is None


def _found() -> Iterator[tuple[KeyPath, str]]:
    """What is set of the keys that may be."""
    # Only here: who sets no variable needs no pydantic-settings, which takes long to import.
    from pydantic_settings import EnvSettingsSource  # noqa: PLC0415  # as above

    values = EnvSettingsSource(_model())()
    for path in SETTABLE:
        found = _at(values, path)
        if isinstance(found, str) and found:
            yield path, found


@functools.cache
def _model() -> Any:
    """A model of the keys that may be set, as pydantic-settings wants it."""
    from pydantic import BaseModel, create_model  # noqa: PLC0415  # as in _found
    from pydantic_settings import BaseSettings, SettingsConfigDict  # noqa: PLC0415  # as in _found

    class _Settings(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_nested_delimiter=NESTING, env_ignore_empty=True
        )

    text: Any = (str | None, None)
    sections: dict[str, dict[str, Any]] = {}
    plain: dict[str, Any] = {}
    for first, *rest in SETTABLE:
        if rest:
            sections.setdefault(str(first), {})[str(rest[0])] = text
        else:
            plain[str(first)] = text
    for name, fields in sections.items():
        section: type[BaseModel] = create_model(name, **fields)
        plain[name] = (section | None, None)
    return create_model("Variables", __base__=_Settings, **plain)


def _unusable(present: Iterable[str], known: Sequence[str]) -> Iterator[Problem]:
    """Variables that are meant as settings and cannot be."""
    usable = {variable_of(path) for path in SETTABLE}
    keys = {key.upper() for key in known}
    for name in present:
        if name.upper() in usable or not os.environ[name] or _SERVICE_LINK.fullmatch(name):
            continue
        path = tuple(name.removeprefix(PREFIX).lower().split(NESTING))
        if path[0].upper() in keys:
            may = sorted(each for each in usable if each.startswith(variable_of(path[:1])))
            there = f"; there are {quoted(may)}" if may else ""
            yield _problem(name, path, f"cannot be set by a variable, only in the file{there}")
        elif len(path) > 1:
            yield _problem(name, path, f"is no setting{_hint(name)}; there are {quoted(usable)}")


def _is_unknown(name: str, known: Sequence[str]) -> bool:
    path = name.removeprefix(PREFIX).lower().split(NESTING)
    is_setting = path[0] in known or len(path) > 1
    return not is_setting and bool(os.environ[name]) and _SERVICE_LINK.fullmatch(name) is None


def _hint(name: str) -> str:
    return nearest(name, [variable_of(path) for path in SETTABLE])


def _problem(variable: str, path: KeyPath, message: str) -> Problem:
    return Problem(variable, 0, 0, dotted(path), message)


def _read(setting: Setting) -> Any:
    if setting.path not in _NUMBERS:
        return setting.value
    # Only here: a number in a variable means what it means in the file.
    from guardrails.register.yaml_source import plain_value  # noqa: PLC0415  # as above

    try:
        return plain_value(setting.value)
    except ValueError as error:
        raise SourceError([_problem(setting.variable, setting.path, str(error))]) from None


def _at(value: Any, path: KeyPath) -> Any:
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _with(value: Mapping[Any, Any], path: KeyPath, found: Any) -> dict[Any, Any]:
    first, *rest = path
    if not rest:
        return {**value, first: found}
    inner = value.get(first, {})
    if not isinstance(inner, dict):
        # The file is wrong there: its validation says so, and no variable hides that.
        return dict(value)
    return {**value, first: _with(inner, tuple(rest), found)}


__all__ = [
    "CHOICES",
    "OTHERS",
    "PLACES",
    "PREFIX",
    "SETTABLE",
    "SOURCES",
    "STATEMENTS",
    "Setting",
    "overlaid",
    "variable_of",
]
