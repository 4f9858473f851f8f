"""Compiled policies kept from one start to the next, in files that only their user can write.

A file goes by the digest of all that its content depends on: the sources, the data, what it was
compiled for, and the compiler itself. So an old one is never wrong, only unused. The functions in
it were held against the allow-list before they were written.

What a file holds is run. What protects it is what protects the packages that Python imports: the
directory belongs to the user who reads it, and nobody else can write there; anything else about
it, and it is not used. The digest inside a file is against accidents (a torn write, a bad disk),
not against that user, who could change this program as well.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, final

from guardrails.errors import PolicyLoadError
from guardrails.rego.emit.artefact import Artefact

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST_FILE: Final = 64 << 20
"""Bytes of one file; what is larger is compiled at each start."""

LARGEST_CACHE: Final = 256 << 20
"""Bytes of all files together; beyond it those go that were not used for longest."""

MOST_FILES: Final = 256
"""Files, likewise."""

_SUFFIX: Final = ".rego"
_NAME: Final = re.compile(r"[0-9a-f]{64}")
_DIGEST: Final = re.compile(rb"[0-9a-f]{64}\n")
_PRIVATE: Final = 0o700
_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH | stat.S_IRGRP | stat.S_IROTH
_log: Final = logging.getLogger("guardrails")


class _UnsafeError(OSError):
    """The directory or a file is not this user's alone."""


@final
class CompileCache:
    """Keeps compiled policies in a directory. Processes and threads may share it.

    It never fails: what cannot be kept is compiled again.

    Args:
        directory: Made where it is missing; its parent has to be there, or be made likewise.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of_user(cls) -> Self | None:
        """The cache below ``XDG_CACHE_HOME``, or ``~/.cache``; None where there is neither.

        Source: XDG Base Directory Specification; a relative path there is to be ignored.
        """
        if not hasattr(os, "getuid"):
            return None  # whose a directory is cannot be told
        base = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not base.is_absolute():
            try:
                base = Path.home() / ".cache"
            except RuntimeError:
                return None
        return cls(base / "guardrails")

    def get(self, key: str) -> Artefact | None:
        """What is kept under `key`; None if there is nothing that can be used.

        Args:
            key: 64 hex digits.
        """
        try:
            with self._opened() as folder:
                text = _read(folder, _name(key))
            return Artefact.loads(text, vouched=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, PolicyLoadError) as error:
            _log.warning("a compiled policy in `%s` is not used: %s", self.directory, error)
            return None

    def put(self, key: str, artefact: Artefact) -> None:
        """Keep `artefact`, whose functions were held against the allow-list, under `key`.

        Args:
            key: 64 hex digits.
            artefact: What to keep.
        """
        try:
            text = artefact.dumps()
            if len(text) > LARGEST_FILE:
                return
            with self._opened() as folder:
                _write(folder, _name(key), text)
                _tidy(folder)
        except (_UnsafeError, ValueError) as error:
            _log.warning("a compiled policy is not kept in `%s`: %s", self.directory, error)
        except OSError as error:  # as in a container without a place to write
            _log.info("a compiled policy is not kept in `%s`: %s", self.directory, error)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """The directory as a descriptor: what it names cannot be exchanged while it is used."""
        if not hasattr(os, "getuid") or os.open not in os.supports_dir_fd:
            msg = "this platform cannot tell whose the directory is"
            raise _UnsafeError(msg)
        if not self.directory.parent.exists():
            self.directory.parent.mkdir(_PRIVATE, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.directory.mkdir(_PRIVATE)
        folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _check(os.fstat(folder))
            yield folder
        finally:
            os.close(folder)


def _check(found: os.stat_result) -> None:
    if found.st_uid != os.getuid():
        msg = f"it belongs to the user {found.st_uid}"
        raise _UnsafeError(msg)
    if found.st_mode & _OTHERS:
        msg = f"others may use it (mode {stat.S_IMODE(found.st_mode):o}; 700 is needed)"
        raise _UnsafeError(msg)


def _name(key: str) -> str:
    if not _NAME.fullmatch(key):
        msg = "a key is 64 hex digits"
        raise ValueError(msg)
    return key + _SUFFIX


def _read(folder: int, name: str) -> bytes:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            msg = f"`{name}` is no file"
            raise _UnsafeError(msg)
        _check(found)
        if found.st_size > LARGEST_FILE + 65:
            msg = f"`{name}` is too large"
            raise ValueError(msg)
        head = file.read(65)
        text = file.read(LARGEST_FILE + 1)
    if not _DIGEST.fullmatch(head) or hashlib.sha256(text).hexdigest().encode() != head[:-1]:
        msg = f"`{name}` is torn"
        raise ValueError(msg)
    with contextlib.suppress(OSError):
        os.utime(name, dir_fd=folder, follow_symlinks=False)  # it was used
    return text


def _write(folder: int, name: str, text: bytes) -> None:
    """Write a whole file beside the others and give it its name: readers see all of it or none."""
    draft = f".{secrets.token_hex(16)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(draft, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(hashlib.sha256(text).hexdigest().encode() + b"\n")
            file.write(text)
        os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft, dir_fd=folder)
        raise


def _tidy(folder: int) -> None:
    """Remove what was not used for longest, as far as there is too much, and drafts of the dead."""
    found = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            each = os.stat(name, dir_fd=folder, follow_symlinks=False)
            found.append((each.st_mtime_ns, name, each.st_size))
    found.sort(reverse=True)
    newest = found[0][0] if found else 0
    total = count = 0
    for used, name, size in found:
        if name.endswith(_SUFFIX):
            total += size
            count += 1
            if total <= LARGEST_CACHE and count <= MOST_FILES:
                continue
        elif not (name.startswith(".") and newest - used > _DRAFT_NS):
            continue
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)


_DRAFT_NS: Final = 3_600_000_000_000
"""An hour: no draft is written for so long."""
