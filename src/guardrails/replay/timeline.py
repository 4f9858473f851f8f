"""How many there were when, in spans of time of one length, as many as a plot shows."""

from __future__ import annotations

from typing import Final

SECOND_NS: Final = 1_000_000_000
DAY_NS: Final = 24 * 60 * 60 * SECOND_NS
_MOST: Final = 400
_SHORTEST: Final = 60 * SECOND_NS


class Timeline:
    """Pairs of counts by spans of time; all spans have one length, which grows as needed.

    Args:
        shortest: The length of a span at first, in nanoseconds; one for all that are added up.
        most: Spans that are kept; with more, two become one.

    Attributes:
        width: The length of a span, in nanoseconds.
        spans: The counts by the number of the span since 1970.
    """

    __slots__ = ("_most", "spans", "width")

    def __init__(self, shortest: int = _SHORTEST, most: int = _MOST) -> None:
        self._most = most
        self.width = shortest
        self.spans: dict[int, tuple[int, int]] = {}

    def note(self, time: int, *, marked: bool) -> None:
        """Count one, and whether it is one of those that matter."""
        place = time // self.width
        counts = self.spans.get(place)
        if counts is not None:
            self.spans[place] = (counts[0] + 1, counts[1] + marked)
            return
        self.spans[place] = (1, int(marked))
        if len(self.spans) > self._most:
            self._widen(self.width * 2)

    def add(self, other: Timeline) -> None:
        """Add another one's counts."""
        if other.width > self.width:
            self._widen(other.width)
        for place, counts in other.spans.items():
            self._put(place * other.width // self.width, counts)
        while len(self.spans) > self._most:
            self._widen(self.width * 2)

    def rows(self, most: int) -> list[tuple[int, int, int]]:
        """At most `most` spans from the first to the last, empty ones too: start, all, marked."""
        if not self.spans:
            return []
        first, last = min(self.spans), max(self.spans)
        step = -(-(last - first + 1) // most)
        rows = [
            [(first + index * step) * self.width, 0, 0]
            for index in range(-(-(last - first + 1) // step))
        ]
        for place, (all_, some) in self.spans.items():
            row = rows[(place - first) // step]
            row[1] += all_
            row[2] += some
        return [(start, all_, some) for start, all_, some in rows]

    def _widen(self, width: int) -> None:
        spans, old = self.spans, self.width
        self.width, self.spans = width, {}
        for place, counts in spans.items():
            self._put(place * old // width, counts)

    def _put(self, place: int, counts: tuple[int, int]) -> None:
        all_, some = self.spans.get(place, (0, 0))
        self.spans[place] = (all_ + counts[0], some + counts[1])
