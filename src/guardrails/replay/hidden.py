"""Whether what was taken out of a recorded input can matter to policies that are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardrails.engines.source import ENTRYPOINT
from guardrails.errors import PolicyLoadError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from guardrails.engines.in_process import Loaded
    from guardrails.rego.input_reads import InputReads

_TIME: Final = ("time",)
"""What a replay itself reads, for the policies' clock."""

_NARROWED: Final = ("detail", "narrowed_by")
_MARKER: Final = "[redacted:"


class Hidden:
    """Knows what of an input policies may read; it is worked out when it is first asked for.

    Args:
        loaded: The policies.
    """

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded
        self._known: dict[str, bool] = {}
        self._read: InputReads | None = None
        self._is_asked = False

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
        if not self._is_asked:
            self._is_asked = True
            try:
                self._read = self._loaded.reference.program.reads(ENTRYPOINT)
            except PolicyLoadError:  # it cannot be planned any more: nobody knows
                self._read = None
        overlap = path[:1] == _TIME or not path
        return overlap or self._read is None or self._read.touch(path)


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
