"""How many there were when, in spans of time of one length, as many as a plot shows."""

from __future__ import annotations

from typing import Final

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 24 * 60 * 60 * SECOND_NS
_MOST: Final = 400
_SHORTEST: Final = 60 * SECOND_NS


class Timeline:
    """Counts of a few kinds by spans of time; all spans have one length, which grows as needed.

    Args:
        kinds: How many kinds of things are counted apart.
        shortest: The length of a span at first, in nanoseconds; one for all that are added up.
        most: Spans that are kept, at least two; with more, two become one.

    Attributes:
        width: The length of a span, in nanoseconds.
        spans: The counts of each kind by the number of the span since 1970.
    """

    __slots__ = ("_kinds", "_most", "spans", "width")

    def __init__(self, kinds: int, *, shortest: int = _SHORTEST, most: int = _MOST) -> None:
        self._kinds = kinds
        self._most = most
        self.width = shortest
        self.spans: dict[int, list[int]] = {}

    def note(self, time: int, kind: int) -> None:
        """Count one of the kind of this number."""
        place = time // self.width
        counts = self.spans.get(place)
        if counts is not None:
            counts[kind] += 1
            return
        self._of(place)[kind] = 1
        self._narrow()

    def add(self, other: Timeline) -> None:
        """Add another one's counts."""
        if other.width > self.width:
            self._widen(other.width)
        for place, counts in other.spans.items():
            self._put(place * other.width // self.width, counts)
        self._narrow()

    def rows(self, most: int) -> list[tuple[int, tuple[int, ...]]]:
        """At most `most` spans from the first to the last, empty ones too: start, and counts."""
        if not self.spans:
            return []
        first, last = min(self.spans), max(self.spans)
        step = -(-(last - first + 1) // most)
        rows = [[0] * self._kinds for _ in range(-(-(last - first + 1) // step))]
        for place, counts in self.spans.items():
            _add(rows[(place - first) // step], counts)
        return [
            ((first + index * step) * self.width, tuple(counts))
            for index, counts in enumerate(rows)
        ]

    def _narrow(self) -> None:
        while len(self.spans) > self._most:
            self._widen(self.width * 2)

    def _widen(self, width: int) -> None:
        spans, old = self.spans, self.width
        self.width, self.spans = width, {}
        for place, counts in spans.items():
            self._put(place * old // width, counts)

    def _put(self, place: int, counts: list[int]) -> None:
        _add(self._of(place), counts)

    def _of(self, place: int) -> list[int]:
        return self.spans.setdefault(place, [0] * self._kinds)


def _add(counts: list[int], more: list[int]) -> None:
    for kind, count in enumerate(more):
        counts[kind] += count


__all__ = ["DAY_NS", "Timeline"]
