"""Policies in directories, read again when they change: for those who write them.

A thread looks at names, sizes and times of the files. Editors write a file in steps and git many
files at once, so nothing is read before the files have stayed the same from one look to the next.
What cannot be used is told of with its place, once, and the policies before it go on deciding.
Looking works on every file system, also where changes are not notified: mounts of containers.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

from guardrails.errors import GuardrailsError
from guardrails.forks import begin_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Look: TypeAlias = "frozenset[tuple[str, int, int, int]]"

_READ: Final = (".rego", ".json", ".yaml", ".yml", ".gz")

_log: Final = logging.getLogger("guardrails")


class Reloader:
    """Reloads an engine's policies when their files change, until it is closed.

    Args:
        reload: Reads the policies again; whether anything changed. What it raises is logged.
        roots: The directories and files.
        seconds: Between two looks.
    """

    def __init__(
        self, reload: Callable[[], bool], roots: Iterable[Path], *, seconds: float
    ) -> None:
        self._reload = reload
        self._roots = tuple(roots)
        self._seconds = seconds
        self._loaded = look(self._roots)
        self._last = self._loaded
        self._stop = threading.Event()
        self._start()
        begin_anew(self._start)

    def _start(self) -> None:
        if self._stop.is_set():
            return
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guardrails-reload", daemon=True)
        self._thread.start()

    def check(self) -> bool:
        """Look once, and reload if the files changed and stayed so; whether policies changed."""
        found = look(self._roots)
        is_settled, self._last = found == self._last, found
        if not is_settled or found == self._loaded:
            return False
        # Whether it loads or not: these very files are not tried again.
        self._loaded = found
        try:
            return self._reload()
        except GuardrailsError as error:
            _log.error("the policies were not reloaded, those before go on deciding: %s", error)
            return False

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(self._seconds + 5)

    def _run(self) -> None:
        stop = self._stop
        while not stop.wait(self._seconds):
            self.check()


def look(roots: Iterable[Path]) -> Look:
    """What stands for the state of all files that policies are read from."""
    return frozenset(_files(roots))


def _files(roots: Iterable[Path]) -> Iterator[tuple[str, int, int, int]]:
    for root in roots:
        if root.is_file():
            yield from _file(str(root))
            continue
        for directory, _, names in os.walk(root):
            for name in names:
                if name.endswith(_READ) or name == ".manifest":
                    yield from _file(os.path.join(directory, name))  # noqa: PTH118  # many, often


def _file(path: str) -> Iterator[tuple[str, int, int, int]]:
    try:
        found = os.stat(path)  # noqa: PTH116  # as in _files
    except OSError:
        return  # it is being replaced; the next look sees it
    yield path, found.st_mtime_ns, found.st_size, found.st_ino


__all__ = ["Reloader", "look"]
