"""The scenes: each drives the agents of one example, shows what happens, and makes its claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.demo.scenes import hijacked, invoices, kill, runaway, shadow

if TYPE_CHECKING:
    from collections.abc import Callable

    from guardrails.demo.claims import Claim
    from guardrails.demo.lab import Lab
    from guardrails.demo.stage import Stage


class Scene(NamedTuple):
    """One scene: its number, and what plays it."""

    number: int
    play: Callable[[int, Stage, Lab], list[Claim]]


SCENES: Final = tuple(
    Scene(number, play)
    for number, play in enumerate(
        (invoices.play, hijacked.play, runaway.play, kill.play, shadow.play), 1
    )
)
