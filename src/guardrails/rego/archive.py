"""The files of a bundle, from a gzipped tar or a directory, read into memory and nowhere else.

An archive comes from outside. Refused is everything that two readers could see differently or
that could cost more than it may: names that lead out of the archive, links and devices, a file
that is there twice, data behind the end, a gzip of several parts, and whatever is larger than
:class:`ArchiveLimits` says.
"""

from __future__ import annotations

import io
import stat
import tarfile
import unicodedata
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.errors import PolicyLoadError
from guardrails.rego import tar_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PIECE: Final = 1 << 16
_GZIP: Final = 16 + zlib.MAX_WBITS
_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """How much a bundle may hold. OPA reads files of up to 1 GiB; these are smaller on purpose.

    Attributes:
        archive: Bytes of the compressed archive.
        file: Bytes of one file.
        total: Bytes of all files together.
        files: Files and directories.
        path: Bytes of a file's path.
        depth: Directories within one another.
    """

    archive: int = 32 << 20
    file: int = 32 << 20
    total: int = 128 << 20
    files: int = 10_000
    path: int = 1_024
    depth: int = 64


DEFAULT_LIMITS: Final = ArchiveLimits()
"""What holds where nothing else is said."""


def read_archive(
    content: bytes, name: str, limits: ArchiveLimits = DEFAULT_LIMITS
) -> dict[str, bytes]:
    """The files in a gzipped tar by their paths, which have no leading slash.

    OPA writes its paths with one; it means the top of the archive, as ``./`` does.

    Args:
        content: The archive.
        name: What errors call it.
        limits: How much it may hold.

    Raises:
        PolicyLoadError: It is refused; the message says what is wrong, and where.
    """
    if len(content) > limits.archive:
        raise _refused(name, f"it has {len(content)} bytes, more than {limits.archive}")
    tar = _inflated(content, name, limits)
    found = _Files(name, limits)
    try:
        scanned = list(_bounded(tar, name, limits))
        _read_members(tar, scanned, found)
    except PolicyLoadError:
        raise
    except Exception as error:  # what `tarfile` raises on a hostile archive has no common base
        raise _refused(name, f"the tar cannot be read: {error!r}") from error
    return found.content


