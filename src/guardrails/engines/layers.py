"""Policies layer over layer: the library, its presets, a project's own directories.

Modules of all layers count. Of the keys below ``data.guardrails_data`` the last layer that
names one gives all of it, so that a project's ``thresholds`` take the place of the library's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego.sources import find_sources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from guardrails.rego.planner import PlannerName

DATA_ROOT: Final = "guardrails_data"
"""Where policies find their data: ``data.guardrails_data``."""


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """Where policies and their data come from, and who plans them.

    Attributes:
        layers: Directories or files, the base first.
        planner: ``regopy``, or ``opa`` for an OPA binary.
        opa: Where that binary is; None to look for it.
    """

    layers: tuple[Path, ...]
    planner: PlannerName = "regopy"
    opa: str | None = None


@dataclass(frozen=True, slots=True)
class Layered:
    """Several layers merged.

    Attributes:
        modules: The Rego sources by file, tests apart. A file below the working directory
            goes by its path from there, so that a message's place can be opened.
        tests: The sources of the tests, likewise.
        data: The base documents.
    """

    modules: Mapping[str, str]
    tests: Mapping[str, str]
    data: Mapping[str, Any]


def read_layers(layers: Iterable[Path], given: Mapping[str, Any]) -> Layered:
    """What stands in `layers`, and the data that does not come from files.

    Args:
        layers: Directories or files, the base first.
        given: What the register and the program put below ``data.guardrails_data``.

    Raises:
        PolicyLoadError: a file cannot be read, or holds what is in `given`.
    """
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    base: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    for layer in layers:
        sources = find_sources([layer])
        modules.update({_nearby(name): text for name, text in sources.modules.items()})
        tests.update({_nearby(name): text for name, text in sources.tests.items()})
        for root, value in sources.data.items():
            if root == DATA_ROOT and isinstance(value, dict):
                ours.update(value)
            else:
                base[root] = value
    twice = ours.keys() & given.keys()
    if twice:
        msg = (
            f"`{DATA_ROOT}.{min(twice)}` is given by the register or the program; "
            "a data file may not hold it"
        )
        raise PolicyLoadError(msg)
    return Layered(modules, tests, {**base, DATA_ROOT: {**ours, **given}})


def _nearby(path: str) -> str:
    """`path` from the working directory, where it lies below that."""
    try:
        return Path(path).resolve().relative_to(Path.cwd()).as_posix()
    except (ValueError, OSError):
        return path
