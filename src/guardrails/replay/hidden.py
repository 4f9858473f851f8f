"""Whether what was taken out of a recorded input can matter to policies that are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.rego.input_reads import InputReads

_TIME: Final = ("time",)
"""What a replay itself reads, for the policies' clock."""

_NARROWED: Final = ("detail", "narrowed_by")
_MARKER: Final = "[redacted:"


class Hidden:
    """Tells what was taken out of an input and may be read from what is not.

    Args:
        reads: What of it the policies may read; None where nobody knows.
    """

    def __init__(self, reads: InputReads | None) -> None:
        self._reads = reads
        self._known: dict[str, bool] = {}

    def first(self, pointers: Iterable[str]) -> str | None:
        """The first of the values that were taken out that may be read; None for none.

        Args:
            pointers: JSON pointers into the line, as ``masked`` and ``erased`` of an event.
        """
        return next(filter(self._one, pointers), None)

    def _one(self, pointer: str) -> bool:
        found = self._known.get(pointer)
        if found is None:
            path = _in_input(pointer)
            found = path is not None and self._may_read(path)
            if len(self._known) < _MOST:
                self._known[pointer] = found
        return found

    def _may_read(self, path: tuple[str, ...]) -> bool:
        overlap = path[:1] == _TIME or not path
        return overlap or self._reads is None or self._reads.touch(path)


_MOST: Final = 10_000


def _in_input(pointer: str) -> tuple[str, ...] | None:
    """The names that lead from the input to a value; None for one that is no part of an input."""
    names = [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]
    for place, name in enumerate(names):
        if _MARKER in name:  # the name itself was taken out, and could have been any
            del names[place:]
            break
    if tuple(names[:2]) == _NARROWED:
        return ("agent", *names[3:])
    if not names:
        return ()
    return tuple(names[1:]) if names[0] == "input" else None


__all__ = ["Hidden"]
