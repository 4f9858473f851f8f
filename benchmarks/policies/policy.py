"""A policy to measure: its Rego, its data and its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.workload import Case


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A policy and what belongs to it. Compared by identity, so that it can key what is made of it.

    Attributes:
        name: As it is called in tables.
        modules: The Rego sources by file.
        data: The base documents.
        cases: Representative inputs with their weights.
        by_hand: Python that makes the same decisions; None where nobody wrote it.
    """

    name: str
    modules: Mapping[str, str]
    data: Mapping[str, Any]
    cases: tuple[Case, ...]
    by_hand: Callable[[Any], Any] | None = None
