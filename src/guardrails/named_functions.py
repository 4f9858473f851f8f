"""Functions of the program that a configuration names, as ``package.module:function``."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from guardrails.errors import ConfigError


def is_reference(text: str) -> bool:
    """Whether `text` names a function as it is to be named."""
    module, colon, name = text.partition(":")
    return bool(colon) and all(part.isidentifier() for part in (*module.split("."), name))


def function_of(reference: str) -> Any:
    """The function that `reference` names; its module is imported.

    Raises:
        ConfigError: there is none.
    """
    module, _, name = reference.partition(":")
    try:
        found = getattr(import_module(module), name, None)
    except ImportError as error:
        raise ConfigError(f"callback: `{module}` cannot be imported: {error}") from error
    if found is None:
        raise ConfigError(f"callback: the module `{module}` has no `{name}`")
    return found


__all__ = ["function_of", "is_reference"]
