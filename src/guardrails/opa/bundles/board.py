"""How the bundles of every running process are, for others on the machine to see.

Each process has a file of its own below the state directory, replaced as a whole, so that nobody
waits for anybody. What cannot be written is said once; decisions do not need it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from guardrails.forks import begin_anew
from guardrails.processes import Life, Process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from guardrails.opa.bundles.status import BundleStatus

FOLDER: Final = "bundles"
"""The directory below the state directory."""

_LONGEST: Final = 1_000_000
_FORGOTTEN_NS: Final = 86_400_000_000_000
"""After a day without a word a process that cannot be looked up is taken for gone."""

_log: Final = logging.getLogger("guardrails")


@dataclass(frozen=True, slots=True)
class Posted:
    """What one process says of its bundles.

    Attributes:
        process: Which.
        at: When it said so, in UTC nanoseconds.
        bundles: The status of each, as :meth:`BundleStatus.document` gives it.
    """

    process: Process
    at: int
    bundles: tuple[dict[str, Any], ...]


class StatusBoard:
    """Where one process shows how its bundles are.

    Args:
        state: The state directory.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._folder = state / FOLDER
        self._begin()
        begin_anew(self._begin)

    def _begin(self) -> None:
        # In the child of a fork, too: it has a file of its own.
        self._lock = threading.Lock()
        self._path = self._folder / f"{secrets.token_hex(8)}.json"
        self._process = Process.current()
        self._is_first = True
        self._failed = False
        self._is_closed = False

    def post(self, status: Callable[[], Mapping[str, BundleStatus]], now_ns: int) -> None:
        """Show how bundles are now, in place of what was shown."""
        with self._lock:
            if self._is_closed:
                return
            if self._is_first:
                self._is_first = False
                posted(self._state, now_ns)  # takes away what others left behind
            bundles = [each.document() for each in status().values()]
            document = {"process": self._process, "at": now_ns, "bundles": bundles}
            try:
                self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _replace(self._path, json.dumps(document))
            except OSError as error:
                if not self._failed:
                    _log.warning("how bundles are is not shown in `%s`: %s", self._folder, error)
                self._failed = True

    def close(self) -> None:
        """Show nothing any more."""
        with self._lock:
            self._is_closed = True
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("`%s` is left behind: %s", self._path, error)


def posted(state: Path, now_ns: int) -> tuple[Posted, ...]:
    """What each process that lives says of its bundles; files of others are taken away.

    Args:
        state: The state directory.
        now_ns: Now, in UTC nanoseconds.
    """
    living: list[Posted] = []
    for path in sorted((state / FOLDER).glob("*.json")):
        found = _read(path)
        if found is None:
            continue
        life = found.process.life()
        if life is Life.GONE or (life is Life.UNKNOWN and now_ns - found.at > _FORGOTTEN_NS):
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # whose it is may take it away
        else:
            living.append(found)
    return tuple(living)


def _read(path: Path) -> Posted | None:
    """What a file says; None where it says nothing, as one that was just taken away."""
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_LONGEST))
        pid, *names = document["process"]
        process = Process(int(pid), *map(str, names))
        bundles = tuple(dict(each) for each in document["bundles"])
        return Posted(process, int(document["at"]), bundles)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _replace(path: Path, text: str) -> None:
    descriptor, made = tempfile.mkstemp(prefix=".bundles-", dir=path.parent)  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(made).replace(path)
    except BaseException:
        Path(made).unlink(missing_ok=True)
        raise


__all__ = ["FOLDER", "Posted", "StatusBoard", "posted"]
