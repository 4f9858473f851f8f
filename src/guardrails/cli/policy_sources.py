"""What the ``policy`` commands work on: the paths that were given, or the configuration's layers.

Names of files are relative to the working directory where they are below it, so that
an error's place can be opened from where the command was typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.config import Config
from guardrails.config.layers import policy_files
from guardrails.engines.layers import read_layers
from guardrails.errors import ConfigError, PolicyLoadError
from guardrails.register import Register
from guardrails.rego.opa_binary import find_opa
from guardrails.rego.sources import find_sources, read_data
from guardrails.resources import policies_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from guardrails.rego.planner import PlannerName

_DATA_ENDINGS: Final = frozenset({".json", ".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class Policies:
    """Modules, their tests and their data.

    Attributes:
        modules: The Rego sources by file name, tests apart.
        tests: The sources of the tests, likewise.
        data: The base data.
        planner: Who plans, as configured.
        opa: The OPA binary, as configured.
    """

    modules: Mapping[str, str]
    tests: Mapping[str, str]
    data: Mapping[str, Any]
    planner: PlannerName = "regopy"
    opa: str | None = None


class Suite(NamedTuple):
    """Tests that run together.

    Attributes:
        name: What its line begins with.
        paths: Where they are, and all that they need.
        beside: The files among these whose own tests do not run.
    """

    name: str
    paths: tuple[Path, ...]
    beside: frozenset[str] = frozenset()


def from_paths(paths: Sequence[Path]) -> Policies:
    """What stands in files and directories; a data file that is named may have any name.

    Raises:
        PolicyLoadError: a file cannot be read, or two of them disagree.
        ConfigError: a file is neither Rego nor data.
    """
    plain: list[Path] = []
    data: dict[str, Any] = {}
    for path in paths:
        if path.is_file() and path.suffix in _DATA_ENDINGS:
            _join(data, _object(read_data(path), path), path)
        elif path.is_file() and path.suffix != ".rego":
            msg = f"{path}: is neither Rego (`.rego`) nor data (`.json`, `.yaml`, `.yml`)"
            raise ConfigError(msg)
        else:
            plain.append(path)
    sources = find_sources(plain)
    for name, value in sources.data.items():
        _join(data, {name: value}, Path(sources.data_files[0]))
    return Policies(sources.modules, sources.tests, data)


def from_config(config: Config) -> Policies:
    """What the engine of a configuration loads, and the tests beside it.

    Raises:
        PolicyLoadError: a file cannot be read.
        ConfigError: the register is wrong.
    """
    files = policy_files(config)
    agents = Register.load(nearby(config.agents)).policy_data()
    found = read_layers([*files.layers, *_fixtures(config)], {"agents": agents})
    return Policies(found.modules, found.tests, found.data, files.planner, files.opa)


def suites_of(config: Config, *, library: bool) -> list[Suite]:
    """The suites of a configuration: each layer's tests, run with the layers that it stands on.

    The library's tests say what the library does alone; a project's rule that denies
    more must not fail them.

    Args:
        config: The configuration.
        library: The tests of the library and its presets run, too. They do anyway where the
            configuration names no other policies.
    """
    shipped = policies_directory()
    suites: list[Suite] = []
    below: list[Path] = []
    if config.library:
        own = [shipped / "guardrails", *_fixtures(config), shipped / "data.yaml"]
        suites.append(Suite("library", _nearby(own)))
        below += _without_tests(own)
    for preset in config.presets:
        directory = shipped / "presets" / preset
        suites.append(Suite(f"preset {preset}", _nearby([*below, directory])))
    below += _without_tests(shipped / "presets" / preset for preset in config.presets)
    if config.policies:
        named = ", ".join(str(nearby(path)) for path in config.policies)
        beside = frozenset() if library else frozenset(map(str, _nearby(below)))
        own_suite = Suite(named, _nearby([*below, *config.policies]), beside)
        return [*suites, own_suite] if library else [own_suite]
    return suites


def needed_opa(planner: str, opa: str | None) -> str | None:
    """The OPA binary, if any.

    Raises:
        ConfigError: the planner is ``opa`` and there is none, or `opa` names no program.
    """
    try:
        found = find_opa(opa)
    except PolicyLoadError as error:
        raise ConfigError(error.message) from error
    if found is None and planner == "opa":
        msg = (
            "the planner is `opa` and there is no OPA binary; set `opa` in guardrails.yaml or the"
            " variable `OPA`, put it on PATH or at `.tools/opa`, or take the planner `regopy`"
        )
        raise ConfigError(msg)
    return found


def nearby(path: Path) -> Path:
    """`path`, relative to the working directory where it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _nearby(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(map(nearby, paths))


def _fixtures(config: Config) -> list[Path]:
    """What the library gives to tests; it takes no part in a decision."""
    return [policies_directory() / "fixtures"] if config.library else []


def _without_tests(paths: Iterable[Path]) -> list[Path]:
    sources = find_sources(list(paths), ignore_tests=True)
    return [*map(Path, sources.modules), *map(Path, sources.data_files)]


def _join(into: dict[str, Any], more: Mapping[str, Any], file: Path, path: str = "data") -> None:
    """Adds `more` to `into`; unlike layers, things that stand side by side may not disagree."""
    for key, value in more.items():
        if key not in into:
            into[key] = value
        elif isinstance(into[key], dict) and isinstance(value, dict):
            _join(into[key], value, file, f"{path}.{key}")
        else:
            msg = f"`{path}.{key}` stands in another data file too; keep one of them"
            raise PolicyLoadError(msg, file=str(file))


def _object(value: object, file: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        msg = f"data must be an object, not {type(value).__name__}"
        raise PolicyLoadError(msg, file=str(file))
    return value