def read_directory(root: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> dict[str, bytes]:
    """The files below a directory by their paths from there.

    Args:
        root: The directory.
        limits: How much it may hold; ``archive`` does not matter.

    Raises:
        PolicyLoadError: It cannot be read, holds a link or something else that is no file, or
            too much.
    """
    found = _Files(root.as_posix(), limits)
    pending = [root]
    try:
        while pending:
            for entry in sorted(pending.pop().iterdir(), key=lambda path: path.name):
                path = entry.relative_to(root).as_posix()
                mode = entry.lstat().st_mode
                if stat.S_ISDIR(mode):
                    found.directory(path)
                    pending.append(entry)
                elif stat.S_ISREG(mode):
                    with entry.open("rb") as file:
                        found.file(path, file.read(limits.file + 1))
                else:
                    what = "a link" if stat.S_ISLNK(mode) else "no file"
                    raise _refused(root.as_posix(), f"`{shown(path)}` is {what}; it is not read")
    except OSError as error:
        place = error.filename or root
        raise PolicyLoadError(f"cannot be read: {error.strerror}", file=str(place)) from error
    return found.content


def read_bytes(path: Path, limits: ArchiveLimits = DEFAULT_LIMITS) -> bytes:
    """The content of an archive's file, no longer than it may be.

    Raises:
        PolicyLoadError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limits.archive + 1)
    except OSError as error:
        message = f"cannot be read: {error.strerror or error}"
        raise PolicyLoadError(message, file=path.as_posix()) from error
    if len(content) > limits.archive:
        raise _refused(path.as_posix(), f"it has more than {limits.archive} bytes")
    return content


def shown(path: str) -> str:
    """`path` for a message: short, and with what cannot be seen as escapes."""
    short = path if len(path) <= 120 else f"{path[:119]}…"  # noqa: PLR2004  # characters of a line
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "replace").decode()
        for each in short
    )


def place_in(name: str, path: str) -> str:
    """What messages call the file at `path` of the bundle `name`."""
    return f"{name}:{shown(path)}"


def _inflated(content: bytes, name: str, limits: ArchiveLimits) -> bytes:
    """The tar in `content`, at most as large as all its files and headers may be together."""
    if content[:2] != _MAGIC:
        raise _refused(name, "it is no gzipped tar")
    room = limits.total + limits.files * 4 * tar_blocks.BLOCK + (1 << 20)
    inflating = zlib.decompressobj(_GZIP)
    parts: list[bytes] = []
    pending = content
    try:
        while not inflating.eof:
            part = inflating.decompress(pending, _PIECE)
            pending = inflating.unconsumed_tail
            room -= len(part)
            if room < 0:
                raise _refused(name, f"unpacked it is larger than {limits.total} bytes")
            if not part and not pending and not inflating.eof:
                raise _refused(name, "the gzip is cut off")
            parts.append(part)
    except zlib.error as error:
        raise _refused(name, f"the gzip is damaged: {error}") from error
    if inflating.unused_data:
        what = "is another gzip" if inflating.unused_data[:2] == _MAGIC else "is something"
        raise _refused(name, f"behind the end of the gzip {what}")
    return b"".join(parts)


def _bounded(tar: bytes, name: str, limits: ArchiveLimits) -> Iterator[tar_blocks.Member]:
    for number, member in enumerate(tar_blocks.members(tar, name)):
        if number >= limits.files:
            raise _refused(name, f"it has more than {limits.files} files")
        yield member


def _read_members(tar: bytes, scanned: list[tar_blocks.Member], found: _Files) -> None:
    """Adds what :mod:`tarfile` finds, which must be what stands in the blocks."""
    with tarfile.open(
        fileobj=io.BytesIO(tar), mode="r:", encoding="utf-8", errors="strict"
    ) as opened:
        for place in scanned:
            info = opened.next()
            if info is None or info.issparse():
                raise _refused(found.name, "its members can be read in more than one way")
            if place != (info.offset_data, info.size, info.isfile()):
                raise _refused(found.name, "its members can be read in more than one way")
            if place.is_file:
                found.file(info.name, tar[place.content : place.content + place.size])
            else:
                found.directory(info.name)
        if opened.next() is not None:
            raise _refused(found.name, "its members can be read in more than one way")


class _Files:
    """What was found so far, and the bounds of it."""

    def __init__(self, name: str, limits: ArchiveLimits) -> None:
        self.name = name
        self.content: dict[str, bytes] = {}
        self._limits = limits
        self._total = 0
        self._count = 0
        self._twins: dict[str, str] = {}
        self._within: dict[str, str] = {}

    def file(self, path: str, content: bytes) -> None:
        """Takes a file."""
        path = self._clean(path)
        if len(content) > self._limits.file:
            what = f"`{shown(path)}` is larger than {self._limits.file} bytes"
            raise _refused(self.name, what)
        self._total += len(content)
        if self._total > self._limits.total:
            raise _refused(self.name, f"unpacked it is larger than {self._limits.total} bytes")
        twin = self._twins.setdefault(_folded(path), path)
        if path in self.content:
            raise _refused(self.name, f"`{shown(path)}` is there twice")
        if twin != path:
            what = f"`{shown(path)}` and `{shown(twin)}` are one name on some machines"
            raise _refused(self.name, what)
        self._parents(path)
        self.content[path] = content
        if _folded(path) in self._within:
            raise _refused(self.name, f"`{shown(path)}` is a file and a directory")

    def directory(self, path: str) -> None:
        """Takes a directory, of which nothing is kept."""
        if path.strip("/.") or ".." in path:
            path = self._clean(path.removesuffix("/"))
            self._parents(f"{path}/")
        else:
            self._counted()

    def _parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            parent = "/".join(parts[:end])
            folded = _folded(parent)
            if folded in self._twins:
                raise _refused(self.name, f"`{shown(parent)}` is a file and a directory")
            other = self._within.setdefault(folded, parent)
            if other != parent:
                what = f"`{shown(parent)}` and `{shown(other)}` are one name on some machines"
                raise _refused(self.name, what)

    def _counted(self) -> None:
        self._count += 1
        if self._count > self._limits.files:
            raise _refused(self.name, f"it has more than {self._limits.files} files")

    def _clean(self, path: str) -> str:
        """The path from the top of the bundle.

        Raises:
            PolicyLoadError: It leads elsewhere, or is none that every machine reads alike.
        """
        self._counted()
        clean = path.removeprefix("./") if path.startswith("./") else path.removeprefix("/")
        try:
            size = len(clean.encode())
        except UnicodeEncodeError:
            raise _refused(self.name, f"the path `{shown(path)}` is no Unicode") from None
        if size > self._limits.path:
            what = f"the path `{shown(path)}` is longer than {self._limits.path} bytes"
            raise _refused(self.name, what)
        parts = clean.split("/")
        if len(parts) > self._limits.depth:
            what = f"the path `{shown(path)}` is deeper than {self._limits.depth}"
            raise _refused(self.name, what)
        if "" in parts or "." in parts or ".." in parts:
            what = f"the path `{shown(path)}` is empty in a part of it, or leads elsewhere"
            raise _refused(self.name, what)
        if "\\" in clean or any(unicodedata.category(each) in _UNSEEN for each in clean):
            what = f"the path `{shown(path)}` has a character that is not accepted"
            raise _refused(self.name, what)
        return clean


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format, surrogate, private and unassigned characters, and line separators."""


def _folded(path: str) -> str:
    """What paths share that are one file where case or the form of accents does not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def _refused(name: str, what: str) -> PolicyLoadError:
    return PolicyLoadError(f"the bundle is refused: {what}", file=name)


__all__ = [
    "DEFAULT_LIMITS",
    "ArchiveLimits",
    "place_in",
    "read_archive",
    "read_bytes",
    "read_directory",
    "shown",
]
