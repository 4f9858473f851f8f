"""What servers write to standard error, as lines of the log: short, escaped, and not too many."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

_log: Final = logging.getLogger("guardrails.mcp")
_LONGEST: Final = 500
_MOST: Final = 1_000


@contextmanager
def logged(server: str) -> Iterator[TextIO]:
    """A file for a child's standard error; what is written there is logged as the server's.

    A server cannot steer a terminal or forge lines of the log: every line begins with its name, and
    what is not printable is escaped. After 1,000 lines the rest is read and dropped.
    """
    reading, writing = os.pipe()
    thread = threading.Thread(target=_read, args=(server, reading), daemon=True)
    thread.start()
    file = os.fdopen(writing, "w", encoding="utf-8")
    try:
        yield file
    finally:
        file.close()
        thread.join(timeout=2)


def _read(server: str, handle: int) -> None:
    lines = 0
    with os.fdopen(handle, "rb", buffering=0) as pipe:
        rest = b""
        while chunk := pipe.read(4_096):
            *whole, rest = (rest + chunk).split(b"\n")
            rest = rest[: _LONGEST * 4]
            for line in whole:
                lines += 1
                if lines <= _MOST:
                    _log.info("%s: %s", server, shown(line))
                elif lines == _MOST + 1:
                    _log.warning("%s: it writes too much; the rest is dropped", server)
        if rest and lines < _MOST:
            _log.info("%s: %s", server, shown(rest))


def shown(line: bytes) -> str:
    """A line as it can be shown: one line, printable, not too long."""
    text = line[: _LONGEST * 4].decode(errors="replace").rstrip("\r")
    safe = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )
    return safe if len(safe) <= _LONGEST else f"{safe[:_LONGEST]}…"
