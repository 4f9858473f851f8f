"""The record in parts of a megabyte, so that several processes read it at once.

A part is a range of bytes; its lines are those that begin within it, so that the lines of all
parts are those of the files, each once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.audit.layout import segments_in
from guardrails.errors import ConfigError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PART: Final = 1 << 20
"""Bytes of a part."""

_PIECE: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Part:
    """A range of bytes of one file.

    Attributes:
        path: The file.
        number: Its place among the files of the record.
        begin: The first byte.
        end: The byte after the last.
    """

    path: Path
    number: int
    begin: int
    end: int

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines that begin in this part, each with its place in the file.

        The file's last line comes also where it has no end yet; nothing else does.

        Raises:
            StateUnavailable: the file cannot be read.
        """
        try:
            with self.path.open("rb", buffering=_PIECE) as file:
                place = self.begin
                if place:
                    file.seek(place - 1)
                    # No further than this part: a line may be longer than many.
                    place += len(file.readline(self.end - place + 1)) - 1
                if place >= self.end:
                    return
                for line in file:  # by newlines alone
                    yield place, line
                    place += len(line)
                    if place >= self.end:
                        return
        except OSError as error:
            raise _unreadable(self.path, error) from error


def files_of(log: Path) -> list[Path]:
    """The files of a record, in order: the one that is named, or a directory's segments.

    Raises:
        ConfigError: there is no record at `log`.
        StateUnavailable: the directory cannot be read.
    """
    if not log.is_dir():
        if not log.exists():
            msg = f"there is no record at `{log}`"
            raise ConfigError(msg)
        return [log]
    try:
        files = [log / str(name) for name in segments_in(log)]
    except OSError as error:
        raise _unreadable(log, error) from error
    if not files:
        msg = f"the directory `{log}` holds no segments of a record"
        raise ConfigError(msg)
    return files


def parts_of(files: Sequence[Path], size: int = PART) -> list[Part]:
    """The parts of a record's files, in order; as much of each as it holds now.

    Raises:
        StateUnavailable: a file cannot be read.
    """
    parts: list[Part] = []
    for number, path in enumerate(files):
        try:
            length = path.stat().st_size
        except OSError as error:
            raise _unreadable(path, error) from error
        parts += [
            Part(path, number, begin, min(begin + size, length)) for begin in range(0, length, size)
        ]
    return parts


def _unreadable(path: Path, error: OSError) -> StateUnavailable:
    return StateUnavailable(
        f"the record `{path}` cannot be read: {error.strerror or type(error).__name__}"
    )
