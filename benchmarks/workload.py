"""What the variants of one benchmark decide about: named inputs, each so often."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Case:
    """One input.

    Attributes:
        name: What is special about it.
        input: The input document. Variants read it and must not change it.
        effect: The decision's effect, as its author meant it; the tests hold it against Rego's.
        weight: How often it stands in one pass over the workload.
    """

    name: str
    input: Mapping[str, Any]
    effect: str
    weight: int


def mixed(cases: tuple[Case, ...], seed: int = 1) -> list[Mapping[str, Any]]:
    """The inputs of one pass: each as often as its weight says, in one shuffled order."""
    inputs = [case.input for case in cases for _ in range(case.weight)]
    random.Random(seed).shuffle(inputs)  # noqa: S311  # an order, no secret
    return inputs
