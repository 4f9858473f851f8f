"""How far the record was sent: one file, replaced at once, and held by one process of a machine."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from guardrails.errors import StateUnavailable
from guardrails.forks import begin_anew

if TYPE_CHECKING:
    from types import TracebackType


class PlaceTaken(StateUnavailable):
    """Another process has the place."""


class Place:
    """Keeps a text, for ``with``; nobody else of this machine has it meanwhile.

    Args:
        path: The file; a second one, with ``.lock`` behind its name, is the lock.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: int | None = None
        begin_anew(self._leave)  # what the parent has stays the parent's

    @property
    def is_held(self) -> bool:
        """Whether this process has it."""
        return self._lock is not None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            PlaceTaken: another process has it.
            StateUnavailable: there is no such directory.
        """
        import fcntl  # noqa: PLC0415  # not on every platform on which the rest works

        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnavailable(f"`{self.path}` cannot be used: {error}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise PlaceTaken(
                f"another process of this machine sends what `{self.path}` stands for"
            ) from error
        self._lock = lock
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def read(self) -> str | None:
        """What was kept, or None where nothing was."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateUnavailable(f"`{self.path}` cannot be read: {error}") from error

    def touch(self) -> None:
        """Note that all is kept as it should be by now, for whoever looks at the file's time."""
        with suppress(OSError):
            os.utime(self.path)

    def keep(self, text: str) -> None:
        """Keep `text`; a crash leaves the old one or the new one.

        Raises:
            StateUnavailable: it cannot be written.
        """
        try:
            descriptor, made = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                Path(made).replace(self.path)
            except BaseException:
                Path(made).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StateUnavailable(f"`{self.path}` cannot be written: {error}") from error
