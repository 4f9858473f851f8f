"""The callables of a module or package, governed and not: what ``guardrails tools`` lists.

A module is imported, since what its decorators and `govern` do is seen only then. What
it prints meanwhile goes to standard error.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import sys
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from guardrails.enforcement.tools import tool_of
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from guardrails.enforcement.definition import Tool

_NO_CALLABLES: Final = frozenset({"builtins", "types", "typing", "typing_extensions", "_typing"})
"""Modules whose objects can be called and are no functions: type aliases and their like."""

_DEEPEST: Final = 32
"""Objects around a function that are looked into."""

_MACHINERY: Final = frozenset({__file__, importlib.__file__})
"""Files whose frames say nothing about why an import failed."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One callable.

    Attributes:
        name: As ``shop.tools.refund`` or ``shop.tools.Desk.refund``.
        kind: ``function``, ``coroutine``, ``generator``, ``method`` or ``object``.
        file: Where it is defined, if that is known.
        row: Its line, from 1; 0 where it is not known.
        tool: What its decorators say; None if it is not governed.
    """

    name: str
    kind: str
    file: str
    row: int
    tool: Tool | None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What was found.

    Attributes:
        modules: The modules that were imported, by name.
        callables: What they define, in the order of modules and names.
        failures: Submodules that could not be imported, each with the reason.
    """

    modules: tuple[str, ...]
    callables: tuple[Listed, ...]
    failures: tuple[tuple[str, str], ...]

    @property
    def governed(self) -> tuple[tuple[Listed, Tool], ...]:
        """The governed callables, each with its tool."""
        return tuple((each, each.tool) for each in self.callables if each.tool is not None)

    @property
    def ungoverned(self) -> tuple[Listed, ...]:
        """The public callables that no policy decides about."""
        return tuple(each for each in self.callables if each.tool is None)

    @property
    def clashes(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Names that more than one tool bears, each with these tools."""
        bearers: dict[str, list[str]] = {}
        for listed, tool in self.governed:
            bearers.setdefault(tool.facts.name, []).append(listed.name)
        return tuple((name, tuple(found)) for name, found in bearers.items() if len(found) > 1)


def take(name: str) -> Inventory:
    """The inventory of the module or package `name`, with all its submodules.

    A module beside the caller is found as with ``python -m``: the working directory is
    looked at first.

    Raises:
        ConfigError: there is no such module, or it cannot be imported.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    modules = [_imported(name)]
    failures: list[tuple[str, str]] = []
    for below in _below(modules[0]):
        try:
            modules.append(_imported(below))
        except ConfigError as error:
            failures.append((below, str(error)))
    found: dict[int, Listed] = {}
    for module in modules:
        for key, listed in _of_module(module):
            found.setdefault(key, listed)
    names = tuple(module.__name__ for module in modules)
    return Inventory(names, tuple(found.values()), tuple(failures))


def _imported(name: str) -> ModuleType:
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            msg = (
                f"there is no module `{name}` here; give a name that `import` takes, as"
                " `package.module`, in the directory or environment that has it"
            )
            raise ConfigError(msg) from None
        raise _not_importable(name, error) from error
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a module may do anything, `sys.exit` too
        raise _not_importable(name, error) from error


def _not_importable(name: str, error: BaseException) -> ConfigError:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename not in _MACHINERY and not frame.filename.startswith("<frozen")
    ]
    place = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    return ConfigError(f"`{name}` cannot be imported: {said}{place}")


def _below(package: ModuleType) -> Iterator[str]:
    """The names of the submodules; the caller imports each before it asks for the next."""
    path = getattr(package, "__path__", None)
    if path is None:
        return
    for found in pkgutil.iter_modules(path, f"{package.__name__}."):
        if found.name.rpartition(".")[2] == "__main__":
            continue
        yield found.name
        below = sys.modules.get(found.name)
        if found.ispkg and below is not None:
            yield from _below(below)


def _of_module(module: ModuleType) -> Iterator[tuple[int, Listed]]:
    """What `module` defines, each with a key that is the same for the same callable."""
    for name, value in list(vars(module).items()):
        path = f"{module.__name__}.{name}"
        if issubclass(type(value), type):
            if not name.startswith("_") and value.__module__ == module.__name__:
                yield from _of_class(value, path)
            continue
        tool = _tool_in(value)
        if tool is not None:
            yield id(tool), _listed(path, value, tool)
        elif name.startswith("_") or not callable(value):
            continue
        elif _is_routine(value):
            if _home(value, module) == module.__name__:
                yield id(value), _listed(path, value, None)
        elif type(value).__module__ not in _NO_CALLABLES:
            yield id(value), Listed(path, "object", _file(module), 0, None)


def _tool_in(value: object) -> Tool | None:
    """The tool behind `value`; what is no function is asked for nothing that it could make up."""
    for _ in range(_DEEPEST):
        if _is_routine(value):
            return tool_of(value)
        value = inspect.getattr_static(value, "__wrapped__", None)
        if value is None:
            return None
    return None


def _is_routine(value: object) -> bool:
    try:
        return inspect.isroutine(value) or isinstance(value, functools.partial | classmethod)
    except Exception:  # noqa: BLE001  # a proxy without its object may raise anything
        return False


def _of_class(cls: type, path: str) -> Iterator[tuple[int, Listed]]:
    for name, value in list(vars(cls).items()):
        if issubclass(type(value), type):
            if value.__module__ == cls.__module__ and not name.startswith("_"):
                yield from _of_class(value, f"{path}.{name}")
            continue
        function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        tool = _tool_in(value)
        if tool is not None:
            yield id(tool), _listed(f"{path}.{name}", value, tool, in_class=True)
        elif _is_routine(function) and not name.startswith("_"):
            yield id(function), _listed(f"{path}.{name}", function, None, in_class=True)


def _listed(name: str, value: Any, tool: Tool | None, *, in_class: bool = False) -> Listed:
    function = value if tool is None else tool.function
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(getattr(function, "__func__", function))
    code = getattr(function, "__code__", None)
    if inspect.iscoroutinefunction(function):
        kind = "coroutine"
    elif inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        kind = "generator"
    else:
        kind = "method" if in_class else "function"
    file, row = getattr(code, "co_filename", ""), getattr(code, "co_firstlineno", 0)
    return Listed(name, kind, file, row, tool)


def _home(value: Any, module: ModuleType) -> str:
    """The module in which `value` is defined; a partial is at home where it stands."""
    if isinstance(value, functools.partial):
        return module.__name__
    return str(getattr(value, "__module__", ""))


def _file(module: ModuleType) -> str:
    return str(getattr(module, "__file__", None) or "")
