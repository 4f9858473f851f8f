"""Where the record goes, and how safely: what a configuration says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from guardrails.model.recording import DEFAULT_RECORDING, Recording

if TYPE_CHECKING:
    from pathlib import Path

PLAIN: Final = ".jsonl"
"""How the name of a plain file of JSON lines ends; any other is a directory of segments."""


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """A record on disk.

    Attributes:
        path: A directory of segments, or a plain file whose name ends in ``.jsonl``.
        durability: ``batch``, or ``write_ahead``: calls with side effects wait for the disk.
        window: Seconds that an event may wait for others before it is written.
        segment_size: Bytes after which the next segment begins.
        retention: Seconds after which a segment that has ended is deleted; None to keep all.
        anchor: The file to which heads are appended; None for none.
        anchor_callback: The function that is given heads, as ``package.module:function``; empty
            for none.
        key: The file of the private key; None for one beside the directory.
        recording: What it may hold of calls.
    """

    path: Path
    durability: str = "batch"
    window: float = 0.1
    segment_size: int = 64 << 20
    retention: float | None = None
    anchor: Path | None = None
    key: Path | None = None
    recording: Recording = DEFAULT_RECORDING
    anchor_callback: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether it is a plain file, neither chained nor signed."""
        return self.path.suffix == PLAIN

    @property
    def key_file(self) -> Path:
        """The file of the private key."""
        return self.key if self.key is not None else self.path.with_name(self.path.name + ".key")

    @property
    def digest_key_file(self) -> Path:
        """The file of the key under which the digests of what was taken out are made."""
        return self.path.with_name(self.path.name + ".digests.key")
