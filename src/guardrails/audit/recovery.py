"""Streams whose process died: their end, as it was found, is put into the list of streams.

From then on nothing can be cut off from them unseen. The next process that begins a stream does it.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING, Any, Final

from guardrails.audit.chain import MARK, read_closing
from guardrails.audit.heads import remove_head
from guardrails.audit.layout import SegmentName, heads_in, open_ours, segments_in
from guardrails.audit.locking import CAN_LOCK, hold
from guardrails.audit.segment_file import read_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_BLOCK: Final = 256 << 10


def end_dead_streams(directory: Path, tell: Callable[[Mapping[str, Any]], None]) -> None:
    """Tell the list of streams how far each stream is whose process is gone.

    Raises:
        OSError: the directory cannot be read, or the list not be written.
    """
    if not CAN_LOCK:  # who lives cannot be told from who does not
        return
    newest = {name.stream: name for name in segments_in(directory)}
    for stream in heads_in(directory):
        name = newest.get(stream)
        if name is None:  # its file is gone, and its head says so
            continue
        fd = open_ours(directory / str(name), os.O_RDWR)
        try:
            if hold(fd):
                tell(_ended(fd, name))
                remove_head(directory, stream)
        finally:
            os.close(fd)


def _ended(fd: int, name: SegmentName) -> dict[str, Any]:
    size = os.fstat(fd).st_size
    rest = b""
    begin = size
    place = -1
    while begin and place < 0:
        step = min(_BLOCK, begin)
        begin -= step
        rest = read_at(fd, step, begin) + rest
        place = _last_closing(rest, is_whole=begin == 0)
    last = None
    if place >= 0:
        end = rest.index(b"\n", place) + 1
        last = read_closing(rest[place:end])
        rest = rest[end:]
    return {
        "kind": "record.ended",
        "stream": name.stream,
        "segment": name.number,
        "n": 0 if last is None else last.facts.get("n", 0),
        "total": 0 if last is None else last.facts.get("total", 0),
        "head": "" if last is None else last.hash.hex(),
        "bytes": size,
        "rest": hashlib.sha256(rest).hexdigest(),
        "time": time.time_ns(),
    }


def _last_closing(text: bytes, *, is_whole: bool) -> int:
    """Where the last whole closing line begins; -1 where there is none."""
    end = text.rfind(b"\n") + 1
    while end > 0:
        place = text.rfind(b"\n" + MARK, 0, end) + 1
        if place == 0 and not (is_whole and text.startswith(MARK)):
            return -1
        if text.find(b"\n", place) >= 0 and read_closing(
            text[place : text.index(b"\n", place) + 1]
        ):
            return place
        end = place
    return -1
