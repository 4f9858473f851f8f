"""What a verification of a record found, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is wrong, or worth saying.

    Attributes:
        file: The file's name.
        line: Its line, from 1; 0 for the file as a whole.
        byte: Where in the file that line begins.
        what: What is the case.
        is_problem: Whether the record is not what was written; else it is only said.
    """

    file: str
    line: int
    byte: int
    what: str
    is_problem: bool = True

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place} (byte {self.byte}): {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification.

    Attributes:
        findings: What was found, file by file.
        streams: How many streams there are.
        segments: How many segments.
        events: How many events stand in them, closed.
        deleted: How many segments were deleted as retention or a person wanted it.
        deleted_events: How many events those held, as far as the list of streams says.
        keys: The ids of the keys that signed.
        is_pinned: Whether the signatures were checked against keys that were given from outside.
    """

    findings: tuple[Finding, ...]
    streams: int
    segments: int
    events: int
    deleted: int
    deleted_events: int
    keys: tuple[str, ...]
    is_pinned: bool

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def problems(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(each for each in self.findings if each.is_problem)
