"""Tools by their names: the governed functions of modules, and tools that are only described."""

from __future__ import annotations

import functools
import importlib
import inspect
import keyword
from typing import TYPE_CHECKING, Any

from guardrails.enforcement.tools import governed_tool, tool_of
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import ModuleType

    from guardrails.enforcement.definition import Tool


def imported(module: str) -> dict[str, Tool]:
    """The governed functions of a module and of its classes, by their names for policy.

    Args:
        module: Its dotted name; it is imported.

    Raises:
        ConfigError: it cannot be imported, holds none, or two of one name.
    """
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise _not_importable(module, error) from error
        msg = (
            f"there is no module `{module}` here; give the name that `import` takes, and let pytest"
            ' find it, as by `pythonpath = ["src"]` in its configuration'
        )
        raise ConfigError(msg) from None
    except Exception as error:
        raise _not_importable(module, error) from error
    tools: dict[str, Tool] = {}
    for tool in _of(found):
        known = tools.setdefault(tool.facts.name, tool)
        if known.identity != tool.identity:
            msg = f"`{module}` has two tools called `{tool.facts.name}`: {known} and {tool}"
            raise ConfigError(msg)
    if not tools:
        msg = f"`{module}` has no governed functions"
        raise ConfigError(msg)
    return tools


def described(
    name: str, *, resource: str, operation: str, labels: Iterable[str], args: Mapping[str, Any]
) -> Tool:
    """A tool of which only the facts are known, as policy sees it; it cannot run.

    Args:
        name: Its name.
        resource: What it works on.
        operation: What it does to it.
        labels: Words for policy.
        args: The arguments that it takes in this call.

    Raises:
        ConfigError: a fact is wrong, or a name of an argument is none that Python knows.
    """
    for each in args:
        if not each.isidentifier() or keyword.iskeyword(each):
            msg = f"`{each}` cannot be the name of an argument of a tool that is only described"
            raise ConfigError(msg)

    def described_tool(**_args: Any) -> None:
        msg = f"`{name}` is only described"
        raise NotImplementedError(msg)

    parameters = [inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY) for each in args]
    described_tool.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what `inspect` reads
    made = governed_tool(
        name=name, resource=resource, operation=operation, labels=labels, validate=False
    )(described_tool)
    tool = tool_of(made)
    if tool is None:  # it was just governed
        raise AssertionError
    return tool


def _not_importable(module: str, error: Exception) -> ConfigError:
    return ConfigError(f"`{module}` cannot be imported: {type(error).__name__}: {error}")


def _of(owner: ModuleType | type) -> Iterator[Tool]:
    for value in list(vars(owner).values()):
        if isinstance(value, type):
            if (
                value.__module__ == owner.__module__
                if isinstance(owner, type)
                else (value.__module__ == owner.__name__)
            ):
                yield from _of(value)
        elif _is_function(value):
            tool = tool_of(value)
            if tool is not None:
                yield tool


def _is_function(value: object) -> bool:
    return inspect.isroutine(value) or isinstance(value, functools.partial)
