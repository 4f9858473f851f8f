"""Entries packed as OPA packs them: gzipped JSON arrays, each as full as the service takes them.

How much text makes a chunk of so many compressed bytes is learnt from those that were packed.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from guardrails.opa.exact_json import NotExactJSONError, encode
from guardrails.opa.logs.masking import bare, withheld

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SIZE: Final = 32_768
"""Compressed bytes of a chunk, as OPA's ``upload_size_limit_bytes`` has it."""

_FULL: Final = 0.9
_MOST: Final = 64


class Text(NamedTuple):
    """An entry as text, and as it was given."""

    text: bytes
    entry: Mapping[str, Any]
    upto: Any


class Packed(NamedTuple):
    """A chunk.

    Attributes:
        body: The gzipped array.
        texts: Its entries.
    """

    body: bytes
    texts: tuple[Text, ...]

    @property
    def upto(self) -> Any:
        """What came with the last of its entries: where the record was read up to."""
        return self.texts[-1].upto

    @property
    def entries(self) -> int:
        """How many it has."""
        return len(self.texts)


class Packer:
    """Takes entries in their order, and gives the chunks that are full.

    Args:
        size: Compressed bytes that a chunk may have at most.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._soft = size
        self._texts: list[Text] = []
        self._length = 0

    def add(self, entry: Mapping[str, Any], upto: Any) -> Iterator[Packed]:
        """The chunks that are full with `entry`."""
        text = _encoded(entry)
        self._texts.append(Text(text, entry, upto))
        self._length += len(text) + 1
        if self._length < self._soft:
            return
        body = _packed(self._texts)
        if len(body) < self._size * _FULL and self._soft < self._size * _MOST:
            self._soft *= 2  # it compresses well: more of it fits
            return
        if len(body) > self._size:
            self._soft = max(self._size, self._soft // 2)
        yield from self.rest()

    def rest(self) -> Iterator[Packed]:
        """What is left, in chunks that are not full."""
        texts, self._texts, self._length = self._texts, [], 0
        yield from self._split(texts)

    def refused(self, chunk: Packed) -> None:
        """The service takes no chunk as large as this one: make smaller ones from here on."""
        self._size = max(1, min(self._size, len(chunk.body) // 2))
        self._soft = self._size

    def apart(self, chunk: Packed) -> Iterator[Packed]:
        """The entries of a chunk that was refused, in smaller ones."""
        yield from self._split(chunk.texts)

    def forget(self) -> None:
        """Let go of what is not packed yet: it is read again."""
        self._texts, self._length = [], 0

    def _split(self, texts: Sequence[Text]) -> Iterator[Packed]:
        if not texts:
            return
        body = _packed(texts)
        if len(body) > self._size and len(texts) > 1:
            half = len(texts) // 2
            yield from self._split(texts[:half])
            yield from self._split(texts[half:])
            return
        if len(body) > self._size:
            # Sent all the same, without what makes it large, and it says so.
            entry = withheld(texts[0].entry)
            texts = [Text(_encoded(entry), entry, texts[0].upto)]
            body = _packed(texts)
        yield Packed(body, tuple(texts))


def _encoded(entry: Mapping[str, Any]) -> bytes:
    try:
        return encode(entry)
    except NotExactJSONError:  # one that cannot be sent as it is must not hold up all others
        return encode(bare(entry))


def _packed(texts: Sequence[Text]) -> bytes:
    array = b"[" + b",".join(each.text for each in texts) + b"]"
    return gzip.compress(array, compresslevel=6, mtime=0)
