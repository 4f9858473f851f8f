"""A reader that goes on where it was: a cursor for every stream, and the blocks behind it."""

from __future__ import annotations

import heapq
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from guardrails.audit.lines import time_of
from guardrails.audit.streams import Block, blocks_of, size_of, streams_in
from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from guardrails.audit.layout import SegmentName


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in every stream of a record.

    Attributes:
        places: The segment and the byte in it up to which each stream was read.
        within: Of the block that begins there, how many lines were read besides; none are left out.
    """

    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    within: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """The cursor as JSON, to be kept."""
        said: dict[str, Any] = {"record": 1, "places": self.places}
        if self.within:
            said["within"] = self.within
        return json.dumps(said, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The cursor that `text` is, as ``str(cursor)`` gives it.

        Raises:
            ConfigError: it is none.
        """
        try:
            document: Any = json.loads(text)
            if document["record"] != 1:
                raise ValueError  # noqa: TRY301  # as anything else that is wrong
            places = {
                str(stream): (int(segment), int(place))
                for stream, (segment, place) in document["places"].items()
            }
            within = {str(stream): abs(n) for stream, n in document.get("within", {}).items()}
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ConfigError(f"`{text[:80]}` is no cursor of a record") from None
        return cls(places, within)

    def moved(self, segment: SegmentName, place: int) -> Self:
        """The cursor behind the byte `place` of a segment."""
        within = {name: n for name, n in self.within.items() if name != segment.stream}
        return type(self)({**self.places, segment.stream: (segment.number, place)}, within)

    def inside(self, segment: SegmentName, lines: int) -> Self:
        """The cursor behind so many lines of the block that is next in a segment."""
        return type(self)(self.places, {**self.within, segment.stream: lines})

    def done_of(self, segment: SegmentName) -> int:
        """How many lines of the block that is next in a segment were read."""
        number, _ = self.places.get(segment.stream, (0, 0))
        # Another segment is next where the block's own was deleted meanwhile.
        return self.within.get(segment.stream, 0) if number == segment.number else 0


class Passed(NamedTuple):
    """The cursors around a block."""

    before: Cursor
    after: Cursor


def follow_blocks(
    directory: Path, cursor: Cursor, *, go_on: Callable[[], bool], poll: float
) -> Iterator[tuple[Passed, Block]]:
    """Each closed block of events after `cursor`; see :func:`reading.follow`.

    Raises:
        OSError: the directory cannot be read.
    """
    while True:
        more = go_on()  # before looking: what was written until then is still given
        streams = streams_in(directory)
        # What was deleted is forgotten, or a cursor would only ever grow.
        cursor = Cursor(
            {name: at for name, at in cursor.places.items() if name in streams},
            {name: lines for name, lines in cursor.within.items() if name in streams},
        )
        seen = False
        found = [
            _timed(number, directory, segments, cursor.places.get(stream, (0, 0)))
            for number, (stream, segments) in enumerate(streams.items())
        ]
        for _, _, block in heapq.merge(*found):
            seen = True
            after = cursor.moved(block.segment, block.end)
            if block.lines:
                yield Passed(cursor, after), block
            cursor = after
        if not seen:
            if not more:
                return
            time.sleep(poll)


def _timed(
    stream: int, directory: Path, segments: list[SegmentName], begin: tuple[int, int]
) -> Iterator[tuple[int, tuple[int, int], Block]]:
    """The closed blocks of a stream behind a place, each with a time that never goes back."""
    latest = index = 0
    for name in segments:
        if name.number < begin[0]:
            continue
        place = begin[1] if name.number == begin[0] else 0
        if size_of(directory, name) <= place:
            continue
        try:
            for block in blocks_of(directory, name, place):
                if block.closing:
                    latest = max(latest, time_of(block.lines))
                    index += 1
                    yield latest, (stream, index), block
        except FileNotFoundError:  # deleted meanwhile, as retention wants it
            continue
