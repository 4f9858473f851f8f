"""What stops an agent that goes in circles, fails or spends too fast: how much is too much."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

NAMES: Final = ("cycle", "errors", "repeat", "spend", "tool_cycle")
"""The breakers, sorted; the words that policy reads in ``input.run.signals``."""


class Action(StrEnum):
    """What happens where a breaker reaches a level, the mildest first."""

    WARN = "warn"
    ASK = "ask"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker: at what number it warns, asks and stops. None: it does not.

    Attributes:
        warn: From here on it is logged and recorded, once a run.
        ask: From here on each call needs an approval.
        stop: From here on the run takes no further call.
        of: How many of the last calls it looks at; for ``cycle`` and ``tool_cycle`` the
            longest cycle in calls; for ``spend`` of no meaning.
        ignore: Tools whose calls it does not see.
        lowest: The number below which it says nothing; infinite where it is off.
        is_on: Whether it ever says anything.
    """

    warn: int | None = None
    ask: int | None = None
    stop: int | None = None
    of: int = 1
    ignore: frozenset[str] = frozenset()
    lowest: float = field(init=False, repr=False, compare=False)
    is_on: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        given = [level for level in (self.warn, self.ask, self.stop) if level is not None]
        object.__setattr__(self, "lowest", min(given, default=math.inf))
        object.__setattr__(self, "is_on", bool(given))

    def at(self, number: int) -> Action:
        """What is to happen at `number`, which is not below the lowest: the strictest reached."""
        if self.stop is not None and number >= self.stop:
            return Action.STOP
        if self.ask is not None and number >= self.ask:
            return Action.ASK
        return Action.WARN


OFF: Final = Breaker()
"""A breaker that never says anything."""

_REPEAT: Final = Breaker(warn=10, stop=100, of=1000)
_CYCLE: Final = Breaker(warn=5, stop=50, of=8)
_TOOL_CYCLE: Final = Breaker(of=8)
_ERRORS: Final = Breaker(warn=50, stop=100, of=20)


@dataclass(frozen=True, slots=True)
class Breakers:
    """All breakers of a governor's runs. As they are here, they stand where nothing is configured.

    Attributes:
        repeat: The same call with the same arguments: how often among the last `of` calls.
        cycle: Calls that come again in the same order, with the same arguments, as A-B-A-B:
            how many rounds, of at most `of` calls each.
        tool_cycle: The same by the tools alone, whatever their arguments.
        errors: How many percent of the last `of` finished calls raised an error.
        spend: Micro-dollars within a minute.
        approvers: The groups of whom one has to approve what a breaker asks for.
        expires_in: Seconds after which such a request expires.
    """

    repeat: Breaker = _REPEAT
    cycle: Breaker = _CYCLE
    tool_cycle: Breaker = _TOOL_CYCLE
    errors: Breaker = _ERRORS
    spend: Breaker = OFF
    approvers: tuple[str, ...] = ("operations",)
    expires_in: int = 14_400


DEFAULT_BREAKERS: Final = Breakers()
"""What holds where nothing is configured."""


class Reached(NamedTuple):
    """A level that a breaker has reached in a run.

    Attributes:
        breaker: Its name.
        action: What that means.
        run_id: The run in which it did.
        text: What it saw, for people; without arguments.
    """

    breaker: str
    action: Action
    run_id: str
    text: str

    @property
    def rule(self) -> str:
        """The id under which it stands in decisions and records, as ``breaker/repeat``."""
        return f"breaker/{self.breaker}"
