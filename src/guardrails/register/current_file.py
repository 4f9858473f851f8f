"""What a file says now: read anew whenever it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from guardrails.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class CurrentFile(Generic[T]):
    """A file that is read at once, and again when it has changed. Any thread may ask.

    One that can no longer be read says nothing: what it said before does not stand in for it.

    Args:
        path: The file.
        read: Reads it.

    Raises:
        ConfigError: it is not there; also from :meth:`now`, with all that `read` raises.
    """

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path = path
        self._read = read
        self._held = self._looked()

    def now(self) -> T:
        """What it says."""
        # No lock: two threads that read it at once read the same.
        stamp, said = self._held
        if stamp != self._stamp():
            stamp, said = self._held = self._looked()
        return said

    def _looked(self) -> tuple[tuple[int, ...], T]:
        # The stamp comes first: what changes while it is read is read again.
        return self._stamp(), self._read(self.path)

    def _stamp(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from error
        return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
