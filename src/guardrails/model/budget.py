"""What may be spent, and what was: the four dimensions of a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.errors import ConfigError
from guardrails.model.money import Money, dollars, micro_usd

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST_COUNT: Final = 10**15


class Budget:
    """Limits of a run, a tool or an agent. A dimension that is not named has no limit here.

    Args:
        usd: US dollars, as ``"5"``, ``Decimal("0.02")`` or a number that is exact in
            micro-dollars.
        tokens: Model tokens.
        calls: Governed calls.
        seconds: Wall-clock time less the time spent waiting for people; checked when
            a call starts. Only runs have it.

    Raises:
        ConfigError: a limit is negative, not a number, or of the wrong type.
    """

    __slots__ = ("calls", "micro_usd", "seconds", "tokens")

    micro_usd: int | None
    tokens: int | None
    calls: int | None
    seconds: float | None

    def __init__(
        self,
        *,
        usd: Money | None = None,
        tokens: int | None = None,
        calls: int | None = None,
        seconds: float | None = None,
    ) -> None:
        put = object.__setattr__
        try:
            put(self, "micro_usd", None if usd is None else micro_usd(usd))
        except (TypeError, ValueError) as error:
            msg = f"budget usd: {error}"
            raise ConfigError(msg) from None
        put(self, "tokens", _count("tokens", tokens))
        put(self, "calls", _count("calls", calls))
        put(self, "seconds", _duration(seconds))

    def __setattr__(self, name: str, _value: object) -> None:
        msg = f"a Budget is frozen; make a new one to change `{name}`"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> None:
        msg = f"a Budget is frozen; `{name}` cannot be deleted"
        raise AttributeError(msg)

    @property
    def usd(self) -> Decimal | None:
        """The limit in dollars, or None."""
        return None if self.micro_usd is None else dollars(self.micro_usd)

    @property
    def is_empty(self) -> bool:
        """Whether no dimension has a limit."""
        return (
            self.micro_usd is None
            and self.tokens is None
            and self.calls is None
            and self.seconds is None
        )

    def document(self) -> dict[str, str | int | float]:
        """The limits that there are as JSON values; money is the exact text of its dollars."""
        said: dict[str, str | int | float | None] = {
            "usd": None if self.micro_usd is None else str(self.usd),
            "tokens": self.tokens,
            "calls": self.calls,
            "seconds": self.seconds,
        }
        return {name: limit for name, limit in said.items() if limit is not None}

    def _words(self) -> Iterator[str]:
        if self.micro_usd is not None:
            yield f"usd='{self.usd}'"
        for name in ("tokens", "calls", "seconds"):
            value = getattr(self, name)
            if value is not None:
                yield f"{name}={value}"

    def __repr__(self) -> str:
        return f"Budget({', '.join(self._words())})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Budget) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    def __hash__(self) -> int:
        return hash((self.micro_usd, self.tokens, self.calls, self.seconds))


def _count(name: str, value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        msg = f"budget {name}: a whole number is needed, not `{value!r}`"
        raise ConfigError(msg)
    if not 0 <= value <= _LARGEST_COUNT:
        msg = f"budget {name}: `{value}` is not between 0 and {_LARGEST_COUNT}"
        raise ConfigError(msg)
    return value


def _duration(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        msg = f"budget seconds: a number is needed, not `{value!r}`"
        raise ConfigError(msg)
    try:
        seconds = float(value)
    except (ValueError, OverflowError):  # a signalling NaN, or an integer that no float can be
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        msg = f"budget seconds: `{Decimal(value):.20g}` is no length of time"
        raise ConfigError(msg)
    return seconds


class Usage(NamedTuple):
    """An amount of what a budget limits: micro-dollars, tokens, calls."""

    micro_usd: int = 0
    tokens: int = 0
    calls: int = 0

    @property
    def usd(self) -> Decimal:
        """The money in dollars."""
        return dollars(self.micro_usd)

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override]  # amounts add up
        return Usage(
            self.micro_usd + other.micro_usd, self.tokens + other.tokens, self.calls + other.calls
        )


NO_USAGE: Final = Usage()
"""Nothing; what calls in flight hold is mostly this very one."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What a call reports that it cost; None reports nothing, and 0 reports that it was free."""

    micro_usd: int | None = None
    tokens: int | None = None

    @property
    def usage(self) -> Usage:
        """The same as an amount."""
        return Usage(self.micro_usd or 0, self.tokens or 0)


class Remaining(NamedTuple):
    """What is left of each limit (limit − spent − reserved); None where there is no limit.

    A run that was overdrawn by what its tools reported shows negative values.
    """

    micro_usd: int | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None

    @property
    def usd(self) -> Decimal | None:
        """The money left in dollars, or None."""
        return None if self.micro_usd is None else dollars(self.micro_usd)
