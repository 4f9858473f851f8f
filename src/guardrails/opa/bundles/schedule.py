"""When a bundle is asked for again: evenly spread in an interval, later and later after errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_RETRY: Final = 0.1
"""Seconds after the first error."""

GROWTH: Final = 1.6
"""How much longer each further wait is."""

JITTER: Final = 0.2
"""The share by which a wait after an error is longer or shorter, so that clients spread out."""

_MOST_RETRIES: Final = 64


@dataclass(frozen=True, slots=True)
class Polling:
    """How often a service is asked.

    Attributes:
        min_delay: The least seconds between two requests.
        max_delay: The most seconds, after errors too.
        long_poll: Seconds that the service may wait for news; None not to ask for that.
    """

    min_delay: float = 60.0
    max_delay: float = 120.0
    long_poll: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.min_delay <= self.max_delay:
            msg = (
                f"`min_delay_seconds` {self.min_delay:g} and `max_delay_seconds`"
                f" {self.max_delay:g}: the first is above 0, and not above the second"
            )
            raise ConfigError(msg)
        if self.long_poll is not None and self.long_poll < 1:
            msg = f"`long_polling_timeout_seconds` is at least 1, not {self.long_poll}"
            raise ConfigError(msg)


def delay_after_success(polling: Polling, random: Callable[[], float]) -> float:
    """Seconds until the next request, evenly spread between the least and the most.

    Args:
        polling: The interval.
        random: Gives numbers from 0 to below 1.
    """
    return polling.min_delay + (polling.max_delay - polling.min_delay) * random()


def delay_after_errors(errors: int, polling: Polling, random: Callable[[], float]) -> float:
    """Seconds until the next request after `errors` of them in a row, at least one.

    Args:
        errors: How many requests in a row failed.
        polling: Its most is the most here, too.
        random: Gives numbers from 0 to below 1.
    """
    plain = FIRST_RETRY * GROWTH ** min(errors - 1, _MOST_RETRIES)
    spread = 1 + JITTER * (2 * random() - 1)
    return min(min(plain, polling.max_delay) * spread, polling.max_delay)
