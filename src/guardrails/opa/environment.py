"""``${NAME}`` in OPA's configuration, replaced by the variable's value in the text, as OPA does."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMED: Final = re.compile(r"\$\{(.*?)\}")


@dataclass(frozen=True, slots=True)
class Substituted:
    """A text with the values of variables in it.

    Attributes:
        text: It; what came in is not looked at again.
        unset: The names that have no value, with the lines where they stand. As in OPA they stay
            as they were written.
        starts: The lines of `text`, counted from 1, at which lines began to be added.
        added: How many lines were added by then.
    """

    text: str
    unset: tuple[tuple[str, int], ...]
    starts: tuple[int, ...] = ()
    added: tuple[int, ...] = ()

    def written_line(self, line: int) -> int:
        """The line of the file that line `line` of the text comes from."""
        at = bisect_right(self.starts, line) - 1
        if at < 0:
            return line
        before = self.added[at - 1] if at else 0
        return max(self.starts[at] - before, line - self.added[at])


def substitute(text: str, environment: Mapping[str, str]) -> Substituted:
    """`text` with each ``${NAME}`` replaced by the variable's value.

    A variable that is not set leaves its place as it is; ``${}`` becomes nothing.

    Args:
        text: What is written.
        environment: The variables.
    """
    parts: list[str] = []
    unset: list[tuple[str, int]] = []
    starts: list[int] = []
    added: list[int] = []
    end = lines = more = 0
    for found in _NAMED.finditer(text):
        before = text[end : found.start()]
        name, end = found.group(1), found.end()
        value = environment.get(name, found.group()) if name else ""
        lines += before.count("\n")
        if name and name not in environment:
            unset.append((name, lines - more + 1))
        if "\n" in value:
            starts.append(lines + 1)
            more += value.count("\n")
            added.append(more)
            lines += value.count("\n")
        parts += (before, value)
    return Substituted("".join((*parts, text[end:])), tuple(unset), tuple(starts), tuple(added))
