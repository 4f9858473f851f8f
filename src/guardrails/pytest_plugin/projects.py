"""The projects of a session: each configuration is read once, and its policies compiled once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from guardrails.errors import GuardrailsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from guardrails.testing.project import Project

_Key = tuple[Path, str]
_KEPT: Final = pytest.StashKey[dict[_Key, "Project | GuardrailsError"]]()


def project_of(config: pytest.Config, file: Path, data: Mapping[str, Any] | None = None) -> Project:
    """The project of a configuration.

    Args:
        config: pytest's.
        file: The ``guardrails.yaml``.
        data: What the program itself gives to policies.

    Raises:
        ConfigError: it or the register is wrong.
        PolicyLoadError: the policies cannot be used.
    """
    from guardrails.testing.project import Project  # noqa: PLC0415  # only where a test asks for it

    kept = config.stash.setdefault(_KEPT, {})
    key = (file.resolve(), repr(data))
    if key not in kept:
        try:
            kept[key] = Project.load(file, data=data)
        except GuardrailsError as error:  # it will not be better for the next test
            kept[key] = error
    found = kept[key]
    if isinstance(found, GuardrailsError):
        raise found.with_traceback(None)
    return found


def file_of(config: pytest.Config, start: Path) -> Path:
    """The ``guardrails.yaml`` for what stands in the folder `start`.

    The one that the configuration of pytest names, else the one that ``GUARDRAILS_CONFIG`` names,
    else the first one from `start` upward.

    Raises:
        ConfigError: there is none.
    """
    from guardrails.config import VARIABLE, find_file  # noqa: PLC0415  # as above

    named = str(config.getini("guardrails_config"))
    if named:
        return config.rootpath / named
    return find_file(None if os.environ.get(VARIABLE) else start)


def near(path: Path, config: pytest.Config) -> str:
    """`path` as it can be opened from where pytest was called, where it is below that."""
    here = config.invocation_params.dir
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
