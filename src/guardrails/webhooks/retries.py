"""When a webhook is tried again: purely, from what happened so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from guardrails.errors import ConfigError

_MOST_ATTEMPTS: Final = 20


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most so many attempts, and after so long a time none but the first.

    The pause doubles from `first` to `longest`. Of each pause a random half is left out, so
    that many senders do not come back at once. What the receiver asks for by ``Retry-After`` is
    the least pause.

    Attributes:
        attempts: How often it is tried at most, the first time included.
        window: Seconds within which every attempt but the first begins, from when the webhook was
            to be sent.
        first: Seconds of the first pause, before its random part.
        longest: Seconds that a pause grows to.

    Raises:
        ConfigError: a number is out of range.
    """

    attempts: int = 8
    window: float = 300.0
    first: float = 2.0
    longest: float = 60.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= _MOST_ATTEMPTS:
            raise ConfigError(f"attempts: `{self.attempts}` is not between 1 and {_MOST_ATTEMPTS}")
        if not (self.window >= 0 and 0 < self.first <= self.longest):
            raise ConfigError("a retry needs `window` ≥ 0 and 0 < `first` ≤ `longest`, in seconds")

    def pause(
        self, made: int, passed: float, chance: float, asked: float | None = None
    ) -> float | None:
        """Seconds until the next attempt, or None to give up.

        Args:
            made: How many attempts were made.
            passed: Seconds since the webhook was to be sent.
            chance: A random number from 0 up to 1.
            asked: Seconds that the receiver asked for, if it did.
        """
        if made >= self.attempts:
            return None
        whole = min(self.longest, self.first * 2.0 ** (made - 1))
        pause = max(whole * (1 + chance) / 2, asked or 0.0)
        return pause if passed + pause <= self.window else None
