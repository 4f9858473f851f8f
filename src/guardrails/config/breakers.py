"""The section ``breakers`` of ``guardrails.yaml``: when an agent that goes in circles is stopped.

::

    breakers:
      # The same call with the same arguments, so many times among the last 1,000 calls.
      repeat: {warn: 10, stop: 100, of: 1000, ignore: [poll_job]}
      cycle: {warn: 5, stop: 50, of: 8}     # rounds of the same calls, of at most 8 calls each
      tool_cycle: null                      # rounds of the same tools, whatever their arguments
      errors: {warn: 50, stop: 100, of: 20} # percent of the last 20 finished calls that failed
      spend: null                           # dollars within a minute, as {ask: 1, stop: "2.50"}
      approvers: [operations]               # of whom one approves what a breaker asks for
      expires_in: 4h

Each breaker takes ``warn``, ``ask`` and ``stop``, in rising order; one that is left out does not
happen. What is written here is what holds where it is not; a breaker that is given is given
whole, but for ``of`` and ``ignore``. ``null`` turns one off; ``breakers: null`` all of them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, model_validator

from guardrails.model.breakers import DEFAULT_BREAKERS, Breaker, Breakers
from guardrails.model.money import micro_usd
from guardrails.register.source import Mapped
from guardrails.register.words import (  # noqa: TC001  # pydantic reads them at run time
    Dollars,
    Listed,
    Name,
    Seconds,
    Some,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

_DEFAULT: Final = DEFAULT_BREAKERS
_LEVELS: Final = ("warn", "ask", "stop")

Times = Annotated[int, Field(ge=2, le=100_000)]
Percent = Annotated[int, Field(ge=1, le=100)]


def _micros(amount: Decimal | None) -> int | None:
    return None if amount is None else micro_usd(amount)


def _reachable(of: int, levels: Iterable[int | None]) -> None:
    highest = max(level for level in (*levels, 0) if level is not None)
    if highest > of:
        msg = f"{highest} times cannot be reached among the last {of} calls; make `of` larger"
        raise ValueError(msg)


class _Levels(Mapped):
    """What all breakers have."""

    @model_validator(mode="after")
    def _rising(self) -> _Levels:
        given = [(name, getattr(self, name)) for name in _LEVELS]
        levels = [(name, level) for name, level in given if level is not None]
        if not levels:
            msg = "at least one of `warn`, `ask` and `stop` is needed; `null` turns a breaker off"
            raise ValueError(msg)
        for (mild, less), (strict, more) in pairwise(levels):
            if less >= more:
                msg = f"`{mild}` is below `{strict}`, and here it is {less}, not below {more}"
                raise ValueError(msg)
        return self

    def breaker(self) -> Breaker:
        """What it says, as runs take it."""
        words: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        words["ignore"] = frozenset(words.get("ignore", ()))
        return Breaker(**words)


class RepeatSection(_Levels):
    """The same call with the same arguments, so many times among the last `of` calls."""

    warn: Times | None = None
    ask: Times | None = None
    stop: Times | None = None
    of: Annotated[int, Field(ge=2, le=100_000)] = _DEFAULT.repeat.of
    ignore: Listed[Name] = ()

    @model_validator(mode="after")
    def _within_reach(self) -> RepeatSection:
        _reachable(self.of, (self.warn, self.ask, self.stop))
        return self


class CycleSection(_Levels):
    """The same calls in the same order, so many rounds of at most `of` calls."""

    warn: Times | None = None
    ask: Times | None = None
    stop: Times | None = None
    of: Annotated[int, Field(ge=2, le=64)] = _DEFAULT.cycle.of
    ignore: Listed[Name] = ()


class ErrorsSection(_Levels):
    """So many percent of the last `of` finished calls failed."""

    warn: Percent | None = None
    ask: Percent | None = None
    stop: Percent | None = None
    of: Annotated[int, Field(ge=2, le=100_000)] = _DEFAULT.errors.of
    ignore: Listed[Name] = ()


class SpendSection(_Levels):
    """So many dollars within a minute."""

    warn: Dollars | None = None
    ask: Dollars | None = None
    stop: Dollars | None = None

    def breaker(self) -> Breaker:
        """What it says, in micro-dollars."""
        return Breaker(_micros(self.warn), _micros(self.ask), _micros(self.stop))


class BreakersSection(Mapped):
    """The section as it is written."""

    repeat: RepeatSection | None = RepeatSection(
        warn=_DEFAULT.repeat.warn, stop=_DEFAULT.repeat.stop
    )
    cycle: CycleSection | None = CycleSection(warn=_DEFAULT.cycle.warn, stop=_DEFAULT.cycle.stop)
    tool_cycle: CycleSection | None = None
    errors: ErrorsSection | None = ErrorsSection(
        warn=_DEFAULT.errors.warn, stop=_DEFAULT.errors.stop
    )
    spend: SpendSection | None = None
    approvers: Some[Name] = _DEFAULT.approvers
    expires_in: Seconds = _DEFAULT.expires_in

    def breakers(self) -> Breakers:
        """What it says, as runs take it."""
        return Breakers(
            repeat=_breaker(self.repeat, _DEFAULT.repeat.of),
            cycle=_breaker(self.cycle, _DEFAULT.cycle.of),
            tool_cycle=_breaker(self.tool_cycle, _DEFAULT.tool_cycle.of),
            errors=_breaker(self.errors, _DEFAULT.errors.of),
            spend=_breaker(self.spend, 1),
            approvers=self.approvers,
            expires_in=self.expires_in,
        )


def _breaker(section: _Levels | None, of: int) -> Breaker:
    return Breaker(of=of) if section is None else section.breaker()
