"""The arguments that a person gives in the place of a call's: by name, in a file, in an editor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from guardrails.audit.exact_json import exact_json
from guardrails.errors import ConfigError
from guardrails.model.exact_text import read_exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def from_settings(args: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """The arguments with those that ``NAME=VALUE`` texts set.

    The value is JSON, exact; where the argument is a text now it is that text as it stands.

    Raises:
        ConfigError: a text sets nothing that there is, or its value is no JSON.
    """
    new = dict(args)
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in args:
            known = ", ".join(f"`{each}=…`" for each in args) or "none"
            raise ConfigError(
                f"--set `{setting[:80]}` sets no argument of the call; it has {known}"
            )
        new[name] = text if type(args[name]) is str else _json(text, f"--set {name}")
    return new


def from_file(path: Path) -> dict[str, Any]:
    """The arguments in a file with one JSON object.

    Raises:
        ConfigError: there is none in it.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(f"`{path}` cannot be read: {error}") from error
    return _object(text, str(path))


def from_editor(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as a person leaves them in an editor.

    Raises:
        ConfigError: there is no terminal, nothing was saved, or it is no JSON object.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError("there is no terminal to edit in; give --set NAME=VALUE or --args FILE")
    lines = [f"  {exact_json(name)}: {exact_json(value)}" for name, value in args.items()]
    text = click.edit("{\n" + ",\n".join(lines) + "\n}\n", extension=".json")
    if text is None:
        raise ConfigError("nothing was saved, so nothing is changed")
    return _object(text, "the edited text")


def _object(text: str, what: str) -> dict[str, Any]:
    value = _json(text, what)
    if type(value) is not dict:
        raise ConfigError(f"{what}: one JSON object with all arguments is needed")
    return value


def _json(text: str, what: str) -> Any:
    try:
        return read_exact(text)
    except ValueError as error:
        raise ConfigError(f"{what}: this is no JSON: {error}") from None
