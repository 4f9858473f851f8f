"""Counts by name, of as many names as are worth a row: memory stays flat, whatever is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_NAMES: Final = 10_000
"""Names that have a count of their own."""

OTHERS: Final = "(others)"
"""Under what all further names are counted."""

_LONGEST: Final = 200
"""Characters of a name that are kept."""


class Sums:
    """Some numbers that are added up together; a subclass names them."""

    __slots__: tuple[str, ...] = ()

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def add(self, other: Sums) -> None:
        """Add another one's numbers."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def document(self) -> dict[str, int]:
        """The numbers by their names."""
        return {name: getattr(self, name) for name in self.__slots__}


class Times(Sums):
    """How often."""

    __slots__ = ("times",)

    times: int


S = TypeVar("S", bound=Sums)


@dataclass(slots=True)
class ByName(Generic[S]):
    """Sums by name.

    Attributes:
        make: Makes the sums of a new name.
        most: Names that are told apart.
        rows: The sums.
    """

    make: Callable[[], S]
    most: int = MOST_NAMES
    rows: dict[str, S] = field(default_factory=dict)

    def of(self, name: str | None) -> S:
        """The sums of `name`, to be added to."""
        found = self.rows.get(name)  # type: ignore[arg-type]  # no row has None for its name
        if found is None:
            name = "(none)" if name is None else name
            name = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
            if name not in self.rows and len(self.rows) >= self.most:
                name = OTHERS
            found = self.rows.setdefault(name, self.make())
        return found

    def add(self, other: ByName[S]) -> None:
        """Add another one's sums."""
        for name, sums in other.rows.items():
            self.of(name).add(sums)

    def ranked(self, key: Callable[[S], int]) -> Iterator[tuple[str, S]]:
        """Names with their sums, the largest `key` first."""
        return iter(sorted(self.rows.items(), key=lambda row: (-key(row[1]), row[0])))


__all__ = ["MOST_NAMES", "OTHERS", "ByName", "Sums", "Times"]
