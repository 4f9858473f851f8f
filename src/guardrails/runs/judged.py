"""What people and programs say of a run: what came of it, and how good it was."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST_WORD: Final = 64
_LONGEST_TEXT: Final = 4_000


class Judged:
    """A run that can be judged, while it is open and afterwards; what is said is recorded."""

    __slots__ = ()

    def outcome(self, word: str, *, score: float | Decimal | None = None) -> None:
        """Record what came of the run's task.

        Args:
            word: As ``completed``, ``failed``, ``handed_over``; reports count each.
            score: How well, from 0 to 1.

        Raises:
            ConfigError: `word` is no word, or `score` no number from 0 to 1.
            StateUnavailable: it cannot be recorded.
        """
        if type(word) is not str or not word.isidentifier() or len(word) > _LONGEST_WORD:
            msg = f"outcome: a word of letters, digits and `_` is needed, not {word!r}"
            raise ConfigError(msg)
        detail: dict[str, object] = {"outcome": word}
        if score is not None:
            detail["score"] = _score(score)
        self._say("run.outcome", detail)

    def feedback(
        self,
        text: str | None = None,
        *,
        score: float | Decimal | None = None,
        by: str | None = None,
    ) -> None:
        """Record what somebody says of the run.

        Args:
            text: In words; at most 4,000 characters.
            score: As a number from 0 to 1.
            by: Who says it.

        Raises:
            ConfigError: there is neither text nor score, or one of them is none.
            StateUnavailable: it cannot be recorded.
        """
        if text is None and score is None:
            msg = "feedback: a text or a score is needed"
            raise ConfigError(msg)
        detail: dict[str, object] = {}
        if score is not None:
            detail["score"] = _score(score)
        for name, value in (("text", text), ("by", by)):
            if value is not None:
                if type(value) is not str or not value.strip() or len(value) > _LONGEST_TEXT:
                    msg = f"feedback: {name}: a text of 1 to {_LONGEST_TEXT:,} characters is needed"
                    raise ConfigError(msg)
                detail[name] = value
        self._say("run.feedback", detail)

    def _say(self, kind: str, detail: Mapping[str, object]) -> None:
        raise NotImplementedError


def _score(value: object) -> Decimal:
    if isinstance(value, int | float | Decimal) and type(value) in (int, float, Decimal):
        # The shortest text of a float is what its author wrote.
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        if number.is_finite() and 0 <= number <= 1:
            return number
        value = f"{number:.20g}"
    msg = f"score: a number from 0 to 1 is needed, not {value!r}"
    raise ConfigError(msg)
