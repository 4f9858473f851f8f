"""Verifying a record: every byte of every segment, the list of streams, the heads, the anchor.

Change, removal, reordering and insertion break the chain where they are. What was cut off at the
end is missed by what names it from elsewhere: a seal or an end in the list of streams, a head, a
line of the anchor. docs/threat-model.md says what remains possible for whoever has the key.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.audit.chain import GENESIS, read_closing
from guardrails.audit.findings import Finding, Report
from guardrails.audit.keys import PublicKey, can_sign
from guardrails.audit.layout import HEAD, MANIFEST, SegmentName, heads_in
from guardrails.audit.manifest import manifest_lines
from guardrails.audit.signatures import Signatures
from guardrails.audit.streams import Block, blocks_of, size_of, streams_in
from guardrails.errors import StateUnavailable

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from guardrails.audit.chain import Closing

__all__ = ["Finding", "Report", "verify"]

_AT_THE_END: Final = "the stream was cut off: {who} names closing line {n}, which is not there"
_ANOTHER: Final = "is not the line that {who} names as closing line {n}"


def verify(
    directory: str | Path,
    *,
    key: str | Path | Iterable[str | Path] | None = None,
    anchor: str | Path | None = None,
) -> Report:
    """What is the case with the record in `directory`; processes may be writing it meanwhile.

    Args:
        directory: The record's directory.
        key: The public key that must have signed everything, as ``ed25519:…`` or a file with
            that; several where it was changed. None to take those that stand in the record.
        anchor: A file of anchored heads.

    Raises:
        StateUnavailable: it cannot be read.
        ConfigError: a key is none.
    """
    given = [key] if isinstance(key, str | Path) else list(key or ())
    signatures = Signatures(PublicKey.read(each) for each in given)
    path = Path(directory)
    try:
        return _Verification(path, signatures).report(None if anchor is None else Path(anchor))
    except OSError as error:
        reason = error.strerror or str(error)
        raise StateUnavailable(f"the record `{path}` cannot be verified: {reason}") from error


class _Named(NamedTuple):
    """A closing line that something else names."""

    n: int
    head: str
    who: str


class _Listed:
    """What the list of streams says."""

    def __init__(self) -> None:
        self.hashes = {GENESIS.hex()}
        self.opened: dict[SegmentName, dict[str, Any]] = {}
        self.ends: dict[SegmentName, dict[str, Any]] = {}
        self.pruned: dict[SegmentName, dict[str, Any]] = {}
        self.named: dict[str, list[_Named]] = defaultdict(list)


class _Place(NamedTuple):
    """How far a stream is read: the newest closing line."""

    hash: bytes
    n: int
    total: int


class _Verification:
    def __init__(self, directory: Path, signatures: Signatures) -> None:
        self._directory = directory
        self._signatures = signatures
        self._findings: list[Finding] = []
        self._events = 0
        self._empty: set[SegmentName] = set()  # segments without events
        self._before = _Listed()
        self._named: dict[str, list[_Named]] = {}  # closing lines that somebody names, by stream
        self._tips: list[tuple[str, int, str]] = []  # lines of the list that somebody names

    def report(self, anchor: Path | None) -> Report:
        # In this order, since others may write: what is named must be there when it is looked for.
        before = self._before = self._list(say=True)
        named = self._named = before.named
        heads = set(heads_in(self._directory))
        for stream in sorted(heads):
            self._head(stream + HEAD, stream)
        if anchor is not None:
            self._anchor(anchor)
        streams = streams_in(self._directory)
        for name in before.opened:
            streams.setdefault(name.stream, [])
        ended = {}
        for stream, segments in sorted(streams.items()):
            ended[stream] = self._stream(segments, stream)
        after = self._list(say=False)
        self._unlisted(streams, after, heads, ended)
        for file, line, tip in self._tips:
            if tip not in after.hashes:
                self._say(file, line, 0, f"names a line of `{MANIFEST}` that is not there")
        for stream in sorted(set(named) - set(streams)):
            who = named[stream][0].who
            self._say(MANIFEST, 0, 0, f"the stream {stream}, which {who} names, is not there")
        self._about_signatures()
        deleted = [name for name in after.pruned if name not in streams.get(name.stream, ())]
        return Report(
            tuple(sorted(self._findings, key=lambda each: (each.file, each.line))),
            sum(1 for each in streams.values() if each),
            sum(map(len, streams.values())),
            self._events,
            len(deleted),
            _events_of(deleted, after),
            tuple(self._signatures.seen),
            self._signatures.is_pinned,
        )

    def _say(self, file: str, line: int, byte: int, what: str, *, is_problem: bool = True) -> None:
        self._findings.append(Finding(file, line, byte, what, is_problem))

    # ------------------------------------------------------------------ the list, heads, anchors

    def _list(self, *, say: bool) -> _Listed:
        listed = _Listed()
        prev, place = GENESIS, 0
        for number, line, closing in manifest_lines(self._directory):
            if closing is None:
                if say:
                    self._say(MANIFEST, number, place, "is damaged or cut short")
            else:
                if closing.facts.get("kind") == "record.opened":
                    self._signatures.learn(closing.facts.get("key"))
                if say:
                    said = self._objections(closing, prev, closing.facts.get("by"))
                    if not said and not _is_proper(closing.facts):
                        said = ["is no line of the list"]
                    for what in said:
                        self._say(MANIFEST, number, place, what)
                prev = closing.hash
                listed.hashes.add(prev.hex())
                _put(listed, closing, f"{MANIFEST}:{number}")
            place += len(line)
        return listed

    def _objections(
        self, closing: Closing, prev: bytes, key: object, covered: bytes = b""
    ) -> list[str]:
        found = []
        if closing.prev != prev:
            found.append("does not follow what is before it: lines are missing, moved or inserted")
        if not closing.follows(closing.prev, covered):
            found.append(
                "was changed, or one of the lines before it that it closes"
                if covered
                else "was changed"
            )
        else:
            objection = self._signatures.objection(closing, key)
            if objection is not None:
                found.append(objection)
        return found

    def _head(self, file: str, stream: str) -> None:
        try:
            line = (self._directory / file).read_bytes()
        except FileNotFoundError:  # the stream has ended meanwhile
            return
        self._named_by((file, 1, 0), line, stream)

    def _anchor(self, path: Path) -> None:
        place = 0
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                self._named_by((path.name, number, place), line, None)
                place += len(line)

    def _named_by(self, at: tuple[str, int, int], line: bytes, stream: str | None) -> None:
        file, number, _ = at
        head = read_closing(line)
        if head is None or head.kind != "record.head":
            self._say(*at, "is no head: damaged or cut short")
            return
        for what in self._objections(head, GENESIS, head.facts.get("key")):
            self._say(*at, what)
        facts = head.facts
        if stream is not None and facts.get("stream") != stream:
            self._say(*at, f"is the head of another stream, {facts.get('stream')}")
            return
        who = file if stream is not None else f"{file}:{number}"
        self._named.setdefault(str(facts.get("stream")), []).append(
            _Named(_int(head, "n"), str(facts.get("head")), who)
        )
        self._tips.append((file, number, str(facts.get("manifest"))))

    # ------------------------------------------------------------------------------- the streams

    def _stream(self, segments: list[SegmentName], stream: str) -> bool:
        """Whether its last segment ends with a seal."""
        listed = self._before
        wanted: dict[int, list[_Named]] = defaultdict(list)
        for each in self._named.get(stream, ()):
            wanted[each.n].append(each)
        numbers = {each.number for each in segments}
        known = {each.number for each in listed.opened if each.stream == stream}
        place = _Place(GENESIS, 0, 0)
        # Also what lies between: a segment is missed by its number alone.
        there = numbers | known
        last = max(there, default=0)
        there |= {each - 1 for each in there if each > 1}
        sealed = False
        where = (MANIFEST, 0, 0)
        for number in sorted(there):
            name = SegmentName(stream, number)
            if number in numbers:
                try:
                    place, sealed, where = self._segment(
                        name, place, wanted, is_last=number == last
                    )
                except FileNotFoundError:  # deleted meanwhile, or it is missing
                    pass
                else:
                    if name in listed.pruned:
                        self._say(str(name), 0, 0, "was to be deleted", is_problem=False)
                    continue
            pruned = listed.pruned.get(name) or self._list(say=False).pruned.get(name)
            if pruned is not None:
                place = _Place(bytes.fromhex(pruned["head"]), pruned["n"], pruned["total"])
                gone: Container[int] = range(place.n + 1)
            else:
                self._say(str(name), 0, 0, "the segment is not there, and nobody deleted it")
                place = _Place(b"", 0, 0)  # what comes next says itself what it follows
                gone = _within(name, listed)
            for n in [n for n in wanted if n in gone]:
                del wanted[n]
        for n in sorted(wanted):
            who = wanted[n][0].who
            self._say(*where, _AT_THE_END.format(who=who, n=n))
        return sealed

    def _segment(
        self,
        name: SegmentName,
        place: _Place,
        wanted: dict[int, list[_Named]],
        *,
        is_last: bool,
    ) -> tuple[_Place, bool, tuple[str, int, int]]:
        file = str(name)
        number, byte, key = 1, 0, None
        self._empty.add(name)
        sealed, is_first = False, True
        for block in blocks_of(self._directory, name):
            if sealed:
                self._say(file, number, byte, "stands behind the seal")
            if not block.closing:
                self._rest(block, (number, byte), is_last=is_last)
                number += len(block.lines)
                byte = block.end
                continue
            closing = read_closing(block.closing)
            at = (file, number, byte)
            if closing is None:
                self._say(
                    file,
                    number + len(block.lines),
                    block.end - len(block.closing),
                    "is damaged",
                )
            else:
                if is_first:
                    key = closing.facts.get("key")
                    self._tips.append((file, 1, str(closing.facts.get("manifest"))))
                if not place.hash and is_first:  # after a segment that is not there
                    place = _Place(closing.prev, _int(closing, "n") - 1, _int(closing, "total"))
                self._block(block, closing, place, at, key, is_first=is_first)
                self._events += len(block.lines)
                place = _Place(closing.hash, _int(closing, "n"), _int(closing, "total"))
                for each in wanted.pop(place.n, ()):
                    if each.head != closing.hash.hex():
                        self._say(*at, _ANOTHER.format(who=each.who, n=each.n))
                sealed = closing.kind == "record.seal"
            is_first = False
            number += len(block.lines) + 1
            byte = block.end
        if not is_last and not sealed:
            self._say(file, number, byte, "the segment was cut off: it goes on, and has no seal")
        return place, sealed, (file, number, byte)

    def _block(  # noqa: PLR0913  # a block, and what is known before it
        self,
        block: Block,
        closing: Closing,
        place: _Place,
        at: tuple[str, int, int],
        key: object,
        *,
        is_first: bool,
    ) -> None:
        if block.lines:
            self._empty.discard(block.segment)
        said = self._objections(closing, place.hash, key, b"".join(block.lines))
        if not said:
            facts = closing.facts
            if (facts.get("n"), facts.get("events"), facts.get("total")) != (
                place.n + 1,
                len(block.lines),
                place.total + len(block.lines),
            ):
                said.append("counts wrongly")
            if is_first != (closing.kind == "record.segment"):
                said.append("is not where it belongs")
            elif is_first and (facts.get("stream"), facts.get("segment")) != block.segment:
                said.append(f"is of {facts.get('stream')}, segment {facts.get('segment')}")
        for what in said:
            self._say(*at, what)

    def _rest(self, block: Block, at: tuple[int, int], *, is_last: bool) -> None:
        """What stands after the last closing line."""
        text = b"".join(block.lines)
        name = block.segment
        self._empty.discard(name)
        end = self._before.ends.get(name)
        if end is not None and "rest" in end:
            if end["bytes"] == block.end and hashlib.sha256(text).hexdigest() == end["rest"]:
                what = f"{len(text)} bytes that were being written as the process died; not proven"
                self._say(str(name), *at, what, is_problem=False)
            else:
                self._say(str(name), *at, "is not what was found there after the process died")
        elif end is not None or not is_last:
            self._say(str(name), *at, "was added, or what closed it was taken away or damaged")
        else:
            what = f"{len(text)} bytes that are not closed: being written, or left by a crash"
            self._say(str(name), *at, what, is_problem=False)

    def _unlisted(
        self,
        streams: dict[str, list[SegmentName]],
        listed: _Listed,
        heads: set[str],
        ended: dict[str, bool],
    ) -> None:
        still = set(heads_in(self._directory))
        for stream, segments in streams.items():
            for name in segments:
                if name in listed.opened:
                    continue
                # A segment is listed before its first event: one without any is of a process that
                # died just then.
                is_problem = name not in self._empty
                what = f"is not in `{MANIFEST}`"
                if not is_problem:
                    what += ", and holds no event: its process died as it began"
                self._say(str(name), 0, 0, what, is_problem=is_problem)
            if not segments or segments[-1] in listed.ends:
                continue
            if stream not in heads | still and segments[-1] in listed.opened:
                what = "seal is not in the list of streams" if ended.get(stream) else "head is gone"
                self._say(str(segments[-1]), 0, 0, f"the stream's {what}")
        for name, end in listed.ends.items():
            if "bytes" in end and name in streams.get(name.stream, ()):
                size = size_of(self._directory, name)
                if size not in {end["bytes"], 0}:  # 0: deleted meanwhile
                    what = f"has {size} bytes; {end['bytes']} were found after the process died"
                    self._say(str(name), 0, min(size, end["bytes"]), what)

    def _about_signatures(self) -> None:
        if self._signatures.is_pinned:
            return
        if not self._signatures.seen:
            what = "nothing is signed: whoever can write here can write all of it anew"
        elif self._signatures.cannot_check and not can_sign():
            what = "signatures are not checked: pip install 'guardrails-opa[audit]'"
        else:
            what = (
                "signatures were checked by keys that stand in the record itself; "
                "give the key that you kept elsewhere"
            )
        self._say(MANIFEST, 0, 0, what, is_problem=False)


def _put(listed: _Listed, closing: Closing, who: str) -> None:
    facts = closing.facts
    if not closing.follows(closing.prev) or not _is_proper(facts):
        return  # which was said
    name = SegmentName(facts["stream"], facts["segment"])
    named = _Named(facts["n"], facts["head"], who)
    kind = closing.kind
    if kind == "record.opened":
        listed.opened[name] = facts
    elif kind in {"record.sealed", "record.ended"}:
        listed.ends[name] = facts
    elif kind == "record.pruned":
        listed.pruned[name] = facts
        return
    if named.n:
        listed.named[name.stream].append(named)


_FORMS: Final[dict[str, dict[str, type]]] = {
    "record.opened": {},
    "record.sealed": {"total": int},
    "record.ended": {"total": int, "bytes": int, "rest": str},
    "record.pruned": {"total": int},
}
_EVERY: Final[dict[str, type]] = {"stream": str, "segment": int, "n": int, "head": str}
_DIGEST: Final = re.compile("([0-9a-f]{64})?")


def _is_proper(facts: dict[str, Any]) -> bool:
    """Whether a line of the list has what one of its kind has."""
    form = _FORMS.get(str(facts.get("kind")))
    if form is None:
        return False
    members = {**_EVERY, **form}
    return all(type(facts.get(each)) is kind for each, kind in members.items()) and bool(
        _DIGEST.fullmatch(facts["head"])
    )


def _within(name: SegmentName, listed: _Listed) -> range:
    """The numbers of the closing lines that a segment had, as far as the list says."""
    begin = listed.opened.get(name, {}).get("n")
    end = listed.ends.get(name, {}).get("n")
    follower = listed.opened.get(SegmentName(name.stream, name.number + 1), {}).get("n")
    if begin is None:
        return range(0)
    if end is None:
        end = follower - 1 if follower is not None else 1 << 62
    return range(begin, end + 1)


def _events_of(deleted: list[SegmentName], listed: _Listed) -> int:
    """How many events deleted segments held."""
    count = 0
    for name in deleted:
        before = listed.ends.get(SegmentName(name.stream, name.number - 1), {}).get("total", 0)
        count += listed.pruned[name]["total"] - before
    return count


def _int(closing: Closing, member: str) -> int:
    value = closing.facts.get(member)
    return value if isinstance(value, int) else 0
