"""A run as it was when people were asked in it: what it takes to open it again, and no more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RunTerms:
    """One run of a lineage, which begins at the outermost and ends at the run of the call.

    Amounts are whole numbers by dimension: ``usd`` in micro-dollars, ``tokens``, ``calls``,
    ``seconds`` in nanoseconds. A dimension without a limit is absent.

    Attributes:
        id: The run's id.
        agent: The agent's id.
        mode: How decisions are treated.
        labels: Its labels, sorted.
        limits: Its own limits.
        left: What was left of them.
    """

    id: str
    agent: str
    mode: str
    labels: tuple[str, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The same as exact JSON."""
        return {
            "id": self.id,
            "agent": self.agent,
            "mode": self.mode,
            "labels": list(self.labels),
            "limits": dict(self.limits),
            "left": dict(self.left),
        }


def terms_of(document: Mapping[str, Any]) -> RunTerms:
    """The terms that :meth:`RunTerms.document` wrote.

    Raises:
        TypeError, KeyError: it wrote something else.
    """
    return RunTerms(**{**document, "labels": tuple(document["labels"])})
