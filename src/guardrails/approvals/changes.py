"""What differs between two JSON values, place by place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.model.canonical import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Absent:
    """The type of :data:`ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands for a value that is not there; ``None`` is one that is."""


class Change(NamedTuple):
    """One place that differs.

    Attributes:
        place: Where, as a JSON pointer (RFC 6901).
        before: What stood there, or :data:`ABSENT`.
        after: What stands there now, or :data:`ABSENT`.
    """

    place: str
    before: Any
    after: Any


def changes(before: Any, after: Any) -> tuple[Change, ...]:
    """The places at which two JSON values differ, the deepest that say it, in their order.

    Numbers are equal by value, never to a boolean. Applied to `before`, the changes give
    `after`: arrays are compared by index, and one that is longer has its rest added or taken away.
    """
    return tuple(_changes(before, after, ""))


def _changes(before: Any, after: Any, place: str) -> Iterator[Change]:
    if type(before) is dict and type(after) is dict:
        for name in dict.fromkeys((*before, *after)):
            step = f"{place}/{name.replace('~', '~0').replace('/', '~1')}"
            yield from _changes(before.get(name, ABSENT), after.get(name, ABSENT), step)
    elif type(before) is list and type(after) is list:
        for index in range(max(len(before), len(after))):
            yield from _changes(_item(before, index), _item(after, index), f"{place}/{index}")
    elif before is ABSENT or after is ABSENT:
        if before is not after:
            yield Change(place, before, after)
    elif canonical(before) != canonical(after):
        yield Change(place, before, after)


def _item(items: list[Any], index: int) -> Any:
    return items[index] if index < len(items) else ABSENT
