"""A record as a file of JSON lines: plain, append-only, readable by every tool.

Each event is one line, handed to the system by one ``write`` on a file opened for
appending, so that threads and processes may share the file and no line stands
inside another. A line is with the system when ``write`` returns: it outlives the
process, not a power cut, since nothing is forced to the disk. A line cut short by
a full disk or a crash is closed off before the next one is written.

The file is created for its owner alone (0600), the missing directories above it
too (0700). A file that others may write to is not used.
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from guardrails.audit.exact_json import exact_json
from guardrails.audit.redaction import Redaction
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from guardrails.model.call import Event

_FLAGS: Final = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    # Not every system has these; Windows knows neither links of this kind nor fork.
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class JsonLinesRecord:
    """Writes events as JSON lines; implements :class:`guardrails.ports.Record`.

    Args:
        path: The file; it is opened now, and made where it does not exist.
        redaction: What must not be written, and what stands in its place.

    Raises:
        StateUnavailable: it cannot be used; also from :meth:`write`.
    """

    def __init__(self, path: str | Path, redaction: Redaction | None = None) -> None:
        self.path = Path(path)
        self._redaction = redaction if redaction is not None else Redaction()
        # Reentrant: a signal handler that kills writes, too.
        self._lock = threading.RLock()
        self._fd: int | None = None
        try:
            _make_directories(self.path.parent)
            self._fd = os.open(self.path, _FLAGS, 0o600)
            self._torn = self._check(self._fd)
        except OSError as error:
            self.close()
            self._refuse(error.strerror or type(error).__name__, None, error)

    def write(self, event: Event) -> None:
        """Append one line.

        Raises:
            StateUnavailable: it could not be written whole.
        """
        line = exact_json(self._redaction.document(event)) + "\n"
        with self._lock:
            if self._fd is None:
                self._refuse("it is closed", event)
            content = (("\n" if self._torn else "") + line).encode("ascii")
            try:
                if os.fstat(self._fd).st_nlink == 0:
                    self._refuse("it was deleted while it was in use", event)
                written = os.write(self._fd, content)
            except OSError as error:
                self._refuse(error.strerror or type(error).__name__, event, error)
            self._torn = written != len(content)
        if self._torn:
            self._refuse("the disk took only a part of a line", event)

    def write_ahead(self, event: Event) -> None:
        """Append one line, as :meth:`write` does; it does not wait for the disk."""
        self.write(event)

    def close(self) -> None:
        """Close the file; a later write raises. Closing twice does nothing."""
        with self._lock:
            fd, self._fd = self._fd, None
            if fd is not None:
                os.close(fd)

    def _check(self, fd: int) -> bool:
        """Whether the file ends inside a line; refuses a file that is no plain one of ours."""
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(0, "it is no regular file")
        if os.name == "posix" and found.st_mode & 0o022:
            raise OSError(0, "others may write to it; take that away with `chmod go-w`")
        if found.st_size == 0:
            return False
        os.lseek(fd, -1, os.SEEK_END)
        return os.read(fd, 1) != b"\n"

    def _refuse(self, reason: str, event: Event | None, cause: OSError | None = None) -> NoReturn:
        where: dict[str, Any] = {}
        if event is not None:
            where = {
                "tool": event.tool,
                "agent": event.agent,
                "run_id": event.run_id,
                "decision_id": event.decision_id,
            }
        raise StateUnavailable(
            f"the record `{self.path}` cannot be written: {reason}", **where
        ) from cause


def _make_directories(path: Path) -> None:
    for directory in reversed([path, *path.parents]):
        if not directory.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
