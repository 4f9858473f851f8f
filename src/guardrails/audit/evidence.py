"""What proves one decision or run, in one zip that is checked without this package.

::

    README.txt                what is in it, and how to check it
    events.jsonl              the lines about the decision, as they stand in the record
    blocks/STREAM-N-n.jsonl   the whole blocks in which those lines stand, byte for byte
    policies/sha256/…         the sources of the policies that decided, by their digests
    public.key                the key that the blocks are signed with, as this machine has it
    verify.py                 checks all of it with Python alone; signatures with `cryptography`

A block is what was closed by one signed line. It holds events of other calls, too, that were
written together with these: a signature covers all of a block or nothing. The same record gives
the same zip, byte for byte.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from guardrails.audit.chain import read_closing
from guardrails.audit.lines import event_of_line
from guardrails.audit.streams import blocks_of, streams_in
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from guardrails.audit.story import Story

_TIME: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o100644 << 16

_README: Final = """\
Evidence about {what} {id}.

events.jsonl              the lines about it, as they stand in the record
blocks/                   the blocks in which those lines stand, byte for byte; a block is closed
                          by a line with a hash over all of it{signed}
policies/sha256/          the policies that decided, each file named by the SHA-256 of its content;
                          {policies}
public.key                {key}

To check it:

    python3 verify.py [--key ed25519:...]

It recomputes every hash, checks every signature, and looks for each line of events.jsonl in the
blocks. Give the public key that you kept elsewhere: the one in this file proves only that the
file is of one piece. Signatures need `pip install cryptography`.

What it proves: the holder of the key wrote these lines. That no other line about the same
decision was left out is seen in the whole record, with `guardrails audit verify`.
"""

_CHECK: Final = Path(__file__).with_name("evidence_check.py")


class Part(NamedTuple):
    """The lines about it in one block."""

    name: str
    content: bytes
    lines: tuple[bytes, ...]


def write_evidence(
    target: Path,
    story: Story,
    directory: Path,
    *,
    policies: Mapping[str, bytes],
    public_key: str | None,
) -> int:
    """Write the zip; the number of events in it.

    Args:
        target: Where; it must not be there yet.
        story: What it is about.
        directory: The record's segments.
        policies: The contents of the archive that belong to it, by their digests.
        public_key: The key that the record is signed with; None where it is not signed.

    Raises:
        StateUnavailable: it cannot be written, or an event stands in no closed block yet.
    """
    parts = list(_parts(directory, story))
    lines = [line for part in parts for line in part.lines]
    if len(lines) < len(story.events):
        raise StateUnavailable(
            f"{len(story.events) - len(lines)} events about it are not closed yet; try again when "
            "their process has written its block"
        )
    files: dict[str, bytes] = {f"blocks/{part.name}": part.content for part in parts}
    files["events.jsonl"] = b"".join(lines)
    files |= {
        f"policies/sha256/{digest.removeprefix('sha256:')}": content
        for digest, content in policies.items()
    }
    files["verify.py"] = _CHECK.read_bytes()
    if public_key is not None:
        files["public.key"] = f"{public_key}\n".encode()
    files["README.txt"] = _README.format(
        what="the run" if story.is_run else "the decision",
        id=story.id,
        signed=", and signed" if public_key is not None else ", not signed",
        policies="a JSON file names the others by their paths"
        if policies
        else "none: they are not in the archive of the machine that made this",
        key="the key that they are signed with" if public_key is not None else "none",
    ).encode()
    try:
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
            for name in sorted(files):
                info = zipfile.ZipInfo(name, _TIME)
                info.external_attr = _MODE
                info.create_system = 3  # Unix, wherever it is made
                info.compress_type = zipfile.ZIP_DEFLATED
                made.writestr(info, files[name], compresslevel=9)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StateUnavailable(f"`{target}` cannot be written: {reason}") from error
    return len(lines)


def _parts(directory: Path, story: Story) -> Iterator[Part]:
    wanted = {_key(event) for event in (*story.events, *story.activations.values())}
    ids = {json.dumps(event["time"]).encode() for event in story.events}
    ids |= {json.dumps(event["time"]).encode() for event in story.activations.values()}
    try:
        for segments in streams_in(directory).values():
            for segment in segments:
                for block in blocks_of(directory, segment):
                    lines = tuple(
                        line
                        for line in block.lines
                        if any(each in line for each in ids) and _is_wanted(line, wanted)
                    )
                    closing = read_closing(block.closing) if block.closing else None
                    if lines and closing is not None:
                        number = closing.facts["n"]
                        name = f"{str(segment).partition('.')[0]}-{number}.jsonl"
                        yield Part(name, b"".join(block.lines) + block.closing, lines)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StateUnavailable(f"the record `{directory}` cannot be read: {reason}") from error


def _is_wanted(line: bytes, wanted: set[str]) -> bool:
    event = event_of_line(line)
    return event is not None and _key(event) in wanted


def _key(event: Mapping[str, object]) -> str:
    return json.dumps(event, sort_keys=True, default=str)
